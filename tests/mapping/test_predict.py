"""A run and a Region become a map; stopped, it goes on; another one never does."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
import sys

import map_factory
import pytest
import region_factory as factory
from refusal import refused_in_a_line

from pastis_jax.data.regions.store import Region
from pastis_jax.mapping import MapOptions, blocks, predict_region
from pastis_jax.mapping import predict as predicting
from pastis_jax.mapping.ledger import Ledger
from pastis_jax.runs import Run

rasterio = pytest.importorskip("rasterio")
ONE_BY_ONE = predicting.one_by_one
GRID = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=40, width=100)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A Region and a run of one modality, which may be spoiled: `copy` has them anew."""
    place = tmp_path_factory.mktemp("predict")
    factory.make_region(place / "R", grid=GRID, days={"S2": (10, 40, 200)}, fields=16)
    map_factory.make_run(place / "run", "semantic", place / "R", fusion="single")
    return place


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "SHARD", 50)


def predict(place, out, run=None, region=None, **options):
    told, how = [], {k: options.pop(k) for k in ("overwrite",) if k in options}
    execute, given = options.pop("execute", predicting.one_by_one), MapOptions(**options)
    run, region = run or place / "run", region or place / "R"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predicting, "one_by_one", execute)
        made = predict_region(run, region, out, options=given, say=told.append, **how)
    return made, told


def content(folder):
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def made(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "SHARD", 50)
        summary, _ = predict(place, place / "M")
    return summary, place / "M"


def test_files(made):
    summary, out = made
    assert json.loads((out / "map.json").read_text()) == json.loads(json.dumps(summary))
    for name, kind in (("crop", "uint8"), ("confidence", "uint8"), ("margin", "uint8")):
        with rasterio.open(out / f"{name}.tif") as file:
            assert (file.height, file.width, file.count) == (40, 100, 1)
            assert file.dtypes == (kind,)
            assert file.crs.to_epsg() == 32631
            assert tuple(file.transform)[:6] == GRID.transform
            assert file.nodata == 255
            assert (file.read() < 101).all()
    with rasterio.open(out / "dates.tif") as file:
        assert file.descriptions == ("S2",)
        assert (file.read() == 3).all()
    assert not (out / "probabilities.tif").exists()
    assert not Ledger(out).folder.exists()


class Killed(BaseException):
    """As a signal would, it passes what handles errors."""


def stopped_after(number):
    def execute(work, left, tell, say):
        for block in left[:number]:
            work(block)
            tell(block)
        raise Killed

    return execute


@pytest.mark.parametrize("number", [1, 2])
def test_goes_on_to_the_same_bytes(place, made, tmp_path, number):
    out = tmp_path / "M"
    with pytest.raises(Killed):
        predict(place, out, execute=stopped_after(number))
    assert not out.exists()
    assert len([*Ledger(out).blocks.glob("*.npz")]) == number
    # Another run, Region or options are refused; what is there stays.
    other = shutil.copytree(place / "run", tmp_path / "other")
    text = (other / "run.json").read_text()
    (other / "run.json").write_text(text.replace('"code"', ' "code"', 1))
    words = ("`out`", "another map was begun", "`overwrite`")
    refused_in_a_line(lambda: predict(place, out, run=other), *words, "not the same run")
    refused_in_a_line(lambda: predict(place, out, reject=0.1), *words, "not the same options")
    changed = shutil.copytree(place / "R", tmp_path / "changed")
    (changed / "region.json").write_text((changed / "region.json").read_text() + " ")
    refused_in_a_line(lambda: predict(place, out, region=changed), *words, "not the same Region")
    # A copy of the same name is the same, wherever it lies; what is there is not predicted again.
    moved, done = shutil.copytree(place / "run", tmp_path / "moved" / "run"), []

    def execute(work, left, tell, say):
        done.extend(left)
        for block in reversed(left):
            work(block)

    _, told = predict(place, out, run=moved, execute=execute)
    assert f"Continuing {out}." in told
    assert len(done) == 2 - number
    assert content(out) == content(made[1])


def test_overwrite_begins_anew(place, made, tmp_path):
    out = tmp_path / "M"
    with pytest.raises(Killed):
        predict(place, out, reject=0.9, execute=stopped_after(1))
    predict(place, out, overwrite=True)
    assert content(out) == content(made[1])


