"""Looks at a whole folder of data, and tells all that is wrong with it, not only the first."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tqdm

from pastis_jax.data import layout
from pastis_jax.data.calendar import LATE
from pastis_jax.data.dataset import Dataset, Fold
from pastis_jax.data.declared import declare
from pastis_jax.data.gaps import any_observed
from pastis_jax.data.metadata import PARCEL_METADATA, Patch
from pastis_jax.data.modality import Modality
from pastis_jax.data.normalisation import SEASON
from pastis_jax.data.pastis_r import check_labels, describe
from pastis_jax.data.patches.agreement import Contradiction, ParcelFolds, crop_parcels, tell_shared
from pastis_jax.data.patches.folder import ANNOTATIONS, PatchFolder
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.statistics import COMPUTE, fold_statistics_from_norm
from pastis_jax.data.survey import Survey, from_json
from pastis_jax.data.surveyed import Surveyed
from pastis_jax.errors import DataError
from pastis_jax.text import named

BRIGHT = 0.2
"""Reflectance of the bluest shown channel from which a pixel is cloud, or snow."""
PARTLY = 0.1
"""Share of such pixels from which an image is partly covered; from half on it mostly is."""
_WORKERS = 4
BLUEST = -1
"""Of the channels that a modality is shown by."""


Observed = dict[str, tuple[np.ndarray, np.ndarray]]
"""Values (t, c, ...) and days (t,) by modality."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong, or odd.

    Attributes:
      damage: Whether a sample is damaged or missing; else it is odd, or matters to some runs alone.
      text: One line: what, where, and what to do.
      noted: Whether it only tells what was done when the data were made, and needs no look.
    """

    damage: bool
    text: str
    noted: bool = False


@dataclasses.dataclass
class Sensed:
    """What a modality has observed.

    Attributes:
      dates: Acquisitions of each sample.
      images: Acquisitions of all patches; those that parcels of one patch share count once.
      months: Acquisitions by month, ``2019-05`` say.
      bright: Share of the acquisitions that are mostly cloud or snow; None where it cannot be told.
      partly: Share of the acquisitions that are at least partly cloud or snow; None likewise.
      missing: Share of the values that are marked as missing.
    """

    dates: list[int] = dataclasses.field(default_factory=list)
    months: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    images: int = 0
    bright: float | None = None
    partly: float | None = None
    missing: float = 0.0


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What is in a folder of data.

    Attributes:
      kind: `pixel sets` or `patches`.
      root: The folder.
      dataset: What it says it holds.
      samples: Number of samples by fold.
      counts: Parcels, or pixels, by fold and number of their class.
      sensed: By modality.
      findings: What is wrong or odd, damage first.
      parcels: What was observed of some parcels of each class, by its number.
      patches: Title, what was observed, and labels (h, w) of some patches.
    """

    kind: str
    root: pathlib.Path
    dataset: Dataset
    samples: Mapping[Fold, int]
    counts: Mapping[Fold, Mapping[int, int]]
    sensed: Mapping[str, Sensed]
    findings: tuple[Finding, ...]
    parcels: Mapping[int, list[Observed]]
    patches: list[tuple[str, Observed, np.ndarray]]

    @property
    def unit(self) -> str:
        """What `counts` counts."""
        return "parcels" if self.kind == "pixel sets" else "pixels"

    @property
    def damaged(self) -> bool:
        """Whether a sample is damaged or missing."""
        return any(finding.damage for finding in self.findings)


PARCELS, PATCHES = 3, 4
"""Parcels of each class, and patches, that are kept to be shown."""


