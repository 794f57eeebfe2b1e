"""Data opened for a finished run: scored and predicted as the run's own test was."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from pastis_jax import training
from pastis_jax.data.splits import Splits
from pastis_jax.errors import refuse
from pastis_jax.modality_dropout import subsets
from pastis_jax.runs.scoring import Scorer, for_evaluation, model_for
from pastis_jax.runs.until import Until, as_date, check_observed, month_ends
from pastis_jax.schemes import Model
from pastis_jax.tasks import Task
from pastis_jax.types import Batch

if TYPE_CHECKING:
    from pastis_jax.runs.opened import Run


@dataclasses.dataclass(frozen=True)
class OpenedData:
    """Data opened for a run.

    Attributes:
      run: The run.
      task: Its task, on these devices.
      splits: The records.
      placement: Where batches lie.
    """

    run: Run
    task: Task
    splits: Splits
    placement: training.Placement

    @property
    def model(self) -> Model:
        """The model as batches of validation and test need it."""
        return self._tested[0]

    @functools.cached_property
    def _tested(self) -> tuple[Model, Mapping[str, int]]:
        names = [name for name in self.splits.sources if name != "train"] or ["train"]
        return self._model_for(*names)

    @functools.cached_property
    def _trained(self) -> tuple[Model, Mapping[str, int]]:
        return self._model_for("train")

    def _model_for(self, *names: str) -> tuple[Model, Mapping[str, int]]:
        """The model for batches of some splits, and the most dates that they may have."""
        size, where = self.splits.plan.evaluation_size, for_evaluation(self.placement)
        build, most = model_for(self.task, self.splits, *names, size=size, placement=where)
        return build(), most

    @functools.cached_property
    def state(self) -> training.TrainState:
        """The state that was tested, on the devices."""
        variables = self.run.variables
        state = training.TrainState(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            batch_stats=variables.get("batch_stats", {}),
            opt_state=(),
        )
        return self.placement.whole(state)

    @functools.cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.task, self.splits, self.placement, self.model)

    @functools.cached_property
    def _train_scorer(self) -> Scorer:
        return Scorer(self.task, self.splits, self.placement, self._trained[0])

    def evaluate(
        self,
        batches: Iterable[Batch] | None = None,
        *,
        split: str = "test",
        until: datetime.date | str | None = None,
    ) -> training.Outcome:
        """Scores `batches` of a split, by default all of it, as the run's own test did.

        Args:
          batches: Batches of the split.
          split: `train`, `val` or `test`.
          until: The last day that counts, a date or YYYY-MM-DD; None for all. Acquisitions after it
            are masked. With early fusion, a sample that has none of a modality up to then is taken
            for not observed.

        Raises:
          ArgumentError: If one of `batches` has more dates than any of the split can have, or
            nothing had been observed up to `until`.
        """
        scorer, (_, most) = self._scorer, self._tested
        if split == "train":
            scorer, (_, most) = self._train_scorer, self._trained
        if batches is not None:
            batches = self._with_room(batches, most)
        score = scorer.of(self.state, split, batches=batches)
        if until is not None:
            score = functools.partial(self._until, scorer, split, as_date(until), batches)
        return self._test(score)

    def _test(self, score: Any) -> Any:
        run = self.run.saved
        return self.task.test(score, run.context, temperature=run.temperature)

    def _until(self, scorer, split, day, batches, metric: str, **context: float) -> Any:
        """A score of what had been observed up to a day."""
        if batches is None:
            read, observed = self.task.spec.read, self.splits.observed(split)
            check_observed(day, self.splits.dataset, observed, read)
        (known,) = scorer.until(self.state, split, metric, [day], batches=batches, **context)
        fault = f"up to {day}, no sample that counts had been observed"
        refuse("until", known.outcome is None, fault, "give a later day")
        return known.outcome

    def evaluate_by_date(self, *, split: str = "test") -> list[Until]:
        """Scores a split by what had been observed up to the end of each month of the season.

        Each batch is made once, and one program serves all months. The last one has it all.

        Args:
          split: `train`, `val` or `test`.
        """
        scorer = self._train_scorer if split == "train" else self._scorer
        names = self.task.spec.modalities
        observed = [{name: days[name] for name in names} for days in self.splits.observed(split)]
        days = month_ends(self.splits.dataset, observed)

        def score(metric: str, **context: float) -> Any:
            return scorer.until(self.state, split, metric, days, **context)

        return self._test(score)

    def evaluate_by_modality(
        self, *, split: str = "test"
    ) -> dict[tuple[str, ...], training.Outcome]:
        """Scores a split with some of the modalities, the others masked: what if a sensor fails.

        Each batch is made once, and one program serves all. With early fusion, what replaces a
        masked modality are zeros: the mean of what the model was trained on.

        Args:
          split: `train`, `val` or `test`.

        Returns:
          By the modalities that are left, all of them first; see
          `pastis_jax.modality_dropout.subsets`.

        Raises:
          UserError: If no sample of the split counts, with all of them.
        """
        scorer = self._train_scorer if split == "train" else self._scorer
        chosen = subsets(self.task.spec.modalities, self.task.spec.read)
        score = functools.partial(scorer.subsets, self.state, split, chosen=chosen)
        return dict(zip(chosen, self._test(score), strict=True))

    def _with_room(self, batches: Iterable[Batch], most: Mapping[str, int]) -> Iterator[Batch]:
        for batch in batches:
            fault = "a batch has more dates than any of the split"
            refuse("batches", self._longer(batch, most), fault, "give smaller ones")
            yield batch

    def _longer(self, batch: Batch, most: Mapping[str, int]) -> bool:
        """Whether a batch has more dates than there is room for, on any device."""
        mapped = self.placement.axis_name is not None
        if not mapped and self.placement.devices > 1:
            return False  # Nothing is packed.
        devices = self.placement.devices // jax.process_count() if mapped else 1
        rows = -(-len(batch.real) // devices)
        return any(
            np.sum(series.valid[start : start + rows]) > most.get(name, np.inf)
            for name, series in batch.series.items()
            for start in range(0, len(batch.real), rows)
        )

    def predict(self, batch: Batch) -> PyTree[Array]:
        """What the model gives out for a batch: classes or a map, ``b ...``; does not wait.

        Of a sample without a valid date, classes are arbitrary.
        """
        context = {name: jnp.float32(x) for name, x in self.run.saved.context.items()}
        longer, where = self._longer(batch, self._tested[1]), self.placement
        step = self._roomy_prediction_step if longer else self._prediction_step
        return step(self.state, where.batch(batch.series), where.whole(context))

    @functools.cached_property
    def _prediction_step(self) -> Any:
        return self._prediction_by(self.model)

    @functools.cached_property
    def _roomy_prediction_step(self) -> Any:
        """For batches of more dates than those of validation and test, of training say."""
        return self._prediction_by(self.task.model())

    def _prediction_by(self, model: Model) -> Any:
        return training.make_prediction_step(
            model=model, output=self.task.output, placement=self.placement
        )
