"""Texts of data are read strictly: every file of JSON alike, tables, dates and numbers."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import time

import pixel_set_factory as factory
import pytest
from foreign import DATASET
from refusal import refused_in_a_line

from pastis_jax.data import dataset_file
from pastis_jax.data.assignment import Assignment
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.layout import resolve
from pastis_jax.data.metadata import parse_days, parse_identifier, read_parcels, read_patches
from pastis_jax.data.pastis_r import PASTIS_R, describe
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.reading import integer, number
from pastis_jax.data.statistics import fold_statistics_from_norm

MODALITY = PASTIS_R.modalities[0]
READERS = {
    "geojson": lambda file: read_patches(file, PASTIS_R, ("S2",)),
    "norm": lambda file: fold_statistics_from_norm(file, MODALITY, PASTIS_R.folds),
    "classes": lambda file: ClassMapping.read(file, PASTIS_R.nomenclature),
    "lists": Assignment.read,
    "dataset": dataset_file.read,
}
MOMENTS = {"mean": [100.0] * 10, "std": [10.0] * 10}
PATCH = {"ID_PATCH": 1, "Fold": 1, "dates-S2": {"0": 20190101}}
CONTENTS = {
    "geojson": {"features": [{"properties": PATCH}]},
    "norm": {f"Fold_{fold}": MOMENTS for fold in PASTIS_R.folds},
    "classes": {"Cereals": ["Corn", 4]},
    "lists": {"train": [1], "val": [2], "test": [3]},
    "dataset": dataset_file.to_json(DATASET),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_mark_of_byte_order_is_no_fault(kind, tmp_path):
    file = tmp_path / "file.json"
    file.write_text(json.dumps(CONTENTS[kind]), "utf-8-sig")
    READERS[kind](file)


FAULTS = {
    "empty": b"",
    "cut": b'{"a": ',
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"a": ' * 100_000,
    "UTF-16": "{}".encode("utf-16"),
    "not UTF-8": b'{"\xff": 1}',
    "a key twice": b'{"a": 1, "a": 2}',
    "an integer of 5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "a GeoPackage": b"SQLite format 3\0" + bytes(100),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", READERS)
def test_json_that_cannot_be_read(kind, fault, tmp_path):
    file = tmp_path / "file.json"
    file.write_bytes(FAULTS[fault])
    refused_in_a_line(lambda: READERS[kind](file), f"{file}: not ", "; ")


@pytest.mark.parametrize("kind", READERS)
def test_json_that_is_no_regular_file(kind, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with (tmp_path / "sparse").open("wb") as stream:
        stream.truncate(10**13)
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "loop", "sparse", "folder"):
        file = tmp_path / name
        refused_in_a_line(lambda file=file: READERS[kind](file), f"{file}: ", "; ")


# Dates, identifiers and numbers


@pytest.mark.parametrize("text", ["{'0': 20180901}", '{"0": "20180901"}', "{0: 20180901.0,}"])
def test_dates_as_text(text):
    assert parse_days(text, PASTIS_R.season_start.toordinal()).tolist() == [0]


@pytest.mark.parametrize(
    "dates",
    [
        "-(" * 5000,
        "[" * 5000,
        "{" * 5000,
        "{'0': " * 5000,
        "{'0': 2018_0901}",
        "{'0': 20180901, '0': 20180902}",
        "{'0': 20180901, '00': 20180902}",
        "{'0': 20180901 '1': 20180902}",
        "{'0': (20180901)}",
        "{'0': -20180901}",
        {"0": "2018_901"},
        {"0": " 20180901"},
        {"0": "\uff12\uff10\uff11\uff18\uff10\uff19\uff10\uff11"},
        {"0": True},
        {"0": [20180901]},
        {"0": 20180901.5},
        {"0": 10**5000},
        {"0": 20180901, "0.0": 20180902},
        {"first": 20180901},
        {"1_0": 20180901},
        [20180901],
        20180901,
    ],
)
def test_dates_that_are_none(dates):
    with pytest.raises((ValueError, TypeError)) as caught:
        parse_days(dates, 0)
    assert len(str(caught.value)) < 200


def test_numbers_in_plain_digits_alone():
    assert [integer(value) for value in (3, "3", "3.0", 3.0, "-1", "007")] == [3, 3, 3, 3, -1, 7]
    for value in (
        "1_9",
        " 19",
        "\uff11\uff19",
        "0x13",
        "1e3",
        "+3",
        "",
        "3.5",
        True,
        None,
        "nan",
        "9" * 31,
    ):
        with pytest.raises(ValueError, match="is not an integer"):
            integer(value)
    assert [number(text) for text in ("3", "-.5", "1e-3", "2.")] == [3, -0.5, 0.001, 2]
    for text in ("1_0", "\uff11", "0x1", "1e", "", "1,5", "infinity and more"):
        with pytest.raises(ValueError, match="is not a number"):
            number(text)
    for value in ("1\uff19", "\uff11\uff19", "9" * 400, 1e300, float("nan")):
        with pytest.raises(ValueError, match=r"no identifier|64 bits|beyond"):
            parse_identifier(value)


# The table of parcels


@pytest.fixture
def root(tmp_path):
    return factory.make_pixel_set(tmp_path / "set", parcels_per_fold=1)


def table(root):
    patches = read_patches(root / "metadata.geojson", PASTIS_R, ())
    return lambda: read_parcels(root / "metadata_parcel.csv", PASTIS_R, patches)


def change_rows(root, change, columns=factory.COLUMNS):
    factory.write_rows(root, [change(row) for row in factory.read_rows(root)], columns)


def test_a_field_too_many_or_too_few(root):
    sound = factory.read_rows(root)
    for wrong in (["0", *sound[1]], sound[1][:-1]):
        factory.write_rows(root, [sound[0], wrong, *sound[2:]])
        fault = f"{len(wrong)} fields where there are 8 columns"
        refused_in_a_line(table(root), "metadata_parcel.csv: line 3, parcel", fault)


def test_a_column_twice(root):
    change_rows(root, lambda row: [*row, row[2]], (*factory.COLUMNS, "Label"))
    refused_in_a_line(table(root), "column Label occurs twice; remove one")
    change_rows(root, lambda row: [*row[:8], "a", "b"], (*factory.COLUMNS, "", ""))
    assert len(table(root)()) == 5  # columns that are not read may be anything


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_other_separators(mark, name, root):
    file = root / "metadata_parcel.csv"
    file.write_text(file.read_text().replace(",", mark))
    refused_in_a_line(table(root), f"separated by {name}, not by commas; write it with commas")


@pytest.mark.parametrize("value", ["1_0", "\uff11", "1,5", "0x10", "1e999", "1e39"])
def test_features_that_are_no_numbers(value, root):
    rows = factory.read_rows(root)
    rows[1][4] = value
    factory.write_rows(root, rows)
    refused_in_a_line(table(root), "line 3, parcel")


def test_lines_are_counted_as_editors_do(root):
    rows = factory.read_rows(root)
    columns = (*factory.COLUMNS, "remark")
    rows = [[*row, "two\nlines"] for row in rows]
    rows[1][2] = "77"
    factory.write_rows(root, rows, columns)
    refused_in_a_line(table(root), "line 5, parcel 10002000: unknown label 77")


def test_a_table_with_blanks_is_read(root):
    before = table(root)()
    with (root / "metadata_parcel.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    text = "\n\n".join(", ".join(row) if i else ",".join(row) for i, row in enumerate(rows))
    (root / "metadata_parcel.csv").write_text(text, "utf-8-sig")
    assert table(root)() == before


# Paths and advice


def test_paths_that_lead_nowhere(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, fault in (
        (tmp_path / "loop", "not a path"),
        (tmp_path / ("x" * 300), "not a path"),
        (pathlib.Path("a\0b"), "not a path"),
    ):
        refused_in_a_line(lambda path=path: resolve(path), fault)
    assert resolve(tmp_path / "caf\udce9") == tmp_path / "caf\udce9"  # as Linux has them


def test_a_dataset_file_that_leads_nowhere_is_not_taken_for_none(root):
    (root / "dataset.json").symlink_to(root / "elsewhere.json")
    refused_in_a_line(lambda: describe(root), "dataset.json: file not found")


def test_advice_follows_whose_data_they_are(root):
    metadata = root / "metadata.geojson"
    metadata.rename(root / "metadata.gpkg")
    refused_in_a_line(
        lambda: PixelSetFolder(root), "file not found; convert metadata.gpkg to it", "archive"
    )
    (root / "DATA_S2" / "S2_10002000.npy").unlink()
    dataset_file.write(PASTIS_R, root)
    with pytest.raises(Exception, match=r"file not found; convert metadata\.gpkg to it") as caught:
        PixelSetFolder(root)
    assert "archive" not in str(caught.value)
    (root / "metadata.gpkg").rename(metadata)
    with pytest.raises(Exception, match=r"S2_10002000\.npy: file not found; add it") as caught:
        PixelSetFolder(root)
    assert "archive" not in str(caught.value)


@pytest.mark.parametrize("end", ["x}", ",x}", ":", '"', "}x", ""])
@pytest.mark.parametrize("middle", [" ", ",", '"0": 1, ', "'", "1:1,\t"])
def test_time_for_dates_is_linear_in_their_length(middle, end):
    """A text that is cut or damaged at its end is refused at once."""
    text = '{"0": 20180924' + middle * (10**6 // len(middle)) + end
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"dict of dates|occurs twice"):
        parse_days(text, 0)
    assert time.perf_counter() - start < 1
