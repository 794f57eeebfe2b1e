"""Panoptic segmentation from the command line: schemes, options, mistakes."""

from __future__ import annotations

import json
import os
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import patch_factory as factory
import pytest
import reopened
from tiers import all_but

from experiments import panoptic
from experiments.paper import pooled
from pastis_jax.cli import train
from pastis_jax.cli.config import configure
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.metrics import Mean
from pastis_jax.panoptic import PanopticLoss
from pastis_jax.tasks import panoptic as panoptic_task
from pastis_jax.training import count_parameters
from pastis_jax.types import Batch, Prediction, Series

COUNTS = [
    ({"fusion": "single"}, 1_244_541),
    ({"fusion": "single", "modalities": ("S1A",)}, 1_240_509),
    ({"fusion": "early"}, 1_247_997),
    ({"fusion": "mid"}, 2_457_213),
    ({"fusion": "late"}, 4_406_269),
]
SIZES = ["--encoder-widths", "8", "8", "--decoder-widths", "8", "8", "--heads", "2"]
SIZES += ["--model-features", "8", "--batch-size", "2", "--epochs", "2", "--warmup", "1"]
SIZES += ["--max-instances", "24", "--shape-size", "4"]
WEIGHTS = ["--modalities", "S2", "S1A", "--loss-weights", "0.5", "2", "1", "1"]
EMA = ["--optimizer", "adamw", "--ema", "0.9"]


@pytest.mark.parametrize(("arguments", "expected"), COUNTS, ids=str)
def test_parameters(arguments, expected):
    """Full size, by shape alone; docs/parameters.md holds the same numbers."""
    # Full size, though nothing is read of this folder.
    config = configure("panoptic", data=pathlib.Path("unused"), **arguments)
    config = train.for_data(config.replaced(data=None))

    def series(channels):
        days = jnp.zeros((1, 2), int)
        return Series(jnp.zeros((1, 2, 32, 32, channels)), days, days == 0)

    inputs = {m: series(10 if m == "S2" else 3) for m in config.model.modalities}
    model = train.make_task(config, PASTIS_R, ClassMapping.of(PASTIS_R.nomenclature)).model()
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
    shapes = jax.eval_shape(partial(model.init, train=True), rngs, inputs)
    assert count_parameters(shapes["params"]) == expected
    page = pathlib.Path(__file__).parent.parent / "docs" / "parameters.md"
    assert f"{expected:,}" in page.read_text()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("panoptic")
    return ["--data", str(factory.make_patches(folder / "set")), "--cache-dir", str(folder / "c")]


def run(arguments, out):
    panoptic.main([*arguments, "--out", str(out)])
    return json.loads((out / "result.json").read_text())


