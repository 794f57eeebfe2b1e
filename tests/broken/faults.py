"""What can be wrong with a file, by its kind."""

from __future__ import annotations

import csv
import io
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from broken.layouts import replace

REFUSED, WORKS, ANEW = "refused", "works", "made anew"


class Fault(NamedTuple):
    """One fault.

    Attributes:
      damage: Does it to a file.
      outcome: What becomes of it.
      words: What the line says, where there is one.
    """

    damage: Callable[[pathlib.Path], Any]
    outcome: str = REFUSED
    words: str = ""


def _missing(file):
    file.unlink()


def _pipe(file):
    file.unlink()
    os.mkfifo(file)


def _loop(file):
    file.unlink()
    file.symlink_to(file)


def _dangling(file):
    file.unlink()
    file.symlink_to(file.with_name("nowhere"))


def _folder(file):
    file.unlink()
    file.mkdir()


def _sparse(file):
    file.unlink()
    with file.open("wb") as stream:
        stream.truncate(10**13)


def _cut(share):
    def damage(file):
        content = file.read_bytes()
        replace(file, content[: int(len(content) * share)])

    return damage


def _saved(change):
    """An array that became another one."""

    def damage(file):
        values = change(np.load(file))
        file.unlink()
        np.save(file, values, allow_pickle=True)

    return damage


def _header(**fields):
    def damage(file):
        values = np.load(file)
        texts = {"descr": repr(values.dtype.str), "fortran_order": "False"}
        texts |= {"shape": str(values.shape)} | fields
        text = "{" + ", ".join(f"'{name}': {value}" for name, value in texts.items()) + "}"
        start = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
        replace(file, start + text.encode() + values.tobytes())

    return damage


def _archive(file):
    buffer = io.BytesIO()
    np.savez(buffer, np.load(file))
    replace(file, buffer.getvalue())


def _put(content):
    return lambda file: replace(file, content)


def _grown(file):
    replace(file, file.read_bytes() + b"\0")


_ABSENT, _UNREADABLE = "file not found", "not a readable .npy array"

ARRAY = {
    "missing": Fault(_missing, words=_ABSENT),
    "empty": Fault(_put(b""), words=_UNREADABLE),
    "cut within its header": Fault(lambda f: replace(f, f.read_bytes()[:40]), words=_UNREADABLE),
    "cut within its values": Fault(_cut(0.9), words=_UNREADABLE),
    "a byte too many": Fault(_grown, words=_UNREADABLE),
    "text": Fault(_put("no array"), words=_UNREADABLE),
    "an archive (npz)": Fault(_archive, words=_UNREADABLE),
    "a pickle": Fault(_saved(lambda a: np.array([{"a": 1}], object)), words=_UNREADABLE),
    "a shape of 2**70": Fault(_header(shape=f"({2**70},)"), words=_UNREADABLE),
    "a shape of 10 TB": Fault(_header(shape="(5000000000000,)"), words=_UNREADABLE),
    "a negative shape": Fault(_header(shape="(-1, 3)"), words=_UNREADABLE),
    "a header nested 3000 deep": Fault(_header(shape="-(" * 3000), words=_UNREADABLE),
    "code in its header": Fault(_header(descr="__import__('os')"), words=_UNREADABLE),
    "texts as values": Fault(_saved(lambda a: a.astype("U5")), words="is not numeric"),
    "an axis too many": Fault(_saved(lambda a: a[None]), words=" where "),
    "an axis too few": Fault(_saved(lambda a: a[0]), words=" where "),
    "a pipe": Fault(_pipe, words="not a regular file"),
    "a link to itself": Fault(_loop, words="symbolic link"),
    "a link to nothing": Fault(_dangling, words=_ABSENT),
    "a folder": Fault(_folder, words="not a regular file"),
    "10 TB of nothing": Fault(_sparse, words=""),
}
"""Of any array."""

SERIES = {
    "a date too few": Fault(_saved(lambda a: a[:-1]), words="dates where dates-"),
    "a channel too many": Fault(
        _saved(lambda a: np.concatenate([a, a[:, :1]], 1)), words="channels where"
    ),
    "no dates": Fault(_saved(lambda a: a[:0]), words="dates where dates-"),
    "complex values": Fault(_saved(lambda a: a.astype("c8")), words="is not numeric"),
    "truth values": Fault(_saved(lambda a: a > 0), words="is not numeric"),
    "infinite values": Fault(
        _saved(lambda a: np.full_like(a, np.inf, np.float32)), words="NaN or infinite"
    ),
    "constant 10**9": Fault(_saved(lambda a: np.full_like(a, 10**9, np.float32)), words="; "),
}
"""Of arrays of series beside."""

_JSON = "not "

