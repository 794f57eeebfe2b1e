"""What a Region knows of its own parcels, and what of it a run has learnt from."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pastis_jax.data.assignment import Assignment
from pastis_jax.data.dataset import SPLITS, Dataset
from pastis_jax.data.regions import table
from pastis_jax.data.regions.records.index import identifiers
from pastis_jax.data.regions.table import NO_FOLD
from pastis_jax.errors import DataError
from pastis_jax.mapping.fit import SHIFT
from pastis_jax.runs.saved import carried_lists
from pastis_jax.tasks import folds_of

if TYPE_CHECKING:
    from pastis_jax.mapping.made import Made

NOT_KNOWN = -1


def truth_of(made: Made) -> np.ndarray:
    """Class of each parcel of the Region, -1 where it is void or not known, (n,) int32.

    The classes are those of the Region's own season: of another one, none is known.
    """
    region, classes = made.region, made.classes
    if not of_its_season(made):
        return np.full(len(region.parcels), NOT_KNOWN, np.int32)
    try:
        other = classes.of_other(made.run.dataset.nomenclature, region.dataset.nomenclature)
    except ValueError:
        return np.full(len(region.parcels), NOT_KNOWN, np.int32)
    truth = other.lookup[region.parcels.label]
    return np.where(truth == classes.void, NOT_KNOWN, truth).astype(np.int32)


def of_its_season(made: Made) -> bool:
    """Whether a map is of the season that the Region's parcels have their classes of."""
    return abs((made.season.start - made.region.dataset.season_start).days) <= SHIFT


class Learnt(enum.Enum):
    """What a run has seen of a Region's own parcels."""

    NOTHING = enum.auto()
    THESE = enum.auto()
    UNCLEAR = enum.auto()


def learnt(made: Made) -> Learnt:
    """What the run has seen of this Region's own parcels.

    It was made of them where the table of parcels is the same; also where it was made of an export
    of the Region, which has no such table, but its name, season, folds and splits. Of a Region of
    the same name and season with another table it is not clear which parcels were in both: the same
    scenes may have been ingested anew, and the folds dealt otherwise.
    """
    run, region = made.run, made.region
    then = run.saved.fingerprint.get(table.FILE)
    if then == region.fingerprint(()).parts[table.FILE]:
        return Learnt.THESE
    if _same(run.dataset, region.dataset, "name", "season_start"):
        export = then is None and _same(run.dataset, region.dataset, "folds", "splits")
        return Learnt.THESE if export else Learnt.UNCLEAR
    return Learnt.NOTHING


def notes(made: Made) -> Iterator[str]:
    """Why nothing is said of accuracy although truth is known, a line."""
    own = made.options.parcels is None and (made.region.root / table.FILE).exists()
    if own and not of_its_season(made):
        own_season = f"that from {made.region.dataset.season_start}"
        yield f"parcels are not compared with those of the Region: their season is {own_season}"
    elif own and learnt(made) is Learnt.UNCLEAR:
        told = "nothing is said of accuracy: the run was made of other parcels of a Region of the "
        yield f"{told}same name and season, and which of these it has learnt from is not known"


def _same(one: Dataset, other: Dataset, *fields: str) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in fields)


def held_out(made: Made) -> np.ndarray:
    """Parcels of the Region that the run was neither trained nor validated on, (n,) bool.

    All where they are not those that it saw; of these, the ones of its test. None where it is not
    clear what it saw: also of lists of windows in place of folds, which do not tell their parcels.
    """
    region, run = made.region, made.run
    n, test = len(region.parcels), SPLITS[-1]
    if (seen := learnt(made)) is not Learnt.THESE:
        return np.full(n, seen is Learnt.NOTHING)
    records = run.saved.record_options()
    if records.split_lists is not None and run.task.name != "parcel":
        return np.zeros(n, bool)
    if records.split_lists is not None:
        file = carried_lists(run.folder, run.saved) or records.split_lists
        try:
            split = Assignment.read(file).split
        except DataError:  # of an older run that carries none
            return np.zeros(n, bool)
        return np.array([split.get(name) == test for name in identifiers(region)])
    tested = folds_of(region.dataset, records.fold)[test]
    positions = [place for place, fold in enumerate(region.dataset.folds) if fold in tested]
    return np.isin(region.parcels.fold, positions) & (region.parcels.fold != NO_FOLD)
