"""Which dates a run looked at to tell what a parcel is: the attention of its temporal encoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from pastis_jax.data.pixel_sets.encoding import draw_pixels, encode_pixels
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.parcels import generator_of
from pastis_jax.mapping.report.curves import Observed
from pastis_jax.mapping.report.places import Place
from pastis_jax.nn.raw import all_series
from pastis_jax.runs import Run
from pastis_jax.tasks import blank_series
from pastis_jax.types import Series

_STEP = 8
"""Dates by which series are padded, so that one program serves several parcels."""


@dataclasses.dataclass(frozen=True, eq=False)
class Attention:
    """How a temporal encoder shares its attention out among the dates of a modality.

    Attributes:
      days: Of the valid dates, since the start of the season, (t,) int32.
      weight: Mean over heads, and over the pixels of a parcel, (t,); over all modalities that one
        encoder reads they add up to 1.
    """

    days: np.ndarray
    weight: np.ndarray


class Attending:
    """Tells the attention of a run for parcels of a map.

    Args:
      made: The map.
    """

    def __init__(self, made: Made):
        self._made, self._weights = made, attention_of(made.run)

    def __call__(
        self, place: Place, observed: Mapping[str, Observed], identifier: str
    ) -> dict[str, Attention]:
        """The attention for a parcel, by modality; empty where the model has none.

        Args:
          place: Its pixels.
          observed: What was observed of them.
          identifier: Of the parcel, which tells the pixels that are drawn as in the map.
        """
        run, mapper = self._made.run, self._made.mapper
        if mapper.grid is None:
            series, inside = self._pixel_set(observed, identifier), None
        else:
            row, column = place.middle
            cells = (mapper.grid.rows.cells, mapper.grid.columns.cells)
            i, j = (
                int(np.searchsorted(edges, at, "right")) - 1
                for edges, at in zip(cells, (row, column), strict=True)
            )
            rows, columns = mapper.grid.window((i, j))
            frames = mapper.inputs.read(rows, columns)
            series = mapper.inputs.stack([frames], 1, mapper.grid.size)
            inside = _inside(place, rows, columns)
        if series is None or not run.usable(series).all():
            return {}
        told = {}
        found = jax.device_get(self._weights(run.variables, series))
        reads = run.task.spec.scheme.reads(run.modalities)
        for name in (name for name in reads if name in found):
            weights = found[name]
            if inside is not None:
                weights = _over(weights, inside)
            start = 0
            for modality in reads[name]:
                one = series[modality]
                valid = np.asarray(one.valid[0])
                part = weights[0, start : start + len(valid)]
                told[modality] = Attention(np.asarray(one.days[0])[valid], part[valid])
                start += len(valid)
        return told

    def _pixel_set(
        self, observed: Mapping[str, Observed], identifier: str
    ) -> dict[str, Series] | None:
        """The series of a parcel as a run of parcels takes them; None where it wants outlines."""
        run = self._made.run
        if run.task.spec.geometric:
            return None
        size = run.saved.record_options().pixels
        count = next(iter(observed.values())).values.shape[-1]
        drawn, real = draw_pixels(count, size, generator_of(identifier))
        batch = {}
        for name in run.modalities:
            if name in observed:
                one = observed[name]
                length = max(-(-len(one.days) // _STEP), 1) * _STEP
                moments = run.saved.learned.statistics[name]
                drawing = (one.values, one.days, one.modality, moments, drawn, real)
                series = encode_pixels(*drawing, length=length)
                batch[name] = jax.tree.map(lambda x: x[None], series)
            else:
                channels = len(run.dataset[name].channels)
                blank = blank_series((1, _STEP, size, channels), pixels=True)
                batch[name] = blank.replace(valid=np.zeros((1, _STEP), bool))
        return batch


def attention_of(run: Run) -> Callable[[Any, Mapping[str, Series]], dict[str, jax.Array]]:
    """Makes the function that gives attention, by temporal encoder, ``b t`` or ``b t h w``.

    Args:
      run: The run; of a model without attention, nothing is given.
    """
    model, encoders = run.task.model(), run.task.spec.scheme.reads(run.modalities)

    @jax.jit
    def weights(variables, series):
        _, kept = model.apply(variables, all_series(series), mutable=["intermediates"])
        flat = traverse_util.flatten_dict(kept.get("intermediates", {}))
        return {
            path[0]: found[0].mean(-1)
            for path, found in flat.items()
            if path[0] in encoders and path[-1] == "attention"
        }

    return weights


def _inside(place: Place, rows: slice, columns: slice) -> np.ndarray:
    """Which pixels of a window are the parcel's, (h, w) bool."""
    inside = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    away = np.array([place.rows.start - rows.start, place.columns.start - columns.start])
    own = np.argwhere(place.covered) + away
    own = own[((own >= 0) & (own < inside.shape)).all(1)]
    inside[tuple(own.T)] = True
    return inside


def _over(weights: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean over the pixels of a parcel, (b, t), of attention at a coarser resolution, b t h w."""
    scale = [
        -(-side // coarse) for side, coarse in zip(inside.shape, weights.shape[2:], strict=True)
    ]
    row, column = np.nonzero(inside)
    return weights[:, :, row // scale[0], column // scale[1]].mean(-1)
