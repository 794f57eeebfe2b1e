"""What a dataset is, as a value: its modalities, nomenclature, calendar and folds.

A folder of data carries this value as `dataset.json`, a run carries it on. A folder without one is
PASTIS-R (`pastis_jax.data.pastis_r`). So another sensor, list of classes or calendar is a file,
and no line of code.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import math
import os
import pathlib
import re
import sys
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np

from pastis_jax.errors import DataError

FILE = "dataset.json"
FORMAT = 1
"""Version of the file's form."""

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
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_RESERVED = {
    *("TARGET", "ParcelIDs", "INSTANCES", "ZONES", "HEATMAP"),
    *("semantic", "parcels", "fine", "parcel_ids", "instances", "zones", "heatmap"),
    *("label", "parcel", "patch", "fold", "number", "geometric_features", "shared"),
}
"""Names of files and fields that stand beside the modalities."""
_PALETTE = (
    *("#1f77b4", "#aec7e8", "#ff7f0e", "#ffbb78", "#2ca02c", "#98df8a", "#d62728", "#ff9896"),
    *("#9467bd", "#c5b0d5", "#8c564b", "#c49c94", "#e377c2", "#f7b6d2", "#7f7f7f", "#c7c7c7"),
    *("#bcbd22", "#dbdb8d", "#17becf", "#9edae5"),
)


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
        _refuse("name", not _MODALITY.fullmatch(self.name), f"{self.name!r} is no plain word")
        _refuse("name", self.name in _RESERVED, f"{self.name} has another meaning")
        _refuse("channels", not self.channels, "there is none")
        _refuse_twice("channels", "name", self.channels)
        try:
            kind = np.dtype(self.dtype).kind
        except (TypeError, ValueError, SyntaxError):
            kind = ""
        _refuse("dtype", kind not in ("i", "u", "f"), f"{self.dtype!r} is no NumPy type of numbers")
        _refuse("unit", self.unit not in UNITS, f"{self.unit!r} is none of {', '.join(UNITS)}")
        _refuse(
            "dtype",
            kind != "f" and self.unit in _FRACTIONS,
            f"{self.dtype} keeps nothing of {self.unit}, which needs floats",
        )
        _refuse(
            "nodata",
            self.nodata is not None and not _holds(self.dtype, self.nodata),
            f"{self.dtype} cannot hold {self.nodata}",
        )
        if self.plausible is not None:
            low, high = self.plausible
            _refuse("plausible", not low < high, f"{low:g} is not below {high:g}")
        _refuse("drop_rate", not 0 <= self.drop_rate < 1, "must be at least 0 and below 1")
        if self.picture is not None:
            shown, ranges = self.picture.channels, self.picture.ranges
            _refuse("picture.channels", len(shown) not in (1, 3), "name one or three")
            unknown = [name for name in shown if name not in self.channels]
            _refuse("picture.channels", unknown, f"there is no {', '.join(unknown)}")
            _refuse(
                "picture.ranges",
                ranges is not None and len(ranges) != len(shown),
                "give one for each of its channels",
            )
            _refuse(
                "picture.ranges",
                any(not low < high for low, high in ranges or ()),
                "the lowest value comes first",
            )

    def __eq__(self, other: object) -> bool:
        # NaN as nodata is like itself.
        return isinstance(other, Modality) and _plain(self) == _plain(other)

    def __hash__(self) -> int:
        return hash((self.name, self.channels))

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
        _refuse("code", not text or text != text.strip(), f"{text!r} is empty or has space around")
        if self.value is None and isinstance(self.code, int):
            object.__setattr__(self, "value", self.code)
        limits = np.iinfo(np.int64)
        fits = self.value is None or limits.min <= self.value <= limits.max
        _refuse("value", not fits, f"{self.value} has more than 64 bits")


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
        codes = [one.code for one in self.classes]
        # A table cannot tell 3 from "3".
        _refuse_twice("classes", "code", map(str, codes))
        names = [one.name.strip().casefold() for one in self.classes]
        _refuse_twice("classes", "name", names)
        _refuse("classes", not all(names), "a name is empty")
        values = [one.value for one in self.classes if one.value is not None]
        _refuse_twice("classes", "value", values)
        for field in ("background", "void"):
            code = getattr(self, field)
            _refuse(field, code is not None and code not in codes, f"{code!r} is no class's code")
        _refuse("void", self.void is not None and self.void == self.background, "is the background")
        _refuse("classes", len(self.crops) < 2, "fewer than two can be told apart")

    @functools.cached_property
    def crops(self) -> tuple[CropClass, ...]:
        """The classes of parcels: all but background and void, in their order."""
        return tuple(one for one in self.classes if one.code not in (self.background, self.void))

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
        return {one.code: number for number, one in enumerate(self.classes)}

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
            (one.value, n) for n, one in enumerate(self.classes) if one.value is not None
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
        _refuse("name", not self.name.strip(), "it is empty")
        _refuse("modalities", not self.modalities, "there is none")
        names = [one.name.casefold() for one in self.modalities]
        _refuse_twice("modalities", "name", names)
        _refuse("folds", len(self.folds) < 3, "there must be three or more")
        _refuse_twice("folds", "name", map(str, self.folds))
        for fold in self.folds:
            _refuse("folds", not _FOLD.fullmatch(str(fold)), f"{fold!r} is no plain word")
        if self.splits is not None:
            used = [fold for folds in self.splits for fold in folds]
            for split, folds in zip(SPLITS, self.splits, strict=True):
                _refuse(f"splits.{split}", not folds, "there is no fold")
            for fold in used:
                _refuse("splits", fold not in self.folds, f"there is no fold {fold!r}")
            _refuse_twice("splits", "fold", used)
        size = self.pixel_size
        _refuse("pixel_size", not (0 < size < math.inf), "must be a number of metres above 0")

    def __getitem__(self, name: str) -> Modality:
        return self._by_name[name]

    @functools.cached_property
    def _by_name(self) -> dict[str, Modality]:
        return {one.name: one for one in self.modalities}

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

        Of folds that are taken in turn, run 1 trains on all but the last two, validates on the last
        but one and tests on the last; each further run goes one fold on, cyclically. Of five, as
        published: 1 2 3 | 4 | 5, then 2 3 4 | 5 | 1, and so on.

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


