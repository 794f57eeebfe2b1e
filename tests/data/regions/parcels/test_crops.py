"""Lists of crops: a user's own, ours of RPG and HCAT codes, and every label a class."""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
import re

import numpy as np
import pytest
from refusal import refused_in_a_line

from pastis_jax.data import dataset_file
from pastis_jax.data.dataset import CropClass
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.regions.parcels.crop_table import text_of
from pastis_jax.data.regions.parcels.crops import (
    MOST,
    NAMES,
    TABLES,
    CropList,
    read_crops,
    refuse_few,
    refuse_unknown,
)

CLASSES = """code,class,colour
BTH,Wheat,#ff7f0e
3,Maize,
BTP,Wheat,
7,void,
void,Rye,
"""
SCENES = os.environ.get("PASTIS_JAX_REAL_SCENES")
OURS = PASTIS_R.nomenclature
"""What the tables that come with the package lead to."""


@pytest.fixture
def written(tmp_path):
    def written(text):
        file = tmp_path / "classes.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return written


def names(crops, labels):
    return [crops.nomenclature.classes[number].name for number in crops.numbers(labels)]


def test_own_list(written):
    """Classes in the order of the file; several codes of one; codes that no code of ours takes."""
    crops = read_crops(written(CLASSES))
    nomenclature = crops.nomenclature
    assert nomenclature.classes == (
        CropClass("background", "Background", (0, 0, 0), 0),
        CropClass("BTH", "Wheat", (255, 127, 14), 1),
        CropClass("3", "Maize", (31, 119, 180), 2),
        CropClass("void", "Rye", (174, 199, 232), 3),
        CropClass("void_", "Void", (255, 255, 255), 4),
    )
    assert (nomenclature.background, nomenclature.void) == ("background", "void_")
    assert crops.codes == {"BTH": 1, "BTP": 1, "3": 2, "void": 3, "7": 4}


@pytest.mark.parametrize("maize", [3, "3", " 3 ", 3.0, "3.0", np.int64(3), np.float64(3)])
def test_numbers(written, maize):
    crops = read_crops(str(written(CLASSES)))
    numbers = crops.numbers(["BTH", maize, 7, "void", "XYZ", "BTP "])
    np.testing.assert_array_equal(numbers, np.array([1, 2, 4, 3, 4, 1], np.int32), strict=True)
    assert crops.unknown(["BTH", maize, "XYZ", "bth", "XYZ"]) == {"XYZ": 2, "bth": 1}
    assert crops.void([7, "7.0", maize, "XYZ"]) == {"7": 2}


def test_no_labels(written):
    crops = read_crops(written(CLASSES))
    np.testing.assert_array_equal(crops.numbers([]), np.zeros(0, np.int32), strict=True)
    assert crops.unknown([]) == {}


@pytest.mark.parametrize("missing", [None, float("nan"), "", "  ", np.float64("nan")])
def test_missing_labels_are_unknown(written, missing):
    crops = read_crops(written(CLASSES))
    assert crops.unknown(["BTH", missing]) == {"": 1}
    assert names(crops, [missing]) == ["Void"]
    refused_in_a_line(
        lambda: refuse_unknown(crops, ["BTH", missing], "parcels.gpkg", accept_void=False),
        "crops of 1 of 2 parcels are unknown: no code (1);",
    )


def test_text_that_looks_missing_is_text():
    assert [text_of(text) for text in ("nan", "None", "3.10", "03", "-3.00")] == [
        *("nan", "None", "3.10", "03", "-3"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("code,class,colour", " code , class, colour"),
        lambda text: text.replace("BTP,Wheat,", '"BTP","Wheat",#FF7F0E').replace("\n7", "\n\n7"),
    ],
    ids=["mark of byte order", "Windows", "spaces", "quotes and capitals"],
)
def test_same_list_in_other_words(written, change):
    crops = read_crops(written(CLASSES))
    assert read_crops(written(change(CLASSES))) == crops


def test_columns_in_any_order_and_a_note(written):
    crops = read_crops(written("note,class,code\nmine,A,1\n,B,2\n,VOID,3\n"))
    assert names(crops, [1, 2, 3]) == ["A", "B", "Void"]


def test_void_may_have_a_colour(written):
    crops = read_crops(written("code,class,colour\n1,A,\n2,B,\n3,Void,\n4,VOID,#010203\n"))
    assert crops.nomenclature.classes[-1].colour == (1, 2, 3)


