"""Epochs of one program: what steps one by one do, wherever they stop."""

from __future__ import annotations

import contextlib
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pastis_jax import fusion, training
from pastis_jax.data.batches import iterate, training_rows
from pastis_jax.losses import supervised_loss
from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
from pastis_jax.nn.ragged import PixelTable, RaggedSeries
from pastis_jax.training.pace import pace_of

B, PARCELS, DATES, PIXELS, CLASSES, EPOCHS, STEPS = 4, 23, 5, 6, 3, 3, 5
KEY = jax.random.key(7)


class StoppedError(Exception):
    """Stands for whatever ends a run."""


class Stopping:
    """Rows, of which some cannot be had."""

    def __init__(self, stop):
        rows = training_rows(PARCELS, batch_size=B, seed=1)
        self.rows, self.left = iterate(rows, ahead=False), stop

    def __next__(self):
        self.left = None if self.left is None else self.left - 1
        if self.left == -1:
            raise StoppedError
        return next(self.rows)

    def get_state(self):
        return self.rows.get_state()

    def set_state(self, state):
        self.rows.set_state(state)


class Trained:
    """A model, and a table of parcels, of which each class has its own values."""

    def __init__(self):
        rng, self.placement = np.random.default_rng(0), training.Placement()
        label = np.arange(PARCELS, dtype=np.int32) % CLASSES
        values = rng.normal(size=(PARCELS, PIXELS * 2, 4, 2)) + label[:, None, None, None]
        days = np.sort(rng.integers(0, 60, (PARCELS, DATES)), 1).astype(np.int32)
        series = RaggedSeries(
            values=(100 * values).astype(np.int16).reshape(-1, 4, 2),
            first=np.arange(PARCELS, dtype=np.int32) * PIXELS * 2,
            dates=np.full(PARCELS, DATES, np.int32),
            days=days,
            mean=np.zeros(2, np.float32),
            deviation=np.full(2, 100, np.float32),
            holes=np.zeros(PARCELS, bool),
        )
        pixels = np.full(PARCELS, PIXELS, np.int32)
        table = PixelTable(series={"S2": series}, pixels=pixels, label=label)
        self.table = self.placement.whole(table)
        self.make = training.batch_maker(self.placement, KEY, 3)
        model = fusion.single(
            "S2",
            PixelSetEncoder(widths=(4,), features=8),
            LTAE(features=8, model_features=8, heads=2, dropout=0.2),
            MLPDecoder(CLASSES, widths=(4,)),
        )
        optimizer = optax.sgd(2e-3)  # Adam makes much of what rounding leaves of a gradient of 0
        self.step = training.make_train_step(
            model=model,
            loss=lambda prediction, batch: supervised_loss(prediction, batch.label, batch.real),
            metric=self.metric,
            optimizer=optimizer,
            key=jax.random.key(0),
            placement=self.placement,
        )
        self.start = training.create_state(model, optimizer, next(self.batches()), KEY)

    def batches(self, *, stop=None, at_once=False):
        shared = (self.make, self.placement)
        return training.OnDevice(self.table, Stopping(stop), *shared, at_once=at_once)

    @staticmethod
    def metric(prediction, batch):
        predicted = prediction.output.argmax(-1)
        return ConfusionMatrix.from_batch(batch.label, predicted, batch.real, classes=CLASSES)

    def fit(self, path, *, checkpoint_steps=None, **options):
        """Trains in `path`; returns the outcome and the lines of its log without times."""
        folder = training.RunFolder(path / "run", {"seed": 0})
        folder.begin()
        outcome = training.Outcome({"mIoU": 0.5, "loss": 1.0}, None, 1, 1.0)
        with contextlib.closing(folder):
            fit = training.fit(
                jax.tree.map(jnp.copy, self.start),
                self.batches(**options),
                epochs=EPOCHS,
                steps_per_epoch=STEPS,
                step=self.step,
                empty=lambda: training.EpochMetrics.empty(ConfusionMatrix.empty(CLASSES), B),
                validate=lambda state: outcome,
                checkpoints=training.Checkpoints(path / "checkpoints", {"seed": 0}),
                folder=folder,
                placement=self.placement,
                checkpoint_steps=checkpoint_steps,
            )
        last = training.Checkpoints(path / "checkpoints", {}).load("last", fit.state)
        lines = map(json.loads, (path / "run" / "metrics.jsonl").read_text().splitlines())
        return last, [{n: line[n] for n in ("epoch", "step", "train")} for line in lines]


@pytest.fixture(scope="module")
def trained():
    jax.config.update("jax_disable_most_optimizations", True)
    return Trained()


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """What a run gives whose epochs are one program, which nothing stops."""
    return trained.fit(tmp_path_factory.mktemp("whole"), at_once=True)


def test_epochs_of_one_program_are_those_of_single_steps(trained, whole, tmp_path):
    last, lines = trained.fit(tmp_path)
    assert int(last.step) == int(whole[0].step) == EPOCHS * STEPS
    # Fifteen steps of batch norms over four parcels make 1e-5 of the rounding of one.
    chex.assert_trees_all_close(whole[0], last, rtol=0, atol=1e-4)
    for one, other in zip(whole[1], lines, strict=True):
        assert one["train"] == pytest.approx(other["train"], rel=1e-4)
    assert lines[-1]["train"]["loss"] != lines[0]["train"]["loss"]


def test_stopped_within_an_epoch_they_go_on_bit_for_bit(trained, whole, tmp_path):
    """Of an epoch that was to be 2, 2 and 1 steps, the program is that of 5."""
    for stop in (3, 3, 1):  # after 2 steps, 4 and 4
        with pytest.raises(StoppedError):
            trained.fit(tmp_path, checkpoint_steps=2, stop=stop, at_once=True)
    facts = training.read_facts(tmp_path / "checkpoints", "last")
    assert (facts["epoch"], facts["done"]) == (0, 4)
    last, lines = trained.fit(tmp_path, checkpoint_steps=2, at_once=True)
    chex.assert_trees_all_equal(last, whole[0])
    assert lines == whole[1]


@pytest.mark.parametrize("at_once", [False, True])
def test_every_way_compiles_once(trained, at_once):
    """Nothing is taken of the batches by that."""
    batches = trained.batches(at_once=at_once)
    pace = pace_of(batches, trained.placement, STEPS)
    before = batches.get_state()
    metrics = training.EpochMetrics.empty(ConfusionMatrix.empty(CLASSES), B)
    pace.compile(trained.step, *trained.placement.whole((trained.start, metrics)))
    assert batches.get_state() == before
