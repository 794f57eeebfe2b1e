"""What the three tasks have in common: what is done with a model."""

from __future__ import annotations

import abc
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from pastis_jax import viz
from pastis_jax.calibration import Scored
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import SPLITS, Dataset
from pastis_jax.data.splits import BatchPlan, Splits
from pastis_jax.data.statistics import Statistics
from pastis_jax.errors import DataError
from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.schemes import Model
from pastis_jax.tasks._spec import ModelSpec, RecordOptions
from pastis_jax.training import Metric, Outcome
from pastis_jax.types import Batch, Prediction, Series


@dataclasses.dataclass(frozen=True)
class Learned:
    """What a trained model expects of its inputs.

    Attributes:
      dataset: What it was trained on.
      classes: What it tells apart.
      statistics: What its inputs are normalised with.
    """

    dataset: Dataset
    classes: ClassMapping
    statistics: Statistics

    def classes_of(self, dataset: Dataset, root: pathlib.Path) -> ClassMapping:
        """Returns these classes for the records of another dataset, if it fits.

        Raises:
          DataError: If modalities differ in channels or unit, or classes are unknown.
        """
        for name in self.statistics:
            own, other = self.dataset[name], dataset[name]
            if (own.channels, own.unit) != (other.channels, other.unit):
                fault = f"its {name} is {', '.join(other.channels)} in {other.unit}"
                trained = f"the model takes {', '.join(own.channels)} in {own.unit}"
                raise DataError(f"{fault}, {trained}", where=root, remedy="give such data")
        try:
            return self.classes.of_other(self.dataset.nomenclature, dataset.nomenclature)
        except ValueError as error:
            remedy = "give data of the model's classes"
            raise DataError(str(error), where=root, remedy=remedy) from error


Metrics = Mapping[str, tuple[Callable[..., Metric], Callable[[], Metric]]]
"""Metrics by name: of a batch, and of none."""


