"""The paper's tools on runs of a dataset that is not PASTIS-R: measured, reported, not compared."""

from __future__ import annotations

import datetime
import json
import shutil

import foreign
import numpy as np
import pytest
import refusal

from experiments import cross_validation, parcel, semantic
from experiments.paper import (
    attention,
    cloud_cover,
    figures,
    finished,
    gradient_flow,
    inference_time,
    pictures,
    qualitative,
)
from experiments.paper.report import __main__ as report
from pastis_jax.cli.config import configure
from pastis_jax.data import dataset_file
from pastis_jax.data.pastis_r import PASTIS_R

pytestmark = pytest.mark.long

NAME = foreign.DATASET.name
SIZES = ["--encoder-widths", "8", "8", "--decoder-widths", "8", "8", "--head-widths", "8"]
SIZES += ["--heads", "2", "--model-features", "8", "--batch-size", "2", "--epochs", "1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Runs of parcels and of patches, both by late fusion of all modalities."""
    folder = tmp_path_factory.mktemp("other")
    cache = ["--cache-dir", str(folder / "cache"), "--fusion", "late"]
    data = foreign.make_pixel_sets(folder / "pixels")
    out = str(folder / "runs" / "parcel" / "late-base" / "fold1-seed0")
    parcel.main([*cache, "--data", str(data), "--epochs", "1", "--batch-size", "8", "--out", out])
    data = foreign.make_patches(folder / "patches")
    out = str(folder / "runs" / "semantic" / "late-base" / "fold1-seed0")
    semantic.main([*cache, *SIZES, "--data", str(data), "--out", out])
    return folder


@pytest.fixture
def run(root):
    """The run of parcels."""
    return root / "runs" / "parcel" / "late-base" / "fold1-seed0"


@pytest.fixture
def of_patches(root):
    """The run of patches."""
    return root / "runs" / "semantic" / "late-base" / "fold1-seed0"


def test_all_that_is_optical_is_removed(run, tmp_path):
    opened = finished.open_data(run)
    optical = cloud_cover.optical_modalities(opened)
    assert optical == ("PS", "NDVI")
    batch, source = next(opened.splits.evaluation("test")), opened.splits.sources["test"]
    identifiers = [source.identifier(int(number)) for number in batch.number]
    assert {str, int} == {*map(type, identifiers)}
    removals = [cloud_cover.Removal(0.5, 1), cloud_cover.Removal(1.0)]
    drawn = cloud_cover.without_dates(batch, identifiers, removals, optical=optical, seed=0)
    half, dark = (left.series for _, left in drawn)
    assert dark["SAR"] is half["SAR"] is batch.series["SAR"]
    for name in optical:
        valid = batch.series[name].valid.sum(1)
        np.testing.assert_array_equal(half[name].valid.sum(1), valid - np.rint(valid / 2))
        assert not dark[name].valid.any()
    out = tmp_path / "clouds" / "late.json"
    flags = ["--ratios", "0", "1", "--draws", "1", "--spells", "1"]
    cloud_cover.main(["--run", str(run), "--out", str(out), *flags])
    measured = json.loads(out.read_text())
    assert (measured["dataset"], measured["model"]) == (NAME, "late of PS + NDVI + SAR")
    other = {**measured, "model": "PS", "enhancement": "base"}
    out.with_name("single.json").write_text(json.dumps(other))
    cloud_cover.main(["--draw", str(out.parent), "--out", str(tmp_path / "clouds.png")])
    out.with_name("single.json").write_text(json.dumps({**other, "dataset": PASTIS_R.name}))
    refusal.refused_in_a_line(lambda: cloud_cover.read(out.parent), NAME, PASTIS_R.name)


def test_the_calendar_is_that_of_the_dataset(run, tmp_path):
    """From the bin of the first acquisition of a test parcel to that of the last."""
    out, days = tmp_path / "late.json", 30
    attention.main(["--run", str(run), "--days", str(days), "--out", str(out)])
    result = json.loads(out.read_text())
    source = finished.open_data(run).splits.sources["test"]
    records = [source[number] for number in range(len(source))]
    seen = np.concatenate(
        [record[name]["days"] for record in records for name in foreign.DATASET.names]
    )
    bins = [datetime.date.fromisoformat(day) for day in result["bins"]]
    ends = [foreign.DATASET.date(days * (day // days)) for day in (seen.min(), seen.max())]
    assert [bins[0], bins[-1]] == ends
    assert list(result["calendar"]) == list(foreign.DATASET.names)


def test_seasons_may_be_long_and_acquisitions_early():
    """Bins begin before the start of the season, and end where the last date is."""
    days = {"PS": np.array([-35, 900]), "SAR": np.array([2000], np.int32)}
    records = [{name: {"days": own} for name, own in days.items()}]
    splits = type("Splits", (), {"sources": {"test": records}})
    assert attention.calendar(splits, ("PS", "SAR"), 10) == (-4, 205)
    assert attention.calendar(splits, ("PS",), 10) == (-4, 95)


def test_time_and_area(of_patches, tmp_path):
    out = tmp_path / "time.json"
    inference_time.main(["--run", str(of_patches), "--out", str(out), "--repeats", "1"])
    measured = json.loads(out.read_text())
    assert measured["km2"] == pytest.approx(measured["count"] * 24 * 40 * 9e-6)


def test_flow_of_any_modality(root, tmp_path):
    out = tmp_path / "flow.json"
    data = ["--data", str(root / "pixels"), "--cache-dir", str(root / "cache")]
    flags = ["--fold", "4", "--epochs", "1", "--batch-size", "16", "--out", str(out)]
    gradient_flow.main([*data, *flags])
    (epoch,) = json.loads(out.read_text())["epochs"]
    assert list(epoch["flow"]) == [*foreign.DATASET.names, "shared"]
    assert out.with_suffix(".png").exists()


def test_examples_show_the_first_optical_and_the_first_other(of_patches):
    """Blue is what the picture shows as blue; patches are called by their identifiers."""
    opened = finished.open_data(of_patches)
    optical, radar = qualitative.shown_modalities(opened.splits)
    assert (optical.name, radar.name) == ("PS", "SAR")
    maps = {"late": qualitative.predict(opened)}
    maps["none"] = {
        name: pictures.ClassMap(np.full_like(own.classes, opened.splits.classes.void))
        for name, own in maps["late"].items()
    }
    options = {"compared": ("none", "late"), "number": 1, "observed": True}
    examples = qualitative.choose(opened.splits, maps, **options)
    assert examples.ids == list(maps["late"])
    assert examples.lost == 0
    assert list(examples.rows[0].observations) == ["PS observation", "SAR observation"]
    record = dict(opened.splits.sources["test"][0])
    values = np.full((3, 4, 24, 40), 3000, np.uint16)
    values[0, optical.channels.index("red")] = 500  # shown as blue
    values[1, optical.channels.index("blue")] = 100
    values[2] = 0  # without data
    record["PS"] = {"values": values, "days": np.array([320, 330, 340])}
    assert qualitative.clear_day(opened.splits, record, optical) == 320


def test_they_are_reported_apart_from_the_papers(root, run, tmp_path):
    runs = shutil.copytree(root / "runs", tmp_path / "runs")
    report.main(["--runs", str(runs), "--out", str(tmp_path / "out")])
    text = (tmp_path / "out" / "report.md").read_text()
    assert text.startswith(f"# The paper's tables and figures on {NAME}\n")
    paper, others = text.split("## Other runs")
    for task in ("parcel", "semantic"):
        assert f"{task}, late of PS + NDVI + SAR, {NAME}, base" in others
    assert "**" not in paper.split("## Table 1")[1]  # what is there of ours is bold
    # Nor are runs of the same modalities, by name, and of a dataset that calls itself the same.
    file = runs / run.relative_to(root / "runs") / "result.json"
    modalities = {"fusion": "single", "modalities": ["S2"], "dataset": PASTIS_R.name}
    file.write_text(json.dumps(json.loads(file.read_text()) | modalities))
    report.main(["--runs", str(runs), "--out", str(tmp_path / "out")])
    others = (tmp_path / "out" / "report.md").read_text().split("## Other runs")[1]
    assert f"parcel, S2, changed {PASTIS_R.name}, base" in others
    dataset_file.write(PASTIS_R, file.parent)
    report.main(["--runs", str(runs), "--out", str(tmp_path / "out")])
    paper, others = (tmp_path / "out" / "report.md").read_text().split("## Other runs")
    assert "parcel" not in others.split("## ")[0]
    assert "**" in paper.split("## Table 1")[1]


def test_the_papers_figures_are_of_its_classes(root, run, tmp_path, capsys):
    runs = tmp_path / "runs"
    for model in ("S2-base", "late-both"):
        shutil.copytree(run, runs / "parcel" / model / "fold1-seed0")
    config = figures.Config(runs=runs, out=tmp_path / "out", only=("figure5",))
    refusal.refused_in_a_line(lambda: figures.run(config), "no figure can be drawn")
    assert "its runs are not all of the official classes" in capsys.readouterr().out
    for file in runs.glob("parcel/*/*/result.json"):
        crops = dict.fromkeys((crop.name for crop in PASTIS_R.nomenclature.crops), 0.5)
        test = {"OA": 0.5, "mIoU": 0.5, "iou": crops}
        official = {"test": test, "confusion": np.eye(len(crops), dtype=int).tolist()}
        file.write_text(json.dumps(json.loads(file.read_text()) | official))
    refusal.refused_in_a_line(lambda: figures.run(config), f"one is of {NAME}")


def test_cross_validation_is_over_the_runs_of_the_dataset(root):
    experiment = configure("parcel", data=root / "pixels")
    settings = cross_validation.Config(task="parcel")
    assert cross_validation.folds_of(settings, experiment) == (1, 2, 3, 4)
    settings = cross_validation.Config(task="parcel", folds=(5,))
    words = ("--folds", NAME, "1 to 4")
    refusal.refused_in_a_line(lambda: cross_validation.folds_of(settings, experiment), *words)


def test_runs_that_cannot_be_read_are_refused_in_a_line(run, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    refusal.refused_in_a_line(lambda: finished.read_run(folder), "no finished run here")
    config, result = folder / "config.json", folder / "result.json"
    config.write_text("{}")
    for text, words in (
        ("{", ("cannot be read", "result.json")),
        ("[]", ("not a JSON object", "result.json")),
        ('{"task": "depth"}', ("its task is 'depth'", "result.json")),
        ('{"task": "parcel"}', ("no finished run here",)),
    ):
        result.write_text(text)
        refusal.refused_in_a_line(lambda: finished.open_data(folder), *words)