def inspect_data(
    root: str | os.PathLike[str],
    *,
    nodata: Sequence[str] = (),
    offset: Sequence[str] = (),
    progress: bool = True,
) -> Inspection:
    """Reads a folder of pixel sets or patches completely.

    Args:
      root: The folder.
      nodata: Marks of what is missing in place of those that it declares, "S2=-9999" say.
      offset: The same of what is added to its values, "S2=-1000" say.
      progress: Whether to draw a progress bar.

    Raises:
      DataError: If it is no such folder, or its metadata cannot be read.
    """
    root = layout.resolve(root)
    remedy = "add what is missing, or give a folder of pixel sets or patches, or a run"
    dataset = declare(describe(root, remedy=remedy), nodata, offset)
    present = layout.present_modalities(root, dataset)
    # None has its own message.
    held = [name for name in present if layout.list_names(root / f"DATA_{name}")] or None
    if (root / PARCEL_METADATA).exists():
        folder = PixelSetFolder(root, held, dataset=dataset, complete=False)
        return _inspect(folder, dataset, "pixel sets", folder.parcels, _read_parcel, progress)
    annotated = [*root.glob(ANNOTATIONS), *root.glob(f"*/{ANNOTATIONS}")]
    if not annotated and not [*root.glob(f"*/{PARCEL_METADATA}")]:
        layout.refuse_scenes(root)
        fault = f"neither {PARCEL_METADATA}, of pixel sets, nor {ANNOTATIONS}, of patches, is here"
        raise DataError(f"{fault}, and it is no run", where=root, remedy=remedy)
    folder = PatchFolder(root, held, dataset=dataset, complete=False)
    return _inspect(
        folder, dataset, "patches", list(folder.patches.values()), _read_patch, progress
    )


def _read_parcel(folder: PixelSetFolder, parcel: Any) -> tuple[Observed, np.ndarray, None]:
    return folder.read(parcel), np.array(parcel.label), None


def _read_patch(folder: PatchFolder, patch: Any) -> tuple[Observed, np.ndarray, Any]:
    series, annotations = folder.check(patch)
    ids = crop_parcels(annotations.semantic, annotations.parcel_ids, folder.dataset.nomenclature)
    return series, annotations.semantic, (folder.contradictions(patch, annotations), ids)


def _inspect(
    folder: Any,
    dataset: Dataset,
    kind: str,
    items: Iterable[Any],
    read: Callable[[Any, Any], tuple[Observed, np.ndarray, Any]],
    progress: bool,
) -> Inspection:
    items = list(items)
    samples = collections.Counter(item.fold for item in items)
    counts: dict[Fold, collections.Counter[int]] = {f: collections.Counter() for f in dataset.folds}
    sensed = {name: Sensed() for name in folder.modalities}
    totals = {name: np.zeros(5) for name in folder.modalities}
    seen: set[Any] = set()  # patches
    findings, parcels, patches = [], collections.defaultdict(list), []
    survey = Survey([dataset[name] for name in folder.modalities], dataset.folds)
    lacking = {name: [] for name in folder.modalities}
    every_day = {name: [] for name in folder.modalities}
    unobserved, sound = [], 0

    agreement = _Agreement(folder)

    def look(item: Any) -> tuple[Observed, np.ndarray, Any] | DataError:
        try:
            return read(folder, item)
        except DataError as error:
            return error

    bar = tqdm.tqdm(total=len(items), desc="Looking", unit=f" {kind}", disable=not progress)
    with bar, ThreadPoolExecutor(_WORKERS) as pool:
        for item, outcome in zip(items, pool.map(look, items), strict=True):
            bar.update()
            if isinstance(outcome, DataError):
                findings.append(Finding(True, str(outcome)))
                continue
            series, labels, parcels_of_patch = outcome
            sound += 1
            if parcels_of_patch is not None:
                findings += agreement.add(item, *parcels_of_patch)
            numbers, pixels = np.unique(labels, return_counts=True)
            counts[item.fold].update(dict(zip(numbers.tolist(), pixels.tolist(), strict=True)))
            patch = getattr(item, "patch", item.id)
            for name, (values, days) in series.items():
                totals[name] += count_bright(values, dataset[name])
                sensed[name].dates.append(len(days))
                sensed[name].images += len(days) * (patch not in seen)
                sensed[name].months.update(f"{dataset.date(day):%Y-%m}" for day in days)
                if not len(days):
                    lacking[name].append(item.id)
            survey.add(item.fold, patch, survey.measure(series))
            seen.add(patch)
            for name, (_, days) in series.items():
                every_day[name].append(days)
            if not any(any_observed(values, dataset[m]) for m, (values, _) in series.items()):
                unobserved.append(item.id)
            if labels.ndim and len(patches) < PATCHES:
                patches.append((f"patch {item.id}", series, labels))
            elif not labels.ndim and len(parcels[int(labels)]) < PARCELS:
                parcels[int(labels)].append(series)
    for name, (bright, partly, dates, missing, values) in totals.items():
        if _tells_clouds(dataset[name]):
            sensed[name].bright = bright / max(dates, 1)
            sensed[name].partly = partly / max(dates, 1)
        sensed[name].missing = missing / max(values, 1)
    for name, ids in lacking.items():
        if ids:
            text = f"{len(ids)} of {len(items)} {kind} have no {name}, which single and early "
            findings.append(Finding(False, f"{text}fusion of it need: {named(ids)}"))
    if unobserved:
        text = f"{len(unobserved)} of {len(items)} {kind} have no date at which every channel was "
        findings.append(Finding(False, f"{text}observed: {named(unobserved)}"))
    findings += odd_days(every_day, kind, dataset)
    findings += agreement.findings()
    findings += _absent(folder, dataset, kind, samples, counts)
    findings += _odd_values(folder, dataset, kind, from_json(survey.to_json(), dataset))
    if sum(samples.values()) == sound:  # those of a part may well be the first classes alone
        findings += _odd_labels(folder, dataset, counts)
    findings.sort(key=lambda finding: not finding.damage)
    return Inspection(
        kind, folder.root, dataset, samples, counts, sensed, tuple(findings), parcels, patches
    )