TEXT = {
    "missing": Fault(_missing, words=""),
    "empty": Fault(_put(b""), words=_JSON),
    "cut": Fault(_cut(0.5), words=_JSON),
    "null": Fault(_put("null"), words=_JSON),
    "a number": Fault(_put("1"), words=_JSON),
    "a list": Fault(_put("[1]"), words=_JSON),
    "lists nested 100,000 deep": Fault(_put("[" * 100_000), words="nested too deeply"),
    "objects nested 100,000 deep": Fault(_put('{"a":' * 100_000), words="nested too deeply"),
    "with a BOM": Fault(lambda f: replace(f, b"\xef\xbb\xbf" + f.read_bytes()), WORKS),
    "in UTF-16": Fault(lambda f: replace(f, f.read_text().encode("utf-16")), words=_JSON),
    "not UTF-8": Fault(lambda f: replace(f, f.read_bytes() + b"\xff"), words=_JSON),
    "a key twice": Fault(_put('{"a": 1, "a": 2}'), words="occurs twice"),
    "a GeoPackage": Fault(_put(b"SQLite format 3\0" + bytes(99)), words="a GeoPackage perhaps"),
    "a pipe": Fault(_pipe, words="not a regular file"),
    "a link to itself": Fault(_loop, words=""),
    "a folder": Fault(_folder, words="not a regular file"),
    "10 TB of nothing": Fault(_sparse, words="bytes long"),
}
"""Of any file of JSON."""


def _first_patch(**properties):
    """Changes the properties of a patch; None removes one."""

    def damage(file):
        content = json.loads(file.read_text())
        entry = content["features"][0]["properties"]
        dates = next(name for name in entry if name.startswith("dates-"))
        new = {dates if name == "dates" else name: value for name, value in properties.items()}
        entry = {name: value for name, value in (entry | new).items() if value is not None}
        content["features"][0]["properties"] = entry
        replace(file, json.dumps(content))

    return damage


def _twice(file):
    content = json.loads(file.read_text())
    content["features"].append(content["features"][0])
    replace(file, json.dumps(content))


_PARSED = "cannot be parsed"

PATCHES = {
    "dates -(-(-(": Fault(_first_patch(dates="-(" * 5000), words=_PARSED),
    "dates [[[[": Fault(_first_patch(dates="[" * 5000), words=_PARSED),
    "dates that call a function": Fault(
        _first_patch(dates="{'0': __import__('os')}"), words=_PARSED
    ),
    "dates as a list": Fault(_first_patch(dates=[20190101]), words="must be a dict"),
    "no date": Fault(_first_patch(dates={}), words="its patch has no dates-"),
    "the date 2019_0101": Fault(_first_patch(dates={"0": "2019_0101"}), words=_PARSED),
    "the date 20190231": Fault(_first_patch(dates={"0": 20190231}), words=_PARSED),
    "a number of a date twice": Fault(
        _first_patch(dates={"0": 20190101, "00": 20190102}), words="occurs twice"
    ),
    "a fold that is none": Fault(_first_patch(Fold="1_0"), words="has fold 1_0"),
    "no fold": Fault(_first_patch(Fold=None), words="no property 'Fold'"),
    "an identifier with a path": Fault(_first_patch(ID_PATCH="../a"), words=_PARSED),
    "an identifier of 400 digits": Fault(_first_patch(ID_PATCH="9" * 400), words=_PARSED),
    "a list as identifier": Fault(_first_patch(ID_PATCH=[1]), words=_PARSED),
    "a tile that is a list": Fault(_first_patch(TILE=[[1]]), words=_PARSED),
    "a patch twice": Fault(_twice, words="is listed twice"),
    "no patch": Fault(_put('{"features": []}'), words=""),
}
"""Of metadata.geojson beside."""


def _rows(change):
    """Changes the lines of a table."""

    def damage(file):
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
        buffer = io.StringIO()
        csv.writer(buffer).writerows(change(rows))
        replace(file, buffer.getvalue())

    return damage


def _field(column, value):
    def change(rows):
        rows[2][rows[0].index(column)] = value
        return rows

    return _rows(change)


def _separated(mark):
    return lambda file: replace(file, file.read_text().replace(",", mark))


