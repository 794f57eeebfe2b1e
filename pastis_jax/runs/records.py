"""How the records are made that a finished run scores: as its own, or of other data."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pastis_jax.data.pastis_r import describe
from pastis_jax.errors import UserError, refuse
from pastis_jax.runs import saved
from pastis_jax.tasks import RecordOptions

if TYPE_CHECKING:
    from pastis_jax.runs.opened import Run


def records_of(
    run: Run,
    data: str | os.PathLike[str] | None,
    fold: int | None,
    cache_dir: str | os.PathLike[str] | None,
    declared: Mapping[str, Sequence[str] | None],
) -> RecordOptions:
    """How records are made: as in the run, of its own data or of others.

    Args:
      run: The run.
      data: The data; None for the run's own.
      fold: Run of cross-validation; None for that of the run, where it can be.
      cache_dir: Where prepared data are kept; None for the default.
      declared: Marks of what is missing and offsets, as `Run.open_data` takes them.

    Raises:
      UserError: If the run's own data are not there; ArgumentError of what must be declared.
    """
    cache = None if cache_dir is None else pathlib.Path(cache_dir)
    own = dataclasses.replace(run.saved.record_options(), cache_dir=cache)
    if (carried := saved.carried_lists(run.folder, run.saved)) is not None:
        own = dataclasses.replace(own, split_lists=carried)
    if fold is not None:
        own = dataclasses.replace(own, fold=fold)
    for name, given in declared.items():
        if data is None:
            refuse(name, given is not None, "the run has that of its own data", "leave it out")
            continue
        had = " ".join(getattr(own, name))
        unsaid = given is None and had
        remedy = "give what these data need, or () for nothing"
        refuse(name, unsaid, f"the run had {had}, which may not be that of {data}", remedy)
        own = dataclasses.replace(own, **{name: tuple(given or ())})
    if data is None:
        if own.data is None or not own.data.exists():
            fault, remedy = f"the data of this run, {own.data}, are not here", "name a folder"
            raise UserError(fault, where=run.folder, remedy=remedy)
        lists = own.split_lists
        if lists is not None and lists.exists() and not lists.is_file():
            raise UserError("not a file", where=lists, remedy="bring it back")
        return own
    described = describe(pathlib.Path(data))
    own = dataclasses.replace(own.fitting(data), data=pathlib.Path(data))
    if own.split_lists is not None:
        same = described.name == run.dataset.name
    else:
        same = all(getattr(described, x) == getattr(run.dataset, x) for x in ("folds", "splits"))
    if same:
        return own
    return dataclasses.replace(own, fold=1 if fold is None else fold, split_lists=None)