class Score(Protocol):
    """Scores the state that is to be validated or tested, by one of the task's metrics."""

    def __call__(self, metric: str, **context: float) -> Outcome: ...


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """A model with its loss, metrics, output, scores and pictures, for the classes of a dataset.

    Attributes:
      spec: The model; its modalities are named.
      dataset: What its inputs are like.
      classes: What it tells apart.
      axis_name: Mapped device axis, under `pmap`.
    """

    spec: ModelSpec
    dataset: Dataset
    classes: ClassMapping
    axis_name: str | None = None

    name: ClassVar[str]
    title: ClassVar[str]
    """For readers."""
    samples: ClassVar[str]
    """What a batch holds, in plural."""
    scores: ClassVar[tuple[str, ...]] = ("mIoU", "OA")
    """Names of the scores, that which selects the state first."""
    further: ClassVar[tuple[str, ...]] = ()
    """Names of scores that results of earlier versions do not have."""
    per_class: ClassVar[str] = "IoU"
    """Name of the score of each class."""
    less_memory: ClassVar[str]
    """What to change where a device has not enough memory."""
    context_names: ClassVar[tuple[str, ...]] = ()
    """Names of what `context` gives, shares of 1."""
    tested: ClassVar[str]
    """Name of the metric of a test."""
    told: ClassVar[str]
    """What confidences are of, in plural."""

    @classmethod
    def scores_in(cls, *tests: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the scores that all of `tests` have, that which selects the state first.

        Args:
          *tests: Scores by name, `test` of results say.
        """
        further = [name for name in cls.further if all(name in test for test in tests)]
        return (*cls.scores, *further)

    # The model

    @abc.abstractmethod
    def model(
        self, capacity: Mapping[str, int | None] | None = None, *, warmup: bool = False
    ) -> Model:
        """Builds the model.

        Args:
          capacity: Room for valid frames by modality, of tasks on patches; None for all.
          warmup: Whether it is for the first epochs, where these differ.
        """

    @abc.abstractmethod
    def example(self) -> dict[str, Series]:
        """The smallest series that the model takes, zeros, by modality."""

    # Training

    @abc.abstractmethod
    def loss(
        self, prediction: Prediction, batch: Batch
    ) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        """Mean loss and weight of each sample."""

    @abc.abstractmethod
    def metric(self, prediction: Prediction, batch: Batch) -> Metric:
        """Metric of a training batch."""

    @abc.abstractmethod
    def empty(self) -> Metric:
        """Metric of no training batch."""

    # Validation and test

    @abc.abstractmethod
    def metrics(self, splits: Splits) -> Metrics:
        """Metrics of validation and test.

        That of a batch takes prediction, batch, and what else `validate` gives it by keyword. That
        of a test is a `Scored`.
        """

    @abc.abstractmethod
    def validate(self, score: Score) -> Outcome:
        """Scores a state on the validation samples."""

    def calibrate(self, score: Score, context: Mapping[str, float]) -> Outcome:
        """Counts what tells the temperature of a state, on the validation samples."""
        return score(self.tested, **context, temperature=0.0, fit=1.0)

    def test(
        self, score: Score, context: Mapping[str, float], *, temperature: float = 1.0
    ) -> Outcome:
        """Scores a state on the test samples, and what its confidences are worth."""
        return score(self.tested, **context, temperature=temperature, fit=0.0)

    def context(self, validated: Outcome) -> dict[str, float]:
        """What validation has found that predictions need beside the weights."""
        del validated
        return {}

    # Output

    @abc.abstractmethod
    def output(self, prediction: Prediction, **context: Array) -> PyTree[Array]:
        """What the model is asked for, ``b ...``: classes, or a panoptic map."""

    @abc.abstractmethod
    def answer(
        self, prediction: Prediction, *, temperature: ArrayLike = 1.0, **context: Array
    ) -> PyTree[Array]:
        """What a user gets for new series: class probabilities, or a panoptic map.

        Args:
          prediction: Of the model.
          temperature: That of the run, by which logits are divided.
          **context: See `context`.
        """

    # Result

    @abc.abstractmethod
    def summary(self, outcome: Outcome) -> dict[str, Any]:
        """Scores for result.json."""

    @abc.abstractmethod
    def counts(self, outcome: Outcome) -> dict[str, Any]:
        """What was counted in a test, for result.json: folds are pooled from it."""

    @abc.abstractmethod
    def draw(self, outcome: Outcome, folder: pathlib.Path) -> None:
        """Draws the test scores into a run's folder."""

    def panel(self, predict: Any, splits: Splits, folder: pathlib.Path, title: str) -> None:
        """Draws predictions into a run's folder, where there is something to see.

        Args:
          predict: Gives the model's `Prediction` and `output` for a batch, on one device alone.
          splits: Where to take samples from.
          folder: The run's folder.
          title: Above the whole.
        """
        del predict, splits, folder, title

    # Data

    @classmethod
    @abc.abstractmethod
    def open(
        cls,
        options: RecordOptions,
        root: pathlib.Path,
        spec: ModelSpec,
        plan: BatchPlan,
        like: Learned | None = None,
        *,
        norms: bool = True,
        needed: Sequence[str] = SPLITS,
    ) -> Splits:
        """Prepares and opens the records in `root`.

        Args:
          options: Which, and how they become arrays.
          root: Their folder.
          spec: The model, whose modalities are wanted.
          plan: Of the batches.
          like: What a trained model brings with it, in place of the folder's own.
          norms: Whether the folder's statistics are wanted, if only to know whether they changed.
          needed: Splits that must have samples; another is opened where it has.
        """

    def room(
        self, splits: Splits, names: Sequence[str], share: int, rates: Mapping[str, float]
    ) -> Mapping[str, int]:
        """Most valid frames of `share` samples, by modality, that a model needs room for.

        Args:
          splits: The records.
          names: Splits that samples come from.
          share: Number of samples that one program takes at a time.
          rates: Of temporal dropout, by modality; it leaves no more than that.
        """
        del splits, names, share, rates
        return {}


def blank_series(shape: tuple[int, ...], *, pixels: bool = False, geometric: int = 0) -> Series:
    """Returns zeros, which take no memory: read them, or look at their shapes.

    Args:
      shape: Of the values, ``b t s c`` or ``b t h w c``.
      pixels: Whether it is of pixel sets.
      geometric: Number of features of outlines; 0 for none.
    """
    b, t, s = shape[:3]

    def of(value, *axes):
        return np.broadcast_to(value, axes)

    return Series(
        values=of(np.float32(0), *shape),
        days=of(np.int32(0), b, t),
        valid=of(np.True_, b, t),
        pixels=of(np.True_, b, s) if pixels else None,
        geometric=of(np.float32(0), b, geometric) if geometric else None,
    )


class Classifier(Task):
    """A task whose model gives class probabilities, counted in one confusion matrix."""

    tested = "confusion"
    further = ("macro F1",)

    @abc.abstractmethod
    def predicted(self, prediction: Prediction) -> Array:
        """Most probable class, ``b`` or ``b h w``."""

    @abc.abstractmethod
    def counted(self, batch: Batch) -> Array:
        """Which parcels or pixels count: real and not void."""

    def metric(self, prediction: Prediction, batch: Batch) -> ConfusionMatrix:
        """Confusion matrix of a batch; as in the loss, no sample counts without a valid date."""
        predicted, where = self.predicted(prediction), self._where(prediction, batch)
        number = len(self.classes.names)
        return ConfusionMatrix.from_batch(batch.label, predicted, where, classes=number)

    def _where(self, prediction: Prediction, batch: Batch) -> Array:
        """Which parcels or pixels count, and were observed."""
        where = self.counted(batch)
        return where & prediction.valid.reshape(-1, *(1,) * (where.ndim - 1))

    def _logits(self, prediction: Prediction) -> Float[Array, "b ... k"]:
        """Those of the classes; patches have one of void too."""
        return prediction.output[..., : len(self.classes.names)].astype(jnp.float32)

    def empty(self) -> ConfusionMatrix:
        """Confusion matrix of no batch."""
        return ConfusionMatrix.empty(len(self.classes.names))

    def metrics(self, splits: Splits) -> Metrics:
        """The confusion matrix, and what confidences are worth."""
        del splits

        def confusion(prediction: Prediction, batch: Batch, **asked: Array) -> Scored:
            where = self._where(prediction, batch)
            metric, logits = self.metric(prediction, batch), self._logits(prediction)
            return Scored.from_batch(metric, logits, batch.label, where, **asked)

        return {self.tested: (confusion, lambda: Scored.empty(self.empty()))}

    def validate(self, score: Score) -> Outcome:
        """Scores by the confusion matrix."""
        return score(self.tested, temperature=0.0, fit=0.0)

    def output(self, prediction: Prediction, **context: Array) -> Array:
        """Most probable class."""
        del context
        return self.predicted(prediction)

    def answer(
        self, prediction: Prediction, *, temperature: ArrayLike = 1.0, **context: Array
    ) -> Float[Array, "b ... k"]:
        """Probability of each class, NaN of samples without a valid date."""
        del context
        logits = self._logits(prediction)
        valid = prediction.valid.reshape(-1, *(1,) * (logits.ndim - 1))
        return jnp.where(valid, jax.nn.softmax(logits / temperature), jnp.nan)

    def summary(self, outcome: Outcome) -> dict[str, Any]:
        """OA, mIoU, macro F1, loss, and IoU and F1 by class."""
        scores, names = outcome.scores, self.classes.names
        return {
            **{name: scores[name] for name in ("OA", "mIoU", "macro F1", "loss")},
            "iou": dict(zip(names, scores["IoU"], strict=True)),
            "f1": dict(zip(names, scores["F1"], strict=True)),
        }

    def counts(self, outcome: Outcome) -> dict[str, Any]:
        """The confusion matrix."""
        return {"confusion": outcome.metrics.task.metric.counts}

    def draw(self, outcome: Outcome, folder: pathlib.Path) -> None:
        """Draws the confusion matrix and the IoU of each class."""
        names, colours = self.classes.names, self.classes.colours
        counts = np.asarray(outcome.metrics.task.metric.counts)
        viz.confusion_matrix(counts, names, folder / "confusion_matrix.png")
        viz.iou_per_class(outcome.scores["IoU"], names, colours, folder / "iou_per_class.png")
