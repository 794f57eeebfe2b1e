"""What a map is made by: refused in a line where it cannot be."""

from __future__ import annotations

import datetime
import pathlib

import pytest
from refusal import refused_in_a_line

from pastis_jax.mapping import MapOptions


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"reject": 1.5}, ("`reject`", "1.5", "0 to 1")),
        ({"reject": float("nan")}, ("`reject`", "nan")),
        ({"max_cloud": -0.1}, ("`max_cloud`", "-0.1", "0 to 1")),
        ({"stride": 0}, ("`stride`", "got 0", "1 or more")),
        ({"batch_size": -3}, ("`batch_size`", "got -3", "1 or more")),
        ({"allow": ("level", "units")}, ("`allow`", "units", "level or season or pixel_size")),
        ({"parcel_id": "ID"}, ("`parcel_id`", "leave it out")),
        ({"until": "2024-13-01"}, ("`until`", "2024-13-01", "YYYY-MM-DD")),
        ({"until": "20240501"}, ("`until`", "not a day")),
        ({"season": "autumn\n"}, ("`season`", "autumn", "YYYY-MM-DD")),
        ({"season": 2024}, ("`season`", "2024", "YYYY-MM-DD")),
    ],
)
def test_cannot_be(given, words):
    refused_in_a_line(lambda: MapOptions(**given), *words)


def test_texts_and_lists_are_taken():
    given = MapOptions(until="2024-05-31", season="2023-09-01", allow=["level"], parcels="p.gpkg")
    assert given.until == datetime.date(2024, 5, 31)
    assert given.season == datetime.date(2023, 9, 1)
    assert given.allow == ("level",)
    assert MapOptions(until=datetime.datetime(2024, 5, 31, 9)).until == given.until
    assert given.parcels == pathlib.Path("p.gpkg")
    assert MapOptions(allow="level") == MapOptions(allow=("level",))
    assert hash(given) == hash(MapOptions(given.until, given.season, ("level",), parcels="p.gpkg"))


def test_what_is_allowed_does_not_make_another_map():
    assert MapOptions(allow=("level",)).to_json() == MapOptions().to_json()
    assert MapOptions(until="2024-05-31").to_json() != MapOptions().to_json()