def test_colour_in_a_later_row(written):
    crops = read_crops(written("code,class,colour\n1,A,\n2,A,#010203\n3,B,\n4,A,#010203\n"))
    assert [entry.colour for entry in crops.nomenclature.crops] == [(1, 2, 3), (31, 119, 180)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column code"),
        ("code,crop\n1,A\n", "no column class"),
        ("code,class,color\n1,A,#000000\n", "column 'color' is none of code, class, colour, note"),
        ("code,class,code\n1,A,1\n", "column 'code' occurs twice"),
        ("code;class\n1;A\n", "separated by semicolons"),
        ("code\tclass\n1\tA\n", "separated by tabs"),
        ("code,class\n1,A\n,B\n", "line 3: the code is empty"),
        ("code,class\n1,A\n2,\n", "line 3: the class is empty"),
        ("code,class\n1,A,\n", "line 2: 3 fields where there are 2 columns"),
        ("code,class\n1,A\n2,B\n1.0,A\n", "line 4: code 1 stands in line 2 already"),
        ("code,class\n1,A\n2,B\n3,a\n", "line 4: class a is written A in line 2"),
        ("code,class\n1,A\n2,background\n", "line 3: background is what lies outside of parcels"),
        (
            "code,class,colour\n1,A,#000001\n2,B,\n3,A,\n4,A,#000002\n",
            "line 5: class A has another colour in line 2",
        ),
        ("code,class,colour\n1,A,red\n", "line 2: colour 'red' is not written as #rrggbb"),
        ("code,class\n1,A\n2,A\n3,void\n", "has fewer than two classes beside Void"),
        ("code,class\n", "has fewer than two classes beside Void"),
        ("code,class\n1,A\x07\n2,B\n", r"line 2: class 'A\x07' holds what cannot be shown"),
        (f"code,class\n{'1' * 201},A\n", "line 2: code"),
        ('code,class\n1,"A\n2,B\n', "not a CSV file"),
        ("code,class\n1,Blé\n2,B\n".encode("latin-1"), "not a CSV file"),
        (
            "code,class\n" + "".join(f"{n},class {n}\n" for n in range(MOST + 1)),
            f"has more than {MOST} classes",
        ),
    ],
)
def test_refused_lists(written, text, words):
    file = written(text)
    refused_in_a_line(lambda: read_crops(file), str(file), words)


def test_no_such_file(tmp_path):
    """A name of a list in capitals is a file."""
    refused_in_a_line(lambda: read_crops(tmp_path / "RPG"), "file not found", "rpg, hcat, labels")


def test_many_classes_have_colours_of_their_own(written):
    rows = "".join(f"{n},class {n}\n" for n in range(MOST))
    classes = read_crops(written(f"code,class\n{rows}")).nomenclature.classes
    assert len({entry.colour for entry in classes}) == MOST + 2
    assert all(0 <= part <= 255 for entry in classes for part in entry.colour)
    np.testing.assert_array_equal([entry.value for entry in classes], range(MOST + 2))
    assert classes[-1].value <= np.iinfo(np.uint8).max


def test_a_list_goes_through_dataset_json(written, tmp_path):
    crops = read_crops(written(CLASSES))
    dataset = dataclasses.replace(PASTIS_R, nomenclature=crops.nomenclature)
    assert dataset_file.read(dataset_file.write(dataset, tmp_path)) == dataset


class TestLabels:
    def test_each_is_a_class(self):
        crops = read_crops("labels", ["Maize", 10, "2", None, "void", "Maize", 2.0])
        assert [(entry.name, entry.value) for entry in crops.nomenclature.classes] == [
            *(("Background", 0), ("2", 1), ("10", 2), ("Maize", 3), ("Void", 4)),
        ]
        assert names(crops, ["10", "Maize", 2, "VOID", None]) == [
            *("10", "Maize", "2", "Void", "Void"),
        ]
        assert crops.unknown([None, "Rye"]) == {"": 1, "Rye": 1}

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            (range(MOST + 1), f"there are {MOST + 1} different labels: a column of identifiers?"),
            (["A", "A", None], "fewer than two different labels"),
            (["A", "void"], "fewer than two different labels"),
            (["Maize", "maize", "Rye"], "label maize differs from Maize by its capitals alone"),
            (["Maize", "BACKGROUND"], "BACKGROUND is the name of what lies outside of parcels"),
            (["Maize", "Ry\ne"], "holds what cannot be shown"),
        ],
    )
    def test_refused(self, labels, words):
        refused_in_a_line(lambda: read_crops("labels", labels), "`classes`", words)