def to_json(dataset: Dataset) -> dict[str, Any]:
    """Returns what `dataset.json` holds of a dataset."""
    nomenclature = dataset.nomenclature
    content = {
        "format": FORMAT,
        "name": dataset.name,
        "season_start": dataset.season_start.isoformat(),
        "pixel_size": dataset.pixel_size,
        "folds": list(dataset.folds),
        "modalities": [_plain(one) for one in dataset.modalities],
        "nomenclature": {
            "background": nomenclature.background,
            "void": nomenclature.void,
            "classes": [
                {
                    "code": one.code,
                    "name": one.name,
                    "colour": "#" + bytes(one.colour).hex(),
                    **({} if one.value in (None, one.code) else {"value": one.value}),
                }
                for one in nomenclature.classes
            ],
        },
    }
    if dataset.splits is not None:
        content["splits"] = dict(zip(SPLITS, dataset.splits, strict=True))
    return json.loads(json.dumps(content))  # lists for tuples


def from_json(content: Any) -> Dataset:
    """Returns the dataset that `to_json` was given.

    Raises:
      ValueError: Naming the field.
    """
    fields = _Fields(content, "")
    version = fields.take("format", int)
    _refuse("format", version != FORMAT, f"{version} is not {FORMAT}, which this version reads")
    nomenclature = _Fields(fields.take("nomenclature", dict), "nomenclature.")
    classes = nomenclature.each("classes", _class)
    background, void = (
        nomenclature.take(n, int | str | None, None) for n in ("background", "void")
    )
    nomenclature.done()
    splits = fields.take("splits", dict | None, None)
    if splits is not None:
        inner = _Fields(splits, "splits.")
        splits = tuple(_folds(inner, name) for name in SPLITS)
        inner.done()
    modalities = fields.each("modalities", _modality)
    with _within("nomenclature."):
        nomenclature = Nomenclature(classes, background, void)
    dataset = Dataset(
        name=fields.take("name", str),
        modalities=modalities,
        nomenclature=nomenclature,
        season_start=_date(fields.take("season_start", str)),
        folds=_folds(fields, "folds"),
        splits=splits,
        pixel_size=float(fields.take("pixel_size", int | float)),
    )
    fields.done()
    return dataset


def read(file: str | os.PathLike[str]) -> Dataset:
    """Reads a `dataset.json`.

    Raises:
      DataError: In one line, naming the file and the field.
    """
    file, remedy = pathlib.Path(file), "correct it; docs/data.md has an example"
    try:
        return from_json(json.loads(file.read_text(encoding="utf-8-sig")))
    except FileNotFoundError:
        raise DataError("file not found", where=file, remedy=remedy) from None
    except (json.JSONDecodeError, UnicodeError, RecursionError) as error:
        raise DataError(f"not JSON ({error})", where=file, remedy=remedy) from error
    except (OSError, ValueError) as error:
        raise DataError(str(error), where=file, remedy=remedy) from error


def write(dataset: Dataset, folder: str | os.PathLike[str]) -> pathlib.Path:
    """Writes `dataset.json` into `folder`, which must exist, as a whole; returns the file."""
    file = pathlib.Path(folder, FILE)
    scratch = file.with_suffix(".partial")
    scratch.write_text(json.dumps(to_json(dataset), indent=1, ensure_ascii=False) + "\n", "utf-8")
    scratch.replace(file)
    return file


