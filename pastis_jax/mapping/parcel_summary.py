"""What a map says of its parcels, put together from its blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pastis_jax.mapping.blocks import NODATA, Block, Content
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.parcel_results import ParcelResults
from pastis_jax.mapping.semantic import classes_of
from pastis_jax.mapping.truth import NOT_KNOWN, Learnt, held_out, learnt, truth_of
from pastis_jax.text import named, word


def results(made: Made) -> ParcelResults | None:
    """The parcels of a map, all of them, in the order of their table; None where it has none."""
    polygons = made.mapper.polygons
    if polygons is None:
        return None
    probability, pixels, dates = _put_together(made)
    return ParcelResults(
        id=polygons.id,
        label=_layers(made, probability)["crop"],
        probability=probability,
        pixels=pixels,
        dates=dates,
        hectares=polygons.hectares,
        truth=_truth(made),
        held_out=_held_out(made),
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
        yield from polygons.overlaps(made.blocks)
    probability, pixels, _ = _put_together(made)
    unknown = ~np.isfinite(probability).all(1)
    for which, fault in (
        (pixels == 0, ("has no pixel of the map", "have no pixel of the map")),
        (unknown & (pixels > 0), ("was never observed", "were never observed")),
    ):
        if which.any():
            some = polygons.id[which].tolist()
            told = f"{len(some):,} of {len(polygons):,} parcels {word(len(some), *fault)}: nodata"
            yield f"{told} ({named(some)})"
    truth = _truth(made)
    void = (_layers(made, probability)["crop"] < len(made.classes.names)) & (truth == NOT_KNOWN)
    if void.any() and (truth != NOT_KNOWN).any():
        pixel = made.region.grid.pixel_size**2 / 1e4
        number, area = int(void.sum()), pixel * pixels[void].sum()
        parcels = word(number, "parcel", "parcels")
        crops = word(number, "is of a crop", "are of crops")
        told = f"{number:,} {parcels} ({area:,.1f} ha) {crops} that the run does not know (void in "
        yield f"{told}the Region); the map gives {word(number, 'it', 'them')} one of its classes"
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
    polygons = made.mapper.polygons
    assert polygons is not None
    return truth_of(made) if polygons.own else np.full(len(polygons), NOT_KNOWN, np.int32)


def _held_out(made: Made) -> np.ndarray:
    """Parcels that the run was neither trained nor validated on, (n,) bool; see `truth`."""
    polygons = made.mapper.polygons
    assert polygons is not None
    return (
        held_out(made) if polygons.own else np.full(len(polygons), learnt(made) is Learnt.NOTHING)
    )
