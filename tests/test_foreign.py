"""Another sensor, list of classes, calendar and folds: everything works from dataset.json alone."""

from __future__ import annotations

import json

import foreign
import jax
import numpy as np
import pytest
from tiers import all_but, long

import pastis_jax
from pastis_jax.cli import train
from pastis_jax.types import Series

SCHEMES = {
    "single": ["--modalities", "NDVI"],
    "early": ["--modalities", "SAR", "PS"],
    "mid": ["--auxiliary", "--temporal-dropout"],
    "late": ["--auxiliary"],
    "decision": [],
}
SIZES = [
    *("--encoder-widths", "8", "8", "--decoder-widths", "8", "8", "--heads", "2"),
    *("--model-features", "8", "--batch-size", "2", "--epochs", "1"),
]
CROPS = [one.name for one in foreign.DATASET.nomenclature.crops]


@pytest.fixture(scope="module")
def pixel_sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    root = foreign.make_pixel_sets(folder / "set", patches_per_fold=4, dates=(6, 9))
    return ["--data", str(root), "--cache-dir", str(folder / "cache")]


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    root = foreign.make_patches(folder / "set")
    return ["--data", str(root), "--cache-dir", str(folder / "cache")]


def run(task, data, out, *flags):
    train.main(task, [*data, *flags, "--out", str(out)])
    return json.loads((out / "result.json").read_text())


def raw(run, rng, batch, space, pixels):
    """Series as they were observed, some of it missing."""
    series = {}
    for name in run.modalities:
        modality = run.dataset[name]
        shape = (batch, 5, *space, len(modality.channels))
        mean, std = run.saved.learned.statistics[name]
        values = (mean + std * rng.uniform(-1, 1, shape)).astype(np.float32)
        if modality.nodata is not None:
            values[:, 1, ..., :1, :] = modality.nodata
        series[name] = Series(
            values=values,
            days=np.tile(np.arange(5, dtype=np.int32) * 40, (batch, 1)),
            valid=np.arange(5) < rng.integers(2, 6, (batch, 1)),
            pixels=np.ones((batch, *space), bool) if pixels else None,
        )
    return series


def predicts_in_any_batch(folder, space, pixels=False):
    """Asserts that a run predicts the same numbers in batches of 1 and of 6."""
    opened = pastis_jax.open_run(folder)
    series = raw(opened, np.random.default_rng(0), 6, space, pixels)

    def rows(start, end):
        return jax.tree.map(lambda x: x[start:end], series)

    together = opened.predict(series)
    for number in range(6):
        alone = opened.predict(rows(number, number + 1))
        np.testing.assert_allclose(alone[0], together[number], atol=1e-5)
    return opened


@pytest.mark.parametrize("scheme", all_but(1, ["mid", "single", "early", "late", "decision"]))
def test_parcels(pixel_sets, tmp_path, scheme, capsys):
    out = tmp_path / "run"
    flags = ["--fusion", scheme, *SCHEMES[scheme], "--epochs", "2", "--batch-size", "8"]
    result = run("parcel", pixel_sets, out, *flags)
    assert list(result["test"]["iou"]) == CROPS
    assert result["dataset"] == foreign.DATASET.name
    assert np.sum(result["confusion"]) == 24  # four patches of six parcels that are not void
    assert "Sorghum" not in capsys.readouterr().out
    assert (out / "confusion_matrix.png").stat().st_size > 5000
    opened = predicts_in_any_batch(out, (4,), pixels=True)
    assert opened.classes.codes == tuple(c.code for c in foreign.DATASET.nomenclature.crops)
    scores = opened.evaluate().scores
    assert scores["mIoU"] == pytest.approx(result["test"]["mIoU"])


@pytest.mark.parametrize("scheme", all_but(1, ["late", "single", "early", "mid", "decision"]))
def test_pixels(patches, tmp_path, scheme):
    out = tmp_path / "run"
    flags = ["--fusion", scheme, *SCHEMES[scheme], *SIZES, "--head-widths", "8"]
    result = run("semantic", patches, out, *flags)
    names = list(result["test"]["iou"])
    assert sorted(names) == sorted(
        one.name
        for one in foreign.DATASET.nomenclature.classes
        if one.code != foreign.DATASET.nomenclature.void
    )
    assert names[0] == "No field"
    assert (out / "panel.png").stat().st_size > 5000
    predicts_in_any_batch(out, (24, 40))
    scores = pastis_jax.open_run(out).evaluate().scores
    assert scores["mIoU"] == pytest.approx(result["test"]["mIoU"])


@pytest.mark.parametrize("scheme", all_but(1, ["early", "single", "mid", "late"]))
def test_instances(patches, tmp_path, scheme):
    out = tmp_path / "run"
    flags = ["--fusion", scheme, *SIZES, "--max-instances", "8", "--warmup", "0"]
    flags += [flag for flag in SCHEMES[scheme] if flag != "--auxiliary"]
    result = run("panoptic", patches, out, *flags)
    assert len(result["test"]["per_class"]) == 7
    assert (out / "panel.png").stat().st_size > 5000
    opened = pastis_jax.open_run(out)
    found = opened.predict(raw(opened, np.random.default_rng(0), 2, (24, 40), False))
    assert found.instances.shape == (2, 24, 40)
    assert opened.evaluate().scores["PQ"] == pytest.approx(result["test"]["PQ"])


def test_every_fold_and_no_other(pixel_sets, tmp_path, capsys):
    """Four folds have four runs; the second trains on the second and third."""
    result = run("parcel", pixel_sets, tmp_path / "run", "--fold", "2", "--epochs", "1")
    assert result["fold"] == 2
    assert "'train': ('east', 'south'), 'val': ('west',), 'test': ('north',)" in (
        capsys.readouterr().out
    )
    with pytest.raises(SystemExit) as stopped:
        run("parcel", pixel_sets, tmp_path / "other", "--fold", "5", "--epochs", "1")
    assert stopped.value.code == 2
    assert "has runs 1 to 4, got 5" in capsys.readouterr().err


@pytest.mark.long
def test_a_stopped_run_goes_on(pixel_sets, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    flags = ["--fusion", "late", "--epochs", "2", "--batch-size", "8", "--temporal-dropout"]
    expected = run("parcel", pixel_sets, whole, *flags)
    run("parcel", pixel_sets, part, *flags)
    # As if it had been stopped after its last epoch.
    for name in ("result.json", "run.json", "weights.npz"):
        (part / name).unlink()
    assert run("parcel", pixel_sets, part, *flags)["test"] == expected["test"]


def test_modalities_are_the_folders(pixel_sets, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("parcel", pixel_sets, tmp_path / "run", "--modalities", "S2")
    assert stopped.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith("error: --modalities: ")
    assert "has no S2; choose among PS, NDVI, SAR" in line


@long
def test_it_is_learnt(pixel_sets, tmp_path):
    """The classes of the foreign dataset can be told apart, and are."""
    flags = ["--fusion", "late", "--epochs", "20", "--batch-size", "8", "--learning-rate", "3e-3"]
    result = run("parcel", pixel_sets, tmp_path / "run", *flags)
    assert result["test"]["mIoU"] > 0.8
