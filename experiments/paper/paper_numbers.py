"""The paper's numbers: every cell of Tables 1 to 4, and the results that its text gives.

They stand in paper_numbers.json, each with the place it was read from. A cell printed as two counts
(152k/185k) is two entries. Table 4 marks auxiliary supervision and no other enhancement; what it
does not mark stands under `base`.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json


@dataclasses.dataclass(frozen=True)
class TableCell:
    """One number of a table.

    Attributes:
      table: Number of the table.
      row: Name of its row.
      column: Name of its column.
      task: `parcel`, `semantic` or `panoptic`.
      model: `S2`, `S1D`, `S1A`, `early`, `mid`, `late` or `decision`.
      enhancement: `base`, `temporal_dropout`, `auxiliary` or `both`.
      score: `OA`, `mIoU`, `SQ`, `RQ`, `PQ` (points), `parameters`, or `seconds` to load and predict
        one fold.
      printed: The cell as printed.
      value: Its number; None where the table has a dash.
      reason: Why there is none, by the paper.
    """

    table: int
    row: str
    column: str
    task: str
    model: str
    enhancement: str
    score: str
    printed: str
    value: float | None
    reason: str | None = None

    @property
    def source(self) -> str:
        """Where it stands in the paper."""
        return f"Table {self.table}, row {self.row}, column {self.column}"


@dataclasses.dataclass(frozen=True)
class Statement:
    """One number of the text.

    Attributes:
      name: What it is.
      value: The number.
      unit: Its unit, and whether it is a bound.
      section: Where it stands.
      quote: The words around it.
    """

    name: str
    value: float
    unit: str
    section: str
    quote: str


_CONTENT = json.loads(
    importlib.resources.files("experiments.paper").joinpath("paper_numbers.json").read_text("utf-8")
)
CELLS = tuple(TableCell(**cell) for cell in _CONTENT["cells"])
STATEMENTS = {fields["name"]: Statement(**fields) for fields in _CONTENT["statements"]}


def paper_cell(*, task: str, model: str, enhancement: str = "base", score: str) -> TableCell | None:
    """Returns the cell that reports `score`; None where no table has one.

    Raises:
      ValueError: If no table knows such a task, model, enhancement or score.
    """
    key = {"task": task, "model": model, "enhancement": enhancement, "score": score}
    for name, value in key.items():
        known = {getattr(cell, name) for cell in CELLS}
        if value not in known:
            raise ValueError(f"{name} must be one of {sorted(known)}, got {value!r}")
    return next((c for c in CELLS if all(getattr(c, k) == v for k, v in key.items())), None)


def paper_value(*, task: str, model: str, enhancement: str = "base", score: str) -> float | None:
    """Returns the number of `paper_cell`; None where there is no cell, or a dash in it."""
    cell = paper_cell(task=task, model=model, enhancement=enhancement, score=score)
    return None if cell is None else cell.value
