"""Test patches on which two finished runs differ most, ready to be drawn side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from experiments import panoptic, patches, restored, semantic
from experiments.paper import pictures
from pastis_jax import viz
from pastis_jax.data.instances import instances_from_parcels
from pastis_jax.data.pastis_r import PASTIS_R

MOST_MARKS = 3
"""Parcels marked on a patch, of each kind."""


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
    ids: Sequence[int]
    gained: int
    lost: int


def predict(run: restored.Restored) -> dict[int, pictures.ClassMap]:
    """Returns the maps of the test patches of a semantic or panoptic run, by their id."""
    parts, config = run.parts, run.config
    variables = run.state.variables
    if parts.task.name == "semantic":
        apply = semantic.make_predict(parts.model, variables, len(parts.task.classes))
    else:
        least = run.result["min_confidence"]
        apply = panoptic.make_predict(config, parts.model, variables, least)
    maps = {}
    for batch in parts.data.alone("test"):
        if parts.task.name == "semantic":
            classes, instances = np.asarray(apply(batch)).astype(np.uint8), None
        else:
            _, found = apply(batch)
            instances = np.asarray(found.instances).astype(np.int16)
            classes = np.where(instances > 0, found.semantic, 0).astype(np.uint8)
        for i in np.flatnonzero(batch.real):
            one = None if instances is None else instances[i]
            maps[int(batch.id[i])] = pictures.ClassMap(classes[i], one)
    return maps


def choose(
    data: patches.Data,
    maps: Mapping[str, Mapping[int, pictures.ClassMap]],
    *,
    compared: tuple[str, str],
    number: int,
    observed: bool,
) -> Examples:
    """Chooses the patches with most parcels that one of the `compared` runs alone gets right.

    Of equally many, those that come first in the test fold.

    Args:
      data: Patches, of the modalities to show.
      maps: Predictions by name of the run and id of the patch.
      compared: Names of two of these runs.
      number: How many patches; all that there are, if fewer.
      observed: Whether to show an optical and a radar observation too.
    """
    void, found = data.classes.void, []
    gained = lost = 0
    for i, record in enumerate(data.sources["test"]):
        truth = true_map(data, record)
        first, second = (
            pictures.right_parcels(maps[name][record["patch"]], truth, void) for name in compared
        )
        better, worse = (second & ~first).sum(), (first & ~second).sum()
        gained, lost = gained + int(better), lost + int(worse)
        found.append((-int(better + worse), i))
    chosen = [data.sources["test"][i] for _, i in sorted(found)[:number]]
    rows = [_row(data, record, maps, compared, observed) for record in chosen]
    return Examples(rows, [int(record["patch"]) for record in chosen], gained, lost)


def true_map(data: patches.Data, record: Mapping) -> pictures.ClassMap:
    """The true classes of a record, and its parcels."""
    parcels = record.get("instances", record["parcels"])
    instances = instances_from_parcels(parcels, record["semantic"])
    return pictures.ClassMap(data.classes.lookup[record["semantic"]], instances)


def _row(data, record, maps, compared, observed):
    truth, void = true_map(data, record), data.classes.void
    right = {
        name: pictures.right_parcels(one[record["patch"]], truth, void)
        for name, one in maps.items()
    }
    first, second = (right[name] for name in compared)
    total = int(pictures.counted_parcels(truth, void).sum())
    notes = {name: f"{int(one.sum())} of {total} parcels right" for name, one in right.items()}
    predicted = {name: one[record["patch"]] for name, one in maps.items()}
    if any(one.instances is not None for one in predicted.values()):
        drawn = pictures.ClassMap(truth.classes, truth.instances)
    else:
        drawn = pictures.ClassMap(truth.classes)
    observations, dates = _observations(data, record) if observed else ({}, {})
    return pictures.ComparisonRow(
        title=f"patch {record['patch']}",
        observations=observations,
        maps={**predicted, "truth": drawn},
        notes={**notes, **dates},
        differences=pictures.differences(second, first, truth.instances, most=MOST_MARKS),
    )


def _observations(data, record):
    """One clear optical date and the radar date next to it, and their dates, by column."""
    day = data.clear_day(record)
    radar = next(m for m in data.encode.lengths if m != "S2")
    shown, dates = {}, {}
    for modality in ("S2", radar):
        image, observed_day = data.observation(record, modality, day)
        shown[f"{modality} observation"] = viz.picture(image, PASTIS_R[modality])
        dates[f"{modality} observation"] = f"{PASTIS_R.date(observed_day):%d %b %Y}"
    return shown, dates
