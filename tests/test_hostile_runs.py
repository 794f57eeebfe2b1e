"""Runs from anyone: whatever stands in their files is data, and ends in a line at the worst."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pathlib
import resource
import shutil
import sys
import types
from functools import partial

import numpy as np
import patch_factory as factory
import pytest
from refusal import refused_in_a_line
from tiers import long

import pastis_jax
from experiments.paper import finished
from experiments.paper.report.__main__ import _validation
from pastis_jax import machine
from pastis_jax.cli import console, train
from pastis_jax.errors import UserError
from pastis_jax.runs import memory, results, saved, weights

RUN = pathlib.Path(__file__).parent / "runs" / "format1"
NESTED = json.loads("[" * 500 + "]" * 500)
ODD = (
    *(None, True, False, "", "x", "-1", "../x", "/dev/zero", "\x1b[2J", "a\nb", "\ud800"),
    *("x" * 10**4, -1, 0, 1, 3, 10**9, 2**63 - 1, 2**64, 10**400, -0.5, 1e300),
    *(float("nan"), float("inf"), [], [None], ["x"], [-1], [10**9] * 40, [1.5]),
    *({}, {"x": 1}, {"\x1b": None}, NESTED),
)
FEW = (None, True, "\x1b[2J", -1, 10**9, float("nan"), [None], {"x": 1}, NESTED)
MOST_MEMORY = 256 << 20
BINS = {"count": [3, *[0] * 14], "confidence": [0.5, *[None] * 14], "accuracy": [1, *[None] * 14]}
SCORES = {"ECE": 0.1, "NLL": None, "Brier": 0.2}
CALIBRATION = {
    **{"temperature": 1.5, "of": "pixels", "fitted_on": 300},
    **{"before": {**SCORES, **BINS}, "after": {**SCORES, **BINS}},
}


def places(content, path=()):
    """Every place of what JSON holds; of a list, the first and the last."""
    if path:
        yield path
    if isinstance(content, dict):
        for name in content:
            yield from places(content[name], (*path, name))
    elif isinstance(content, list):
        for number in sorted({0, len(content) - 1} & {*range(len(content))}):
            yield from places(content[number], (*path, number))


def changed(content, odd=ODD):
    """Copies of `content` with something odd at one place, or nothing; with that place."""
    for *path, last in places(content):
        for value in (*odd, "nothing at all"):
            other = copy.deepcopy(content)
            inner = other
            for name in path:
                inner = inner[name]
            if value == "nothing at all":
                del inner[last]
            else:
                inner[last] = value
            yield (*path, last), other


def read_json(file):
    return json.loads(file.read_text())


def panoptic():
    """The kept run, as if it found parcels."""
    content = read_json(RUN / "run.json")
    del content["model"]["head_widths"]
    content["model"] |= {"shape_size": 4, "mask_conv": True, "min_remain": 0.5, "auxiliary": False}
    content["options"] = {"loss_weights": [1, 1, 1, 1], "min_confidence": None, "legacy_void": True}
    return content | {"task": "panoptic", "context": {"min_confidence": 0.25}}


def outcome(call):
    """What a call gives; None where it is refused, in one line that can be shown."""
    try:
        return call()
    except UserError as error:
        text = str(error)
        assert len(text) < 2500
        assert text.isprintable(), text
        return None


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(RUN, tmp_path / "run")


@contextlib.contextmanager
def little_memory():
    """Asserts that what is done in it takes little."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken * (1 if sys.platform == "darwin" else 1024) < MOST_MEMORY


@pytest.mark.parametrize(
    ("task", "odd"),
    [
        ("semantic", FEW),
        ("panoptic", FEW),
        pytest.param("semantic", ODD, marks=long),
        pytest.param("panoptic", ODD, marks=long),
    ],
    ids=["semantic", "panoptic", "semantic all", "panoptic all"],
)
def test_whatever_stands_in_a_description_is_refused_or_harmless(folder, task, odd):
    """Every field of run.json replaced by anything; what is read is within bounds."""
    content = read_json(RUN / "run.json") if task == "semantic" else panoptic()
    content["temperature"] = 1.5
    (folder / "run.json").write_text(json.dumps(content))
    before, specs = saved.read(folder), set()
    with little_memory():
        for place, other in changed(content, odd):
            (folder / "run.json").write_text(json.dumps(other))
            run = outcome(partial(saved.read, folder))
            if run is None:
                continue
            specs.add(run.spec)
            assert 1 <= run.batch_size <= 65536
            assert all(0 <= share <= 1 for share in run.context.values()), place
            assert 0.05 <= run.temperature <= 20
            for mean, std in run.learned.statistics.values():
                assert np.isfinite(mean).all()
                assert (std > 0).all()
            assert run.learned.classes.void == before.learned.classes.void
    assert before.spec in specs
    # What a model is, is compared with the weights before any are read.
    assert len(specs) < 60


def test_a_model_of_other_sizes_is_refused_before_it_is_made(folder):
    for change in (
        {"encoder_widths": [4096] * 3, "decoder_widths": [4096] * 3},
        {"head_widths": [4096] * 8},
        {"modalities": ["S2"]},
    ):
        content = read_json(RUN / "run.json")
        content["model"] |= change
        if "modalities" in change:
            del content["statistics"]["S1A"]
        (folder / "run.json").write_text(json.dumps(content))
        with little_memory():
            refused_in_a_line(partial(pastis_jax.open_run, folder), "weights.npz")


