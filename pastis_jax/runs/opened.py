"""A finished run, opened again: it predicts by itself, and scores data that are given to it."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import functools
import itertools
import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PyTree

from pastis_jax import training
from pastis_jax.data.calendar import YEAR, Days, not_trained_on
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import SPLITS, Dataset
from pastis_jax.data.normalisation import SEASON, observed
from pastis_jax.data.splits import BatchPlan
from pastis_jax.errors import DataWarning, DaysWarning, UserError, refuse
from pastis_jax.nn.raw import all_series
from pastis_jax.runs import memory, results, saved, weights
from pastis_jax.runs.given import check_observed, check_series
from pastis_jax.runs.opened_data import OpenedData
from pastis_jax.runs.records import records_of
from pastis_jax.runs.until import Until, as_date
from pastis_jax.tasks import TASKS, Task
from pastis_jax.text import plain
from pastis_jax.types import Series, Stored

LEAST_MEMORY = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
"""What makes XLA encode one modality after the other on a CPU, whose pyramids are large."""


class Run:
    """A finished run, in a folder that may lie anywhere: nothing else is needed to predict.

    Args:
      folder: The folder, what was its `out`.

    Attributes:
      folder: The folder, absolute.
      saved: What the run carries: model, dataset, classes, statistics.
      task: The task.
      variables: Weights and running statistics.

    Raises:
      UserError: If there is no finished run, or a file of it cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = pathlib.Path(os.path.expanduser(folder)).absolute()
        self.saved = saved.read(self.folder)
        self.task: Task = self._task()
        digest = self.saved.checksums.get(weights.WEIGHTS)
        self.variables: PyTree[np.ndarray] = weights.read(self.folder, self._shapes(), digest)

    def __repr__(self) -> str:
        return f"Run({os.fspath(self.folder)!r}, {self.task.name}, {self.task.spec.fusion} fusion)"

    def _task(self, axis_name: str | None = None) -> Task:
        run = self.saved
        make = functools.partial(TASKS[run.task], axis_name=axis_name, **run.options)
        return make(run.spec, run.learned.dataset, run.learned.classes)

    def _shapes(self) -> PyTree[jax.ShapeDtypeStruct]:
        """What the model's variables are like; none is made."""
        try:
            return jax.eval_shape(functools.partial(_variables, self.task), self.task.example())
        except UserError:
            raise
        except Exception as error:  # Flax and JAX tell of impossible sizes by almost any class.
            fault = f"its model cannot be built ({type(error).__name__}: {error})"
            where = self.folder / saved.RUN
            raise UserError(fault, where=where, remedy=weights.REMEDY) from error

    def sparing(self) -> Run:
        """The same run, whose model encodes some images at a time.

        What is needed to encode then does not grow with the number of dates, only what is kept of
        each; on a CPU, of one modality after the other. Predictions are the same but for rounding.
        Of pixel sets, and with norms that need all images, it is this run.
        """
        spec = self.task.spec
        if getattr(spec, "remat", True) or spec.encoder_norm == "batch":
            return self
        other = copy.copy(self)
        other.__dict__.pop("_answer", None)
        other.task = type(self.task)(
            dataclasses.replace(spec, remat=True), self.dataset, self.classes, **self.saved.options
        )
        return other

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the run, a line each."""
        if weights.WEIGHTS in self.saved.checksums:
            return ()
        version = "a version that wrote no checksums"
        return (f"{self.folder}: this run is of {version}: damage of its weights may not show",)

    @property
    def dataset(self) -> Dataset:
        """What the run was trained on."""
        return self.saved.learned.dataset

    @property
    def classes(self) -> ClassMapping:
        """What the run tells apart."""
        return self.saved.learned.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that the model takes."""
        return self.task.spec.modalities

    @functools.cached_property
    def result(self) -> dict[str, Any]:
        """Content of its result.json.

        Raises:
          UserError: If it cannot be read.
        """
        content = results.read(self.folder, remedy="copy the run again")
        if content["task"] != self.task.name:
            fault = f"it is of the task {content['task']}, the run of {self.task.name}"
            where = self.folder / results.FILE
            raise UserError(fault, where=where, remedy="copy the run again")
        return content

    # New series

    def predict(self, series: Mapping[str, Series]) -> PyTree[np.ndarray]:
        """Predicts from series as they were observed; no dataset is needed.

        Compiled once for each shape. Padding dates, other samples in the batch and the order of
        dates change nothing. Of a sample without a valid date nothing is known: its probabilities
        are NaN; its map has no parcel, and confidences of NaN.

        Args:
          series: By modality, values ``b t s c`` of pixel sets (with `pixels`) or ``b t h w c`` of
            images in the stored unit of the run's dataset, marks of missing observations among
            them, and days since the start of the season. What is not valid is ignored.

        Warns:
          DaysWarning: In a line, of days far outside of those that the run was trained on, and of
            resampling beyond the observed dates.

        Returns:
          Class probabilities ``b k`` or ``b h w k`` in the order of `classes`, or a `PanopticMap`
          with those of each parcel, at the temperature of the run; NumPy arrays.

        Raises:
          ValueError: If a modality is missing, arrays have shapes that do not go together, values
            of valid dates cannot be in the unit (what would be refused of a folder), or a sample
            has no valid date of a modality that the scheme cannot do without.
        """
        statistics = self.saved.learned.statistics
        known = {
            name: observed(
                series[name], self.dataset[name], statistics[name], season=self._season(name)
            )
            for name in check_series(self, series)
        }
        check_observed(self, {name: x.valid.any(1) for name, x in known.items()})
        days = [
            {name: x.days[i][x.valid[i]] for name, x in known.items()}
            for i in range(len(next(iter(known.values())).valid))
        ]
        self._warn_of(days, "these series")
        return self.answer(known)

    def answer(self, series: Mapping[str, Series | Stored]) -> PyTree[np.ndarray]:
        """Predicts from series that hold what is expected; see `predict` for what it gives.

        Args:
          series: By modality, ``b t s c`` or ``b t h w c`` normalised as in training, or as stored.
        """
        return jax.device_get(self._answer(self.variables, series))

    def usable(self, series: Mapping[str, Series | Stored]) -> np.ndarray:
        """Which samples something can be told of, (b,) bool.

        Those with a valid date of a modality whose dates are read and, where the scheme cannot do
        without one, of every modality.

        Args:
          series: By modality.
        """
        valid = {name: np.asarray(series[name].valid).any(1) for name in self.modalities}
        usable = np.any([valid[name] for name in self.task.spec.read], axis=0)
        if not self.task.spec.scheme.masks:
            usable &= np.all([*valid.values()], axis=0)
        return usable

    def _season(self, name: str) -> tuple[int, int]:
        """Days that a modality may be of; where it was trained on others, those and a year more."""
        (first, last), span = SEASON, self.saved.days.get(name)
        if span is None or first <= span.first <= span.last <= last:
            return SEASON
        return min(first, span.first - YEAR), max(last, span.last + YEAR)

    def _warn_of(self, observed: Sequence[Days], name: str) -> None:
        """Warns of days that the run was not made for."""
        for line in (
            not_trained_on(observed, self.saved.days, name=name),
            self.task.spec.not_enclosed(observed),
        ):
            if line is not None:
                warnings.warn(line, DaysWarning, stacklevel=3)

    @functools.cached_property
    def _answer(self) -> Any:
        model, context = self.task.model(), self.saved.context
        temperature = self.saved.temperature

        def answer(variables, series):
            prediction = model.apply(variables, all_series(series))
            return self.task.answer(prediction, temperature=temperature, **context)

        spares = getattr(self.task.spec, "remat", False) and jax.default_backend() == "cpu"
        return jax.jit(answer, compiler_options=LEAST_MEMORY if spares else None)

    # Data

    def open_data(
        self,
        data: str | os.PathLike[str] | None = None,
        *,
        fold: int | None = None,
        batch_size: int | None = None,
        nodata: Sequence[str] | None = None,
        offset: Sequence[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        parallel: training.Parallel = "jit",
        needed: Sequence[str] = SPLITS,
        skip_implausible: bool | None = None,
    ) -> OpenedData:
        """Opens data for this run: inputs as it was trained on, labels as classes of it.

        Args:
          data: A folder in the layout of the task, with the run's modalities and classes; None
            takes what the run was trained on, which must not have changed since.
          fold: Run of cross-validation that tells the splits. None takes that of the run
            where the folder has the same folds, and the run's lists of samples where the dataset
            has the same name: none that was trained on is then tested on. Elsewhere None is 1.
          batch_size: Samples in a batch; None takes as many as in the run's own test.
          nodata: Marks of what is missing in a folder that is named, "S2=-9999" say, in place of
            those that it declares. They must be given, or be (), where the run had some.
          offset: The same of what is added to its values, "S2=-1000" say.
          cache_dir: Where prepared data are kept; None takes the default, not where the run had
            them: nothing is written where a run says.
          parallel: How a batch is spread over several devices.
          needed: Splits that must have samples.
          skip_implausible: Of other data, whether to leave out samples with values that no sensor
            measures; None as in the run.

        Warns:
          DataWarning: Of what is odd about other data, a line each; DaysWarning as of `predict`.

        Raises:
          UserError: If the data are not there, do not fit, or have changed; ArgumentError if there
            is no such fold or the batch is empty.
        """
        least = "give 1 or more"
        refuse("fold", fold is not None and fold < 1, f"got {fold}", least)
        refuse("batch_size", batch_size is not None and batch_size < 1, f"got {batch_size}", least)
        declared = {"nodata": nodata, "offset": offset}
        records = records_of(self, data, fold, cache_dir, declared)
        if skip_implausible is not None:
            fault = "the run's own data are what it was trained beside"
            refuse("skip_implausible", data is None, fault, "leave it out, or name the folder")
            records = dataclasses.replace(records, skip_implausible=skip_implausible)
        placement = training.Placement(parallel=parallel)
        size = self.saved.batch_size if batch_size is None else batch_size
        rows = placement.rows(size)
        plan = BatchPlan(size, 0, rows, evaluation_size=size, evaluation_rows=rows)
        task = self._task(placement.axis_name)
        learned, own = self.saved.learned, data is None
        wanted = {"norms": own, "needed": needed}
        splits = task.open(records, records.data, task.spec, plan, learned, **wanted)
        memory.check_batches(splits, task.samples, lambda _: None)
        if own and (differing := splits.fingerprint.differing(self.saved.fingerprint)):
            fault = f"these data have changed since the run: {', '.join(differing)}"
            remedy = "bring them back, or name the folder to score what it holds now"
            raise UserError(fault, where=records.data, remedy=remedy)
        if not own:
            unmasked = records.max_cloud is None
            if unmasked and (bound := self.saved.record_options().max_cloud) is not None:
                text = "it holds no masks: acquisitions under clouds count, of which the run "
                text += f"left out those with more than {bound:g}"
                warnings.warn(f"{plain(str(records.data))}: {text}", DataWarning, stacklevel=2)
            for note in splits.notes:
                warnings.warn(f"{plain(str(records.data))}: {note}", DataWarning, stacklevel=2)
            every = itertools.chain(*(splits.observed(split) for split in splits.sources))
            self._warn_of([*every], str(records.data))
        return OpenedData(self, task, splits, placement)

    def evaluate(
        self,
        data: str | os.PathLike[str] | None = None,
        *,
        split: str = "test",
        until: datetime.date | str | None = None,
        **options: Any,
    ) -> training.Outcome:
        """Scores data, by default the test samples of the run.

        Args:
          data: See `open_data`.
          split: `train`, `val` or `test`.
          until: The last day that counts, a date or YYYY-MM-DD; see `OpenedData.evaluate`.
          **options: Those of `open_data`.

        Raises:
          UserError: As `open_data`; ArgumentError if there is no such split, or nothing had been
            observed up to `until`.
        """
        day = None if until is None else as_date(until)
        return self._opened(data, split, options).evaluate(split=split, until=day)

    def evaluate_by_date(
        self, data: str | os.PathLike[str] | None = None, *, split: str = "test", **options: Any
    ) -> list[Until]:
        """Scores data by what had been observed up to the end of each month of the season.

        Args:
          data: See `open_data`.
          split: `train`, `val` or `test`.
          **options: Those of `open_data`.

        Raises:
          UserError: As `open_data`; ArgumentError if there is no such split.
        """
        return self._opened(data, split, options).evaluate_by_date(split=split)

    def _opened(self, data: Any, split: str, options: Mapping[str, Any]) -> OpenedData:
        refuse("split", split not in SPLITS, f"got {split!r}", f"give {', '.join(SPLITS)}")
        return self.open_data(data, needed=(split,), **options)

    def predict_region(
        self,
        data: str | os.PathLike[str],
        out: str | os.PathLike[str],
        *,
        workers: int | None = None,
        scheduler: str | None = None,
        overwrite: bool = False,
        progress: bool = False,
        **options: Any,
    ) -> dict[str, Any]:
        """Maps a Region: rasters, parcels and a report for QGIS; see docs/maps.md::

            run = pastis_jax.open_run("run")
            run.predict_region("region", "map", until="2024-05-31", reject=0.5)

        Stopped at any moment, the same call goes on where it was left. Needs the extra `geo`.

        Args:
          data: The Region.
          out: Folder to make.
          workers: Processes of this machine that predict blocks; None for this one alone.
          scheduler: Address of the scheduler of a Dask cluster that predicts them.
          overwrite: Whether what another call left on the way to the same folder is removed.
          progress: Whether a bar with the time left is shown.
          **options: Those of `pastis_jax.mapping.MapOptions`.

        Returns:
          What map.json holds.

        Raises:
          UserError: For a mistake in the arguments, or if the Region does not fit the run.
        """
        from pastis_jax import mapping  # which is made of runs

        given = mapping.MapOptions(**options)
        where = {"workers": workers, "scheduler": scheduler}
        how = {"overwrite": overwrite, "progress": progress}
        return mapping.predict_region(self, data, out, options=given, **where, **how)


def _variables(task: Task, series: Mapping[str, Series]) -> PyTree[Array]:
    """Weights of a task's model, by shape alone; those of training, for auxiliary decoders."""
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
    variables = task.model().init(rngs, series, train=True)
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Opens the finished run in `folder`, wherever that lies; see `Run`."""
    return Run(folder)
