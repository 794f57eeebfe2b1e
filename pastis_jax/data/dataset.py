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
from typing import Any

import numpy as np

from pastis_jax.data.fields import refuse, refuse_twice, refuse_unreadable
from pastis_jax.data.modality import Modality

Code = int | str
Fold = int | str
SPLITS = ("train", "val", "test")

_FOLD = re.compile(r"[A-Za-z0-9_]+")


@dataclasses.dataclass(frozen=True)
class CropClass:
    """One class of a nomenclature.

    Attributes:
      code: As tables of parcels hold it, an integer or text.
      name: For readers.
      colour: RGB, 0 to 255.
      value: As the labels of patches hold it; by default the code, if that is an integer.

    Raises:
      ValueError: Naming the field.

    Examples:
      >>> CropClass(110, "Maize", (255, 187, 120)).value
      110
    """

    code: Code
    name: str
    colour: tuple[int, int, int]
    value: int | None = None

    def __post_init__(self) -> None:
        text = str(self.code)
        refuse("code", not text or text != text.strip(), f"{text!r} is empty or has space around")
        refuse_unreadable("code", text)
        refuse_unreadable("name", self.name)
        if self.value is None and isinstance(self.code, int):
            object.__setattr__(self, "value", self.code)
        limits = np.iinfo(np.int64)
        fits = self.value is None or limits.min <= self.value <= limits.max
        refuse("value", not fits, f"{self.value} has more than 64 bits")

    @property
    def title(self) -> str:
        """The name, and the code where it is another."""
        same = str(self.code).casefold() == self.name.casefold()
        return self.name if same else f"{self.name} ({self.code})"


@dataclasses.dataclass(frozen=True)
class Nomenclature:
    """The classes of a dataset. Records hold the number of a class in `classes`, from 0.

    Attributes:
      classes: All of them, background and void among them.
      background: Code of pixels outside all parcels; None if every pixel belongs to a parcel.
      void: Code of parcels that are neither trained nor scored; None for none.

    Raises:
      ValueError: Naming the field.

    Examples:
      >>> maize = CropClass(110, "Maize", (255, 187, 120))
      >>> soya = CropClass("SOY", "Soya", (0, 99, 0))
      >>> unknown = CropClass("X", "Unknown", (255, 255, 255))
      >>> classes = Nomenclature((maize, soya, unknown), void="X")
      >>> [entry.name for entry in classes.crops], classes.number_of("110.0")
      (['Maize', 'Soya'], 0)
    """

    classes: tuple[CropClass, ...]
    background: Code | None = None
    void: Code | None = None

    def __post_init__(self) -> None:
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
      folds: Names of the parts that samples belong to, at least three.
      splits: Folds to train on, to validate on and to test on, if these are fixed; with None the
        folds take turns (`split`).
      pixel_size: Side of a pixel, metres.

    Raises:
      ValueError: Naming the field.

    Examples:
      >>> radar = Modality("SAR", ("VV", "VH"), "float32", "linear power")
      >>> crops = CropClass(1, "Maize", (255, 187, 120)), CropClass(2, "Soya", (0, 99, 0))
      >>> start, folds = datetime.date(2023, 7, 1), ("north", "east", "south", "west")
      >>> iowa = Dataset("Iowa 2023", (radar,), Nomenclature(crops), start, folds)
      >>> iowa.day(datetime.date(2023, 7, 24)), iowa.names
      (23, ('SAR',))
      >>> iowa.split(1)
      {'train': ('north', 'east'), 'val': ('south',), 'test': ('west',)}
    """

    name: str
    modalities: tuple[Modality, ...]
    nomenclature: Nomenclature
    season_start: datetime.date
    folds: tuple[Fold, ...]
    splits: tuple[tuple[Fold, ...], tuple[Fold, ...], tuple[Fold, ...]] | None = None
    pixel_size: float = 10.0

    def __post_init__(self) -> None:
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
