"""What a dataset is, as a value: its modalities, nomenclature, calendar and folds.

A folder of data carries this value as `dataset.json` (`pastis_jax.data.dataset_file`), a run
carries it on. A folder without one is PASTIS-R (`pastis_jax.data.pastis_r`). So another sensor,
list of classes or calendar is a file, and no line of code.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
import re
from typing import Any, Literal, get_args

import numpy as np

from pastis_jax.data.fields import refuse, refuse_twice, refuse_unreadable

Unit = Literal["reflectance x 10000", "reflectance", "dB", "linear power", "index", "none"]
UNITS: tuple[str, ...] = get_args(Unit)
OPTICAL: tuple[Unit, ...] = ("reflectance x 10000", "reflectance", "index")
"""Units of what clouds hide."""
_FRACTIONS: tuple[Unit, ...] = ("reflectance", "linear power", "index")
"""Units of values below 1, of which integers would keep nothing."""

Code = int | str
Fold = int | str
SPLITS = ("train", "val", "test")

_MODALITY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_FOLD = re.compile(r"[A-Za-z0-9_]+")
_RESERVED = {
    *("TARGET", "ParcelIDs", "INSTANCES", "ZONES", "HEATMAP"),
    *("semantic", "parcels", "fine", "parcel_ids", "instances", "zones", "heatmap"),
    *("label", "parcel", "patch", "fold", "number", "geometric_features", "shared"),
}
"""Names of files and fields that stand beside the modalities."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """How a modality is shown as red, green and blue.

    Attributes:
      channels: Names of the three channels, or of one to be shown in grey.
      ranges: Lowest and highest value of each, in the stored unit, that become 0 and 1; None
        stretches from the 2nd to the 98th percentile of all of them together.
    """

    channels: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...] | None = None


@dataclasses.dataclass(frozen=True)
class Modality:
    """One sensor, or one orbit of it.

    Attributes:
      name: Suffix of its folder, as in ``DATA_S2``.
      channels: Names of the channels, in file order.
      dtype: Name of the NumPy type on disk, of integers or floats; what is mostly below 1,
        ``reflectance`` say, needs floats.
      unit: What a stored value means; checks of plausibility follow it.
      nodata: Value that marks a missing observation, NaN among them; None for none.
      plausible: Lowest and highest value that can have been measured, in place of what the unit
        tells; None for that.
      drop_rate: Share of the dates that temporal dropout takes away, 0 to 1.
      picture: How it is shown; None shows its first three channels, or its first.

    Raises:
      ValueError: Naming the field.
    """

    name: str
    channels: tuple[str, ...]
    dtype: str
    unit: Unit
    nodata: float | None = None
    plausible: tuple[float, float] | None = None
    drop_rate: float = 0.0
    picture: Picture | None = None

    def __post_init__(self):
        refuse("name", not _MODALITY.fullmatch(self.name), f"{self.name!r} is no plain word")
        refuse("name", self.name in _RESERVED, f"{self.name} has another meaning")
        refuse_unreadable("name", self.name)
        refuse("channels", not self.channels, "there is none")
        refuse_unreadable("channels", *self.channels)
        refuse_twice("channels", "name", self.channels)
        try:
            kind = np.dtype(self.dtype).kind
        except (TypeError, ValueError, SyntaxError):
            kind = ""
        refuse("dtype", kind not in ("i", "u", "f"), f"{self.dtype!r} is no NumPy type of numbers")
        refuse("unit", self.unit not in UNITS, f"{self.unit!r} is none of {', '.join(UNITS)}")
        refuse(
            "dtype",
            kind != "f" and self.unit in _FRACTIONS,
            f"{self.dtype} keeps nothing of {self.unit}, which needs floats",
        )
        refuse(
            "nodata",
            self.nodata is not None and not _holds(self.dtype, self.nodata),
            f"{self.dtype} cannot hold {self.nodata}",
        )
        if self.plausible is not None:
            low, high = self.plausible
            refuse("plausible", not low < high, f"{low:g} is not below {high:g}")
        refuse("drop_rate", not 0 <= self.drop_rate < 1, "must be at least 0 and below 1")
        if self.picture is not None:
            shown, ranges = self.picture.channels, self.picture.ranges
            refuse("picture.channels", len(shown) not in (1, 3), "name one or three")
            unknown = [name for name in shown if name not in self.channels]
            refuse("picture.channels", unknown, f"there is no {', '.join(unknown)}")
            refuse(
                "picture.ranges",
                ranges is not None and len(ranges) != len(shown),
                "give one for each of its channels",
            )
            refuse(
                "picture.ranges",
                any(not low < high for low, high in ranges or ()),
                "the lowest value comes first",
            )

    def __eq__(self, other: object) -> bool:
        # NaN as nodata is like itself.
        return isinstance(other, Modality) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def _fields(self) -> tuple[Any, ...]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return tuple((fields | {"nodata": str(self.nodata)}).values())

    @property
    def optical(self) -> bool:
        """Whether clouds hide what it observes."""
        return self.unit in OPTICAL

    @property
    def shown(self) -> Picture:
        """How it is shown, by default too."""
        number = 3 if len(self.channels) >= 3 else 1
        return self.picture or Picture(self.channels[:number])

    def missing(self, values: np.ndarray) -> np.ndarray | None:
        """Which of `values`, in the stored unit, mark a missing observation; None without a mark.

        Args:
          values: Of any shape and numeric type.
        """
        if self.nodata is None:
            return None
        return np.isnan(values) if math.isnan(self.nodata) else values == self.nodata


@dataclasses.dataclass(frozen=True)
class CropClass:
    """One class of a nomenclature.

    Attributes:
      code: As tables of parcels hold it, an integer or text.
      name: For readers.
      colour: RGB, 0 to 255.
      value: As the labels of patches hold it; by default the code, where that is an integer.
    """

    code: Code
    name: str
    colour: tuple[int, int, int]
    value: int | None = None

    def __post_init__(self):
        text = str(self.code)
        refuse("code", not text or text != text.strip(), f"{text!r} is empty or has space around")
        refuse_unreadable("code", text)
        refuse_unreadable("name", self.name)
        if self.value is None and isinstance(self.code, int):
            object.__setattr__(self, "value", self.code)
        limits = np.iinfo(np.int64)
        fits = self.value is None or limits.min <= self.value <= limits.max
        refuse("value", not fits, f"{self.value} has more than 64 bits")


@dataclasses.dataclass(frozen=True)
class Nomenclature:
    """The classes of a dataset. Records hold the number of a class in `classes`, from 0.

    Attributes:
      classes: All of them, background and void among them.
      background: Code of what is no parcel; None where all pixels belong to one.
      void: Code of parcels that are neither trained nor counted; None for none.

    Raises:
      ValueError: Naming the field.
    """

    classes: tuple[CropClass, ...]
    background: Code | None = None
    void: Code | None = None

    def __post_init__(self):
        codes = [entry.code for entry in self.classes]
        # A table cannot tell 3 from "3".
        refuse_twice("classes", "code", map(str, codes))
        names = [entry.name.strip().casefold() for entry in self.classes]
        refuse_twice("classes", "name", names)
        refuse("classes", not all(names), "a name is empty")
        values = [entry.value for entry in self.classes if entry.value is not None]
        refuse_twice("classes", "value", values)
        for field in ("background", "void"):
            code = getattr(self, field)
            refuse(field, code is not None and code not in codes, f"{code!r} is no class's code")
        refuse("void", self.void is not None and self.void == self.background, "is the background")
        refuse("classes", len(self.crops) < 2, "fewer than two can be told apart")

    @functools.cached_property
    def crops(self) -> tuple[CropClass, ...]:
        """The classes of parcels: all but background and void, in their order."""
        return tuple(c for c in self.classes if c.code not in (self.background, self.void))

    @functools.cached_property
    def background_number(self) -> int | None:
        """Number of the background in `classes`; None without one."""
        return None if self.background is None else self._numbers[self.background]

    @functools.cached_property
    def void_number(self) -> int | None:
        """Number of void in `classes`; None without one."""
        return None if self.void is None else self._numbers[self.void]

    @functools.cached_property
    def _numbers(self) -> dict[Code, int]:
        return {entry.code: number for number, entry in enumerate(self.classes)}

    @functools.cached_property
    def _numbers_by_text(self) -> dict[str, int]:
        return {str(code): number for code, number in self._numbers.items()}

    def number_of(self, code: Any) -> int:
        """Returns the number of the class with this code; 3, "3" and "3.0" are alike.

        Raises:
          KeyError: If there is none.
        """
        text = str(code).strip()
        if text not in self._numbers_by_text and re.fullmatch(r"-?\d+\.0+", text):
            text = text.split(".")[0]
        return self._numbers_by_text[text]

    @functools.cached_property
    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """Values of patches' labels, rising, ``k`` int64, and the number of each one's class."""
        pairs = sorted(
            (entry.value, n) for n, entry in enumerate(self.classes) if entry.value is not None
        )
        values, numbers = np.array(pairs, np.int64).reshape(-1, 2).T
        return values, numbers.astype(np.int32)

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Returns the number of each pixel's class, int32.

        Args:
          values: Labels as patches hold them, integers of any shape.

        Raises:
          KeyError: Naming the lowest value of no class.
        """
        known, numbers = self.values
        if not (sound := np.isin(values, known)).all():
            raise KeyError(int(values[~sound].min()))
        return numbers[np.searchsorted(known, values)]

    def is_background(self, numbers: np.ndarray) -> np.ndarray:
        """Which of the classes with these numbers are the background."""
        return numbers == (-1 if self.background_number is None else self.background_number)

    def is_void(self, numbers: np.ndarray) -> np.ndarray:
        """Which of the classes with these numbers are void."""
        return numbers == (-1 if self.void_number is None else self.void_number)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset as a value.

    Attributes:
      name: For readers.
      modalities: In the order they are used in.
      nomenclature: The classes.
      season_start: Day 0 of every `days` array.
      folds: Names of the parts that samples are in, at least three.
      splits: Folds to train on, to validate on and to test on, where these are fixed; None takes
        the folds in turn (`split`).
      pixel_size: Side of a pixel, metres.

    Raises:
      ValueError: Naming the field.
    """

    name: str
    modalities: tuple[Modality, ...]
    nomenclature: Nomenclature
    season_start: datetime.date
    folds: tuple[Fold, ...]
    splits: tuple[tuple[Fold, ...], tuple[Fold, ...], tuple[Fold, ...]] | None = None
    pixel_size: float = 10.0

    def __post_init__(self):
        refuse("name", not self.name.strip(), "it is empty")
        refuse_unreadable("name", self.name)
        refuse("modalities", not self.modalities, "there is none")
        names = [modality.name.casefold() for modality in self.modalities]
        refuse_twice("modalities", "name", names)
        refuse("folds", len(self.folds) < 3, "there must be three or more")
        refuse_twice("folds", "name", map(str, self.folds))
        for fold in self.folds:
            refuse("folds", not _FOLD.fullmatch(str(fold)), f"{fold!r} is no plain word")
            refuse_unreadable("folds", str(fold))
        if self.splits is not None:
            used = [fold for folds in self.splits for fold in folds]
            for split, folds in zip(SPLITS, self.splits, strict=True):
                refuse(f"splits.{split}", not folds, "there is no fold")
            for fold in used:
                refuse("splits", fold not in self.folds, f"there is no fold {fold!r}")
            refuse_twice("splits", "fold", used)
        size = self.pixel_size
        refuse("pixel_size", not (0 < size < math.inf), "must be a number of metres above 0")

    def __getitem__(self, name: str) -> Modality:
        return self._by_name[name]

    @functools.cached_property
    def _by_name(self) -> dict[str, Modality]:
        return {modality.name: modality for modality in self.modalities}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(self._by_name)

    def day(self, date: datetime.date) -> int:
        """Days from the start of the season to `date`."""
        return (date - self.season_start).days

    def date(self, day: int) -> datetime.date:
        """The date of a day since the start of the season."""
        return self.season_start + datetime.timedelta(days=int(day))

    def fold(self, name: Any) -> Fold:
        """Returns the fold of this name; 3, "3" and "3.0" are alike.

        Raises:
          KeyError: If there is none.
        """
        text = re.sub(r"^(\d+)\.0+$", r"\1", str(name).strip())
        return {str(fold): fold for fold in self.folds}[text]

    def split(self, run: int = 1) -> dict[str, tuple[Fold, ...]]:
        """Returns the folds to train on, to validate on and to test on.

        Folds taken in turn go one on with each run, cyclically: 1 2 3 | 4 | 5, then 2 3 4 | 5 | 1.

        Args:
          run: Number of the run, from 1 to the number of folds; 1 where the splits are fixed.

        Raises:
          ValueError: If there is no such run.
        """
        if not 1 <= run <= self.runs:
            raise ValueError(f"there are runs 1 to {self.runs}, got {run}")
        if self.splits is not None:
            return dict(zip(SPLITS, self.splits, strict=True))
        order = [*self.folds[run - 1 :], *self.folds[: run - 1]]
        return {"train": tuple(order[:-2]), "val": (order[-2],), "test": (order[-1],)}

    @property
    def runs(self) -> int:
        """Number of runs that cross-validation has; 1 where the splits are fixed."""
        return len(self.folds) if self.splits is None else 1


def _holds(dtype: str, value: float) -> bool:
    if np.dtype(dtype).kind == "f":
        with np.errstate(over="ignore"):
            held = float(np.array(value, np.float64).astype(dtype))
        # Wider types are compared as float32 at least, which rounds both alike.
        near = held == value or np.dtype(dtype).itemsize > 2
        return math.isnan(value) or (math.isfinite(held) and near)
    limits = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max