@pytest.mark.parametrize(
    "arguments",
    all_but(
        0,
        [
            [
                "--fusion",
                "single",
                "--min-confidence",
                "0.1",
                "--no-mask-conv",
                "--legacy-void",
                *EMA,
            ],
            ["--fusion", "early", "--temporal-dropout", "--crop", "8", *WEIGHTS],
        ],
    ),
    ids=" ".join,
)
def test_it_trains_tests_and_reports(data, tmp_path, capsys, arguments):
    result = run([*data, *SIZES, *arguments], tmp_path / "run")
    assert result["task"] == "panoptic"
    test = result["test"]
    assert all(0 <= test[name] <= 1 for name in ("SQ", "RQ", "PQ"))
    assert set(test["per_class"]["Corn"]) == {"SQ", "RQ", "PQ"}
    rule = "legacy" if "--legacy-void" in arguments else "corrected"
    for scores in (test, result["val"]):
        assert set(scores["void_rules"]) == {"corrected", "legacy"}
        own = scores["void_rules"][rule]
        assert own == {name: scores[name] for name in ("SQ", "RQ", "PQ")}
    assert result["counts_by_void_rule"][rule] == result["counts"]
    assert pooled.pool([result])["void_rules"] == test["void_rules"]
    assert 0 <= result["min_confidence"] < 1
    if "--min-confidence" in arguments:
        assert result["min_confidence"] == 0.1
    log = (tmp_path / "run" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    # The warm-up trains centerness alone.
    assert lines[0]["train"]["shape"] == 0 < lines[1]["train"]["shape"]
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files >= {"panel.png", "pq_per_class.png", "learning_curves.png", "result.json"}
    assert "test PQ" in capsys.readouterr().out
    reopened.check(tmp_path / "run")


@pytest.mark.long
def test_clouds_and_times_of_a_run_are_measured(data, tmp_path):
    from experiments.paper import cloud_cover, inference_time

    arguments = [*data, *SIZES, "--fusion", "single", "--min-confidence", "0.1"]
    result = run(arguments, tmp_path / "run")
    opened = reopened.check(tmp_path / "run")
    measured = cloud_cover.measure(opened, ratios=[0, 1], draws=1, spells=[1], seed=0)
    clear, dark = measured["curves"][0]["scores"]
    assert clear == [result["test"]["PQ"]]
    assert np.isfinite(dark)
    timed = inference_time.measure(opened, repeats=1)
    h, w = opened.splits.size
    assert timed["km2"] == pytest.approx(timed["count"] * h * w / 1e4)


def test_parts_of_the_loss_are_weighted(monkeypatch):
    values = PanopticLoss(*(Mean(jnp.float32(x), jnp.float32(2)) for x in (1, 10, 100, 1000)))
    monkeypatch.setattr(panoptic_task, "paps_loss", lambda *_, **__: values)
    prediction = Prediction(output=None, valid=jnp.ones(3, bool))
    real = jnp.array([True, True, False])
    batch = Batch(series={}, label=None, real=real, number=None)

    def loss(*weights):
        config = train.for_data(configure("panoptic", loss_weights=weights))
        task = train.make_task(config, PASTIS_R, ClassMapping.of(PASTIS_R.nomenclature))
        return [x.tolist() for x in task.loss(prediction, batch)]

    assert loss(1.0, 1.0, 1.0, 1.0) == [[555.5] * 3, [1, 1, 0]]
    assert loss(2.0, 0.0, 1.0, 3.0) == [[1.0 + 50 + 1500] * 3, [1, 1, 0]]
    alone = Prediction(output=None, valid=jnp.ones(3, bool))
    prediction = prediction.replace(auxiliary={"S2": alone, "S1A": alone})
    assert loss(1.0, 1.0, 1.0, 1.0)[0] == [555.5 * 2] * 3  # each modality's own counts half
    prediction = Prediction(output=None, valid=jnp.array([True, False, True]))
    assert loss(1.0, 1.0, 1.0, 1.0)[1] == [1, 0, 0]


REFUSED = [
    (["--fusion", "decision"], "--fusion"),
    (["--fusion", "early", "--auxiliary"], "--auxiliary"),
    (["--fusion", "late", "--auxiliary-parts", "heatmap"], "--auxiliary-parts"),
    (["--fusion", "late", "--auxiliary-weight", "1"], "--auxiliary-weight"),
    (["--min-confidence", "2"], "--min-confidence"),
    (["--max-instances", "0"], "--max-instances"),
    (["--warmup", "-1"], "--warmup"),
    (["--accumulate", "2"], "--accumulate"),
    (["--loss-weights", "0", "0", "0", "0"], "--loss-weights"),
    (["--loss-weights", "1", "-1", "1", "1"], "--loss-weights"),
    (["--weight-decay", "0.1"], "--weight-decay"),
    (["--ema", "1"], "--ema"),
    (["--init-from", "/no/such.pth.tar"], "/no/such.pth.tar"),
]


@pytest.mark.parametrize(("arguments", "named"), REFUSED, ids=lambda x: " ".join(x))
def test_mistakes_end_in_one_line_and_code_2(data, arguments, named, tmp_path, capsys):
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as exit_:
        panoptic.main([*data, *SIZES, "--fusion", "single", *arguments, "--out", str(out)])
    assert exit_.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert named in error
    assert not out.exists()


def test_annotations_that_contradict_stop_panoptic_runs_and_are_noted_in_others(tmp_path, capsys):
    root, cache = factory.make_patches(tmp_path / "set"), tmp_path / "cache"
    for patch in (10002, 10004):
        file = root / "ANNOTATIONS" / f"ParcelIDs_{patch}.npy"
        np.save(file, np.load(root / "ANNOTATIONS" / "ParcelIDs_10001.npy").T)
    flags = ["--data", str(root), "--cache-dir", str(cache), "--fusion", "single"]
    with pytest.raises(SystemExit) as stopped:
        panoptic.main([*flags, "--out", str(tmp_path / "run")])
    assert stopped.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"error: {root}/ANNOTATIONS/ParcelIDs_10002.npy: ")
    assert "(1 of 3 patches; `pastis-jax inspect` lists all)" in line
    assert not (tmp_path / "run").exists()
    config = train.for_data(configure("semantic", data=root, cache_dir=cache))
    splits, _ = train.open_splits(config)
    train.say_splits(splits, train.make_task(config, splits.dataset, splits.classes), config)
    notes = [one for one in capsys.readouterr().out.splitlines() if one.startswith("Note: ")]
    assert notes[0].startswith(f"Note: {root}/ANNOTATIONS/ParcelIDs_10002.npy: ")
    assert "(2 of 5 patches" in notes[0]
    assert "3 parcels of ParcelIDs (4970, 4980, 4990) have crop pixels in" in notes[1]


