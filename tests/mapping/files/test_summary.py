"""What a map says in numbers, and what the command tells of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re

import numpy as np
import pytest
from drawn_map import GRID, KEY, make_map

from pastis_jax.cli import mapped
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED
from pastis_jax.mapping.files import finish
from pastis_jax.mapping.files.summary import Tally, summary_of
from pastis_jax.mapping.parcel_results import ParcelResults

FIELDS = [field.name for field in dataclasses.fields(ParcelResults)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A map without parcels, its folder, and its layers."""
    root = tmp_path_factory.mktemp("map")
    made, layers = make_map(root / "blocks")
    (out := root / "map").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(finish, "results_of", lambda made: None)
        patched.setattr(finish, "notes_of", lambda made: ("of parcels",))
        patched.setattr(finish, "write_report", lambda made, results, out, notes: None)
        summary = finish.finish(made, out)
    return made, out, layers, summary


def test_what_is_returned_is_what_is_written(finished):
    _, out, _, summary = finished
    assert json.loads((out / "map.json").read_text()) == summary
    assert summary["notes"] == ["something is odd", "of parcels"]
    assert {summary[part]["digest"] for part in ("run", "region", "options")} == {*KEY.values()}
    assert summary["season"]["dates"]["S1A"] == ["2023-09-06", "2023-12-10"]


def test_areas(finished):
    made, _, layers, summary = finished
    crop = layers["crop"]
    counts = np.bincount(crop.ravel(), minlength=256)
    for value, of in enumerate(summary["classes"]):
        assert (of["value"], of["name"]) == (value, made.classes.names[value])
        assert of["pixels"] == counts[value]
        assert of["hectares"] == pytest.approx(counts[value] / 100)
    mapped_pixels = (crop != NODATA).sum()
    total = sum(of["share"] for of in summary["classes"]) + summary["unclassified"]["share"]
    assert total == pytest.approx(1, abs=1e-4)
    pixels = summary["pixels"]
    assert pixels["all"] == GRID.height * GRID.width
    assert pixels["classified"] == mapped_pixels - counts[UNCLASSIFIED]
    assert pixels["nodata"] == counts[NODATA]
    assert pixels["unclassified"] == counts[UNCLASSIFIED] > 0
    expected = layers["confidence"][crop != NODATA].mean()
    assert summary["confidence"] == pytest.approx(expected, abs=0.01)


def test_files_are_listed_with_checksums(finished):
    _, out, _, summary = finished
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {of["name"] for of in summary["files"]} == there - {"map.json"}
    for of in summary["files"]:
        content = (out / of["name"]).read_bytes()
        assert of["bytes"] == len(content)
        assert of["sha256"] == hashlib.sha256(content).hexdigest()


def test_nothing_known(tmp_path):
    made, _ = make_map(tmp_path / "blocks")
    tally = Tally.empty()
    tally.values[NODATA] = GRID.height * GRID.width
    summary = summary_of(made, tally)
    assert summary["confidence"] is None
    assert summary["unclassified"]["share"] is None
    assert summary["nodata"]["share"] == 1


def test_the_command_tells_of_it(finished, capsys):
    _, out, _, summary = finished
    mapped.show({**summary, "parcels": {"all": 1200, "unclassified": 3, "nodata": 0}}, out)
    text = capsys.readouterr().out
    assert max(map(len, text.split(str(out))[0].splitlines())) <= 80
    assert "1,200 parcels: 3 unclassified, 0 no data." in text
    assert re.search(rf"next: open \S*{out.name}/crop.tif\S* in QGIS", text)
    rows = [line for line in text.splitlines() if line.startswith("│")]
    found = [of for of in summary["classes"] if of["pixels"]]
    assert len(rows) == len(found) + 2
    largest = max(found, key=lambda of: of["pixels"])
    assert largest["name"] in rows[0]
    assert f"{largest['hectares']:,.2f}" in rows[0]
    for of in summary["classes"]:
        assert of["name"] in text  # as a row, or among those that were not found


def test_confidences_that_are_not_known_do_not_count(finished, tmp_path, capsys):
    """Background between instances has none."""
    made, *_ = finished
    crop = np.array([[0, 0, 0], [2, 2, UNCLASSIFIED]], np.uint8)
    confidence = np.array([[NODATA] * 3, [60, 80, 40]], np.uint8)
    tally = Tally.empty()
    [*tally.counting([(None, {"crop": crop, "confidence": confidence})])]
    summary = summary_of(made, tally)
    assert summary["classes"][0]["pixels"] == 3
    assert summary["classes"][0]["confidence"] is None
    assert summary["classes"][2]["confidence"] == 70
    assert summary["confidence"] == 60
    mapped.show({**summary, "files": []}, tmp_path)
    assert "Mean confidence: 60.0 %." in capsys.readouterr().out


def test_the_command_tells_that_nothing_was_found(finished, tmp_path, capsys):
    made, *_ = finished
    tally = Tally.empty()
    tally.values[NODATA] = GRID.height * GRID.width
    mapped.show({**summary_of(made, tally), "files": []}, tmp_path)
    assert "Nothing was classified." in capsys.readouterr().out


def test_parcels_are_counted(tmp_path):
    made, _ = make_map(tmp_path / "blocks")
    label = np.array([1, UNCLASSIFIED, NODATA, NODATA, 2], np.uint8)
    results = ParcelResults(**{**dict.fromkeys(FIELDS), "id": label, "label": label})
    told = summary_of(made, Tally.empty(), (), results)["parcels"]
    assert told == {"all": 5, "unclassified": 1, "nodata": 2}