class TestUnknown:
    def test_named_by_frequency(self, written):
        crops = read_crops(written(CLASSES))
        labels = ["BTH", *(f"X{n:02}" for n in range(22) for _ in range(n + 1))]
        refused_in_a_line(
            lambda: refuse_unknown(crops, labels, "p.gpkg", accept_void=False, spec="my/crops.csv"),
            "p.gpkg: crops of 253 of 254 parcels are unknown: X21 (22), X20 (21)",
            "X02 (3) and 2 more; add them to my/crops.csv, or accept them as void by `unknown`",
        )
        refused_in_a_line(
            lambda: refuse_unknown(crops, labels, "p.gpkg", accept_void=False, spec="rpg"),
            "X02 (3) and 2 more; give a list of your own by `classes`, or accept",
        )
        refuse_unknown(crops, labels, "parcels.gpkg", accept_void=True)
        refuse_unknown(crops, ["BTH", 3], "parcels.gpkg", accept_void=False)

    def test_all_of_them(self, written):
        crops = read_crops(written(CLASSES))
        refused_in_a_line(
            lambda: refuse_unknown(crops, range(100, 130), "p.gpkg", accept_void=False),
            "crops of 30 of 30 parcels are unknown",
            "and 10 more; give the column of the crops",
        )

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            (["BTH", "BTP", 7], "all 3 parcels are Wheat or Void"),
            ([7, "XYZ"], "all 2 parcels are Void"),
            ([], "all 0 parcels are Void"),
        ],
    )
    def test_too_few_classes(self, written, labels, words):
        crops = read_crops(written(CLASSES))
        refused_in_a_line(lambda: refuse_few(crops, labels, "p.gpkg"), "p.gpkg", words)

    def test_two_classes_are_enough(self, written):
        refuse_few(read_crops(written(CLASSES)), ["BTH", 3, "XYZ"], "p.gpkg")


class TestOurTables:
    @pytest.mark.parametrize("name", NAMES)
    def test_classes_are_the_published_ones(self, name):
        crops = read_crops(name)
        assert crops.nomenclature == OURS
        assert OURS.background_number not in crops.codes.values()
        form = r"[A-Z][A-Z0-9]{2}" if name == "rpg" else r"33[0-9]{8}"
        assert [code for code in crops.codes if not re.fullmatch(form, code)] == []

    def test_a_table_is_a_list_like_any_other(self):
        """So a person can copy one and correct it."""
        crops = read_crops(TABLES / "rpg.csv")
        assert isinstance(crops, CropList)
        assert crops.codes.keys() == read_crops("rpg").codes.keys()
        assert names(crops, ["BTH", "BTP"]) == ["Soft winter wheat", "Void"]

    @pytest.mark.parametrize(
        ("code", "name"),
        [
            *(("PPH", "Meadow"), ("PTR", "Meadow"), ("BTH", "Soft winter wheat"), ("MIS", "Corn")),
            *(("MIE", "Corn"), ("ORH", "Winter barley"), ("ORP", "Spring barley")),
            *(("CZH", "Winter rapeseed"), ("TRN", "Sunflower"), ("VRC", "Grapevine")),
            *(("BTN", "Beet"), ("TTH", "Winter triticale"), ("BDH", "Winter durum wheat")),
            *(("TOM", "Fruits, vegetables, flowers"), ("PTC", "Potatoes")),
            *(("LUZ", "Leguminous fodder"), ("LU8", "Leguminous fodder"), ("SOJ", "Soybeans")),
            *(("VRG", "Orchard"), ("MCR", "Mixed cereal"), ("SOG", "Sorghum")),
            *(("BTP", "Void"), ("RIZ", "Void"), ("J5M", "Void"), ("BTA", "Void"), ("BVF", "Void")),
        ],
    )
    def test_rpg(self, code, name):
        assert names(read_crops("rpg"), [code]) == [name]

    def test_every_class_has_a_code_of_the_rpg(self):
        assert {*read_crops("rpg").codes.values()} == {*range(1, 20)}

    @pytest.mark.parametrize(
        ("code", "name"),
        [
            *((3302000000, "Meadow"), (3301010101.0, "Soft winter wheat"), ("3301090400", "Corn")),
            *((3301010401, "Winter barley"), (3301060401, "Winter rapeseed")),
            *((3301010402, "Spring barley"), (3301060500, "Sunflower"), (3303060000, "Grapevine")),
            *((3301290700, "Beet"), (3301010801, "Winter triticale")),
            *((3301010201, "Winter durum wheat"), (3301280000, "Fruits, vegetables, flowers")),
            *((3301030000, "Potatoes"), (3301090301, "Leguminous fodder")),
            *((3301160000, "Soybeans"), (3303010200, "Orchard"), (3301011100, "Mixed cereal")),
            *((3301010102, "Void"), (3301010700, "Void"), (3301110000, "Void")),
            # Neighbours among flowers, where HCAT has them.
            *((3301084100, "Fruits, vegetables, flowers"), (3301084200, "Leguminous fodder")),
            *((3301084300, "Fruits, vegetables, flowers"), (3301084400, "Void")),
        ],
    )
    def test_hcat(self, code, name):
        crops = read_crops("hcat")
        assert crops.unknown([code]) == {}
        assert names(crops, [code]) == [name]

    def test_hcat_codes_that_tell_less_than_a_class_are_unknown(self):
        """Barley of either season, millet or sorghum, cereals: a person must say what they are."""
        coarse = ["3301010400", "3301010499", "3301010900", "3301010000", "3301010199"]
        assert read_crops("hcat").unknown(coarse) == dict.fromkeys(sorted(coarse), 1)

    def test_hcat_groups_are_of_the_class_of_their_members(self):
        """Of a group that is in the table, all members are, and of its class.

        Three groups have the name of a class, so they are of it although a member is not.
        """
        codes = read_crops("hcat").codes
        odd = set()
        for group, number in codes.items():
            stem = group.rstrip("0")
            stem += "0" * (len(stem) % 2)
            if {codes[code] for code in codes if code.startswith(stem)} != {number}:
                odd.add(group)
        assert odd == {"3301080000", "3301090200", "3301090300"}


