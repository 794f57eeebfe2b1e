"""Which acquisitions a map is made of, and on which day each was."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
import region_factory as factory
from refusal import refused_in_a_line

from pastis_jax.data.calendar import Span
from pastis_jax.data.regions.store import Region
from pastis_jax.mapping import MapOptions
from pastis_jax.mapping.season import season_of

YEARS = {"S2": (10, 200, 375, 565), "S1A": (5, 100, 370)}
"""Days of two seasons."""
TRAINED = {"S2": Span(10, 300, 200.0), "S1A": Span(5, 300, 100.0)}
NAMES = ("S2", "S1A")
GRID = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=32, width=32)


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    root = tmp_path_factory.mktemp("years") / "R"
    factory.make_region(root, grid=GRID, days=YEARS, fields=16)
    return Region(root)


def chosen(region, **options):
    return season_of(region, NAMES, TRAINED, MapOptions(**options))


def numbers(season):
    return {name: one.numbers.tolist() for name, one in season.acquired.items()}


def test_all_count_where_nothing_is_said(region):
    season = chosen(region)
    assert numbers(season) == {"S2": [0, 1, 2, 3], "S1A": [0, 1, 2]}
    assert season.acquired["S2"].days.tolist() == [*YEARS["S2"]]
    assert season.start == factory.START
    # Those of the next year are told of.
    (note,) = season.notes
    assert "2 of 4 acquisitions of S2" in note
    assert "1 of 3 acquisitions of S1A" in note


@pytest.mark.parametrize(
    ("start", "left", "days"),
    [
        ("2023-09-01", {"S2": [0, 1], "S1A": [0, 1]}, [10, 200]),
        ("2024-08-31", {"S2": [2, 3], "S1A": [2]}, [10, 200]),
    ],
)
def test_a_season_of_two_years(region, start, left, days):
    season = chosen(region, season=start)
    assert numbers(season) == left
    assert season.acquired["S2"].days.tolist() == days
    assert season.date(days[0]) == factory.START + datetime.timedelta(
        days=YEARS["S2"][left["S2"][0]]
    )
    told = {"2 of 4 acquisitions of S2 are of other seasons"}
    told |= {f"{3 - len(left['S1A'])} of 3 acquisitions of S1A are of other seasons"}
    assert {*season.notes} == told


def test_until_is_the_last_day(region):
    last = factory.START + datetime.timedelta(days=200)
    assert numbers(chosen(region, until=last)) == {"S2": [0, 1], "S1A": [0, 1]}
    before = last - datetime.timedelta(days=1)
    assert numbers(chosen(region, until=before)) == {"S2": [0], "S1A": [0, 1]}


def test_until_of_the_second_year(region):
    season = chosen(region, season="2024-08-31", until="2024-09-10")
    assert numbers(season) == {"S2": [2], "S1A": [2]}


@pytest.mark.parametrize("given", [{"until": "2023-09-01"}, {"season": "2030-09-01"}])
def test_no_acquisition(region, given):
    words = (str(region.root), "no acquisition of S2, S1A", *given.values(), "`season` or `until`")
    refused_in_a_line(lambda: chosen(region, **given), *words)


def test_a_modality_without_one_is_masked_or_refused(region):
    options = MapOptions(until="2023-09-07")
    season = season_of(region, NAMES, TRAINED, options)
    assert numbers(season) == {"S2": [], "S1A": [0]}
    assert any("no acquisition of S2" in n and "masked everywhere" in n for n in season.notes)
    refused_in_a_line(
        lambda: season_of(region, NAMES, TRAINED, options, needed=NAMES),
        "no acquisition of S2 ",
        "until 2023-09-07",
        "which the run needs",
    )


def test_those_among_others(region):
    one = chosen(region).acquired["S2"].among(np.array([3, 1, 7]))
    assert one.numbers.tolist() == [1, 3]
    assert one.days.tolist() == [200, 565]
