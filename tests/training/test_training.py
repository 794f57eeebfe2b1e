"""Training as a whole: it learns, repeats itself, compiles once, and says where it fails."""

from __future__ import annotations

import dataclasses
import json
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from pastis_jax import fusion, training
from pastis_jax.errors import UserError
from pastis_jax.losses import supervised_loss
from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
from pastis_jax.temporal_dropout import temporal_dropout
from pastis_jax.training import checkpoint
from pastis_jax.types import Batch, Prediction, Series

B, T, S, CLASSES = 16, 12, 3, 3
CHANNELS = {"S2": 4, "S1A": 2}


def make_batch(rng, *, real=B, poison=False):
    """S2 falls for class 0 and rises for 1 and 2; the radar rises for class 2 alone."""
    label = rng.integers(0, CLASSES, B).astype(np.int32)
    series = {}
    for name, c in CHANNELS.items():
        days = np.sort(rng.integers(0, 60, (B, T)), 1).astype(np.int32)
        late = label > 0 if name == "S2" else label == 2
        signal = np.tanh((days - 30) / 8) * np.where(late, 1, -1)[:, None]
        values = signal[:, :, None, None] + 0.1 * rng.normal(size=(B, T, S, c))
        series[name] = Series(
            values=np.where(poison, np.nan, values).astype(np.float32),
            days=days,
            valid=np.arange(T) < rng.integers(4, T + 1, (B, 1)),
            pixels=np.ones((B, S), bool),
        )
    return Batch(
        series=series, label=label, real=np.arange(B) < real, number=np.arange(B, dtype=np.int32)
    )


class Stream:
    """Endless batches that can be taken up again.

    Args:
      make: Makes the batch of an index.
    """

    def __init__(self, make=None):
        self.make = make or (lambda index: make_batch(np.random.default_rng(index)))
        self.index = 0

    def __next__(self):
        self.index += 1
        return self.make(self.index - 1)

    def get_state(self):
        return {"next_index": self.index}

    def set_state(self, state):
        self.index = state["next_index"]


class Setup:
    """A tiny mid-fusion run, counting how often its loss is traced."""

    def __init__(self, folder, *, dropout=False):
        parts = partial(PixelSetEncoder, widths=(8, 8), features=16)
        temporal = LTAE(features=16, model_features=16, heads=4, dropout=0.1)
        self.model = fusion.mid(
            {m: parts() for m in CHANNELS}, temporal, MLPDecoder(CLASSES, widths=(8,))
        )
        self.traces = 0
        self.held_out = [
            make_batch(np.random.default_rng(9)),
            make_batch(np.random.default_rng(8), real=5),
        ]
        self.placement = training.Placement()
        self.optimizer = optax.adam(1e-2)
        parts = {
            "model": self.model,
            "loss": self.loss,
            "metric": self.metric,
            "placement": self.placement,
        }
        self.step = training.make_train_step(
            **parts,
            optimizer=self.optimizer,
            key=jax.random.key(0),
            augment=partial(temporal_dropout, rates={"S2": 0.4, "S1A": 0.2}) if dropout else None,
        )
        self.evaluation_step = training.make_evaluation_step(**parts)
        self.folder = training.RunFolder(folder)
        self.checkpoints = training.Checkpoints(self.folder.path / "checkpoints", {"seed": 0})

    def loss(self, prediction, batch):
        self.traces += 1
        return supervised_loss(prediction, batch.label, batch.real)

    @staticmethod
    def metric(prediction, batch):
        predicted = prediction.output.argmax(-1)
        return ConfusionMatrix.from_batch(batch.label, predicted, batch.real, classes=CLASSES)

    @staticmethod
    def empty():
        return training.EpochMetrics.empty(ConfusionMatrix.empty(CLASSES), B)

    def evaluate(self, state, batches):
        return training.evaluate(
            state, batches, step=self.evaluation_step, empty=self.empty, placement=self.placement
        )

    def fit(self, *, batches=None, epochs=3, steps=12, validate=None):
        state = training.create_state(
            self.model, self.optimizer, self.held_out[0], jax.random.key(0)
        )
        return training.fit(
            state,
            batches or Stream(),
            epochs=epochs,
            steps_per_epoch=steps,
            step=self.step,
            empty=self.empty,
            validate=validate or (lambda state: self.evaluate(state, self.held_out)),
            checkpoints=self.checkpoints,
            folder=self.folder,
            placement=self.placement,
        )


