"""Test patches on which two finished runs differ most, ready to be drawn side by side."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.paper import pictures
from pastis_jax import runs, viz
from pastis_jax.data.dataset import Modality
from pastis_jax.data.metadata import Identifier
from pastis_jax.data.patches.agreement import in_parcels
from pastis_jax.data.patches.instances import instances_from_parcels
from pastis_jax.data.splits import PatchSplits

MOST_MARKS = 3
"""Parcels marked on a patch, of each kind."""
SUMMER = 5, 6, 7, 8
"""Months in which most crops are on the fields, and skies clearest."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """Chosen test patches.

    Attributes:
      rows: Of a comparison; the maps are in the order of the runs, the truth last.
      ids: Of the patches.
      gained: Parcels of all test patches that the second of the two compared runs alone gets right.
      lost: Those that the first alone gets right.
    """

    rows: Sequence[pictures.ComparisonRow]
    ids: Sequence[Identifier]
    gained: int
    lost: int


def predict(opened: runs.OpenedData) -> dict[Identifier, pictures.ClassMap]:
    """Returns the maps of the test patches of a semantic or panoptic run, by their identifier."""
    apply = runs.make_predict(opened.task, opened.run.variables, opened.run.saved.context)
    identify, maps = opened.splits.sources["test"].identifier, {}
    for batch in opened.splits.alone("test"):
        _, output = apply(batch)
        if opened.task.name == "semantic":
            classes, instances = np.asarray(output), None
        else:
            instances = np.asarray(output.instances)
            classes = np.where(instances > 0, output.semantic, 0)
        for i in np.flatnonzero(batch.real):
            own = None if instances is None else instances[i]
            maps[identify(int(batch.number[i]))] = pictures.ClassMap(classes[i], own)
    return maps


def choose(
    splits: PatchSplits,
    maps: Mapping[str, Mapping[Identifier, pictures.ClassMap]],
    *,
    compared: tuple[str, str],
    number: int,
    observed: bool,
    legacy_void: bool = False,
) -> Examples:
    """Chooses the patches with most parcels that one of the `compared` runs alone gets right.

    Of equally many, those that come first in the test fold.

    Args:
      splits: Patches, of the modalities to show.
      maps: Predictions by name of the run and identifier of the patch.
      compared: Names of two of these runs.
      number: How many patches; all that there are, if fewer.
      observed: Whether to show an optical and a radar observation too.
      legacy_void: The rule for void that the runs are scored by: parcels are judged by the same.
    """
    right = functools.partial(
        pictures.right_parcels, void=splits.classes.void, legacy_void=legacy_void
    )
    by_difference = []
    gained = lost = 0
    for i, record in enumerate(splits.sources["test"]):
        truth = true_map(splits, record)
        first, second = (right(maps[name][record["patch"]], truth) for name in compared)
        better, worse = (second & ~first).sum(), (first & ~second).sum()
        gained, lost = gained + int(better), lost + int(worse)
        by_difference.append((-int(better + worse), i))
    chosen = [splits.sources["test"][i] for _, i in sorted(by_difference)[:number]]
    rows = [_row(splits, record, maps, compared, observed, right) for record in chosen]
    return Examples(rows, [record["patch"] for record in chosen], gained, lost)


def true_map(splits: PatchSplits, record: Mapping) -> pictures.ClassMap:
    """The true classes of a record, and its parcels."""
    parcels, semantic = record.get("instances", record["parcels"]), record["semantic"]
    inside = in_parcels(semantic, parcels, splits.dataset.nomenclature)
    instances = instances_from_parcels(parcels, inside)
    return pictures.ClassMap(splits.classes.lookup[semantic], instances)


def _row(splits, record, maps, compared, observed, judge):
    truth = true_map(splits, record)
    predicted = {name: own[record["patch"]] for name, own in maps.items()}
    right = {name: judge(own, truth) for name, own in predicted.items()}
    first, second = (right[name] for name in compared)
    total = int(pictures.counted_parcels(truth, splits.classes.void).sum())
    notes = {name: f"{int(own.sum())} of {total} parcels right" for name, own in right.items()}
    outlined = any(own.instances is not None for own in predicted.values())
    drawn = pictures.ClassMap(truth.classes, truth.instances if outlined else None)
    observations, dates = _observations(splits, record) if observed else ({}, {})
    return pictures.ComparisonRow(
        title=f"patch {record['patch']}",
        observations=observations,
        maps={**predicted, "truth": drawn},
        notes={**notes, **dates},
        differences=pictures.differences(second, first, truth.instances, most=MOST_MARKS),
    )


def shown_modalities(splits: PatchSplits) -> tuple[Modality | None, Modality | None]:
    """The modalities whose observations are shown: the first optical one, and the first other.

    None where the run has none of a kind.
    """
    modalities = [splits.dataset[name] for name in splits.encode.lengths]
    optical, other = (
        next((modality for modality in modalities if modality.optical is kind), None)
        for kind in (True, False)
    )
    return optical, other


def _observations(splits, record):
    """One clear optical date and the radar date next to it, and their dates, by column.

    A modality that the patch lacks is black.
    """
    optical, radar = shown_modalities(splits)
    used = {m.name: splits.dates_in_use(record, m.name) for m in (optical, radar)}
    if len(used[optical.name]):
        day = clear_day(splits, record, optical)
    else:
        middle = used[radar.name][len(used[radar.name]) // 2 :][:1]
        day = int(record[radar.name]["days"][middle].sum())
    shown, dates = {}, {}
    for modality in (optical, radar):
        column = f"{modality.name} observation"
        if not len(used[modality.name]):
            nothing = np.full((*splits.size, len(modality.channels)), np.nan, np.float32)
            shown[column], dates[column] = viz.picture(nothing, modality), "no date"
            continue
        image, observed_day = observation(splits, record, modality, day)
        shown[column] = viz.picture(image, modality)
        dates[column] = f"{splits.dataset.date(observed_day):%d %b %Y}"
    return shown, dates


def clear_day(splits: PatchSplits, record: Mapping, optical: Modality) -> int:
    """Day of the clearest acquisition of an optical modality of a record.

    Of those in use from May to August (of all, if there are none), that with the lowest 90th
    percentile of what its picture shows in blue: clouds are bright in blue, on part of the patch
    too. Pixels without data count as cloudy.

    Args:
      splits: What the record is of.
      record: The record.
      optical: The modality.

    Returns:
      Its day since the start of the season.
    """
    used = splits.dates_in_use(record, optical.name)
    days, values = record[optical.name]["days"], record[optical.name]["values"]
    months = [splits.dataset.date(day).month for day in days[used]]
    summer = used[np.isin(months, SUMMER)]
    candidates = summer if len(summer) else used
    return int(days[candidates[clearest(values[candidates], optical)]])


def clearest(values: np.ndarray, optical: Modality) -> int:
    """Number of the clearest acquisition, as `clear_day` tells it.

    Args:
      values: ``t c h w``, at least one acquisition, in the stored unit.
      optical: What observed it.
    """
    blue = values[:, optical.channels.index(optical.shown.channels[-1])]
    missing = optical.missing(blue, (1, 2))
    blue = blue.astype(np.float32)
    if missing is not None:
        blue = np.where(missing, np.inf, blue)
    brightness = np.percentile(blue.reshape(len(blue), -1), 90, axis=1, method="higher")
    return int(brightness.argmin())


def observation(
    splits: PatchSplits, record: Mapping, modality: Modality, day: int
) -> tuple[np.ndarray, int]:
    """The acquisition in use nearest to `day`: ``h w c`` in the stored unit, and its day.

    One that shows nothing is taken only where all are like that.
    """
    used = splits.dates_in_use(record, modality.name)
    values, days = record[modality.name]["values"], record[modality.name]["days"]
    order = used[np.argsort(np.abs(days[used] - day), kind="stable")]
    nearest = next((i for i in order if splits.encode.shows(modality.name, values[i])), order[0])
    values = values[nearest]
    return values.transpose(1, 2, 0).astype(np.float32), int(days[nearest])
