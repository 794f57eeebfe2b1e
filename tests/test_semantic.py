"""Semantic segmentation from the command line: schemes, options, mistakes, published weights."""

from __future__ import annotations

import json
import os
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import patch_factory as factory
import pytest
import reopened
from tiers import all_but, long

from experiments import semantic
from pastis_jax import training
from pastis_jax.cli import train
from pastis_jax.cli.config import configure
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.runs.scoring import model_for
from pastis_jax.temporal_dropout import temporal_dropout
from pastis_jax.training import count_parameters
from pastis_jax.types import Series

SIZES = ["--encoder-widths", "8", "8", "--decoder-widths", "8", "8", "--head-widths", "8"]
SIZES += ["--heads", "2", "--model-features", "8", "--batch-size", "2", "--epochs", "1"]
TWO = ["--modalities", "S2", "S1A"]
MAPPED = [*TWO, "--parallel", "pmap"]
CLASSES = ClassMapping.of(PASTIS_R.nomenclature)
RATES = {modality.name: modality.drop_rate for modality in PASTIS_R.modalities}
WATCHED = ["--accumulate", "2", "--tensorboard", "--profile"]

COUNTS = [
    ({"fusion": "single", "modalities": ("S2",)}, 1_087_260),
    ({"fusion": "single", "modalities": ("S1A",)}, 1_083_228),
    ({"fusion": "early"}, 1_090_716),
    ({"fusion": "mid"}, 2_299_932),
    ({"fusion": "mid", "auxiliary": True}, 2_345_328),
    ({"fusion": "mid", "auxiliary": True, "separate_temporal": True}, 3_730_608),
    ({"fusion": "late"}, 3_241_884),
    ({"fusion": "late", "auxiliary": True}, 3_287_280),
    ({"fusion": "decision", "auxiliary": True}, 3_253_716),
]


@pytest.mark.parametrize(("arguments", "expected"), COUNTS, ids=str)
def test_parameters(arguments, expected):
    """Full size, by shape alone; docs/parameters.md holds the same numbers."""
    # Full size, though nothing is read of this folder.
    config = configure("semantic", data=pathlib.Path("unused"), **arguments)
    config = train.for_data(config.replaced(data=None))

    def series(channels):
        values = jnp.zeros((4, 61, 128, 128, channels))
        return Series(values=values, days=jnp.zeros((4, 61), int), valid=jnp.ones((4, 61), bool))

    inputs = {m: series(10 if m == "S2" else 3) for m in config.model.modalities}
    task = train.make_task(config, PASTIS_R, CLASSES)
    model = task.model(dict.fromkeys(inputs, 180))
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
    shapes = jax.eval_shape(partial(model.init, train=True), rngs, inputs)
    assert count_parameters(shapes["params"]) == expected
    page = pathlib.Path(__file__).parent.parent / "docs" / "parameters.md"
    assert f"{expected:,}" in page.read_text()
    prediction = jax.eval_shape(model.apply, shapes, inputs)
    assert prediction.output.shape == (4, 128, 128, 20)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("semantic")
    return ["--data", str(factory.make_patches(folder / "set")), "--cache-dir", str(folder / "c")]


def run(arguments, out):
    semantic.main([*arguments, "--out", str(out)])
    return json.loads((out / "result.json").read_text())


