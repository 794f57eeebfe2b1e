"""Accuracy of a map and areas corrected for its errors, after Olofsson et al. 2014.

P. Olofsson, G. M. Foody, M. Herold, S. V. Stehman, C. E. Woodcock and M. A. Wulder, Good practices
for estimating area and assessing accuracy of land change, Remote Sensing of Environment 148, 42-57.
Equation numbers are theirs. The classes of the map are the strata: each counts by its share of the
mapped area, however many samples it has.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pastis_jax.calibration import Reliability
from pastis_jax.mapping.parcel_results import ParcelResults

LEAST = 2
"""Samples of a class of the map below which nothing can be said of it: no variance is known."""
WIDTH = 1.96
"""Standard errors on either side of an estimate in its 95 % interval."""


@dataclasses.dataclass(frozen=True, eq=False)
class Accuracy:
    """What a sample tells of a map. NaN where nothing is known.

    Attributes:
      counts: Samples by class of the map (rows) and true class (columns), (k, k) int64.
      mapped: Area of each class of the map, (k,) float64, in any unit.
      used: Classes of the map that have samples enough to count, (k,) bool; all below is of the
        area that these cover.
      shares: Estimated shares of that area by class of the map and true class, (k, k) float64;
        they add up to 1.
      overall: Share of the area that is mapped right, and its standard error.
      users: Of what is mapped as a class, the share that is; and standard errors, (2, k).
      producers: Of what is a class, the share that is mapped so; and standard errors, (2, k).
      areas: Of each true class, estimated, in the unit of `mapped`; and standard errors, (2, k).
    """

    counts: np.ndarray
    mapped: np.ndarray
    used: np.ndarray
    shares: np.ndarray
    overall: tuple[float, float]
    users: np.ndarray
    producers: np.ndarray
    areas: np.ndarray

    @property
    def samples(self) -> int:
        """Number of samples that count."""
        return int(self.counts[self.used].sum())


def estimate(counts: np.ndarray, mapped: np.ndarray) -> Accuracy | None:
    """Estimates accuracies and areas from a stratified sample.

    Args:
      counts: Samples by class of the map (rows) and true class (columns), (k, k).
      mapped: Area of each class of the map, (k,), in any unit.

    Returns:
      The estimates; None where no class of the map has `LEAST` samples and an area.
    """
    counts, mapped = np.asarray(counts, np.int64), np.asarray(mapped, np.float64)
    number = counts.sum(1)
    used = (number >= LEAST) & (mapped > 0)
    if not used.any():
        return None
    n = np.where(used, number, 1)
    area = np.where(used, mapped, 0)
    weight = area / area.sum()
    rate = np.where(used[:, None], counts / n[:, None], 0)  # n_ij / n_i
    shares = weight[:, None] * rate  # eq. 4
    spread = rate * (1 - rate) / np.where(used, n - 1, 1)[:, None]
    true = shares.sum(0)  # eq. 9
    right = rate.diagonal()
    with np.errstate(invalid="ignore", divide="ignore"):
        producer = shares.diagonal() / true  # eq. 3
        # eq. 7, with areas as shares of the whole.
        of_class = (weight * (1 - producer)) ** 2 * spread.diagonal()
        among_others = weight[:, None] ** 2 * spread
        np.fill_diagonal(among_others, 0)
        error = np.sqrt(of_class + producer**2 * among_others.sum(0)) / true
    none = np.where(used, 0, np.nan)
    total_error = np.sqrt((weight**2 * spread.diagonal()).sum())  # eq. 5
    area_error = np.sqrt((weight[:, None] ** 2 * spread).sum(0))  # eq. 10
    return Accuracy(
        counts=counts,
        mapped=mapped,
        used=used,
        shares=shares,
        overall=(float(shares.trace()), float(total_error)),
        users=np.stack([right, np.sqrt(spread.diagonal())]) + none,  # eq. 2 and 6
        producers=np.stack([producer, error]),
        areas=np.stack([true, area_error]) * area.sum(),  # eq. 11
    )


def sampled(results: ParcelResults) -> np.ndarray:
    """Which parcels tell of accuracy: classified, held out, of known class, (n,) bool."""
    return population(results) & results.held_out


def classified(results: ParcelResults) -> np.ndarray:
    """Which parcels have a class in the map, (n,) bool."""
    return results.label < results.probability.shape[1]


def population(results: ParcelResults) -> np.ndarray:
    """Which parcels a sample speaks for: classified, of known class, (n,) bool.

    What is void in the Region, of a crop that the run does not know, can never be in the sample:
    nothing that is tested says what the map makes of it.
    """
    return classified(results) & (results.truth >= 0)


def left_out(results: ParcelResults) -> np.ndarray:
    """Which parcels have a class in the map that nothing tested speaks for, (n,) bool."""
    return classified(results) & (results.truth < 0)


def of_parcels(results: ParcelResults, pixel: float) -> Accuracy | None:
    """Estimates accuracies of the parcels of a map, and areas of their classes in hectares.

    The held-out parcels are the sample, all classified ones of known class the whole that it speaks
    for: strata weigh by the hectares of their pixels that are mapped as a class. What of a polygon
    lies beyond the Region is not mapped.

    Args:
      results: The parcels.
      pixel: Hectares of a pixel.

    Returns:
      The estimates; None where too few are known.
    """
    k = results.probability.shape[1]
    whole, sample = population(results), sampled(results)
    counts = np.zeros((k, k), np.int64)
    np.add.at(counts, (results.label[sample], results.truth[sample]), 1)
    mapped = np.bincount(results.label[whole], weights=results.pixels[whole], minlength=k)
    return estimate(counts, mapped * pixel)


def reliability_of(results: ParcelResults) -> dict[str, Any] | None:
    """Compares confidences with how often they were right, of held-out parcels of known class.

    Args:
      results: The parcels.

    Returns:
      What `calibration.Reliability.compute` does; None where no such parcel is known.
    """
    known = np.isfinite(results.probability).all(1) & results.held_out & (results.truth >= 0)
    if not known.any():
        return None
    shares = np.maximum(results.probability[known], np.finfo(np.float32).tiny)
    where = np.ones(len(shares), bool)
    return Reliability.from_batch(np.log(shares), results.truth[known], where).compute()
