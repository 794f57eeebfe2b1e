"""What a map says of its parcels, put together from its blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pastis_jax.data.assignment import Assignment
from pastis_jax.data.dataset import SPLITS
from pastis_jax.data.regions import table
from pastis_jax.data.regions.records.index import identifiers
from pastis_jax.data.regions.table import NO_FOLD
from pastis_jax.errors import DataError
from pastis_jax.mapping.blocks import NODATA, Block, Content
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.parcel_results import ParcelResults
from pastis_jax.mapping.semantic import classes_of
from pastis_jax.runs.saved import carried_lists
from pastis_jax.tasks import folds_of
from pastis_jax.text import named


def results(made: Made) -> ParcelResults | None:
    """The parcels of a map, all of them, in the order of their table; None where it has none."""
    polygons = made.mapper.polygons
    if polygons is None:
        return None
    probability, pixels, dates = _put_together(made)
    truth, held_out = _truth(made), _held_out(made)
    return ParcelResults(
        id=polygons.id,
        label=_layers(made, probability)["crop"],
        probability=probability,
        pixels=pixels,
        dates=dates,
        hectares=polygons.hectares,
        truth=truth,
        held_out=held_out,
        geometry=polygons.geometry,
    )


def painted(made: Made) -> Iterator[tuple[Block, Content]]:
    """Gives class, confidence and margin of the parcel of each pixel, 255 where there is none."""
    polygons = made.mapper.polygons
    assert polygons is not None
    probability, _, _ = _put_together(made)
    # Of contested pixels and those of no parcel, -1 and 0, nothing is known.
    layers = {name: np.append(NODATA, of) for name, of in _layers(made, probability).items()}
    for block in made.blocks:
        numbers = np.maximum(polygons.numbers(block.rows, block.columns), 0)
        yield block, {name: of[numbers].astype(np.uint8) for name, of in layers.items()}


def notes(made: Made) -> Iterator[str]:
    """What a reader should know of the parcels of a map, a line each."""
    polygons = made.mapper.polygons
    if polygons is None:
        return
    if made.run.task.name == "parcel":
        yield from polygons.findings(made.blocks)
    probability, pixels, _ = _put_together(made)
    unknown = ~np.isfinite(probability).all(1)
    for which, fault in (
        (pixels == 0, "have no pixel of the map"),
        (unknown & (pixels > 0), "were never observed"),
    ):
        if which.any():
            some = polygons.id[which].tolist()
            yield f"{len(some):,} of {len(polygons):,} parcels {fault}: nodata ({named(some)})"
    if polygons.own:
        try:
            made.classes.of_other(made.run.dataset.nomenclature, made.region.dataset.nomenclature)
        except ValueError as error:
            yield f"parcels are not compared with those of the Region: {error}"


def _put_together(made: Made) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (n, k), NaN where nothing is known, pixels (n,) and dates (n, m)."""
    assert made.mapper.polygons is not None
    n, k = len(made.mapper.polygons), len(made.classes.names)
    pixels, dates = np.zeros(n), np.zeros((n, len(made.run.modalities)), np.uint16)
    if made.run.task.name == "parcel":
        probability = np.full((n, k), np.nan, np.float32)
        names = ("parcel", "parcel_probability", "parcel_pixels", "parcel_dates")
        for _, content in made.read(*names):
            rows = content["parcel"]
            probability[rows] = content["parcel_probability"]
            pixels[rows], dates[rows] = content["parcel_pixels"], content["parcel_dates"]
        return probability, pixels, dates
    sums = np.zeros((n, k))
    for _, content in made.read("parcel", "parcel_sum", "parcel_weight", "parcel_dates"):
        rows = content["parcel"]  # each once
        sums[rows] += content["parcel_sum"]
        pixels[rows] += content["parcel_weight"]
        dates[rows] = np.maximum(dates[rows], content["parcel_dates"])
    with np.errstate(invalid="ignore"):
        return (sums / pixels[:, None]).astype(np.float32), pixels, dates


def _layers(made: Made, probability: np.ndarray) -> Content:
    return classes_of(probability.T, np.isfinite(probability).all(1), made.options.reject)


def _truth(made: Made) -> np.ndarray:
    """Class of each parcel in the Region, -1 where it is void or not known, (n,) int32."""
    polygons, region, classes = made.mapper.polygons, made.region, made.classes
    assert polygons is not None
    if not polygons.own:
        return np.full(len(polygons), -1, np.int32)
    try:
        other = classes.of_other(made.run.dataset.nomenclature, region.dataset.nomenclature)
    except ValueError:
        return np.full(len(polygons), -1, np.int32)
    truth = other.lookup[region.parcels.label]
    return np.where(truth == classes.void, -1, truth).astype(np.int32)


def _held_out(made: Made) -> np.ndarray:
    """Parcels that the run was neither trained nor validated on, (n,) bool.

    All where the Region's parcels are not those that it saw; of these, the ones of its test. Of
    lists of windows in place of folds it is not known which parcels they hold: none.
    """
    polygons, region, run = made.mapper.polygons, made.region, made.run
    assert polygons is not None
    n, test = len(polygons), SPLITS[-1]
    if run.saved.fingerprint.get(table.FILE) != region.fingerprint(()).parts[table.FILE]:
        return np.ones(n, bool)
    records = run.saved.record_options()
    if not polygons.own or (records.split_lists is not None and run.task.name != "parcel"):
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