@pytest.mark.parametrize(
    "arguments",
    all_but(
        1,
        [
            ["--fusion", "single", "--date", "2019-05-01", "--flips", "--turns", "--components"],
            [
                "--fusion",
                "early",
                "--temporal-dropout",
                "--crop",
                "8",
                "--aggregation",
                "mean",
                "--cache",
            ],
            ["--fusion", "mid", "--auxiliary", "--remat", "--encoder-norm", "batch", *MAPPED],
            [
                "--fusion",
                "late",
                "--temporal-dropout",
                "--modalities",
                "S1D",
                "S2",
                "--bf16",
                *WATCHED,
            ],
            [
                "--fusion",
                "decision",
                "--initialisation",
                "reference",
                "--aggregation",
                "att_mean",
                *TWO,
            ],
        ],
    ),
    ids=" ".join,
)
def test_every_scheme_trains_tests_and_reports(data, tmp_path, capsys, arguments):
    result = run([*data, *SIZES, *arguments], tmp_path / "run")
    assert result["task"] == "semantic"
    assert result["fusion"] == arguments[1]
    names = list(CLASSES.names)
    assert list(result["test"]["iou"]) == names
    semantic_map = np.load(next(pathlib.Path(data[1]).glob("ANNOTATIONS/TARGET_10005.npy")))[0]
    assert np.sum(result["confusion"]) == np.sum(semantic_map != 19)  # every labelled pixel once
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files >= {"panel.png", "learning_curves.png", "confusion_matrix.png", "result.json"}
    watched = {"tensorboard", "profile"}
    assert files & watched == (watched if "--profile" in arguments else set())
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["train"]["gradient_norm"] > 0
    assert "gradient_norm" not in line["val"]
    assert 0 <= line["data_wait"] <= 1
    assert sum(result["parameters_by_module"].values()) == result["parameters"]
    printed = capsys.readouterr().out
    assert ("test_components" in result) == ("--components" in arguments)
    if "--components" in arguments:
        parts = result["test_components"]
        assert 0 <= parts["PQ"] <= 1
        assert list(parts["per_class"]) == names
        assert "PQ of connected components" in printed
    reopened.check(tmp_path / "run")
    assert "patches/s" in printed
    assert "Background" in printed


@long
def test_classes_can_be_grouped(data, tmp_path):
    groups = {"Cereals": ["Soft winter wheat", 4], "Void": ["Background"]}
    (tmp_path / "classes.json").write_text(json.dumps(groups))
    arguments = [*data, *SIZES, "--fusion", "single", "--modalities", "S1A"]
    result = run([*arguments, "--class-mapping", str(tmp_path / "classes.json")], tmp_path / "run")
    assert "Cereals" in result["test"]["iou"]
    assert not {"Background", "Winter barley"} & set(result["test"]["iou"])
    semantic_map = np.load(next(pathlib.Path(data[1]).glob("ANNOTATIONS/TARGET_10005.npy")))[0]
    assert np.sum(result["confusion"]) == np.sum((semantic_map != 19) & (semantic_map != 0))


REFUSED = [
    (["--accumulate", "0"], "--accumulate"),
    (["--batch-size", "2", "--accumulate", "3"], "--accumulate"),
    (["--crop", "17"], "--crop"),
    (["--crop", "2"], "--crop"),
    (["--crop", "-1"], "--crop"),
    (["--date", "2019-13-01"], "--date"),
    (["--date", "99"], "--date"),
    (["--encoder-widths", "8", "9", "--decoder-widths", "8", "9"], "--encoder-widths"),
    (["--encoder-widths", "6", "6", "--decoder-widths", "6", "6"], "--encoder-widths"),
    (["--decoder-widths", "8", "4"], "--decoder-widths"),
    (["--heads", "3"], "--encoder-widths"),
    (["--model-features", "7"], "--model-features"),
    (["--model-features", "-8"], "--model-features"),
    (["--heads", "0"], "--heads"),
    (["--date", "2019-05-01", "--temporal-dropout"], "--date"),
    (["--class-mapping", "/no/such.json"], "/no/such.json"),
    (["--epochs", "0"], "--epochs"),
    (["--init-from", "/no/such.pth.tar"], "/no/such.pth.tar"),
    (["--data", "/no/such/folder"], "/no/such/folder"),
]


@pytest.mark.parametrize(("arguments", "named"), REFUSED, ids=lambda x: " ".join(x))
def test_mistakes_end_in_one_line_and_code_2(data, arguments, named, tmp_path, capsys):
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as exit_:
        semantic.main([*data, *SIZES, "--fusion", "single", *arguments, "--out", str(out)])
    assert exit_.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert named in error
    assert not out.exists()


def test_published_weights_are_tested_as_they_are(data, golden_folder, tmp_path, capsys):
    """Their sizes are taken over; without an epoch, the result is theirs."""
    torch = pytest.importorskip("torch")
    with np.load(golden_folder / "utae_att_mean.npz") as case:
        state = {k.removeprefix("state/"): v for k, v in case.items() if k.startswith("state/")}
    state = {name: torch.from_numpy(value) for name, value in state.items()}
    folder = tmp_path / "Fold_2"
    folder.mkdir()
    torch.save({"epoch": 1, "state_dict": state, "optimizer": {}}, folder / "model.pth.tar")
    settings = {"agg_mode": "att_mean", "n_head": 4, "d_model": 32}
    (folder / "conf.json").write_text(json.dumps(settings))
    arguments = [*data, "--fusion", "single", "--epochs", "0", "--batch-size", "2"]
    arguments += ["--init-from", str(folder)]
    with pytest.raises(SystemExit):
        semantic.main([*arguments, "--heads", "8"])
    assert "--heads" in capsys.readouterr().err
    result = run(arguments, tmp_path / "run")
    assert "folds of --fold 2" in capsys.readouterr().out
    assert result["parameters"] == sum(
        v.numel() for n, v in state.items() if "running" not in n and "num_batches" not in n
    )
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["encoder_widths"] == [16, 16, 16, 32]
    assert result["best_epoch"] == 0