def test_weights_that_say_that_they_are_larger_are_refused(folder):
    file = folder / "weights.npz"
    with np.load(file) as content:
        arrays = dict(content)
    name = next(iter(arrays))
    shapes = pastis_jax.open_run(RUN).variables
    np.savez_compressed(file, **arrays)
    refused_in_a_line(partial(weights.read, folder, shapes), "weights.npz", "is compressed")
    wide = {**arrays, name: np.zeros(1, np.float32)}
    np.savez(file, **wide)
    lie = b"'shape': (1,), }" + b" " * 20
    assert lie in file.read_bytes()
    content = file.read_bytes().replace(lie, b"'shape': (1000000000000,), }".ljust(len(lie)), 1)
    file.write_bytes(content)
    refused_in_a_line(partial(weights.read, folder, shapes), "weights.npz")


def test_one_flipped_bit_of_the_weights_or_the_dataset_is_noticed(folder):
    """In the middle of a number, where the file still reads; checksums are written with the run."""
    run = pastis_jax.open_run(folder)
    assert "no checksums" in run.notes[0]  # It was kept before there were any.
    saved.write(folder, run.saved, run.variables)
    assert pastis_jax.open_run(folder).notes == ()
    for name, place in (("weights.npz", 2000), ("dataset.json", b"-09-01")):
        content = (folder / name).read_bytes()
        flipped = bytearray(content)
        flipped[place if isinstance(place, int) else content.index(place) + 2] ^= 1
        (folder / name).write_bytes(flipped)
        refused_in_a_line(partial(pastis_jax.open_run, folder), name)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", ["run.json", "dataset.json", "weights.npz"])
def test_what_is_no_file_is_not_waited_for(folder, name):
    """A device has no end, a pipe no beginning."""
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir):
        (folder / name).unlink() if not (folder / name).is_dir() else (folder / name).rmdir()
        make(folder / name)
        refused_in_a_line(partial(pastis_jax.open_run, folder), name)


def test_nothing_is_written_where_a_run_says(folder, tmp_path, monkeypatch):
    """Its own data are prepared in the default cache."""
    monkeypatch.setenv("PASTIS_JAX_CACHE", str(tmp_path / "default"))
    elsewhere = tmp_path / "elsewhere"
    content = read_json(folder / "run.json")
    root = factory.make_patches(tmp_path / "patches")
    content["records"] |= {"data": str(root), "cache_dir": str(elsewhere)}
    # It was trained with statistics of nothing, which are refused on other data.
    content["statistics"] = {name: factory.norm(name, 1) for name in content["statistics"]}
    (folder / "run.json").write_text(json.dumps(content))
    run = pastis_jax.open_run(folder)
    refused_in_a_line(run.open_data, str(root))  # They are others than it was trained on.
    assert not elsewhere.exists()
    assert list((tmp_path / "default").iterdir())


def test_batches_that_fill_much_of_the_memory_are_told_of(monkeypatch):
    plan = types.SimpleNamespace(
        batch_size=8, evaluation_size=4, rows=range(8), evaluation_rows=range(4)
    )

    def encode(record, rng):
        return {"values": np.zeros(10**5, np.uint8)}

    splits = types.SimpleNamespace(
        plan=plan, encode=encode, evaluation_encoding=encode, sources={"train": [{}]}
    )
    said = []
    for size in (10**9, 6 * 8 * 10**5 + 1):
        monkeypatch.setattr(machine, "memory", lambda size=size: size)
        memory.check_batches(splits, "parcels", said.append)
    (line,) = said
    assert line.startswith("Note: batches of 8 parcels take 0.0 GB each, 6 are held at a time")
    monkeypatch.setattr(machine, "memory", lambda: 6 * 4 * 10**5)
    refused_in_a_line(lambda: memory.check_batches(splits, "parcels", print), "give 4 or less")
    monkeypatch.setattr(machine, "memory", lambda: None)
    memory.check_batches(splits, "parcels", said.append)


def test_this_machine_has_memory():
    assert machine.memory() is None or machine.memory() > 1 << 28


def test_whatever_stands_in_a_result_is_refused_or_shown(folder, capsys):
    """By whoever reads it: open_run, the report, and train, which shows it."""
    content = {**read_json(RUN / "result.json"), "calibration": CALIBRATION}
    (folder / "config.json").write_text("{}")
    run, shown = pastis_jax.open_run(folder), 0
    for _, other in changed(content, FEW):
        (folder / "result.json").write_text(json.dumps(other))
        mine, reported = (
            outcome(x) for x in (lambda: run.result, lambda: finished.read_run(folder))
        )
        run.__dict__.pop("result", None)
        if mine is None or not {*results.SHOWN} <= mine.keys():
            continue
        assert reported is not None
        given = types.SimpleNamespace(result=mine, path=folder)
        if outcome(lambda given=given: train.check_result(given) or True) and shown < 20:
            console.show_result(mine, scores=("mIoU", "OA"), per_class="IoU")
            shown += 1
    assert shown == 20
    assert "\x1b[2J" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    ["null", "[]", "5", "{}", '{"val": null}', '{"val": {"mIoU": "x"}}', '{"val": [1]}', "{"],
)
def test_a_damaged_log_ends_in_a_line(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(line + "\n")
    refused_in_a_line(partial(_validation, tmp_path, "mIoU"), "metrics.jsonl: cannot be read")


def test_a_score_that_is_undefined_is_no_damage(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"val": {"mIoU": null}}\n{"val": {"mIoU": 0.5}}\n')
    assert np.array_equal(_validation(tmp_path, "mIoU"), [np.nan, 0.5], equal_nan=True)


def test_an_impossible_model_ends_in_a_line(folder, monkeypatch):
    """Whatever a module that was added makes of its sizes."""

    def fail(*_):
        raise ZeroDivisionError("integer modulo by zero")

    monkeypatch.setattr("pastis_jax.runs.opened._variables", fail)
    refused_in_a_line(partial(pastis_jax.open_run, folder), "run.json", "ZeroDivisionError")