class _Agreement:
    """What annotations of patches say against each other, and parcels of several folds."""

    def __init__(self, folder: Any):
        self._folder, self._without = folder, 0
        self._parcels = ParcelFolds(folder.dataset.folds)

    def add(
        self, patch: Patch, contradictions: list[Contradiction], parcels: np.ndarray
    ) -> Iterator[Finding]:
        """Adds a patch; gives what its annotations contradict each other in."""
        self._parcels.add(parcels, patch.fold)
        for contradiction in contradictions:
            if contradiction.absent:
                self._without += 1
            else:
                yield Finding(True, str(self._folder.refusal(patch, contradiction)))

    def findings(self) -> Iterator[Finding]:
        """What is odd about all patches together."""
        if self._without:
            text = f"{self._without:,} patches have crops and no parcel: TARGET numbers none and "
            yield Finding(False, f"{text}there is no ParcelIDs; panoptic runs are refused")
        if text := tell_shared(self._parcels.shared(), "several folds"):
            yield Finding(False, text)


def _tells_clouds(modality: Modality) -> bool:
    return modality.unit in ("reflectance x 10000", "reflectance")


def count_bright(values: np.ndarray, modality: Modality) -> np.ndarray:
    """Numbers of mostly and of partly bright acquisitions, acquisitions, missing values, values.

    Args:
      values: As they are stored, (t, c, ...).
      modality: What they are of.
    """
    missing = modality.missing(values, range(1, values.ndim))
    gone = 0 if missing is None else int(missing.sum())
    bright = partly = 0
    if _tells_clouds(modality) and values.size:
        channel = modality.channels.index(modality.shown.channels[BLUEST])
        blue = modality.offset + values[:, channel].reshape(len(values), -1)
        limit = BRIGHT * (10000 if modality.unit == "reflectance x 10000" else 1)
        if gone:
            observed = ~missing[:, channel].reshape(blue.shape)
            images = [image[seen] for image, seen in zip(blue, observed, strict=True) if seen.any()]
            bright = sum(bool(np.median(image) > limit) for image in images)
            partly = sum(bool((image > limit).mean() >= PARTLY) for image in images)
        else:
            bright = int((np.median(blue, axis=1) > limit).sum())
            partly = int(((blue > limit).mean(1) >= PARTLY).sum())
    return np.array([bright, partly, len(values), gone, values.size])