@pytest.mark.skipif("PASTIS_R_PATCHES" not in os.environ, reason="PASTIS_R_PATCHES is not set")
@pytest.mark.parametrize("scheme", all_but(0, ["early", "mid", "late", "decision"]))
def test_the_real_sample_trains_and_tests(scheme, tmp_path_factory, tmp_path):
    root, cache = os.environ["PASTIS_R_PATCHES"], tmp_path_factory.getbasetemp() / "patches"
    arguments = ["--data", root, "--fusion", scheme, "--cache-dir", str(cache)]
    result = run([*arguments, *SIZES], tmp_path / "run")
    assert 0 <= result["test"]["mIoU"] <= 1
    assert np.isfinite(result["test"]["loss"])


def test_temporal_dropout_leaves_as_much_on_any_number_of_devices(data, monkeypatch):
    """What it leaves does not depend on the room that sharded models have for frames."""
    flags = {"data": pathlib.Path(data[1]), "fusion": "late", "batch_size": 3, "accumulate": 2}
    config = configure("semantic", **flags, temporal_dropout=True, cache_dir=pathlib.Path(data[3]))
    config = train.for_data(config)
    splits, _ = train.open_splits(config)
    task, left = train.make_task(config, splits.dataset, splits.classes), []
    for devices in (1, 8):
        monkeypatch.setattr(jax, "device_count", lambda devices=devices: devices)
        monkeypatch.setattr(
            jax, "devices", lambda devices=devices: [jax.local_devices()[0]] * devices
        )
        placement = train.placement(config)
        build, most = model_for(task, splits, "train", size=3, placement=placement, rates=RATES)
        left.append(most)
        room = {name: one.capacity for name, one in build().spatial.items()}
        assert set(room.values()) == {None} if devices == 8 else room == most
    assert left[0] == left[1]
    assert None not in left[0].values()


def test_one_trace_per_mode(data):
    """Series of all lengths, dropped dates and a last batch that is filled up: one program each."""
    config = configure(
        "semantic",
        data=pathlib.Path(data[1]),
        cache_dir=pathlib.Path(data[3]),
        fusion="mid",
        modalities=("S2", "S1D"),
        temporal_dropout=True,
        batch_size=2,
        encoder_widths=(8, 8),
        decoder_widths=(8, 8),
        head_widths=(8,),
        heads=2,
        model_features=8,
    )
    config = train.for_data(config)
    loaded, _ = train.open_splits(config)
    task, traces = train.make_task(config, loaded.dataset, loaded.classes), []
    build, rooms = model_for(
        task, loaded, *loaded.sources, size=2, placement=train.placement(config)
    )
    model = build()

    def loss(prediction, batch):
        traces.append(None)
        return task.loss(prediction, batch)

    placement = training.Placement()
    parts = {"model": model, "loss": loss, "metric": task.metric, "placement": placement}
    update = training.make_train_step(
        **parts,
        optimizer=optax.adam(1e-3),
        key=jax.random.key(0),
        augment=partial(temporal_dropout, rates=RATES, most=rooms),
    )
    evaluate = training.make_evaluation_step(**parts)
    batches = loaded.training()
    state = training.create_state(model, optax.adam(1e-3), next(batches), jax.random.key(0))
    put = placement.whole
    state, metrics = put(state), put(training.EpochMetrics.empty(task.empty(), 2))
    for _ in range(3):
        state, metrics = update(state, metrics, next(batches))
    assert len(traces) == 1
    for split in ("train", "val"):
        for batch in loaded.evaluation(split):
            metrics = evaluate(state, metrics, batch, {})
    assert len(traces) == 2
    assert int(metrics.samples) == 3 * 2 + 3 + 1
