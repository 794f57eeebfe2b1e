"""`dataset.json`: a dataset as a file, read strictly."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import pathlib
import re
import sys
from typing import Any

from pastis_jax.data.dataset import SPLITS, CropClass, Dataset, Fold, Nomenclature
from pastis_jax.data.fields import refuse
from pastis_jax.data.modality import Modality, Picture
from pastis_jax.data.reading import DATASET_FILE as FILE
from pastis_jax.data.reading import read_json
from pastis_jax.errors import DataError
from pastis_jax.files import write_whole

FORMAT = 1
"""Version of the file's form."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
PALETTE = (
    *("#1f77b4", "#aec7e8", "#ff7f0e", "#ffbb78", "#2ca02c", "#98df8a", "#d62728", "#ff9896"),
    *("#9467bd", "#c5b0d5", "#8c564b", "#c49c94", "#e377c2", "#f7b6d2", "#7f7f7f", "#c7c7c7"),
    *("#bcbd22", "#dbdb8d", "#17becf", "#9edae5"),
)
"""Colours of classes that have none of their own, in turn."""


def to_json(dataset: Dataset) -> dict[str, Any]:
    """Returns what `dataset.json` holds of a dataset."""
    nomenclature = dataset.nomenclature
    content = {
        "format": FORMAT,
        "name": dataset.name,
        "season_start": dataset.season_start.isoformat(),
        "pixel_size": dataset.pixel_size,
        "folds": list(dataset.folds),
        "modalities": [_plain(modality) for modality in dataset.modalities],
        "nomenclature": {
            "background": nomenclature.background,
            "void": nomenclature.void,
            "classes": [
                {
                    "code": entry.code,
                    "name": entry.name,
                    "colour": "#" + bytes(entry.colour).hex(),
                    **({} if entry.value in (None, entry.code) else {"value": entry.value}),
                }
                for entry in nomenclature.classes
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
    refuse("format", version != FORMAT, f"{version} is not {FORMAT}, which this version reads")
    named = _Fields(fields.take("nomenclature", dict), "nomenclature.")
    classes = named.each("classes", _class)
    background, void = (named.take(n, int | str | None, None) for n in ("background", "void"))
    named.done()
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

    Args:
      file: The file.

    Returns:
      The dataset.

    Raises:
      DataError: In one line, naming the file and the field.
    """
    file, remedy = pathlib.Path(file), "correct it; docs/data.md has an example"
    content = read_json(file, kind="JSON", remedy=remedy)
    try:
        return from_json(content)
    except ValueError as error:
        raise DataError(str(error), where=file, remedy=remedy) from error


def write(dataset: Dataset, folder: str | os.PathLike[str]) -> pathlib.Path:
    """Writes `dataset.json` into a folder: the whole file, or nothing.

    Args:
      dataset: What the folder holds.
      folder: The folder, which must exist.

    Returns:
      The file.

    Examples:
      >>> import tempfile
      >>> radar = Modality("SAR", ("VV", "VH"), "float32", "linear power")
      >>> crops = CropClass(1, "Maize", (255, 187, 120)), CropClass(2, "Soya", (0, 99, 0))
      >>> start = datetime.date(2023, 7, 1)
      >>> iowa = Dataset("Iowa 2023", (radar,), Nomenclature(crops), start, folds=(1, 2, 3))
      >>> read(write(iowa, tempfile.mkdtemp())) == iowa
      True
    """
    file = pathlib.Path(folder, FILE)
    write_whole(file, json.dumps(to_json(dataset), indent=1, ensure_ascii=False) + "\n")
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
            wanted = [_JSON[each] for each in kinds if each is not int or float not in kinds]
            raise ValueError(f"{self._path}{name}: not {' or '.join(wanted)}")
        long = isinstance(value, int) and value.bit_length() > 64
        self.refuse(name, long, "has more than 64 bits")
        return value

    def refuse(self, name: str, wrong: Any, fault: str) -> None:
        refuse(f"{self._path}{name}", wrong, fault)

    def each(self, name: str, make: Any) -> tuple[Any, ...]:
        made = []
        for number, entry in enumerate(self.take(name, list)):
            place = f"{self._path}{name}[{number}]"
            refuse(place, not isinstance(entry, dict), "not an object")
            with _within(f"{place}."):
                fields = _Fields(entry, "")
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

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
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
            None if ranges is None else tuple(_pair(pair, "picture.ranges") for pair in ranges),
        )
        inner.done()
    plausible = fields.take("plausible", list | None, None)
    nodata = fields.take("nodata", int | float | str | None, None)
    refuse("nodata", isinstance(nodata, str) and nodata != "nan", 'text other than "nan"')
    return Modality(
        name=fields.take("name", str),
        channels=_texts(fields, "channels"),
        dtype=fields.take("dtype", str),
        unit=fields.take("unit", str),
        nodata=float(nodata) if isinstance(nodata, str) else nodata,
        plausible=None if plausible is None else _pair(plausible, "plausible"),
        drop_rate=float(fields.take("drop_rate", int | float, 0.0)),
        picture=picture,
        offset=float(fields.take("offset", int | float, 0.0)),
    )


def _class(fields: _Fields, number: int) -> CropClass:
    code = fields.take("code", int | str)
    colour = fields.take("colour", str, PALETTE[number % len(PALETTE)])
    refuse("colour", not _COLOUR.fullmatch(colour), f"{colour!r} is not written as #rrggbb")
    red, green, blue = bytes.fromhex(colour[1:])
    return CropClass(
        code=code,
        name=fields.take("name", str, str(code)),
        colour=(red, green, blue),
        value=fields.take("value", int | None, None),
    )


def _texts(fields: _Fields, name: str) -> tuple[str, ...]:
    values = fields.take(name, list)
    fields.refuse(name, not all(isinstance(text, str) and text for text in values), "not texts")
    return tuple(values)


def _folds(fields: _Fields, name: str) -> tuple[Fold, ...]:
    values = fields.take(name, list)
    wrong = [code for code in values if isinstance(code, bool) or not isinstance(code, int | str)]
    fields.refuse(name, wrong, "not integers or texts")
    return tuple(values)


def _pair(value: Any, name: str) -> tuple[float, float]:
    numbers = isinstance(value, list) and all(
        isinstance(number, int | float)
        and not isinstance(number, bool)
        and abs(number) <= sys.float_info.max
        for number in value
    )
    refuse(name, not numbers or len(value) != 2, "not a lowest and a highest value")
    low, high = map(float, value)
    return low, high


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"season_start: {text!r} is not a day YYYY-MM-DD") from None


def _plain(modality: Modality) -> dict[str, Any]:
    """A modality for JSON, what has its default left out."""
    content = {n: v for n, v in dataclasses.asdict(modality).items() if v is not None}
    for name in ("drop_rate", "offset"):
        if not content[name]:
            del content[name]
    if isinstance(nodata := content.get("nodata"), float) and math.isnan(nodata):
        content["nodata"] = "nan"
    if (picture := content.get("picture")) and picture["ranges"] is None:
        content["picture"] = {"channels": picture["channels"]}
    return content
