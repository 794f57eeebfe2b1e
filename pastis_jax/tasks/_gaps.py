"""What a model makes of samples that lack something: refused, or masked and told."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence

from pastis_jax.data.dataset import Fold
from pastis_jax.data.gaps import Gaps
from pastis_jax.data.metadata import Identifier
from pastis_jax.errors import DataError
from pastis_jax.tasks._spec import ModelSpec
from pastis_jax.text import named


def check_gaps(
    spec: ModelSpec,
    gaps: Gaps,
    folds: Mapping[str, Sequence[Fold]],
    sizes: Mapping[str, int],
    *,
    samples: str,
    root: pathlib.Path,
) -> None:
    """Refuses samples that a model cannot take, and splits that nothing is known of.

    Args:
      spec: The model.
      gaps: What samples lack.
      folds: Folds of each split.
      sizes: Number of samples of each split to look at.
      samples: What they are, in plural.
      root: Their folder.

    Raises:
      DataError: If samples lack a modality that the scheme cannot do without, or any valid date of
        one whose values it would take for observed, or no sample of a split has a valid date.
    """
    used, total = [fold for split in sizes for fold in folds[split]], sum(sizes.values())
    for name in spec.modalities if not spec.scheme.masks else ():
        absent, blind = gaps.without(name, used), _blind(spec, gaps, name, used)
        if lacking := absent or (blind if name not in spec.read else []):
            what = name if absent else f"valid date of {name}"
            fault = f"{len(lacking):,} of {total:,} {samples} have no {what}, which {spec.fusion}"
            fault += f" fusion needs: {named(lacking)}"
            remedy = "leave them out by `split_lists`, or choose other `modalities`"
            remedy += " or `fusion` late, which masks them" if spec.scheme.several else ""
            raise DataError(fault, where=root, remedy=remedy)
    for split, size in sizes.items():
        if len(gaps.without_dates(spec.read, folds[split])) == size:
            fault = f"no date of {' or '.join(spec.read)} is valid in any of the {size:,}"
            fault += f" {samples} of {split}: at each one a channel was not observed"
            remedy = "correct the data, or choose other `modalities`"
            raise DataError(fault, where=root, remedy=remedy)


def gap_notes(
    spec: ModelSpec,
    gaps: Gaps,
    folds: Mapping[str, Sequence[Fold]],
    sizes: Mapping[str, int],
    *,
    samples: str,
    listed: bool,
) -> Iterator[str]:
    """Tells what samples lack, a line each.

    Args:
      spec: As for `check_gaps`, and so are those that follow.
      gaps: What samples lack.
      folds: Folds of each split.
      sizes: Number of samples of each split.
      samples: What they are.
      listed: Whether a result.json lists those that are left out.
    """
    used, total = [fold for split in sizes for fold in folds[split]], sum(sizes.values())
    for name in spec.modalities:
        if lacking := gaps.without(name, used):
            yield f"{len(lacking):,} of {total:,} {samples} have no {name}: masked"
        if spec.scheme.masks and (blind := _blind(spec, gaps, name, used)):
            yield f"{len(blind):,} of {total:,} {samples} have no valid date of {name}: masked"
    for split, size in sizes.items():
        if blind := gaps.without_dates(spec.read, folds[split]):
            yield (
                f"{len(blind):,} of {size:,} {samples} of {split} have no date at which every "
                f"channel was observed, and do not count: {named(blind)}"
            )
    if gaps.skipped:
        left_out = f"{samples} left out for implausible values: {len(gaps.skipped):,}"
        where = "; result.json lists them" if listed else ""
        yield f"{left_out} ({named(list(gaps.skipped))}){where}"


def _blind(spec: ModelSpec, gaps: Gaps, modality: str, folds: Sequence[Fold]) -> list[Identifier]:
    """Samples that have a modality, at no date observed, but others that count for them."""
    others = {*gaps.without(modality, folds), *gaps.without_dates(spec.read, folds)}
    return [one for one in gaps.without_dates((modality,), folds) if one not in others]
