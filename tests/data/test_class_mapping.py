"""Official labels to the classes of a model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pastis_jax.data.class_mapping import ClassMapping
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
        ('{"A": [1], "A": [2]}', "a class is defined twice"),
        ([1], "not an object of classes"),
        ({}, "not an object of classes"),
        ({"A": 3}, "class A is not a list"),
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
