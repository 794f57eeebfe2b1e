"""Official labels to the classes of a model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import CropClass, Nomenclature
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.errors import DataError

NOMENCLATURE = PASTIS_R.nomenclature
CLASSES = NOMENCLATURE.classes


@pytest.fixture
def read(tmp_path):
    def read(content):
        file = tmp_path / "classes.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return ClassMapping.read(file, NOMENCLATURE)

    return read


def test_official():
    mapping = ClassMapping.of(NOMENCLATURE)
    assert mapping.names == tuple(crop.name for crop in CLASSES[:19])
    assert mapping.colours == tuple(crop.colour for crop in CLASSES[:19])
    np.testing.assert_array_equal(mapping.lookup, np.arange(20, dtype=np.int32), strict=True)
    assert mapping.codes == tuple(range(19))
    assert (mapping.void, mapping.background) == (19, 0)


def test_crops():
    """Of parcels: neither void nor the background is a class."""
    mapping = ClassMapping.crops(NOMENCLATURE)
    assert mapping.names == tuple(crop.name for crop in CLASSES[1:19])
    assert mapping.codes == tuple(range(1, 19))
    np.testing.assert_array_equal(mapping.lookup, [18, *range(18), 18])
    assert (mapping.void, mapping.background) == (18, None)


def test_groups(read):
    mapping = read(
        {
            "Cereals": ["Winter barley", 2, "corn"],
            "Void": ["Background", 16, "Void"],
        }
    )
    rest = [c.name for c in CLASSES[5:19] if c.code != 16]
    assert mapping.names == ("Meadow", "Cereals", *rest)
    assert mapping.colours[1] == CLASSES[4].colour
    assert mapping.codes[:3] == (1, None, 5)
    assert (mapping.void, mapping.background) == (15, None)
    classes = [mapping.names[i] if i < 15 else "void" for i in mapping.lookup]
    assert classes[:6] == ["void", "Meadow", "Cereals", "Cereals", "Cereals", "Winter rapeseed"]
    assert classes[16:] == ["void", "Mixed cereal", "Sorghum", "void"]


def test_a_group_may_take_the_name_of_a_member(read):
    mapping = read({"corn": [3, 18], "Meadow": ["meadow"]})
    assert mapping.names[3] == "corn"
    assert mapping.lookup[3] == mapping.lookup[18] == 3
    assert len(mapping.names) == 18


def test_names_may_be_exchanged(read):
    mapping = read({"Corn": ["Sorghum"], "Sorghum": ["Corn"]})
    assert [mapping.names[mapping.lookup[label]] for label in (3, 18)] == ["Sorghum", "Corn"]
    assert mapping.colours[mapping.lookup[3]] == CLASSES[3].colour


def test_everything_in_one_crop_class(read):
    mapping = read({"Crop": list(range(1, 19))})
    assert mapping.names == ("Background", "Crop")
    np.testing.assert_array_equal(mapping.lookup, [0, *[1] * 18, 2])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "not a JSON file"),
        ("", "not a JSON file"),
        ('{"A": [1], "A": [2]}', '"A" occurs twice'),
        ([1], "not an object of classes"),
        ({}, "not an object of classes"),
        ({"A": 3}, "class A is not a list"),
        ({"\x1b[2J": [3]}, r"class '\\x1b\[2J' holds what cannot be shown"),
        ({"\ud800": [3]}, r"class '\\ud800' holds what cannot be shown"),
        ({"A" * 201: [3]}, "longer than 200 characters"),
        ({"A": []}, "class A is not a list"),
        ({"A": ["Rice"]}, 'unknown class "Rice" in A'),
        ({"A": [20]}, "unknown class 20 in A"),
        ({"A": [-1]}, "unknown class -1 in A"),
        ({"A": [True]}, "unknown class true in A"),
        ({"A": [1.0]}, "unknown class 1.0 in A"),
        ({"A": [None]}, "unknown class null in A"),
        ({"A": [3], "B": ["Corn"]}, "Corn is in A and in B"),
        ({"A": [3, "Corn"]}, "Corn is in A and in A"),
        ({"A": [19]}, "Void is in A, but cannot be a class"),
        ({"Corn": ["Sorghum"]}, "Corn is the name of a group without Corn"),
        ({"Void": list(range(19))}, "every class is void"),
    ],
)
def test_refused(content, match, read):
    with pytest.raises(DataError, match=match) as caught:
        read(content)
    assert "classes.json: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="file not found; write"):
        ClassMapping.read(tmp_path / "nowhere.json", NOMENCLATURE)


FIELDS = (
    CropClass(0, "No field", (0, 0, 0)),
    CropClass("a", "Maize", (1, 1, 1)),
    CropClass("b", "Rice", (2, 2, 2)),
    CropClass("c", "Soya", (3, 3, 3)),
)
VOID = CropClass("v", "Void", (9, 9, 9))


def test_a_class_of_this_name_is_left_out_if_it_is_the_void():
    classes, names = (*FIELDS, VOID), tuple(entry.name for entry in FIELDS)
    assert ClassMapping.of(Nomenclature(classes, 0, None)).names == (*names, "Void")
    assert ClassMapping.of(Nomenclature(classes, 0, "v")).names == names


@pytest.mark.parametrize(
    ("background", "void", "match"),
    [
        (None, "v", "0, No field, is background here or there alone"),
        ("a", "v", "0, No field, is background here or there alone"),
        (0, "a", "a, Maize, is void here or there alone"),
        (0, None, "v, Void, is void here or there alone"),
    ],
)
def test_labels_of_another_role_are_refused(background, void, match):
    own = Nomenclature((*FIELDS, VOID), 0, "v")
    other = Nomenclature((*FIELDS, VOID), background, void)
    mapping = ClassMapping.of(own)
    np.testing.assert_array_equal(mapping.of_other(own, own).lookup, mapping.lookup)
    with pytest.raises(ValueError, match=match):
        mapping.of_other(own, other)


def test_a_name_that_is_the_code_of_another_class_is_refused(tmp_path):
    classes = (CropClass("A", "B", (0, 0, 0)), CropClass("B", "D", (1, 1, 1)))
    file = tmp_path / "classes.json"
    file.write_text('{"G": ["B"]}')
    with pytest.raises(DataError, match='"B" in G is a name of one class, code of another'):
        ClassMapping.read(file, Nomenclature(classes, None, None))


def test_the_digest_changes_with_the_groups(read):
    digests = {read(groups).digest for groups in ({"G": [1, 2]}, {"G": [1, 3]}, {"H": [1, 2]})}
    assert len(digests) == 3
    assert read({"G": [1, 2]}).digest in digests