def test_a_flag_of_another_task_ends_with_code_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        panoptic.main(["--head-widths", "16"])
    assert stopped.value.code == 2
    assert "--head-widths" in capsys.readouterr().err


def test_published_weights_are_tested_as_they_are(data, golden_folder, tmp_path, capsys):
    """Their sizes and thresholds are taken over; without an epoch, the result is theirs."""
    torch = pytest.importorskip("torch")
    with np.load(golden_folder / "paps.npz") as case:
        state = {k.removeprefix("state/"): v for k, v in case.items() if k.startswith("state/")}
    state["min_confidence"] = np.array([0.17], np.float32)
    state = {name: torch.from_numpy(value) for name, value in state.items()}
    folder = tmp_path / "Fold_2"
    folder.mkdir()
    torch.save({"epoch": 1, "state_dict": state}, folder / "model.pth.tar")
    settings = {"agg_mode": "att_group", "n_head": 4, "d_model": 32, "mask_threshold": 0.3}
    (folder / "conf.json").write_text(json.dumps(settings))
    arguments = [*data, "--fusion", "single", "--epochs", "0", "--batch-size", "2"]
    arguments += ["--init-from", str(folder)]
    for flags, named in ((["--shape-size", "8"], "--shape-size"), (["--heads", "8"], "--heads")):
        with pytest.raises(SystemExit):
            panoptic.main([*arguments, *flags])
        assert named in capsys.readouterr().err
    result = run(arguments, tmp_path / "run")
    assert result["min_confidence"] == pytest.approx(0.17)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["mask_threshold"], config["shape_size"], config["warmup"]) == (0.3, 16, 0)
    # The U-TAE's own head is saved with them and never runs.
    idle = "running", "num_batches", "min_confidence", "encoder.out_conv"
    used = [v for name, v in state.items() if not any(word in name for word in idle)]
    assert result["parameters"] == sum(v.numel() for v in used)


@pytest.mark.skipif("PASTIS_R_PATCHES" not in os.environ, reason="PASTIS_R_PATCHES is not set")
@pytest.mark.parametrize("scheme", all_but(0, ["single", "early", "mid", "late"]))
def test_the_real_sample_trains_and_tests(scheme, tmp_path_factory, tmp_path):
    root, cache = os.environ["PASTIS_R_PATCHES"], tmp_path_factory.getbasetemp() / "patches"
    arguments = ["--data", root, "--fusion", scheme, "--cache-dir", str(cache)]
    arguments += [*SIZES, "--epochs", "1", "--warmup", "0"]
    result = run(arguments, tmp_path / "run")
    assert 0 <= result["test"]["PQ"] <= 1
    assert np.isfinite(result["test"]["loss"])
