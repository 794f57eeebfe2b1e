"""The parcels of a Region as a table: `parcels.parquet` without its geometries."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.errors import DataError

FILE = "parcels.parquet"
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
    parquet = _geo.need("pyarrow.parquet")
    file = pathlib.Path(root, FILE)
    remedy = "ingest the Region anew"
    positions = {str(fold): place for place, fold in enumerate(folds)}
    try:
        table = parquet.read_table(file, columns=["id", "code", "label", "fold", "pixels", "area"])
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
        fold = [NO_FOLD if name is None else positions[name] for name in columns["fold"]]
        return ParcelTable(
            id=np.array(columns["id"], np.str_),
            code=np.array(columns["code"], np.str_),
            label=np.array(columns["label"], np.int32),
            fold=np.array(fold, np.int32),
            pixels=np.array(columns["pixels"], np.int32),
            area=np.array(columns["area"], np.float64),
        )
    except FileNotFoundError:
        raise DataError("file not found", where=file, remedy=remedy) from None
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(f"cannot be read ({error})", where=file, remedy=remedy) from error
