"""The experiment from the command line: every scheme, parameter counts, mistakes, repetition."""

from __future__ import annotations

import json
import os
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pixel_set_factory as factory
import pytest
import reopened
from tiers import all_but, long

from experiments import parcel
from pastis_jax.cli import train
from pastis_jax.cli.config import configure
from pastis_jax.data import simulate
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.errors import UserError
from pastis_jax.tasks import parcel as parcel_task
from pastis_jax.training import count_parameters
from pastis_jax.types import Series

CLASSES = ClassMapping.crops(PASTIS_R.nomenclature)
COUNTS = [
    ({"fusion": "single", "modalities": ("S2",)}, 113_746),
    ({"fusion": "single", "modalities": ("S1D",)}, 113_522),
    ({"fusion": "early"}, 113_938),
    ({"fusion": "mid"}, 152_146),
    ({"fusion": "mid", "auxiliary": True}, 185_512),
    ({"fusion": "mid", "auxiliary": True, "separate_temporal": True}, 435_112),
    ({"fusion": "late"}, 334_930),
    ({"fusion": "late", "auxiliary": True}, 368_296),
    ({"fusion": "decision"}, 340_790),
    ({"fusion": "decision", "auxiliary": True}, 340_790),
]


@pytest.mark.parametrize(("arguments", "expected"), COUNTS, ids=str)
def test_parameters(arguments, expected):
    """Full size, by shape alone; docs/parameters.md holds the same numbers."""
    config = train.for_data(configure("parcel", **arguments))

    def series(channels):
        days = jnp.zeros((2, 4), int)
        return Series(
            values=jnp.zeros((2, 4, 32, channels)),
            days=days,
            valid=days == 0,
            pixels=jnp.ones((2, 32), bool),
        )

    inputs = {m: series(factory.CHANNELS[m]) for m in config.model.modalities}
    model = train.make_task(config, PASTIS_R, CLASSES).model()
    init = partial(model.init, train=True)
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
    shapes = jax.eval_shape(init, rngs, inputs)
    assert count_parameters(shapes["params"]) == expected
    page = pathlib.Path(__file__).parent.parent / "docs" / "parameters.md"
    assert f"{expected:,}" in page.read_text()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tiny folder with 1 to 40 pixels a parcel, prepared in a cache of its own."""
    folder = tmp_path_factory.mktemp("parcel")
    root = factory.make_pixel_set(folder / "set", parcels_per_fold=7, labels=(1, 3, 8, 19, 5))
    return ["--data", str(root), "--cache-dir", str(folder / "cache")]


def run(arguments, out):
    parcel.main([*arguments, "--epochs", "2", "--batch-size", "8", "--out", str(out)])
    return json.loads((out / "result.json").read_text())


@pytest.mark.parametrize(
    "arguments",
    all_but(
        2,
        [
            ["--fusion", "single"],
            ["--fusion", "early", "--temporal-dropout", "--geometric"],
            ["--fusion", "mid", "--auxiliary", "--separate-temporal"],
            ["--fusion", "late", "--auxiliary", "--temporal-dropout", "--modalities", "S1D", "S2"],
            ["--fusion", "decision", "--initialisation", "reference", "--compute-statistics"],
        ],
    ),
    ids=" ".join,
)
def test_every_scheme_trains_tests_and_reports(data, tmp_path, capsys, arguments):
    result = run([*data, *arguments, "--removed-optical", "0.5"], tmp_path / "run")
    assert result["task"] == "parcel"
    assert result["fusion"] == arguments[1]
    assert result["temporal_dropout"] == ("--temporal-dropout" in arguments)
    for split in ("test", "val"):
        assert 0 <= result[split]["OA"] <= 1
        assert set(result[split]["iou"]) == set(CLASSES.names)
    assert np.sum(result["confusion"]) == 5  # fold 5: seven parcels, two of them void
    assert result["throughput"]["train"] > 0
    assert result["seconds"].keys() >= {"train", "inference"}
    assert result["test_removed_optical"].keys() == {"0.5"}
    assert 0 <= result["test"]["macro F1"] <= 1
    number = {"single": 0, "early": 3}.get(arguments[1], 2 ** len(result["modalities"]) - 2)
    assert len(result["test_subsets"]) == number
    for fewer in result["test_subsets"].values():
        assert fewer.keys() == {"OA", "mIoU", "macro F1", "loss", "unobserved"}
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {
        *("run.json", "dataset.json", "weights.npz", "data.json", "config.json"),
        "metrics.jsonl",
        "result.json",
        "checkpoints",
        "learning_curves.png",
        "confusion_matrix.png",
        "iou_per_class.png",
        "reliability.png",
    }
    printed = capsys.readouterr().out
    assert "test mIoU" in printed
    assert "Winter rapeseed" in printed
    reopened.check(tmp_path / "run")


@long
def test_a_run_twice_gives_identical_results(data, tmp_path):
    arguments = [*data, "--fusion", "mid", "--temporal-dropout", "--seed", "3"]
    results = [run(arguments, tmp_path / name) for name in "ab"]
    for result in results:
        for name in ("seconds", "throughput", "peak_memory_gb"):
            del result[name]
    assert results[0] == results[1]
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in "ab"]
    for one, other in zip(*lines, strict=True):
        one, other = json.loads(one), json.loads(other)
        assert one["train"] == other["train"]
        assert one["val"] == other["val"]


REFUSED = [
    (["--fusion", "single", "--modalities", "S2", "S1A"], "--modalities"),
    (["--fusion", "early", "--auxiliary"], "--auxiliary"),
    (["--fusion", "mid", "--separate-temporal"], "--separate-temporal"),
    (["--epochs", "0"], "--epochs"),
    (["--batch-size", "0"], "--batch-size"),
    (["--pixels", "0"], "--pixels"),
    (["--pixels", "100000000000"], "--pixels"),
    (["--learning-rate", "nan"], "--learning-rate"),
    (["--learning-rate", "inf"], "--learning-rate"),
    (["--seed", "-1"], "--seed"),
    (["--seed", "18446744073709551615"], "--seed"),
    (
        ["--fusion", "single", "--modalities", "S1A", "--removed-optical", "0.7"],
        "--removed-optical",
    ),
    (["--data", "~nobody-of-this-name/x"], "~nobody-of-this-name/x"),
    (["--removed-optical", "70"], "--removed-optical"),
    (["--modality-dropout", "1.5"], "--modality-dropout"),
    (["--fusion", "single", "--modality-dropout", "0.2"], "--modality-dropout"),
    (["--drop-rates", "S2=0.2"], "--drop-rates"),
    (["--temporal-dropout", "--drop-rates", "S2=2"], "--drop-rates"),
    (["--temporal-dropout", "--drop-rates", "0.2"], "--drop-rates"),
    (["--fusion", "late", "--average", "logit"], "--average"),
    (["--auxiliary", "--auxiliary-weight", "nan"], "--auxiliary-weight"),
    (["--data", "/no/such/folder"], "/no/such/folder"),
]


@pytest.mark.parametrize(("arguments", "named"), REFUSED, ids=lambda x: " ".join(x))
def test_mistakes_end_in_one_line_and_code_2(arguments, named, tmp_path, capsys):
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as stopped:
        parcel.main([*arguments, "--out", str(out), "--cache-dir", str(tmp_path / "cache")])
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    assert error.startswith("error: ")
    assert named in error
    assert list(tmp_path.iterdir()) == []


def test_broken_data_leaves_nothing_behind(tmp_path, capsys):
    root = factory.make_pixel_set(tmp_path / "set")
    victim = sorted((root / "DATA_S1A").iterdir())[-1]
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(SystemExit) as stopped:
        parcel.main(
            [
                "--data",
                str(root),
                "--out",
                str(tmp_path / "run"),
                "--cache-dir",
                str(tmp_path / "cache"),
            ]
        )
    assert stopped.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert victim.name in last
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@long
def test_flags_change_training(data, tmp_path):
    """Temporal dropout and auxiliary supervision are not only written down."""
    base = [*data, "--fusion", "mid", "--seed", "3"]  # As above: what is compiled is used again.
    losses = set()
    for flags in ([], ["--temporal-dropout"], ["--auxiliary"]):
        out = tmp_path / "".join(["run", *flags])
        run([*base, *flags], out)
        losses.add(json.loads((out / "metrics.jsonl").read_text().splitlines()[0])["train"]["loss"])
    assert len(losses) == 3


def test_folds_of_the_protocol(data, tmp_path, monkeypatch):
    """Fold 2 trains and normalises on 2 3 4, validates on 5, tests on 1."""
    asked = {"source": [], "statistics": []}

    def prepare(*args, **kwargs):
        prepared = prepare_pixel_sets(*args, **kwargs)
        for name, calls in asked.items():
            method = getattr(prepared, name)

            def spy(folds, method=method, calls=calls):
                calls.append(folds)
                return method(folds)

            object.__setattr__(prepared, name, spy)
        return prepared

    monkeypatch.setattr(parcel_task, "prepare_pixel_sets", prepare)
    result = run([*data, "--fusion", "single", "--fold", "2"], tmp_path / "run")
    assert asked == {"source": [(2, 3, 4), (5,), (1,)], "statistics": [(2, 3, 4)]}
    assert np.sum(result["confusion"]) == 6  # fold 1: seven parcels, one of them void


def test_folder_of_another_run_is_refused(data, tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SystemExit) as stopped:
        parcel.main([*data, "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "already holds a run" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--fold", "6"], ["--fusion", "middle"], ["--nonsense"]])
def test_unknown_arguments_end_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        parcel.main(arguments)
    assert stopped.value.code == 2
    capsys.readouterr()


def test_help_explains_every_argument(capsys):
    with pytest.raises(SystemExit) as stopped:
        parcel.main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for name in configure("parcel").leaves():
        assert f"--{name.replace('_', '-')}" in text


def test_simulated_set_is_made_once(tmp_path, monkeypatch):
    made = []

    def fake(folder, *, seed):
        made.append(seed)
        folder.mkdir(parents=True)

    monkeypatch.setattr(simulate.generate, "simulate", fake)
    folders = {simulate.default_pixel_sets(tmp_path) for _ in range(2)}
    assert len(folders) == 1
    assert made == [0]


SAMPLE = os.environ.get("PASTIS_R_PIXELSET")


@pytest.mark.skipif(not SAMPLE, reason="PASTIS_R_PIXELSET names no sample of the real dataset")
@pytest.mark.parametrize("scheme", all_but(0, ["late", "early", "mid", "decision"]))
def test_real_sample_trains_and_tests(scheme, tmp_path_factory, tmp_path):
    cache = tmp_path_factory.getbasetemp() / "sample"
    out = tmp_path / "run"
    parcel.main(
        [
            "--data",
            SAMPLE,
            "--fusion",
            scheme,
            "--epochs",
            "2",
            "--out",
            str(out),
            "--cache-dir",
            str(cache),
        ]
    )
    result = json.loads((out / "result.json").read_text())
    assert np.sum(result["confusion"]) == 53
    assert np.isfinite(result["test"]["loss"])


def test_user_error_is_one_line():
    error = UserError("is\nwrong", where="a.npy", remedy="mend  it")
    assert str(error) == "a.npy: is wrong; mend it"