class _Fields:
    """The fields of a JSON object, taken one by one; those left over are refused."""

    def __init__(self, content: Any, path: str):
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        self._left, self._path = dict(content), path

    def take(self, name: str, kind: Any, *default: Any) -> Any:
        if name not in self._left:
            if default:
                return default[0]
            raise ValueError(f"{self._path}{name}: missing")
        value = self._left.pop(name)
        if isinstance(value, bool) or not isinstance(value, kind):
            kinds = getattr(kind, "__args__", (kind,))
            wanted = [_JSON[one] for one in kinds if one is not int or float not in kinds]
            raise ValueError(f"{self._path}{name}: not {' or '.join(wanted)}")
        long = isinstance(value, int) and value.bit_length() > 64
        self.refuse(name, long, "has more than 64 bits")
        return value

    def refuse(self, name: str, wrong: Any, what: str) -> None:
        _refuse(f"{self._path}{name}", wrong, what)

    def each(self, name: str, make: Any) -> tuple[Any, ...]:
        made = []
        for number, one in enumerate(self.take(name, list)):
            place = f"{self._path}{name}[{number}]"
            _refuse(place, not isinstance(one, dict), "not an object")
            with _within(f"{place}."):
                fields = _Fields(one, "")
                made.append(make(fields, number))
                fields.done()
        return tuple(made)

    def done(self) -> None:
        if self._left:
            raise ValueError(f"{self._path}{next(iter(self._left))}: unknown field")


_JSON = {
    **{str: "text", int: "an integer", float: "a number", dict: "an object", list: "a list"},
    type(None): "null",
}


class _within:  # noqa: N801 - reads as a statement
    """Puts where a field stands before the message of a ValueError."""

    def __init__(self, path: str):
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, ValueError):
            raise ValueError(f"{self._path}{error}") from error


def _modality(fields: _Fields, number: int) -> Modality:
    del number
    picture = fields.take("picture", dict | None, None)
    if picture is not None:
        inner = _Fields(picture, "picture.")
        ranges = inner.take("ranges", list | None, None)
        picture = Picture(
            _texts(inner, "channels"),
            None if ranges is None else tuple(_pair(one, "picture.ranges") for one in ranges),
        )
        inner.done()
    plausible = fields.take("plausible", list | None, None)
    nodata = fields.take("nodata", int | float | str | None, None)
    _refuse("nodata", isinstance(nodata, str) and nodata != "nan", 'text other than "nan"')
    return Modality(
        name=fields.take("name", str),
        channels=_texts(fields, "channels"),
        dtype=fields.take("dtype", str),
        unit=fields.take("unit", str),
        nodata=float(nodata) if isinstance(nodata, str) else nodata,
        plausible=None if plausible is None else _pair(plausible, "plausible"),
        drop_rate=float(fields.take("drop_rate", int | float, 0.0)),
        picture=picture,
    )


def _class(fields: _Fields, number: int) -> CropClass:
    code = fields.take("code", int | str)
    colour = fields.take("colour", str, _PALETTE[number % len(_PALETTE)])
    _refuse("colour", not _COLOUR.fullmatch(colour), f"{colour!r} is not written as #rrggbb")
    return CropClass(
        code=code,
        name=fields.take("name", str, str(code)),
        colour=tuple(bytes.fromhex(colour[1:])),
        value=fields.take("value", int | None, None),
    )


def _texts(fields: _Fields, name: str) -> tuple[str, ...]:
    values = fields.take(name, list)
    fields.refuse(name, not all(isinstance(one, str) and one for one in values), "not texts")
    return tuple(values)


def _folds(fields: _Fields, name: str) -> tuple[Fold, ...]:
    values = fields.take(name, list)
    wrong = [one for one in values if isinstance(one, bool) or not isinstance(one, int | str)]
    fields.refuse(name, wrong, "not integers or texts")
    return tuple(values)


def _pair(value: Any, name: str) -> tuple[float, float]:
    numbers = isinstance(value, list) and all(
        isinstance(one, int | float)
        and not isinstance(one, bool)
        and abs(one) <= sys.float_info.max
        for one in value
    )
    _refuse(name, not numbers or len(value) != 2, "not a lowest and a highest value")
    return tuple(map(float, value))


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"season_start: {text!r} is not a day YYYY-MM-DD") from None


def _plain(modality: Modality) -> dict[str, Any]:
    """A modality for JSON, what has its default left out."""
    content = {n: v for n, v in dataclasses.asdict(modality).items() if v is not None}
    if not content["drop_rate"]:
        del content["drop_rate"]
    if isinstance(nodata := content.get("nodata"), float) and math.isnan(nodata):
        content["nodata"] = "nan"
    if (picture := content.get("picture")) and picture["ranges"] is None:
        content["picture"] = {"channels": picture["channels"]}
    return content


def _refuse(field: str, wrong: Any, what: str) -> None:
    if wrong:
        raise ValueError(f"{field}: {what}")


def _refuse_twice(field: str, what: str, values: Iterable[Any]) -> None:
    seen = set()
    for value in values:
        _refuse(field, value in seen, f"the {what} {value!r} stands twice")
        seen.add(value)


def _holds(dtype: str, value: float) -> bool:
    if np.dtype(dtype).kind == "f":
        if math.isnan(value):
            return True
        with np.errstate(over="ignore"):
            held = float(np.array(value, np.float64).astype(dtype))
        # Wider types are compared as float32 at least, which rounds both alike.
        return math.isfinite(held) and (held == value or np.dtype(dtype).itemsize > 2)
    limits = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max
