"""A run that stops anywhere goes on as if it had not; what it finds is used or refused."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from disk import full_disk
from refusal import refused_in_a_line
from tiers import all_but

from pastis_jax import fusion, training
from pastis_jax.errors import UserError
from pastis_jax.losses import supervised_loss
from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
from pastis_jax.temporal_dropout import temporal_dropout
from pastis_jax.training import checkpoint
from pastis_jax.training.progress import Progress
from pastis_jax.types import Batch, Series

B, T, CLASSES, EPOCHS, STEPS = 8, 5, 3, 4, 5


class StoppedError(Exception):
    """Stands for whatever ends a run."""


def make_batch(index):
    rng = np.random.default_rng(index)
    label = rng.integers(0, CLASSES, B).astype(np.int32)
    values = label[:, None, None, None] + rng.normal(size=(B, T, 2, 4))
    days = np.sort(rng.integers(0, 60, (B, T)), 1).astype(np.int32)
    series = Series(
        values=values.astype(np.float32),
        days=days,
        valid=np.ones((B, T), bool),
        pixels=np.ones((B, 2), bool),
    )
    ids = np.arange(B, dtype=np.int32)
    return Batch(series={"S2": series}, label=label, real=np.ones(B, bool), number=ids)


class Stream:
    """Batches by their index; `stop` is the index of the one that cannot be had."""

    def __init__(self, stop=None):
        self.index, self.stop = 0, stop

    def __next__(self):
        if self.index == self.stop:
            raise StoppedError
        self.index += 1
        return make_batch(self.index - 1)

    def get_state(self):
        return {"next_index": self.index}

    def set_state(self, state):
        self.index = state["next_index"]


class Compiled:
    """A step that is compiled when it is first asked to."""

    def __init__(self, step):
        self.step, self.program = step, None

    def lower(self, *arguments):
        self.program = self.program or self.step.lower(*arguments).compile()
        return self

    def compile(self):
        return self.program


class Steps:
    """Compiled once for all tests of this file."""

    def __init__(self):
        self.placement, self.optimizer = training.Placement(), optax.adam(1e-2)
        self.model = fusion.single(
            "S2",
            PixelSetEncoder(widths=(4,), features=8),
            LTAE(features=8, model_features=8, heads=2, dropout=0.2),
            MLPDecoder(CLASSES, widths=(4,)),
        )
        self.main, self.warmup = Compiled(self.train_step(1.0)), Compiled(self.train_step(0.0))
        self.test = training.make_evaluation_step(
            model=self.model, loss=self.loss, metric=self.metric, placement=self.placement
        )
        state = training.create_state(self.model, self.optimizer, make_batch(0), jax.random.key(0))
        self.start = state.replace(average=state.variables)

    def train_step(self, weight):
        def loss(prediction, batch):
            losses, weights = self.loss(prediction, batch)
            return losses * weight + prediction.output.mean(-1) ** 2, weights

        return training.make_train_step(
            model=self.model,
            loss=loss,
            metric=self.metric,
            optimizer=self.optimizer,
            key=jax.random.key(0),
            placement=self.placement,
            augment=partial(temporal_dropout, rates={"S2": 0.4}),
            ema=0.9,
        )

    @staticmethod
    def loss(prediction, batch):
        return supervised_loss(prediction, batch.label, batch.real)

    @staticmethod
    def metric(prediction, batch):
        predicted = prediction.output.argmax(-1)
        return ConfusionMatrix.from_batch(batch.label, predicted, batch.real, classes=CLASSES)

    @staticmethod
    def empty():
        return training.EpochMetrics.empty(ConfusionMatrix.empty(CLASSES), B)

    def state(self):
        """A new state; steps donate theirs."""
        return jax.tree.map(jnp.copy, self.start)


@pytest.fixture(scope="module")
def steps():
    # As for every test, but modules' fixtures come before: other optimisations, other last bits.
    jax.config.update("jax_disable_most_optimizations", True)
    return Steps()


SCORES = (0.2, 0.7, 0.7, 0.4)
"""Of the epochs: the second is the best."""


def fit(steps, path, *, batches=None, stop_in=None, epochs=EPOCHS, checkpoint_steps=None):
    """Trains in `path` until a batch is missing or the validation of epoch `stop_in`."""

    def validate(state):
        epoch = int(state.step) // STEPS
        if epoch == stop_in:
            raise StoppedError
        outcome = training.evaluate(
            state, [make_batch(99)], step=steps.test, empty=steps.empty, placement=steps.placement
        )
        scores = {"mIoU": SCORES[epoch - 1], "min_confidence": epoch / 7}
        scores["IoU"] = np.array([np.nan, outcome.scores["loss"], 0.1 + 0.2])
        return dataclasses.replace(outcome, scores={**outcome.scores, **scores})

    folder = training.RunFolder(path / "run", {"seed": 0})
    folder.begin()
    with contextlib.closing(folder):
        return training.fit(
            steps.state(),
            batches or Stream(),
            epochs=epochs,
            steps_per_epoch=STEPS,
            step=steps.main,
            warmup=2,
            warmup_step=steps.warmup,
            empty=steps.empty,
            validate=validate,
            checkpoints=training.Checkpoints(path / "checkpoints", {"seed": 0}),
            folder=folder,
            placement=steps.placement,
            checkpoint_steps=checkpoint_steps,
        )


def log_of(path):
    """Lines of metrics.jsonl without the times."""
    lines = map(json.loads, (path / "run" / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in ("seconds", "data_wait")} for line in lines]


def assert_same(one, other, paths):
    chex.assert_trees_all_equal(one.state, other.state)
    assert one.epoch == other.epoch == 2
    assert one.best.samples == other.best.samples
    for name, value in one.best.scores.items():
        np.testing.assert_array_equal(value, other.best.scores[name])
    logs, lasts = [log_of(p) for p in paths], [p / "checkpoints" for p in paths]
    assert logs[0] == logs[1]
    assert [line["epoch"] for line in logs[0]] == [1, 2, 3, 4]
    facts = [training.read_facts(folder, "last") for folder in lasts]
    assert facts[0]["samples"] == facts[1]["samples"] == EPOCHS * STEPS * B
    states = [training.Checkpoints(folder, {}).load("last", one.state) for folder in lasts]
    chex.assert_trees_all_equal(*states)
    assert len({path.name for folder in lasts for path in folder.iterdir()}) == len(
        list(lasts[0].iterdir())
    )


@pytest.fixture(scope="module")
def whole(steps, tmp_path_factory):
    """A run that was never stopped, with and without checkpoints within epochs: the same."""
    paths = [tmp_path_factory.mktemp("whole") for _ in range(2)]
    fits = [fit(steps, p, checkpoint_steps=n) for p, n in zip(paths, (None, 2), strict=True)]
    chex.assert_trees_all_equal(fits[0].state, fits[1].state)
    return dict(zip((None, 2), zip(fits, paths, strict=True), strict=True))


@pytest.mark.parametrize("checkpoint_steps", [None, 2])
def test_a_run_stopped_anywhere_ends_as_if_it_had_not(
    steps, tmp_path, monkeypatch, whole, checkpoint_steps
):
    """Before any checkpoint, within epochs, in validation, between `best` and `last`."""
    run = partial(fit, steps, tmp_path, checkpoint_steps=checkpoint_steps)
    for stop in (0, 2, STEPS, STEPS + 3, STEPS + 4):
        with pytest.raises(StoppedError):
            run(batches=Stream(stop))
    for epoch in (2, 3):
        save = training.Checkpoints.save

        def stop(self, name, *args, epoch, save=save, at=epoch, **facts):
            if (name, epoch, facts.get("done")) == ("last", at, 0):
                raise StoppedError
            save(self, name, *args, epoch=epoch, **facts)

        with pytest.raises(StoppedError):
            run(stop_in=epoch)
        with monkeypatch.context() as patch:
            patch.setattr(training.Checkpoints, "save", stop)
            with pytest.raises(StoppedError):
                run()
    assert [line["epoch"] for line in log_of(tmp_path)] == [1, 2]
    with pytest.raises(StoppedError):
        run(batches=Stream(3 * STEPS + 4))
    before = training.read_facts(tmp_path / "checkpoints", "last")
    assert (before["epoch"], before["done"]) == (3, 2 if checkpoint_steps else 0)
    uninterrupted, path = whole[checkpoint_steps]
    assert_same(uninterrupted, run(), (path, tmp_path))
    # Trained to the end, it goes straight to the test: no batch is asked for.
    again = run(batches=Stream(stop=EPOCHS * STEPS))
    assert_same(uninterrupted, again, (path, tmp_path))
    assert again.train_seconds > 0 == again.compile_seconds


def test_half_written_and_half_deleted_checkpoints_do_not_count(steps, tmp_path, whole):
    with pytest.raises(StoppedError):
        fit(steps, tmp_path, batches=Stream(2 * STEPS + 2))
    folder = tmp_path / "checkpoints"
    debris = ["last-0003.orbax-checkpoint-tmp", "last-0001.deleted", "best-0003.deleted"]
    for name in debris:
        (folder / name / "state").mkdir(parents=True)
    assert training.read_facts(folder, "last")["epoch"] == 2
    assert training.read_facts(folder, "best")["epoch"] == 2
    uninterrupted, path = whole[None]
    assert_same(uninterrupted, fit(steps, tmp_path), (path, tmp_path))


def test_a_full_disk_ends_in_one_line_and_leaves_the_last_checkpoint(steps, tmp_path):
    with pytest.raises(StoppedError):
        fit(steps, tmp_path, batches=Stream(STEPS + 2))
    folder = tmp_path / "checkpoints"
    before = sorted(path.name for path in folder.iterdir())
    checkpoints, state = training.Checkpoints(folder, {}), steps.state()
    with full_disk(100), pytest.raises(OSError, match="cannot write this checkpoint") as caught:
        checkpoints.save("last", state, epoch=2, best_epoch=1)
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder / "last-0002") in text
    assert "large" in text
    assert sorted(path.name for path in folder.iterdir()) == before
    checkpoints.save("last", state, epoch=2, best_epoch=1)
    chex.assert_trees_all_equal(checkpoints.load("last", state), state)


def test_a_folder_that_cannot_be_written_ends_in_one_line(steps, tmp_path):
    (tmp_path / "file").write_text("")
    checkpoints = training.Checkpoints(tmp_path / "file" / "checkpoints", {})
    with pytest.raises(OSError, match="cannot write this checkpoint") as caught:
        checkpoints.save("last", steps.state(), epoch=1)
    assert "\n" not in str(caught.value)


def largest(checkpoint):
    """The file of a checkpoint that holds most of its parameters."""
    files = [file for file in checkpoint.rglob("*") if file.is_file()]
    return max(files, key=lambda file: ("/d/" in file.as_posix(), file.stat().st_size))


def flip_a_bit(checkpoint):
    file = largest(checkpoint)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_a_byte(checkpoint):
    file = largest(checkpoint)
    file.write_bytes(file.read_bytes()[:-1])


def lose_a_file(checkpoint):
    largest(checkpoint).unlink()


def link_a_file(checkpoint):
    file = largest(checkpoint)
    file.rename(checkpoint.parent / "elsewhere")
    file.symlink_to(checkpoint.parent / "elsewhere")


def empty_the_arrays(checkpoint):
    """As it was found before there were checksums."""
    (checkpoint / "checksums.sha256").unlink()
    for file in (checkpoint / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")


def other_metadata(content):
    def damage(checkpoint):
        (checkpoint / "checksums.sha256").unlink()
        file = checkpoint / "_CHECKPOINT_METADATA"
        file.write_text(content(json.loads(file.read_text())))

    return damage


def other_facts(**facts):
    def change(content):
        content["custom_metadata"] |= facts
        return json.dumps(content)

    return other_metadata(change)


DAMAGE = {
    "flipped bit": flip_a_bit,
    "cut by a byte": cut_a_byte,
    "lost file": lose_a_file,
    "link": link_a_file,
    "empty arrays": empty_the_arrays,
    "empty metadata": other_metadata(lambda _: ""),
    "cut metadata": other_metadata(lambda content: json.dumps(content)[:200]),
    "list": other_metadata(lambda _: "[]"),
    "nested": other_metadata(lambda _: '{"a":' * 1000 + "1" + "}" * 1000),
    "no facts": other_metadata(lambda _: "{}"),
    "epoch": other_facts(epoch="two"),
    "no seconds": other_facts(seconds=None),
    "log": other_facts(log=[None]),
    "log of text": other_facts(log="x"),
    "best": other_facts(best={"scores": 3}),
    "best epoch": other_facts(best_epoch=10**15),
    "best file": lambda checkpoint: flip_a_bit(checkpoint.parent / "best-0002"),
}


@pytest.fixture(scope="module")
def stopped(steps, tmp_path_factory):
    """A run that was stopped in its third epoch."""
    path = tmp_path_factory.mktemp("stopped")
    with pytest.raises(StoppedError):
        fit(steps, path, batches=Stream(2 * STEPS + 2))
    return path


@pytest.mark.parametrize("kind", all_but(8, DAMAGE))
def test_a_damaged_checkpoint_is_told_of_and_the_one_before_it_is_taken(
    steps, tmp_path, stopped, kind, capfd
):
    folder = shutil.copytree(stopped / "checkpoints", tmp_path / "checkpoints")
    said, check = [], partial(Progress.from_facts, score="mIoU")
    checkpoints = training.Checkpoints(folder, {}, say=said.append)
    resume = partial(checkpoints.resume, steps.state(), steps.empty(), check=check)
    DAMAGE[kind](folder / "last-0002")
    _, _, facts = resume()
    assert facts["epoch"] == 1
    (warning,) = (line for line in said if not line.startswith("Note: "))
    assert warning.startswith("Warning: ")
    assert "last-0002 is set aside as last-0002.damaged" in warning
    assert "\n" not in warning
    assert {"last-0001", "best-0001", "last-0002.damaged"} <= {x.name for x in folder.iterdir()}
    assert not (folder / "best-0002").exists()
    # Without another one, the run is not begun anew in silence.
    (folder / "last-0001").joinpath("_CHECKPOINT_METADATA").write_bytes(b"")
    for look in (resume, partial(training.stopped_at, folder)):
        refused_in_a_line(look, "last-0001", "`overwrite`")
    assert capfd.readouterr().err == ""  # Orbax would log a page.


def test_a_run_with_a_damaged_checkpoint_ends_as_if_it_had_not(steps, tmp_path, stopped, whole):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    flip_a_bit(tmp_path / "checkpoints" / "last-0002")
    assert training.stopped_at(tmp_path / "checkpoints")["epoch"] == 1
    uninterrupted, path = whole[None]
    again = fit(steps, tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "last-0002.damaged")
    assert_same(uninterrupted, again, (path, tmp_path))


def test_a_checkpoint_without_checksums_is_read_with_a_note(steps, tmp_path, stopped):
    folder = shutil.copytree(stopped / "checkpoints", tmp_path / "checkpoints")
    for file in folder.glob("*/checksums.sha256"):
        file.unlink()
    said = []
    checkpoints = training.Checkpoints(folder, {}, say=said.append)
    assert checkpoints.resume(steps.state(), steps.empty())[2]["epoch"] == 2
    checkpoints.load("best", steps.state())
    names = ("last-0002", "best-0002")
    for name, note in zip(names, said, strict=True):
        assert note == (
            f"Note: {folder / name} is of a version that wrote no checksums: damage of it may not "
            "show."
        )


def test_a_checkpoint_of_other_shapes_is_refused(steps, tmp_path, stopped):
    checkpoints = training.Checkpoints(stopped / "checkpoints", {}, say=print)
    other = jax.tree.map(lambda x: jnp.zeros((*x.shape, 2), x.dtype), steps.state())
    refused_in_a_line(partial(checkpoints.load, "best", other), "best-0002")


def test_a_whole_checkpoint_that_does_not_fit_is_not_set_aside(steps, stopped, monkeypatch):
    """What is wrong is the state that is asked for."""

    def fail(path, like):
        raise UserError("other shapes", where=path, remedy="ask for its own")

    monkeypatch.setattr(training.checkpoint, "_read", fail)
    checkpoints = training.Checkpoints(stopped / "checkpoints", {})
    refused_in_a_line(partial(checkpoints.resume, steps.state(), steps.empty()), "last-0002")
    assert (stopped / "checkpoints" / "last-0002").is_dir()


def test_other_data_are_refused(steps, tmp_path, monkeypatch):
    with pytest.raises(StoppedError):
        fit(steps, tmp_path, batches=Stream(STEPS + 2))
    monkeypatch.setitem(globals(), "STEPS", STEPS + 1)
    with pytest.raises(UserError, match="had 5 steps, of the data there are now it has 6"):
        fit(steps, tmp_path)


def test_best_checkpoints_stay_as_long_as_a_last_one_speaks_of_them(steps, tmp_path):
    checkpoints, state = training.Checkpoints(tmp_path, {}, keep=2), steps.state()
    for epoch, best in ((1, 1), (2, 1), (3, 3), (4, 3)):
        if best == epoch:
            checkpoints.save("best", state, epoch=epoch)
        checkpoints.save("last", state, epoch=epoch, best_epoch=best)
        names = sorted(path.name for path in tmp_path.iterdir())
        if epoch == 3:
            assert names == ["best-0001", "best-0003", "last-0002", "last-0003"]
    assert names == ["best-0003", "last-0003", "last-0004"]
    assert training.read_facts(tmp_path, "best")["epoch"] == 3


def test_a_run_reads_none_of_the_checkpoints_that_it_wrote(steps, tmp_path, monkeypatch):
    """What Orbax reads of them it keeps in memory; a continued run reads those before it."""
    read, facts = [], checkpoint._facts
    monkeypatch.setattr(checkpoint, "_facts", lambda path: read.append(path.name) or facts(path))
    checkpoints, state = training.Checkpoints(tmp_path, {}, keep=2), steps.state()
    for epoch in (1, 2, 3):
        checkpoints.save("best", state, epoch=epoch)
        checkpoints.save("last", state, epoch=epoch, best_epoch=epoch)
    assert not read
    checkpoints = training.Checkpoints(tmp_path, {}, keep=2)
    checkpoints.save("best", state, epoch=4)
    checkpoints.save("last", state, epoch=4, best_epoch=4)
    assert read == ["last-0003"]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best-0003", "best-0004", "last-0003", "last-0004"]