def test_it_learns(tmp_path):
    setup = Setup(tmp_path, dropout=True)
    fit = setup.fit(epochs=5, steps=60)
    assert fit.best.scores["mIoU"] > 0.9
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[-1]["train"]["loss"] < 0.5 * lines[0]["train"]["loss"]
    # The validation score belongs to the state that is returned.
    outcome = setup.evaluate(fit.state, setup.held_out)
    assert outcome.scores["loss"] == fit.best.scores["loss"]
    assert outcome.samples == fit.best.samples == B + 5
    facts = training.read_facts(tmp_path / "checkpoints", "best")
    assert facts["epoch"] == fit.epoch
    assert facts["config"] == {"seed": 0}


def test_one_trace_per_mode(tmp_path):
    """Batches of different numbers of dates and samples, epochs, and a second evaluation."""
    setup = Setup(tmp_path)
    fit = setup.fit()
    setup.evaluate(fit.state, [make_batch(np.random.default_rng(3), real=1)])
    assert setup.traces == 2
    assert setup.evaluation_step._cache_size() == 1


def test_a_run_repeats_itself(tmp_path):
    first, second = (Setup(tmp_path / name, dropout=True).fit() for name in "ab")
    chex.assert_trees_all_equal(first.state, second.state)
    assert first.best.scores["loss"] == second.best.scores["loss"]


def test_the_best_of_several_epochs_is_kept(tmp_path):
    """The third epoch is said to be the best: its state comes back, and the last one's stays."""
    setup, seen = Setup(tmp_path), []
    scores = (np.nan, 0.1, 0.8, 0.8, 0.3, np.nan)

    def validate(state):
        seen.append(jax.device_get(state))
        outcome = setup.evaluate(state, setup.held_out)
        score = scores[len(seen) - 1]
        return dataclasses.replace(outcome, scores={**outcome.scores, "mIoU": score})

    fit = setup.fit(epochs=len(scores), steps=3, validate=validate)
    assert fit.epoch == 3
    assert fit.best.scores["mIoU"] == 0.8
    chex.assert_trees_all_equal(jax.device_get(fit.state), seen[2])
    chex.assert_trees_all_equal(jax.device_get(setup.checkpoints.load("last", fit.state)), seen[5])
    assert int(fit.state.step) == 9
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["best-0003", "last-0005", "last-0006"]


def test_an_interrupted_save_leaves_the_one_before(tmp_path, monkeypatch):
    setup = Setup(tmp_path)
    state = training.create_state(
        setup.model, setup.optimizer, setup.held_out[0], jax.random.key(0)
    )
    setup.checkpoints.save("best", state, epoch=1)

    def fail(path, *_, **__):
        path.with_name(f"{path.name}.orbax-checkpoint-tmp").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.ocp, "save_checkpointables", fail)
    with pytest.raises(KeyboardInterrupt):
        setup.checkpoints.save("best", state, epoch=2)
    chex.assert_trees_all_equal(setup.checkpoints.load("best", state), state)


def test_non_finite_loss_names_step_and_parcels(tmp_path):
    batches = Stream(lambda i: make_batch(np.random.default_rng(i), poison=i == 4))
    with pytest.raises(training.NonFiniteLossError, match=r"step 4, batch of 0, 1, 2"):
        Setup(tmp_path).fit(batches=batches, epochs=1)


def test_an_epoch_in_which_nothing_counts_ends_the_run(tmp_path):
    """Its loss would be 0."""
    batches = Stream(lambda i: make_batch(np.random.default_rng(i), real=0 if i >= 12 else B))
    with pytest.raises(UserError, match="epoch 2: none of 0 samples counts"):
        Setup(tmp_path).fit(batches=batches, epochs=3)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


