"""Truth of parcels, and which of them a run was tested on."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shutil

import map_factory
import numpy as np
import pytest
import region_factory as factory
from parcel_maps import blocks_of, made_of, mapper_of

from pastis_jax.data.dataset import SPLITS
from pastis_jax.data.dataset_file import read
from pastis_jax.data.regions.records.export import export
from pastis_jax.mapping import truth
from pastis_jax.mapping.parcel_summary import notes, results
from pastis_jax.runs import Run
from pastis_jax.tasks import folds_of

GRID = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=60, width=384)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("summary") / "R"
    truth = factory.make_region(root, grid=GRID, days={"S2": (10, 40, 200)})
    run = map_factory.make_run(root.parent / "run", "parcel", root, modalities=("S2",))
    return root, truth, run.folder


def table_of(run, root, folder, monkeypatch, **options):
    folder.mkdir()
    made = made_of(mapper_of(run, root, monkeypatch, **options), folder, blocks_of(GRID, 1024))
    return results(made), [*notes(made)]


def test_truth_and_the_folds_of_the_test(made, tmp_path, monkeypatch):
    root, truth, folder = made
    run = Run(folder)
    table, _ = table_of(run, root, tmp_path / "blocks", monkeypatch)
    assert np.array_equal(table.truth, run.classes.lookup[truth["label"]])
    tested = folds_of(factory.dataset_of(), 1)[SPLITS[-1]]
    assert np.array_equal(table.held_out, np.isin(truth["fold"], [of - 1 for of in tested]))
    assert 0 < table.held_out.sum() < len(table)


def test_lists_take_the_place_of_folds(made, tmp_path, monkeypatch):
    root, _, folder = made
    lists = {"train": ["p1"], "val": ["p2"], "test": ["p3", "p5"]}
    (tmp_path / "lists.json").write_text(json.dumps(lists))
    run = Run(folder)
    records = {**run.saved.records, "split_lists": str(tmp_path / "lists.json")}
    run.saved = dataclasses.replace(run.saved, records=records)
    table, _ = table_of(run, root, tmp_path / "blocks", monkeypatch)
    assert table.id[table.held_out].tolist() == ["p3", "p5"]


@pytest.mark.parametrize(("name", "held_out"), [("Another", True), ("A region", False)])
def test_parcels_of_another_region(made, tmp_path, monkeypatch, name, held_out):
    """Held out, but where they may be those that the run saw, ingested anew."""
    factory.make_region(tmp_path / "R", grid=GRID, days={"S2": (10, 40, 200)}, seed=1)
    content = json.loads((tmp_path / "R" / "dataset.json").read_text())
    (tmp_path / "R" / "dataset.json").write_text(json.dumps({**content, "name": name}))
    run = Run(made[2])
    table, _ = table_of(run, tmp_path / "R", tmp_path / "blocks", monkeypatch)
    assert (table.held_out == held_out).all()
    assert (table.truth >= 0).all()
    mapped = made_of(mapper_of(run, tmp_path / "R", monkeypatch), tmp_path, ())
    told = [note for note in truth.notes(mapped) if "nothing is said of accuracy" in note]
    assert len(told) == (not held_out)


def test_truth_is_that_of_its_own_season(made, tmp_path, monkeypatch):
    """A year later, other crops grow."""
    root, _, folder = made
    run = Run(folder)
    moved = dataclasses.replace(run.dataset, season_start=datetime.date(2022, 9, 1))
    mapper = mapper_of(run, root, monkeypatch)
    mapped = made_of(mapper, tmp_path, blocks_of(GRID, 1024))
    assert (results(mapped).truth >= 0).all()
    assert [*truth.notes(mapped)] == []
    mapper.region.dataset = moved
    assert (results(mapped).truth == -1).all()
    (note,) = truth.notes(mapped)
    assert "not compared" in note
    assert "2022-09-01" in note


def test_a_run_of_an_export_saw_the_parcels_of_its_region(made, tmp_path, monkeypatch):
    root, known, folder = made
    export(root, tmp_path / "E", patches=False, progress=False)
    run = Run(folder)
    learned = dataclasses.replace(run.saved.learned, dataset=read(tmp_path / "E" / "dataset.json"))
    fingerprint = {"metadata.geojson": "an official folder's"}
    run.saved = dataclasses.replace(run.saved, learned=learned, fingerprint=fingerprint)
    table, _ = table_of(run, root, tmp_path / "blocks", monkeypatch)
    tested = folds_of(factory.dataset_of(), 1)[SPLITS[-1]]
    assert np.array_equal(table.held_out, np.isin(known["fold"], [of - 1 for of in tested]))
    assert not table.held_out.all()


def test_other_classes_are_no_truth(made, tmp_path, monkeypatch):
    root = shutil.copytree(made[0], tmp_path / "R")
    content = json.loads((root / "dataset.json").read_text())
    content["nomenclature"]["classes"][3]["name"] = "Rice"
    (root / "dataset.json").write_text(json.dumps(content))
    table, told = table_of(Run(made[2]), root, tmp_path / "blocks", monkeypatch)
    assert (table.truth == -1).all()
    assert any("Rice, is none of the model's" in note for note in told)


@pytest.mark.parametrize(("number", "told"), [(0, None), (1, "1 parcel ("), (2, "2 parcels (")])
def test_parcels_of_crops_that_the_run_does_not_know_are_told(
    made, tmp_path, monkeypatch, number, told
):
    root, of_region, folder = made
    known = np.maximum(Run(folder).classes.lookup[of_region["label"]], 0)
    known[:number] = truth.NOT_KNOWN
    monkeypatch.setattr("pastis_jax.mapping.parcel_summary.truth_of", lambda made: known)
    table, notes = table_of(Run(folder), root, tmp_path / "blocks", monkeypatch)
    notes = [note for note in notes if "that the run does not know" in note]
    assert len(notes) == bool(number)
    for note in notes:
        assert note.startswith(f"{told}{table.pixels[:number].sum() / 100:,.1f} ha) ")
