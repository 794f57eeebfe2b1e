"""What is known of the parcels of a Region that a run maps."""

from __future__ import annotations

import numpy as np

from pastis_jax.data.dataset import SPLITS
from pastis_jax.data.regions import table
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.table import NO_FOLD
from pastis_jax.runs import Run
from pastis_jax.tasks import folds_of

NOT_KNOWN = -1


def truth_of(run: Run, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """Classes of a Region's own parcels, and which of them the run has not learnt from.

    Args:
      run: The run.
      region: The Region.

    Returns:
      Class of each parcel among those of the run, -1 where it is void or none of them, (n,) int32;
      and whether the run was neither trained nor validated on it, (n,) bool: those of its test
      folds, or all of a Region that it was not trained on. Of a run on lists of samples none is.
    """
    if not (region.root / table.FILE).exists():
        return np.zeros(0, np.int32), np.zeros(0, bool)
    parcels, classes = region.parcels, run.classes
    numbers = {
        (str(entry.code), entry.name.casefold()): number
        for number, entry in enumerate(run.dataset.nomenclature.classes)
    }
    known = [
        numbers.get((str(entry.code), entry.name.casefold()))
        for entry in region.dataset.nomenclature.classes
    ]
    lookup = [classes.void if number is None else int(classes.lookup[number]) for number in known]
    label = np.array(lookup, np.int32)[parcels.label]
    label[label == classes.void] = NOT_KNOWN
    return label, _held_out(run, region)


def _held_out(run: Run, region: Region) -> np.ndarray:
    parcels, records = region.parcels, run.saved.record_options()
    here = region.fingerprint(run.modalities).parts if _all_there(run, region) else {}
    then = run.saved.fingerprint
    if not here or any(then.get(name) != part for name, part in here.items()):
        return np.ones(len(parcels), bool)
    if records.split_lists is not None:
        return np.zeros(len(parcels), bool)
    folds = folds_of(region.dataset, records.fold)
    seen = {fold for split in SPLITS if split != "test" for fold in folds[split]}
    places = [place for place, fold in enumerate(region.dataset.folds) if fold not in seen]
    return np.isin(parcels.fold, places) & (parcels.fold != NO_FOLD)


def _all_there(run: Run, region: Region) -> bool:
    return all(name in region.dataset.names for name in run.modalities)
