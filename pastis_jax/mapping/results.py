"""What a map says of its parcels, or of the instances that it has found."""

from __future__ import annotations

from collections.abc import Iterator

from pastis_jax.mapping import instances, parcel_summary, truth
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.parcel_results import ParcelResults


def results_of(made: Made) -> ParcelResults | None:
    """The parcels of a map, or its instances; None of a map of pixels without parcels."""
    if made.run.task.name == "panoptic":
        return instances.results(made)
    return parcel_summary.results(made)


def notes_of(made: Made) -> Iterator[str]:
    """What a reader should know of them, a line each."""
    yield from (instances if made.run.task.name == "panoptic" else parcel_summary).notes(made)
    yield from truth.notes(made)
