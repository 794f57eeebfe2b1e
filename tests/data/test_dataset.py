"""A dataset as a value: what `dataset.json` says is what comes back, and nothing else is read."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import json
import pickle

import numpy as np
import pytest
from foreign import DATASET
from refusal import refused_in_a_line

from pastis_jax.data import dataset_file
from pastis_jax.data.dataset import CropClass, Modality, Nomenclature
from pastis_jax.data.dataset_file import from_json, to_json
from pastis_jax.data.modality import Picture
from pastis_jax.data.pastis_r import PASTIS_R

FIXED = dataclasses.replace(DATASET, splits=(("north", "west"), ("south",), ("east",)))
PLAIN = Modality("A", ("red",), "int16", "none")


# The file.


@pytest.mark.parametrize("dataset", [PASTIS_R, DATASET, FIXED], ids=["pastis-r", "own", "fixed"])
def test_comes_back_as_written(dataset, tmp_path):
    assert from_json(to_json(dataset)) == dataset
    file = dataset_file.write(dataset, tmp_path)
    assert [file] == list(tmp_path.iterdir())
    assert dataset_file.read(file) == dataset
    assert hash(dataset_file.read(file)) == hash(dataset)


def test_the_smallest_file():
    content = {
        "format": 1,
        "name": "Two crops",
        "season_start": "2024-02-29",
        "pixel_size": 10,
        "folds": [0, 1, 2],
        "modalities": [{"name": "A", "channels": ["red"], "dtype": "u1", "unit": "none"}],
        "nomenclature": {"classes": [{"code": 3}, {"code": "rye"}]},
    }
    dataset = from_json(content)
    assert dataset.season_start == datetime.date(2024, 2, 29)
    assert dataset["A"] == Modality("A", ("red",), "u1", "none")
    assert (dataset.nomenclature.background_number, dataset.nomenclature.void_number) == (None,) * 2
    first, second = dataset.nomenclature.crops
    assert (first.code, first.name, first.value) == (3, "3", 3)
    assert (second.code, second.name, second.value) == ("rye", "rye", None)
    assert first.colour != second.colour
    assert from_json(to_json(dataset)) == dataset


def test_a_byte_order_mark_is_skipped(tmp_path):
    file = dataset_file.write(DATASET, tmp_path)
    file.write_text(file.read_text("utf-8"), "utf-8-sig")
    assert dataset_file.read(file) == DATASET


def test_writing_replaces_the_whole_file(tmp_path):
    dataset_file.write(PASTIS_R, tmp_path)
    assert dataset_file.read(dataset_file.write(DATASET, tmp_path)) == DATASET


def test_text_beyond_ascii_is_kept_readable(tmp_path):
    dataset = dataclasses.replace(DATASET, name="Zürich 小麦")
    file = dataset_file.write(dataset, tmp_path)
    assert "Zürich 小麦" in file.read_text("utf-8")
    assert dataset_file.read(file) == dataset


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"name: PASTIS-R", "not JSON"),
        ("{}".encode("utf-16"), "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"format": ' + b'{"a": ' * 100_000, "not JSON"),
        (b'{"format": 1' + b"0" * 5000 + b"}", "digits"),
        (b"[1]", "not a JSON object"),
        (b"null", "not a JSON object"),
    ],
    ids=["empty", "cut", "yaml", "utf-16", "deep", "deep object", "long", "list", "null"],
)
def test_refuses_what_is_no_object(content, word, tmp_path):
    file = tmp_path / "dataset.json"
    file.write_bytes(content)
    refused_in_a_line(lambda: dataset_file.read(file), str(file), word, "docs/data.md")


def test_refuses_a_file_that_is_not_there(tmp_path):
    file = tmp_path / "dataset.json"
    refused_in_a_line(lambda: dataset_file.read(file), str(file), "not found")
    file.mkdir()
    refused_in_a_line(lambda: dataset_file.read(file), str(file), "directory")


# Broken documents: where the document of `FIXED` is changed, what stands there then, and what the
# message says. PS is modality 0, NDVI modality 1.

GONE = object()
PS, NDVI, CLASS = ("modalities", 0), ("modalities", 1), ("nomenclature", "classes", 0)
BROKEN = {
    # What is missing, unknown or of another type.
    "no format": (("format",), GONE, "format: missing"),
    "no name": (("name",), GONE, "name: missing"),
    "no season": (("season_start",), GONE, "season_start: missing"),
    "no pixel size": (("pixel_size",), GONE, "pixel_size: missing"),
    "no folds": (("folds",), GONE, "folds: missing"),
    "no modalities": (("modalities",), GONE, "modalities: missing"),
    "no nomenclature": (("nomenclature",), GONE, "nomenclature: missing"),
    "no classes": (("nomenclature", "classes"), GONE, "nomenclature.classes: missing"),
    "no code": ((*CLASS, "code"), GONE, "nomenclature.classes[0].code: missing"),
    "no unit": ((*NDVI, "unit"), GONE, "modalities[1].unit: missing"),
    "no dtype": ((*PS, "dtype"), GONE, "modalities[0].dtype: missing"),
    "no channels": ((*PS, "channels"), GONE, "modalities[0].channels: missing"),
    "picture without channels": ((*PS, "picture"), {}, "modalities[0].picture.channels: missing"),
    "no test split": (("splits", "test"), GONE, "splits.test: missing"),
    "unknown": (("pixelsize",), 3, "pixelsize: unknown field"),
    "unknown in modality": ((*NDVI, "no_data"), 0, "modalities[1].no_data: unknown field"),
    "unknown in picture": ((*PS, "picture", "gamma"), 2, "modalities[0].picture.gamma: unknown"),
    "unknown in nomenclature": (("nomenclature", "other"), 1, "nomenclature.other: unknown field"),
    "unknown in class": ((*CLASS, "color"), "#000000", "nomenclature.classes[0].color: unknown"),
    "unknown split": (("splits", "dev"), ["north"], "splits.dev: unknown field"),
    "later format": (("format",), 2, "format: 2 is not 1"),
    "format as text": (("format",), "1", "format: not an integer"),
    "format as bool": (("format",), True, "format: not an integer"),
    "name as number": (("name",), 3, "name: not text"),
    "pixel size as text": (("pixel_size",), "10", "pixel_size: not a number"),
    "pixel size as bool": (("pixel_size",), True, "pixel_size: not a number"),
    "huge pixel size": (("pixel_size",), 10**400, "pixel_size: has more than 64 bits"),
    "season as number": (("season_start",), 20230701, "season_start: not text"),
    "folds as number": (("folds",), 5, "folds: not a list"),
    "fold as bool": (("folds", 0), True, "folds: not integers or texts"),
    "fold as float": (("folds", 0), 1.5, "folds: not integers or texts"),
    "splits as list": (("splits",), [["north"]], "splits: not an object or null"),
    "split as text": (("splits", "val"), "south", "splits.val: not a list"),
    "split of floats": (("splits", "val"), [1.0], "splits.val: not integers or texts"),
    "modalities as object": (("modalities",), {}, "modalities: not a list"),
    "modality as text": (PS, "PS", "modalities[0]: not an object"),
    "channels as text": ((*PS, "channels"), "bgr", "modalities[0].channels: not a list"),
    "channel as number": ((*PS, "channels", 1), 2, "modalities[0].channels: not texts"),
    "channel without name": ((*PS, "channels", 1), "", "modalities[0].channels: not texts"),
    "nodata as bool": ((*PS, "nodata"), False, "modalities[0].nodata: not a number or text or"),
    "nodata as other text": ((*NDVI, "nodata"), "none", 'modalities[1].nodata: text other than "'),
    "drop rate as bool": ((*PS, "drop_rate"), True, "modalities[0].drop_rate: not a number"),
    "picture as list": ((*PS, "picture"), ["red"], "modalities[0].picture: not an object or null"),
    "shown as number": ((*PS, "picture", "channels"), [1], "modalities[0].picture.channels: not"),
    "nomenclature as list": (("nomenclature",), [], "nomenclature: not an object"),
    "class as text": (CLASS, "Maize", "nomenclature.classes[0]: not an object"),
    "code as bool": ((*CLASS, "code"), True, "nomenclature.classes[0].code: not an integer or te"),
    "code as float": ((*CLASS, "code"), 3.0, "nomenclature.classes[0].code: not an integer or te"),
    "value as text": ((*CLASS, "value"), "7", "nomenclature.classes[0].value: not an integer or n"),
    "value as bool": ((*CLASS, "value"), True, "nomenclature.classes[0].value: not an integer or"),
    "background as bool": (
        ("nomenclature", "background"),
        False,
        "nomenclature.background: not an",
    ),
    # The dataset.
    "blank name": (("name",), "  ", "name: it is empty"),
    "name that steers": (("name",), "a\x1b[2J", "name: 'a\\x1b[2J' holds what cannot be shown"),
    "name of two lines": (("name",), "a\nb", "name: 'a\\nb' holds what cannot be shown"),
    "half a character": (("name",), "a\ud800", "name: 'a\\ud800' holds what cannot be shown"),
    "long name": (("name",), "a" * 201, "is longer than 200 characters"),
    "no day": (("season_start",), "2023-02-29", "season_start: '2023-02-29' is not a day"),
    "day the other way": (("season_start",), "01/07/2023", "season_start: '01/07/2023' is not a"),
    "no size": (("pixel_size",), 0, "pixel_size: must be"),
    "negative size": (("pixel_size",), -3, "pixel_size: must be"),
    "endless size": (("pixel_size",), np.inf, "pixel_size: must be"),
    "size NaN": (("pixel_size",), np.nan, "pixel_size: must be"),
    "two folds": (("folds",), ["north", "south"], "folds: there must be three or more"),
    "fold twice": (
        ("folds",),
        ["north", "east", "south", "west", "east"],
        "folds: the name 'ea",
    ),
    "fold as number and text": (("folds",), [1, 2, "1"], "folds: the name '1' occurs twice"),
    "fold that is a path": (("folds", 0), "../a", "folds: '../a' is no plain word"),
    "long fold": (("folds", 0), "a" * 201, "folds: 'aaa"),
    "empty split": (("splits", "val"), [], "splits.val: there is no fold"),
    "unknown fold": (("splits", "val"), ["up"], "splits: there is no fold 'up'"),
    "fold in two splits": (("splits", "val"), ["east"], "splits: the fold 'east' occurs twice"),
    "fold twice in a split": (("splits", "val"), ["south"] * 2, "splits: the fold 'south' occurs"),
    # Modalities.
    "none": (("modalities",), [], "modalities: there is none"),
    "modality twice": ((*NDVI, "name"), "ps", "modalities: the name 'ps' occurs twice"),
    "modality that is a path": ((*PS, "name"), "a/b", "modalities[0].name: 'a/b' is no plain word"),
    "modality without name": ((*PS, "name"), "", "modalities[0].name: '' is no plain word"),
    "name of a field": ((*PS, "name"), "label", "modalities[0].name: label has another meaning"),
    "name of a file": ((*PS, "name"), "TARGET", "modalities[0].name: TARGET has another meaning"),
    "no channel": ((*NDVI, "channels"), [], "modalities[1].channels: there is none"),
    "long modality": ((*PS, "name"), "a" * 201, "aaa… is longer than 200 characters"),
    "channel that steers": ((*PS, "channels", 1), "a\x07", "channels: 'a\\x07' holds what cannot"),
    "channel twice": ((*PS, "channels", 0), "red", "modalities[0].channels: the name 'red' occurs"),
    "dtype of text": ((*PS, "dtype"), "U5", "modalities[0].dtype: 'U5' is no NumPy type of"),
    "dtype of truth": ((*PS, "dtype"), "bool", "modalities[0].dtype: 'bool' is no NumPy type of"),
    "complex dtype": ((*PS, "dtype"), "complex64", "modalities[0].dtype: 'complex64' is no"),
    "dtype that is none": ((*PS, "dtype"), "int17", "modalities[0].dtype: 'int17' is no"),
    "dtype that is no name": ((*PS, "dtype"), ",", "modalities[0].dtype: ',' is no"),
    "dtype of records": ((*PS, "dtype"), "i4,f4", "modalities[0].dtype: 'i4,f4' is no"),
    "unit": ((*PS, "unit"), "dBm", "modalities[0].unit: 'dBm' is none of reflectance x 10000, re"),
    "nodata below": ((*PS, "nodata"), -1, "modalities[0].nodata: uint16 cannot hold -1"),
    "nodata above": ((*PS, "nodata"), 65536, "modalities[0].nodata: uint16 cannot hold 65536"),
    "nodata between": ((*PS, "nodata"), 0.5, "modalities[0].nodata: uint16 cannot hold 0.5"),
    "nodata NaN": ((*PS, "nodata"), "nan", "modalities[0].nodata: uint16 cannot hold nan"),
    "nodata too long": ((*PS, "nodata"), 10**400, "modalities[0].nodata: has more than 64 bits"),
    "nodata of a float": ((*NDVI, "nodata"), 1e39, "modalities[1].nodata: float32 cannot hold 1e"),
    "plausible reversed": ((*PS, "plausible"), [9, 1], "modalities[0].plausible: 9 is not below 1"),
    "plausible empty": ((*PS, "plausible"), [1, 1], "modalities[0].plausible: 1 is not below 1"),
    "plausible alone": ((*PS, "plausible"), [1], "modalities[0].plausible: not a lowest and a"),
    "plausible bool": ((*PS, "plausible"), [False, True], "modalities[0].plausible: not a lowest"),
    "plausible huge": ((*PS, "plausible"), [0, 10**400], "modalities[0].plausible: not a lowest"),
    "drop rate": ((*PS, "drop_rate"), 1, "modalities[0].drop_rate: must be at least 0 and below 1"),
    "negative drop rate": ((*PS, "drop_rate"), -0.1, "modalities[0].drop_rate: must be at least"),
    "two shown": (
        (*PS, "picture", "channels"),
        ["red", "nir"],
        "modalities[0].picture.channels: n",
    ),
    "shown unknown": ((*NDVI, "picture"), {"channels": ["B4"]}, "picture.channels: there is no B4"),
    "range missing": ((*PS, "picture", "ranges"), [[0, 1]], "modalities[0].picture.ranges: give"),
    "range reversed": ((*PS, "picture", "ranges", 1), [2, 1], "modalities[0].picture.ranges: the"),
    "range of one": ((*PS, "picture", "ranges", 1), [2], "modalities[0].picture.ranges: not a low"),
    # Classes.
    "code twice": ((*CLASS, "code"), "MIS", "nomenclature.classes: the code 'MIS' occurs twice"),
    "code as its text": (
        (*CLASS, "code"),
        "23",
        "nomenclature.classes: the code '23' occurs",
    ),
    "code with space": ((*CLASS, "code"), " 5", "nomenclature.classes[0].code: ' 5' is empty or"),
    "empty code": ((*CLASS, "code"), "", "nomenclature.classes[0].code: '' is empty or"),
    "name twice": ((*CLASS, "name"), "MISCANTHUS ", "classes: the name 'miscanthus' occurs twice"),
    "blank class": ((*CLASS, "name"), " ", "nomenclature.classes: a name is empty"),
    "class that steers": ((*CLASS, "name"), "\x9b2J", "classes[0].name: '\\x9b2J' holds what"),
    "half a letter": ((*CLASS, "name"), "\udce9", "classes[0].name: '\\udce9' holds what cannot"),
    "turned class": ((*CLASS, "name"), "\u202ea", "classes[0].name: '\\u202ea' holds what cannot"),
    "long class": ((*CLASS, "name"), "a" * 201, "is longer than 200 characters"),
    "code that steers": (
        (*CLASS, "code"),
        "a\x00b",
        "classes[0].code: 'a\\x00b' holds what",
    ),
    "value twice": ((*CLASS, "value"), 7, "nomenclature.classes: the value 7 occurs twice"),
    "value of another code": ((*CLASS, "value"), 23, "nomenclature.classes: the value 23 occurs"),
    "value too long": ((*CLASS, "value"), 2**63, "nomenclature.classes[0].value: 9223372036854775"),
    "colour by name": ((*CLASS, "colour"), "red", "nomenclature.classes[0].colour: 'red' is not"),
    "background unknown": (("nomenclature", "background"), 0, "nomenclature.background: 0 is no"),
    "background as its text": (("nomenclature", "background"), "900", "background: '900' is no cl"),
    "void unknown": (("nomenclature", "void"), 19, "nomenclature.void: 19 is no class's code"),
    "void is background": (("nomenclature", "void"), 900, "nomenclature.void: is the background"),
    "one crop": (("nomenclature", "classes"), [{"code": 900}, {"code": -1}, {"code": 4}], "fewer"),
}


def broken(place, value):
    """The document of `FIXED`, with a picture of PS, once it is changed."""
    content = copy.deepcopy(json.loads(json.dumps(to_json(FIXED))))
    content["modalities"][0]["picture"] = {"channels": ["red", "green", "blue"]} | {
        "ranges": [[0, 3000]] * 3
    }
    *outer, last = place
    inside = content
    for key in outer:
        inside = inside.setdefault(key, {}) if isinstance(inside, dict) else inside[key]
    if value is GONE:
        del inside[last]
    else:
        inside[last] = value
    return content


def test_the_document_that_is_broken_is_sound():
    assert from_json(broken(("name",), "Sound")).name == "Sound"


@pytest.mark.parametrize(("place", "value", "message"), BROKEN.values(), ids=BROKEN)
def test_refuses_a_broken_document(place, value, message, tmp_path):
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps(broken(place, value)))
    refused_in_a_line(lambda: dataset_file.read(file), f"{file}: ", message, "; correct it;")


# Modalities.


def test_equality_knows_nan_and_every_field():
    assert dataclasses.replace(PLAIN) == PLAIN
    changes = {
        "name": "B",
        "channels": ("green",),
        "dtype": "float32",
        "unit": "dB",
        "nodata": 0,
        "plausible": (0.0, 1.0),
        "drop_rate": 0.1,
        "picture": Picture(("red",)),
        "offset": -1000.0,
    }
    assert changes.keys() == {field.name for field in dataclasses.fields(Modality)}
    for name, value in changes.items():
        assert dataclasses.replace(PLAIN, **{name: value}) != PLAIN, name
    assert pickle.loads(pickle.dumps(DATASET)) == DATASET
    assert PLAIN != "A"


def test_missing_is_what_equals_nodata():
    values = np.array([[0, 1], [2, 0]], np.uint16)
    np.testing.assert_array_equal(DATASET["PS"].missing(values), [[True, False], [False, True]])
    values = np.array([0, np.nan, 0.5], np.float32)
    np.testing.assert_array_equal(DATASET["NDVI"].missing(values), [False, True, False])
    assert not DATASET["NDVI"].missing(np.zeros(3, np.int16)).any()
    assert DATASET["SAR"].missing(values) is None


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_missing_in_the_precision_of_the_file(dtype):
    modality = dataclasses.replace(PLAIN, dtype=dtype, nodata=-0.125)
    values = np.array([-0.125, 0.125], dtype)
    np.testing.assert_array_equal(modality.missing(values), [True, False])


def test_a_float_holds_nodata_up_to_its_highest():
    assert Modality("A", ("r",), "float16", "dB", nodata=-65504).nodata == -65504
    with pytest.raises(ValueError, match=r"^nodata: float16 cannot hold -99999"):
        Modality("A", ("r",), "float16", "dB", nodata=-99999)


def test_shown_by_default():
    assert DATASET["PS"].shown.channels == ("blue", "green", "red")
    assert DATASET["SAR"].shown.channels == ("VV",)
    assert PASTIS_R["S2"].shown.channels == ("B4", "B3", "B2")


def test_optical_follows_the_unit():
    assert [m.name for m in (*DATASET.modalities, *PASTIS_R.modalities) if m.optical] == [
        *("PS", "NDVI", "S2")
    ]


# Classes.


def test_number_of_a_code():
    nomenclature = DATASET.nomenclature
    codes = [one.code for one in nomenclature.classes]
    assert [nomenclature.number_of(code) for code in codes] == list(range(len(codes)))
    for code in (23, "23", " 23 ", "23.0", 23.0, np.int64(23), np.float64(23), "23.000"):
        assert nomenclature.number_of(code) == codes.index(23), code
    assert nomenclature.number_of("-1.0") == codes.index(-1)
    for code in ("", "nan", "mis", "MIS.0", 23.5, "23.", "023", 7, None, "2_3"):
        with pytest.raises(KeyError):
            nomenclature.number_of(code)


def test_leading_zeros_are_part_of_a_code():
    classes = [CropClass(code, name, (0, 0, 0)) for code, name in [("007", "oats"), (7, "rye")]]
    nomenclature = Nomenclature(tuple(classes))
    assert [nomenclature.number_of(code) for code in ("007", 7, "7", "7.0")] == [0, 1, 1, 1]
    with pytest.raises(KeyError):
        nomenclature.number_of("07")


def test_numbers_of_labels():
    nomenclature = DATASET.nomenclature
    numbers = {one.value: n for n, one in enumerate(nomenclature.classes) if one.value is not None}
    assert len(numbers) == len(nomenclature.classes)
    values = np.random.default_rng(0).choice(list(numbers), (7, 5))
    found = nomenclature.numbers(values)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, np.vectorize(numbers.get)(values))
    assert nomenclature.numbers(np.array(7, np.int8)) == nomenclature.number_of("MIS")
    assert nomenclature.numbers(np.zeros((0, 3), np.uint8)).shape == (0, 3)


@pytest.mark.parametrize("wrong", [-2, 0, 5, 111, 901, 2**40])
def test_numbers_refuse_a_label_of_no_class(wrong):
    values = np.array([[4, 7], [wrong, 900], [1000, 1000]])
    with pytest.raises(KeyError) as caught:
        DATASET.nomenclature.numbers(values)
    assert caught.value.args == (min(wrong, 1000),)


def test_without_values_every_label_is_unknown():
    classes = (CropClass("a", "oats", (0, 0, 0)), CropClass("b", "rye", (0, 0, 0)))
    with pytest.raises(KeyError, match="3"):
        Nomenclature(classes).numbers(np.array([[3, 4]]))
    assert Nomenclature(classes).numbers(np.zeros((0, 2), int)).shape == (0, 2)


def test_background_void_and_crops():
    nomenclature = DATASET.nomenclature
    numbers = np.arange(len(nomenclature.classes))
    background = nomenclature.number_of(900)
    void = nomenclature.number_of(-1)
    assert nomenclature.background_number == background
    assert nomenclature.void_number == void
    np.testing.assert_array_equal(nomenclature.is_background(numbers), numbers == background)
    np.testing.assert_array_equal(nomenclature.is_void(numbers), numbers == void)
    crops = [n for n in numbers if n not in (background, void)]
    assert nomenclature.crops == tuple(nomenclature.classes[n] for n in crops)
    without = dataclasses.replace(nomenclature, background=None, void=None)
    assert not without.is_background(numbers).any()
    assert not without.is_void(numbers).any()
    assert without.crops == nomenclature.classes


# Folds and days.


@pytest.mark.parametrize(
    ("run", "train", "val", "test"),
    [
        (1, (1, 2, 3), 4, 5),
        (2, (2, 3, 4), 5, 1),
        (3, (3, 4, 5), 1, 2),
        (4, (4, 5, 1), 2, 3),
        (5, (5, 1, 2), 3, 4),
    ],
)
def test_split_as_published(run, train, val, test):
    assert PASTIS_R.split(run) == {"train": train, "val": (val,), "test": (test,)}


def test_split_of_four_folds():
    assert DATASET.runs == 4
    splits = [DATASET.split(run) for run in range(1, 5)]
    assert splits[0] == DATASET.split()
    assert splits[0] == {"train": ("north", "east"), "val": ("south",), "test": ("west",)}
    assert splits[1] == {"train": ("east", "south"), "val": ("west",), "test": ("north",)}
    for split in splits:
        assert sorted(sum(split.values(), ())) == sorted(DATASET.folds)
    assert [split["test"][0] for split in splits] == ["west", "north", "east", "south"]


def test_fixed_splits():
    assert FIXED.runs == 1
    assert FIXED.split() == {"train": ("north", "west"), "val": ("south",), "test": ("east",)}


@pytest.mark.parametrize(
    ("dataset", "run"), [(PASTIS_R, 0), (PASTIS_R, 6), (PASTIS_R, -1), (DATASET, 5), (FIXED, 2)]
)
def test_refuses_a_run_that_is_none(dataset, run):
    with pytest.raises(ValueError, match=f"runs 1 to {dataset.runs}, got {run}"):
        dataset.split(run)


def test_fold_by_name():
    for name in (3, "3", "3.0", 3.0, " 3 ", np.int32(3)):
        assert PASTIS_R.fold(name) == 3
    assert DATASET.fold("west") == "west"
    for name in (0, 6, "3.5", "03", "", "train", None):
        with pytest.raises(KeyError):
            PASTIS_R.fold(name)


def test_days_count_from_the_start_of_the_season():
    assert PASTIS_R.day(datetime.date(2018, 9, 1)) == 0
    assert DATASET.day(datetime.date(2024, 7, 1)) == 366
    for day in (-1, 0, 244, np.int32(365)):
        assert DATASET.day(DATASET.date(day)) == day


def test_modalities_by_name():
    assert DATASET.names == ("PS", "NDVI", "SAR")
    assert DATASET["SAR"] is DATASET.modalities[2]
    with pytest.raises(KeyError):
        DATASET["S2"]
