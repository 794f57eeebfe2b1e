"""Attention over the calendar: of every scheme, against loops, and from the command line."""

from __future__ import annotations

import json
import pathlib
import types
from functools import partial

import jax
import numpy as np
import patch_factory as factory
import pytest

from experiments import semantic
from experiments.paper import attention, finished
from pastis_jax import training
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
from pastis_jax.models.encoders import Halves
from pastis_jax.tasks import ParcelModel, ParcelTask
from pastis_jax.types import Batch, Series

pytestmark = pytest.mark.long

B, S, DAYS, BINS, HEADS = 4, 3, 30, 14, 2
DATES = {"S2": (10, 5), "S1A": (3, 7), "S1D": (3, 4)}
"""Channels and dates."""
SIZES = ["--encoder-widths", "8", "8", "--decoder-widths", "8", "8", "--head-widths", "8"]
SIZES += ["--heads", "2", "--model-features", "8", "--batch-size", "2", "--epochs", "1"]


def make_batch(label, seed=0):
    """Some dates masked; the first sample has none of S1A, the last one is blank."""
    rng = np.random.default_rng(seed)
    series = {}
    for modality, (channels, dates) in DATES.items():
        valid = rng.random((B, dates)) < 0.7
        valid[:, 0] = True
        if modality == "S1A":
            valid[0] = False
        series[modality] = Series(
            values=rng.normal(size=(B, dates, S, channels)).astype(np.float32),
            days=rng.integers(0, DAYS * BINS, (B, dates)).astype(np.int32),
            valid=valid,
            pixels=np.ones((B, S), bool),
        )
    real = np.arange(B) < B - 1
    return Batch(series=series, label=label, real=real, number=np.arange(B, dtype=np.int32))


@pytest.mark.parametrize("scheme", ["single", "early", "mid", "late", "decision"])
def test_all_attention_is_on_the_calendar(scheme):
    """What an L-TAE reads gets 1 for each head and sample, and the acquisitions are all there."""
    spec = ParcelModel(fusion=scheme).of(PASTIS_R)
    task = ParcelTask(spec, PASTIS_R, ClassMapping.crops(PASTIS_R.nomenclature))
    halves = Halves(
        spatial=lambda _: PixelSetEncoder(widths=(8, 8), features=8),
        temporal=partial(LTAE, features=8, model_features=8, heads=HEADS),
    )
    classes = len(task.classes.names)
    model = spec.combine(halves, partial(MLPDecoder, classes, widths=(8,)))
    batch = make_batch(np.array([2, 5, 2, 5], np.int32))
    opened = types.SimpleNamespace(model=model, task=task, placement=training.Placement())
    optimizer = training.make_optimizer("adam", 1e-3)
    state = training.create_state(model, optimizer, batch, jax.random.key(0))
    found = jax.device_get(attention.make_step(opened, DAYS, first=0, bins=BINS)(state, batch))
    assert found.pop("samples") == B - 1
    read_by = attention.sequences(opened)
    assert sorted(found) == sorted(m for names in read_by.values() for m in names)
    for names in read_by.values():
        total = sum(found[m]["attention"].sum(-1) for m in names)
        for m in names:
            seen = np.array([m != "S1A" or len(names) > 1, True, True])
            weight = np.bincount(batch.label[:3][seen], minlength=classes)
            np.testing.assert_array_equal(found[m]["weight"], weight)
            np.testing.assert_allclose(total, np.tile(weight, (HEADS, 1)), atol=1e-5)
            series = batch.series[m]
            bins = series.days[:3][series.valid[:3]] // DAYS
            counts = np.bincount(bins, minlength=found[m]["acquisitions"].size)
            np.testing.assert_array_equal(found[m]["acquisitions"], counts)
            assert not found[m]["attention"][..., counts == 0].any()  # masked dates get nothing


def test_pixels_count_for_their_class_in_their_coarse_pixel():
    """Against loops: odd sides, void pixels, masked and blank samples, two modalities."""
    rng = np.random.default_rng(1)
    h, w, side, classes = 5, 7, 4, 3
    batch = make_batch(rng.integers(0, classes + 1, (B, h, w)).astype(np.int32))  # the last: void
    names = ("S1A", "S2")
    valid, days = (
        np.concatenate([getattr(batch.series[m], field) for m in names], 1)
        for field in ("valid", "days")
    )
    given = rng.random((B, valid.shape[1], 2, 2, HEADS)) * valid[..., None, None, None]
    given = (given / given.sum(1, keepdims=True)).astype(np.float32)
    call = partial(attention.on_calendar, classes=classes, days=DAYS, bins=BINS)
    found = jax.device_get(jax.jit(call, static_argnums=2)(given, batch, names))
    expected = {m: np.zeros((HEADS, classes, BINS)) for m in names}
    weight = np.zeros(classes)
    for b, i, j in np.ndindex(B - 1, h, w):
        if (k := batch.label[b, i, j]) == classes:
            continue
        weight[k] += 1
        for t in range(valid.shape[1]):
            m = names[t >= DATES["S1A"][1]]
            expected[m][:, k, days[b, t] // DAYS] += given[b, t, i // side, j // side]
    for m in names:
        np.testing.assert_allclose(found[m]["attention"], expected[m], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found[m]["weight"], weight)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny run of mid fusion of images."""
    folder = tmp_path_factory.mktemp("attention")
    root = factory.make_patches(folder / "set")
    flags = [*SIZES, "--fusion", "mid", "--modalities", "S1A", "S2", "--out", str(folder / "run")]
    semantic.main([*flags, "--data", str(root), "--cache-dir", str(folder / "cache")])
    return folder / "run"


def test_a_run_from_the_command_line(run, tmp_path):
    out = tmp_path / "new" / "mid.json"
    attention.main(["--run", str(run), "--days", "20", "--out", str(out)])
    result = json.loads(out.read_text())
    assert (result["task"], result["fusion"]) == ("semantic", "mid")
    assert list(result["calendar"]) == ["S1A", "S2"]
    opened = finished.open_data(run)
    series = next(opened.splits.evaluation("test")).series
    weight = np.array(result["calendar"]["S2"]["weight"])
    label = np.load(next((run.parent / "set" / "ANNOTATIONS").glob("TARGET_10005.npy")))[0]
    np.testing.assert_array_equal(weight, np.bincount(label[label != 19], minlength=19))
    total = 0
    for modality, one in result["calendar"].items():
        mass = np.array(one["attention"], float)  # null is NaN
        assert mass.shape == (2, 19, len(result["bins"]))
        assert np.array_equal(np.isnan(mass).all((0, 2)), weight == 0)
        total = total + mass.sum(-1)
        assert sum(one["acquisitions"]) == series[modality].valid.sum()
    np.testing.assert_allclose(total[:, weight > 0], 1, atol=1e-4)
    names = {file.name for file in out.parent.iterdir()}
    assert names == {"mid.json", "mid_by_class.png", "mid_by_head.png"}


def test_mistakes_end_in_a_line_before_anything_is_written(run, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out.json")]
    for arguments, word in (
        (["--run", str(run), "--out", str(tmp_path)], ".json"),
        (["--run", str(run), *out, "--days", "0"], "--days"),
        (["--run", str(tmp_path), *out], "no finished run"),
    ):
        with pytest.raises(SystemExit) as caught:
            attention.main(arguments)
        assert caught.value.code == 2
        line = capsys.readouterr().err
        assert word in line
        assert line.count("\n") == 1
    assert not list(pathlib.Path(tmp_path).iterdir())