@pytest.mark.skipif(not SCENES, reason="needs PASTIS_JAX_REAL_SCENES")
class TestRealCodes:
    def column(self, file, name):
        with (pathlib.Path(SCENES) / "lpis_samples" / file).open(newline="") as text:
            return [row[name] for row in csv.DictReader(text)]

    def test_french_list(self):
        codes = self.column("eurocrops_fr_2018.csv", "original_code")
        assert len(codes) == 282
        assert read_crops("rpg").unknown(codes) == {}

    def test_hcat_list(self):
        codes = self.column("HCAT3.csv", "HCAT3_code")
        assert len(codes) == 384
        assert len(read_crops("hcat").unknown(codes)) == 33

    def test_parcels(self):
        geopandas = pytest.importorskip("geopandas")
        file = pathlib.Path(SCENES) / "lpis_samples" / "fr_rpg_2022_100_parcels.gpkg"
        labels = geopandas.read_file(file)["code_cultu"]
        crops = read_crops("rpg")
        assert len(labels) == 100
        refuse_unknown(crops, labels, file, accept_void=False)
        refuse_few(crops, labels, file)
        assert sum(crops.void(labels).values()) == 26


def test_docs_count_our_tables():
    page = (pathlib.Path(__file__).parents[4] / "docs" / "crop_lists.md").read_text()
    tables = [read_crops(name) for name in NAMES]
    void = [[*crops.codes.values()].count(OURS.void_number) for crops in tables]
    codes = [len(crops.codes) for crops in tables]
    for row in (
        f"| codes | {codes[0]} | {codes[1]} |",
        f"| of one of the 18 classes | {codes[0] - void[0]} | {codes[1] - void[1]} |",
        f"| void | {void[0]} | {void[1]} |",
    ):
        assert row in page


def test_docs_example(written):
    page = (pathlib.Path(__file__).parents[4] / "docs" / "crop_lists.md").read_text()
    example = re.search(r"```csv\n(.*?)```", page, re.DOTALL)[1]
    crops = read_crops(written(example))
    assert [entry.name for entry in crops.nomenclature.crops] == [
        *("Winter cereals", "Maize", "Rapeseed"),
    ]
    assert names(crops, [112, 411.0, "591"]) == ["Winter cereals", "Maize", "Void"]
