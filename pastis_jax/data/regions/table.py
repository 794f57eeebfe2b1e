"""The parcels of a Region as a table: `parcels.parquet` without its geometries."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.errors import DataError

FILE = "parcels.parquet"
_KINDS = {
    "id": "text",
    "code": "text",
    "label": "integer",
    "fold": "text",
    "pixels": "integer",
    "area": "number",
}
"""What is read of the file."""
NO_FOLD = -1
"""Position of the fold of a parcel in none."""


@dataclasses.dataclass(frozen=True, eq=False)
class ParcelTable:
    """What is known of the parcels of a Region, in the order of their numbers, which start at 1.

    Attributes:
      id: Identifiers, text, (n,).
      code: Codes of their crops, as their file gives them, text, (n,).
      label: Numbers of their classes, (n,) int32.
      fold: Positions of their folds among those of the dataset, -1 for none, (n,) int32.
      pixels: Pixels of each, (n,) int32.
      area: Of the polygons, square metres, (n,) float64.
    """

    id: np.ndarray
    code: np.ndarray
    label: np.ndarray
    fold: np.ndarray
    pixels: np.ndarray
    area: np.ndarray

    def __len__(self) -> int:
        return len(self.id)


def read_table(root: str | os.PathLike[str], folds: tuple[int | str, ...]) -> ParcelTable:
    """Reads the table of a Region.

    Args:
      root: The Region.
      folds: Names of the folds of its dataset.

    Raises:
      UserError: Without the extra `geo`.
      DataError: If the file is missing, damaged, or of another form.
    """
    arrow, parquet = _geo.need("pyarrow"), _geo.need("pyarrow.parquet")
    file = pathlib.Path(root, FILE)
    remedy = "ingest the Region again"
    try:
        with parquet.ParquetFile(file) as content:
            table = content.read(columns=[*_KINDS])
        columns = {name: _column(table, name, kind) for name, kind in _KINDS.items()}
        if len(set(columns["id"].tolist())) < len(table):
            raise ValueError("an identifier occurs twice")
        for name in ("label", "pixels"):
            if ((columns[name] < 0) | (columns[name] >= 2**31)).any():
                raise ValueError(f"column {name} holds numbers that are not 0 to {2**31 - 1:,}")
        positions = {None: NO_FOLD} | {str(fold): place for place, fold in enumerate(folds)}
        names = columns.pop("fold").tolist()
        if unknown := {*names} - {*positions}:
            raise ValueError(f"fold {min(unknown)} is none of the dataset's")
        texts = {name: columns.pop(name).astype(np.str_) for name in ("id", "code")}
        fold = np.array([positions[name] for name in names], np.int32)
        numbers = {name: columns[name].astype(np.int32) for name in ("label", "pixels")}
        return ParcelTable(**texts, **numbers, fold=fold, area=columns["area"])
    except FileNotFoundError:
        raise DataError("file not found", where=file, remedy=remedy) from None
    except (OSError, ValueError, KeyError, arrow.ArrowException) as error:
        raise DataError(f"cannot be read ({error})", where=file, remedy=remedy) from error


def _column(table: Any, name: str, kind: str) -> np.ndarray:
    """A column of a table, (n,), texts as objects.

    Raises:
      ValueError: If it is missing, of another kind, or has nothing in a line (but of folds).
    """
    types = _geo.need("pyarrow").types
    if name not in table.column_names:
        raise ValueError(f"there is no column {name}")
    column = table.column(name)
    of = column.type
    fits = {
        "text": types.is_string(of) or types.is_large_string(of),
        "integer": types.is_integer(of),
        "number": types.is_floating(of),
    }
    if not fits[kind] and column.null_count < len(column):
        raise ValueError(f"column {name} holds {of}, not {kind}s")
    if column.null_count and name != "fold":
        raise ValueError(f"column {name} has lines with nothing in it")
    return column.to_numpy()
