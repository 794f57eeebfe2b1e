"""From values as they are stored to the inputs of a model, on the device.

What travels from the disk to the device are the 16 bits of an observation. Here they become
float32, normalised, channels last; what marks a missing observation is replaced, and dates that
show nothing are masked.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pastis_jax.types import Marks, Series, Stored


def as_series(stored: Series | Stored) -> Series:
    """Normalises what is stored; a `Series` stays as it is.

    Missing pixels of a date become the mean of its observed ones, channel by channel. A date of
    which a channel was observed nowhere is not valid. Values are 0 at dates that are not valid, and
    of pixels that are not real. Differs from the reference, where nodata passes for a reflectance.

    Args:
      stored: Values ``b t c s`` or ``b t c h w``.

    Returns:
      The series, ``b t s c`` or ``b t h w c``, float32.
    """
    if isinstance(stored, Series):
        return stored
    values = stored.values.astype(jnp.float32)
    space = tuple(range(3, values.ndim))
    per_channel = (len(stored.values), 1, -1, *(1 for _ in space))
    mean, deviation = (x.reshape(per_channel) for x in (stored.mean, stored.deviation))
    normalised = (values - mean) / jnp.where(deviation > 0, deviation, 1)
    valid = stored.valid
    if (gone := missing(values, stored.marks)) is not None:
        unseen = gone
        if stored.pixels is not None:
            unseen = gone | ~stored.pixels[:, None, None]
        count = (~unseen).sum(space, keepdims=True)
        # A sum of normalised values loses no digits, as one of thousands of large ones does.
        total = jnp.where(unseen, 0, normalised).sum(space, keepdims=True)
        normalised = jnp.where(gone, total / jnp.maximum(count, 1), normalised)
        valid = valid & (count > 0).all((2, *space))
    where = valid.reshape(*valid.shape, 1, *(1 for _ in space))
    if stored.pixels is not None:
        where = where & stored.pixels[:, None, None]
    return Series(
        values=jnp.moveaxis(jnp.where(where, normalised, 0), 2, -1),
        days=stored.days,
        valid=valid,
        pixels=stored.pixels,
        geometric=stored.geometric,
    )


def all_series(stored: Mapping[str, Series | Stored]) -> dict[str, Series]:
    """Does `as_series` for each modality."""
    return {name: as_series(one) for name, one in stored.items()}


def missing(values: Float[Array, "b t c ..."], marks: Marks) -> Bool[Array, "b t c ..."] | None:
    """Which of `values`, as they are stored, mark a missing observation; None if none can.

    The same as `data.modality.Modality.missing` tells of acquisitions on the disk.

    Args:
      values: float32, to which stored values are rounded where they are wider.
      marks: What marks them.
    """
    gone = None
    if marks.infinite:
        gone = ~(values > -jnp.inf)
    if marks.nan or marks.value is not None:
        marked = jnp.isnan(values) if marks.nan else values == jnp.float32(marks.value)
        gone = marked if gone is None else gone | marked
    if marks.zero:
        zero, acquisition = values == 0, tuple(range(2, values.ndim))
        filled = zero if gone is None else zero | gone
        shared = {"axis": acquisition, "keepdims": True}
        blank = filled.all(**shared) & zero.any(**shared)
        gone = jnp.broadcast_to(blank, values.shape) if gone is None else gone | blank
    return gone
