"""What a Region knows of its own parcels, and what of it a run has learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pastis_jax.data.assignment import Assignment
from pastis_jax.data.dataset import SPLITS
from pastis_jax.data.regions import table
from pastis_jax.data.regions.records.index import identifiers
from pastis_jax.data.regions.table import NO_FOLD
from pastis_jax.errors import DataError
from pastis_jax.runs.saved import carried_lists
from pastis_jax.tasks import folds_of

if TYPE_CHECKING:
    from pastis_jax.mapping.made import Made

NOT_KNOWN = -1


def truth_of(made: Made) -> np.ndarray:
    """Class of each parcel of the Region, -1 where it is void or not known, (n,) int32."""
    region, classes = made.region, made.classes
    try:
        other = classes.of_other(made.run.dataset.nomenclature, region.dataset.nomenclature)
    except ValueError:
        return np.full(len(region.parcels), NOT_KNOWN, np.int32)
    truth = other.lookup[region.parcels.label]
    return np.where(truth == classes.void, NOT_KNOWN, truth).astype(np.int32)


def learnt_from(made: Made) -> bool:
    """Whether the run was made of this Region's own parcels."""
    then = made.run.saved.fingerprint.get(table.FILE)
    return then == made.region.fingerprint(()).parts[table.FILE]


def held_out(made: Made) -> np.ndarray:
    """Parcels of the Region that the run was neither trained nor validated on, (n,) bool.

    All where they are not those that it saw; of these, the ones of its test. Of lists of windows in
    place of folds it is not known which parcels they hold: none.
    """
    region, run = made.region, made.run
    n, test = len(region.parcels), SPLITS[-1]
    if not learnt_from(made):
        return np.ones(n, bool)
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