def odd_days(
    every_day: Mapping[str, list[np.ndarray]], kind: str | None, dataset: Dataset
) -> Iterator[Finding]:
    """Acquisitions far from the start of the season, by modality.

    Args:
      every_day: Days of each sample, by modality.
      kind: What the samples are; None where all share the dates.
      dataset: When the season starts.
    """
    first, last = SEASON
    remedy = "correct them, or give season_start of their own season in dataset.json"
    for name, samples in every_day.items():
        days = np.concatenate([np.zeros(0, int), *samples])
        if not len(days):
            continue
        dates = f"from {dataset.date(days.min())} to {dataset.date(days.max())}"
        if outside := int(((days < first) | (days > last)).sum()):
            odd = sum(bool(((of < first) | (of > last)).any()) for of in samples)
            some = f", in {odd:,} of {len(samples):,} {kind}," if kind else ""
            yield Finding(
                False,
                f"{outside:,} of {len(days):,} dates of {name}{some} are not within "
                f"{first} to {last} days of the start of the season, {dataset.season_start}, "
                f"but {dates}: {remedy}",
            )
        elif days.min() > LATE:
            yield Finding(
                False,
                f"the first date of {name} is {days.min()} days after the start of the season, "
                f"{dataset.season_start}: dates are {dates}; {remedy}",
            )


def _odd_values(
    folder: Any, dataset: Dataset, kind: str, measured: Mapping[str, Surveyed]
) -> Iterator[Finding]:
    """What is odd about the values of modalities, and their statistics, which cannot be theirs."""
    pattern = "NORM_PARCEL_{}_set.json" if kind == "pixel sets" else "NORM_{}_patch.json"
    for name, surveyed in measured.items():
        statistics, file = None, folder.root / pattern.format(name)
        try:
            without = {*dataset.folds} - surveyed.folds.keys()
            statistics = fold_statistics_from_norm(
                file, dataset[name], dataset.folds, without=without
            )
            surveyed.check(statistics, where=file, whose="Fold_{}", remedy=COMPUTE)
        except DataError as error:
            yield Finding(False, str(error))
            statistics = None
        for note in surveyed.notes(statistics):
            yield Finding(False, note)


def _odd_labels(
    folder: Any, dataset: Dataset, counts: Mapping[Fold, Mapping[int, int]]
) -> Iterator[Finding]:
    """Labels that seem to be of another list of classes."""
    try:
        check_labels(folder.root, dataset, {n for labels in counts.values() for n in labels})
    except DataError as error:
        yield Finding(True, str(error))


def _absent(
    folder: Any,
    dataset: Dataset,
    kind: str,
    samples: Mapping[Fold, int],
    counts: Mapping[Fold, Mapping[int, int]],
) -> Iterator[Finding]:
    """What is not there: modalities, folds, classes."""
    for name in dataset.names:
        if name not in folder.modalities:
            empty = (folder.root / f"DATA_{name}").is_dir()
            text = f"DATA_{name} holds nothing" if empty else f"there is no DATA_{name}"
            yield Finding(False, f"{text}: name the other modalities to train")
    for fold in dataset.folds:
        if not samples.get(fold):
            yield Finding(False, f"fold {fold} has no sample: runs that need it are refused")
    seen = {number for labels in counts.values() for number in labels}
    nomenclature = dataset.nomenclature
    expected = nomenclature.crops if kind == "pixel sets" else nomenclature.classes
    for number, entry in enumerate(nomenclature.classes):
        if number not in seen and entry in expected and number != nomenclature.void_number:
            yield Finding(False, f"class {entry.code}, {entry.name}, never occurs")