TABLE = {
    "missing": Fault(_missing, words=""),
    "empty": Fault(_put(b""), words="no column"),
    "no line": Fault(_rows(lambda rows: rows[:1]), words="lists no parcel"),
    "with a BOM": TEXT["with a BOM"],
    "in UTF-16": Fault(TEXT["in UTF-16"].damage, words="not a CSV file"),
    "not UTF-8": Fault(TEXT["not UTF-8"].damage, words="not a CSV file"),
    "an unclosed quote": Fault(lambda f: replace(f, f.read_text() + '"'), words="not a CSV file"),
    "semicolons": Fault(_separated(";"), words="separated by semicolons"),
    "tabs": Fault(_separated("\t"), words="separated by tabs"),
    "a column twice": Fault(
        _rows(lambda rows: [[*row, row[2]] for row in rows]), words="occurs twice"
    ),
    "a column too few": Fault(_rows(lambda rows: [row[1:] for row in rows]), words="no column"),
    "a field too many": Fault(
        _rows(lambda rows: [*rows[:2], ["0", *rows[2]], *rows[3:]]), words="fields where"
    ),
    "a field too few": Fault(
        _rows(lambda rows: [*rows[:2], rows[2][:-1], *rows[3:]]), words="fields where"
    ),
    "blank lines": Fault(lambda f: replace(f, f.read_text().replace("\n", "\n\n")), WORKS),
    "the label 1_9": Fault(_field("Label", "1_9"), words="unknown label 1_9"),
    "a label in wide digits": Fault(_field("Label", "\uff13"), words="unknown label"),
    "the fold 1_0": Fault(_field("Fold", "1_0"), words="has fold 1_0"),
    "a patch that is none": Fault(_field("ID_PATCH", "elsewhere"), words="is not in metadata"),
    "a parcel twice": Fault(_rows(lambda rows: [*rows, rows[1]]), words="is listed 2 times"),
    "an identifier with a path": Fault(_field("ID_PARCEL", "../a"), words=_PARSED),
    "a pipe": Fault(_pipe, words="not a regular file"),
    "a folder": Fault(_folder, words="not a regular file"),
    "10 TB of nothing": Fault(_sparse, words="bytes long"),
}
"""Of metadata_parcel.csv."""

OUTLINES = {
    f"GF_ratio of {value}": Fault(_field("GF_ratio", value), words="line 3, parcel")
    for value in ("1_0", "nan", "-1", "1e999", "1,5", "")
}
"""Of its columns of outlines."""


def _modality(**fields):
    def damage(file):
        content = json.loads(file.read_text())
        content["modalities"][0] |= fields
        replace(file, json.dumps(content))

    return damage


DATASET = {
    "an unknown field": Fault(_modality(colour=1), words="unknown field"),
    "an unknown unit": Fault(_modality(unit="feet"), words="unit"),
    "a dtype that is none": Fault(_modality(dtype="O"), words="dtype"),
    "a name with a path": Fault(_modality(name="../a"), words="name"),
    "a number as channels": Fault(_modality(channels=3), words="channels"),
}
"""Of dataset.json beside."""


def _moments(change):
    def damage(file):
        content = json.loads(file.read_text())
        change(content[next(iter(content))])
        replace(file, json.dumps(content))

    return damage


NORM = {
    "a std of 0": Fault(_moments(lambda m: m.update(std=[0.0] * len(m["std"]))), words="std"),
    "a mean of NaN": Fault(
        _moments(lambda m: m.update(mean=[float("nan")] * len(m["mean"]))), words="not finite"
    ),
    "texts as means": Fault(
        _moments(lambda m: m.update(mean=["1"] * len(m["mean"]))), words="list of numbers"
    ),
    "a channel too few": Fault(_moments(lambda m: m["mean"].pop()), words="one per channel"),
    "no fold": Fault(_put("{}"), words="lacks"),
}
"""Of NORM files beside."""

STRAYS = {
    name: Fault(lambda folder, name=name: (folder / name).write_bytes(b"stray"), WORKS)
    for name in (
        *(".DS_Store", "Thumbs.db", "notes.txt"),
        *(
            "._{}_1.npy",
            "{}_1 copy.npy",
            "{}_1 (1).npy",
            "{}_.npy",
            "{}_1.npy.part",
            "{}_\udcff.npy",
        ),
    )
}
STRAYS |= {
    ".ipynb_checkpoints": Fault(lambda folder: (folder / ".ipynb_checkpoints").mkdir(), WORKS),
    "a pipe": Fault(lambda folder: os.mkfifo(folder / "pipe"), WORKS),
    "a link to itself": Fault(lambda folder: (folder / "loop").symlink_to(folder / "loop"), WORKS),
}
"""What lies beside the arrays; in names, {} is the modality."""

CACHE = {
    "empty": Fault(_put(b""), ANEW),
    "cut": Fault(_cut(0.5), ANEW),
    "null": Fault(_put("null"), ANEW),
    "{}": Fault(_put("{}"), ANEW),
    "a list": Fault(_put("[]"), ANEW),
    "zeros": Fault(lambda f: replace(f, bytes(f.stat().st_size)), ANEW),
    "a pipe": Fault(_pipe, ANEW),
    "a link to nothing": Fault(_dangling, ANEW),
}
"""Of a file in the cache."""