def test_the_average_of_the_weights_is_what_predicts(tmp_path):
    setup = Setup(tmp_path)
    state = training.create_state(
        setup.model, setup.optimizer, setup.held_out[0], jax.random.key(0)
    )
    start = jax.tree.map(np.asarray, state.variables)
    step = training.make_train_step(
        model=setup.model,
        loss=setup.loss,
        metric=setup.metric,
        placement=setup.placement,
        optimizer=setup.optimizer,
        key=jax.random.key(0),
        ema=0.3,
    )
    state = state.replace(average=jax.tree.map(jnp.copy, state.variables))
    expected, rng = start, np.random.default_rng(0)
    for decay in (0.1, 2 / 11, 0.25, 0.3):  # rises to 0.3
        state, _ = step(state, setup.empty(), make_batch(rng))
        expected = jax.tree.map(
            lambda old, new, d=decay: d * old + (1 - d) * np.asarray(new),
            expected,
            {"params": state.params, "batch_stats": state.batch_stats},
        )
        chex.assert_trees_all_close(state.average, expected, rtol=1e-5, atol=1e-7)
    assert state.variables is state.average


def test_parts_of_a_batch_add_up(tmp_path):
    """Without batch norm and dropout, parts change nothing, also where samples do not count."""
    setup = Setup(tmp_path)
    batch = make_batch(np.random.default_rng(1), real=5)

    class Plain(linen.Module):
        @linen.compact
        def __call__(self, series, *, train=False):
            values = series["S2"].values
            logits = linen.Dense(CLASSES)(values.reshape(len(values), -1))
            return Prediction(output=logits, valid=jnp.ones(len(values), bool))

    def step(parts):
        placement = training.Placement(parts=parts)
        step = training.make_train_step(
            model=Plain(),
            loss=setup.loss,
            metric=setup.metric,
            optimizer=optax.sgd(0.1),
            key=jax.random.key(0),
            placement=placement,
        )
        state = training.create_state(Plain(), optax.sgd(0.1), batch, jax.random.key(0))
        return jax.device_get(step(placement.whole(state), setup.empty(), placement.batch(batch)))

    (state, metrics), *others = (step(parts) for parts in (1, 2, B))
    assert metrics.gradient.compute() > 0
    for other in others:
        chex.assert_trees_all_close(other, (state, metrics), rtol=1e-5, atol=1e-6)
    assert training.Placement(parts=3).padded(B) == -(-B // 3) * 3


def test_samples_that_fill_up_a_batch_change_nothing(tmp_path):
    setup = Setup(tmp_path)
    batch = make_batch(np.random.default_rng(1), real=5)
    state = training.create_state(setup.model, setup.optimizer, batch, jax.random.key(0))
    other = jax.tree.map(np.copy, batch)
    for one in batch.series.values():
        one.valid[5:] = False
    for one in other.series.values():
        one.valid[5:], one.values[5:] = False, 77
    outcomes = [setup.evaluate(state, [b]) for b in (batch, other)]
    assert outcomes[0].scores["loss"] == outcomes[1].scores["loss"]
    assert outcomes[0].samples == 5


def test_missing_checkpoint_and_occupied_folder(tmp_path):
    with pytest.raises(UserError, match="train this run first"):
        training.read_facts(tmp_path, "best")
    training.RunFolder(tmp_path / "run").write("config.json", {})
    with pytest.raises(UserError, match="already holds a run"):
        training.RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match="not empty"):
        training.RunFolder(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        training.RunFolder(tmp_path / "file" / "run")


def test_run_folder_writes_plain_json(tmp_path):
    folder = training.RunFolder(tmp_path / "run")
    folder.write("result.json", {"iou": np.array([0.5, np.nan]), "n": np.int64(3), "at": tmp_path})
    content = json.loads((tmp_path / "run" / "result.json").read_text())
    assert content == {"iou": [0.5, None], "n": 3, "at": str(tmp_path)}


def test_count_parameters():
    assert training.count_parameters({"a": jnp.zeros((2, 3)), "b": {"c": jnp.zeros(4)}}) == 10
