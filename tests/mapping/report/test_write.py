"""The page of a map as a whole: one file, for itself, the same bytes each time."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import shlex

import numpy as np
import pytest
import report_maps

from pastis_jax.mapping import accuracy
from pastis_jax.mapping.mapper import Mapper
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.report import doubtful, write_report
from pastis_jax.mapping.report.attention import Attention
from pastis_jax.mapping.report.sections import _estimated, command

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch):
    """Attention is tested for itself."""

    class Told:
        def __init__(self, made):
            del made

        def __call__(self, place, observed, identifier):
            del place, identifier
            return {n: Attention(o.days, np.ones(len(o.days))) for n, o in observed.items()}

    monkeypatch.setattr(doubtful, "Attending", Told)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    mapper = report_maps.opened(root, "semantic", options=MapOptions(reject=0.1))
    return report_maps.pixels_made(mapper)


def page_of(made, results, tmp_path):
    write_report(made, results, tmp_path)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])


def test_a_page_asks_nothing_of_a_network(made, tmp_path):
    page = page_of(made, report_maps.results_of(made.mapper), tmp_path)
    assert set(re.findall(r"""\b(?:src|href|action)=["']?([^"'>\s]*)""", page)) == {
        "data:,",
        "#map-section",
    }
    for asking in ("http:", "https:", "url(", "@import", "fetch(", "XMLHttpRequest", "import("):
        assert asking not in page
    assert "default-src 'none'" in page
    assert "$" not in re.sub(r"\$\{", "", page.split("<script>")[0])


def test_the_same_map_gives_the_same_bytes(made, tmp_path):
    results = report_maps.results_of(made.mapper)
    first = page_of(made, results, tmp_path)
    assert page_of(made, results, tmp_path) == first
    assert str(made.region.root.parent) not in first


def test_texts_of_files_are_shown_and_never_run(made, tmp_path):
    n = len(made.region.parcels)
    results = report_maps.results_of(made.mapper, ids=[f"{HOSTILE}{i}" for i in range(n)])
    page = page_of(made, results, tmp_path)
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert page.count("</script>") == 2


def test_a_page_tells_how_it_was_made(made, tmp_path):
    page = page_of(made, report_maps.results_of(made.mapper), tmp_path)
    assert "pastis-jax predict --run run --data R --out MAP --reject 0.1" in page
    for digest in report_maps.KEY.values():
        assert digest in page
    assert "mIoU 0.500" in page
    assert "Overall accuracy" in page
    assert "Expected calibration error" in page
    assert page.count('class="card"') == min(doubtful.MOST, len(made.region.parcels))


def test_a_page_has_the_layers_and_the_parcels(made, tmp_path):
    data = data_of(page_of(made, report_maps.results_of(made.mapper), tmp_path))
    assert data["layers"]["crop"]["shape"] == [70, 100]
    assert data["layers"]["dates"]["shape"] == [len(made.run.modalities), 70, 100]
    assert data["parcels"]["number"] == len(made.region.parcels)
    assert [one["name"] for one in data["classes"]] == [*made.classes.names]
    assert 3 < data["degrees"]["longitude"][0] < 5
    assert 46 < data["degrees"]["latitude"][0] < 48


def test_a_map_without_parcels_has_a_page(made, tmp_path):
    page = page_of(made, None, tmp_path)
    assert data_of(page)["parcels"] is None
    assert "The map has no parcels" in page


def test_a_reduced_map_says_so(made, tmp_path, monkeypatch):
    monkeypatch.setattr("pastis_jax.mapping.report.picture.LONGEST", 50)
    page = page_of(made, report_maps.results_of(made.mapper), tmp_path)
    assert "one pixel in 2 x 2" in page
    assert "does not name parcels" in page
    assert data_of(page)["parcels"] is None


def test_parcels_that_were_trained_on_tell_nothing_of_accuracy(made, tmp_path):
    results = report_maps.results_of(made.mapper)
    results.held_out[:] = False
    page = page_of(made, results, tmp_path)
    assert "nothing can be said of accuracy" in page
    assert "Overall accuracy" not in page


def test_a_map_of_a_part_of_the_season_says_until_when(made, tmp_path):
    options = MapOptions(until=datetime.date(2023, 12, 31))
    other = dataclasses.replace(made, mapper=Mapper(made.run, made.region, options))
    page = page_of(other, None, tmp_path)
    assert "--until 2023-12-31" in page
    assert "2023-09-06 to 2023-12-10" in page


def test_the_command_can_be_typed(made):
    """Names with blanks are quoted, texts of several words stay apart."""
    options = MapOptions(
        parcels="/data/my parcels.gpkg", parcel_id="the id", allow=("level", "season"), reject=0.5
    )
    mapper = Mapper.__new__(Mapper)
    mapper.__dict__ |= made.mapper.__dict__ | {"options": options}
    words = shlex.split(command(dataclasses.replace(made, mapper=mapper)))
    assert words[:2] == ["pastis-jax", "predict"]
    given = words[words.index("MAP") + 1 :]
    assert given == [
        *("--allow", "level", "season", "--reject", "0.5"),
        *("--parcels", "my parcels.gpkg", "--parcel-id", "the id"),
    ]


def test_a_title_names_region_season_and_run(made, tmp_path):
    page = page_of(made, None, tmp_path)
    assert (
        "<title>Crop map of R, season from 2023-09-01, by the run &#x27;run&#x27;</title>" in page
    )


@pytest.mark.parametrize(("number", "told"), [(0, ""), (1, "1 parcel ("), (3, "3 parcels (")])
def test_parcels_of_crops_that_are_not_known_are_counted_and_left_out(made, tmp_path, number, told):
    results = report_maps.results_of(made.mapper)
    results.truth[:] = np.maximum(results.truth, 1)
    results.truth[:number] = -1
    page = page_of(made, results, tmp_path)
    assert ("that the run does not know" in page) is bool(number)
    assert told in page
    assert f"all {len(results) - number:,} classified parcels whose crop is known" in page


def test_no_interval_is_told_where_no_tested_parcel_was_wrong():
    told = accuracy.estimate(np.diag([4, 3, 1, 0]), np.array([80.0, 20.0, 5.0, 0.0]))
    assert [_estimated(told, i) for i in range(4)] == [
        "80.0, no error among 4 tested",
        "20.0, no error among 3 tested",
        "-",
        "0.0, none among 7 tested",
    ]
    mixed = accuracy.estimate(np.array([[0, 2], [0, 0]]), np.array([80.0, 0.0]))
    assert _estimated(mixed, 1) == "80.0 ± ?"