def test_a_damaged_block_is_made_anew(place, made, tmp_path):
    out = tmp_path / "M"
    with pytest.raises(Killed):
        predict(place, out, execute=stopped_after(2))
    (file, _) = sorted(Ledger(out).blocks.glob("*.npz"))
    file.write_bytes(file.read_bytes()[:100])
    refused_in_a_line(lambda: predict(place, out), str(file), "remove this file")
    file.unlink()
    predict(place, out)
    assert content(out) == content(made[1])


def test_a_run_that_changed_meanwhile_is_opened_anew(place, tmp_path):
    """Two runs, one after the other in the same folder: the second one's map is its own."""
    run = shutil.copytree(place / "run", tmp_path / "run")
    predict(place, tmp_path / "A", run=run)
    shutil.rmtree(run)
    map_factory.make_run(run, "semantic", place / "R", fusion="single", seed=7)
    predict(place, tmp_path / "B", run=run)
    first, second = ((tmp_path / name / "confidence.tif").read_bytes() for name in "AB")
    assert first != second


def test_a_region_that_changes_meanwhile(place, tmp_path):
    """Blocks of two Regions are never put together."""
    region, one_by_one = shutil.copytree(place / "R", tmp_path / "R"), predicting.one_by_one

    def execute(work, left, tell, say):
        one_by_one(work, left, tell, say)
        (region / "region.json").write_text((region / "region.json").read_text() + " ")

    words = (str(region), "Region changed while", "`overwrite`")
    given = {"region": region, "execute": execute}
    refused_in_a_line(lambda: predict(place, tmp_path / "M", **given), *words)
    assert not (tmp_path / "M").exists()


def test_the_map_is_there(place, made):
    before = content(made[1])
    refused_in_a_line(lambda: predict(place, made[1]), "`out`", str(made[1]), "exists already")
    assert content(made[1]) == before


def test_not_a_run_nor_a_region(place, tmp_path):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "M"
    for given, words in (
        ({"run": tmp_path / "empty"}, ("no finished run here", str(tmp_path / "empty"))),
        ({"run": tmp_path / "nowhere"}, ("no finished run here", "nowhere")),
        ({"region": tmp_path / "empty"}, ("is no Region", str(tmp_path / "empty"))),
        ({"region": tmp_path / "nowhere"}, (str(tmp_path / "nowhere"),)),
    ):
        refused_in_a_line(lambda given=given: predict(place, out, **given), *words)
    assert not out.exists()
    assert not Ledger(out).folder.exists()


def test_another_process_has_it(place, tmp_path):
    out = tmp_path / "M"
    with Ledger(out).held():
        refused_in_a_line(lambda: predict(place, out), "`out`", "another process", "wait")


def test_until_is_the_map_of_a_region_that_ends_there(place, tmp_path):
    until = str(Region(place / "R").dataset.date(100))
    predict(place, tmp_path / "M", until=until)
    with rasterio.open(tmp_path / "M/dates.tif") as file:
        assert (file.read() == 2).all()
    refused_in_a_line(
        lambda: predict(place, tmp_path / "N", until="2023-09-02"), "no acquisition", "2023-09-02"
    )
    assert not Ledger(tmp_path / "N").folder.exists()


def test_other_software_does_not_go_on(place, tmp_path, monkeypatch):
    with pytest.raises(Killed):
        predict(place, tmp_path / "N", execute=stopped_after(1))
    monkeypatch.setattr(predicting, "version", lambda: "pastis_jax 99")
    words = "another map was begun", "not the same software"
    refused_in_a_line(lambda: predict(place, tmp_path / "N"), *words)


def test_workers_import_what_the_run_was_trained_with(place, tmp_path, monkeypatch):
    """Of the modules that it names those alone that this process has imported."""
    run = Run(place / "run")
    run.saved = dataclasses.replace(run.saved, plugins=("own_part", "never_imported"))
    (tmp_path / "own_part.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("own_part")
    works = []

    def execute(work, some, tell, say):
        del sys.modules["own_part"]
        ONE_BY_ONE(work, some, tell, say)
        works.append(work)

    predict(place, tmp_path / "N", run=run, execute=execute)
    assert works[0].plugins == ("own_part",)
    assert "own_part" in sys.modules
    del sys.modules["own_part"]
