"""Batches of pixel sets out of a table that holds all of them: gathered, drawn and normalised.

Everything here runs where the table lies, inside a compiled program: in the memory of an
accelerator, or over a file that is mapped into that of a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key, Num, UInt

from pastis_jax.nn.raw import as_series
from pastis_jax.types import Batch, Marks, Series, Stored

_FEW = 8
"""Share of a batch up to which parcels that may lack something are taken by themselves."""


@struct.dataclass
class RaggedSeries:
    """One modality of all parcels.

    Attributes:
      values: As they are stored, ``r d c``: rows of ``d`` dates. A pixel has as many rows as its
        dates need, those of a parcel's pixels follow each other.
      first: ``n``, int32, number of the first row of each parcel.
      dates: ``n``, int32, number of dates of each parcel.
      days: ``n t``, int32, days since the start of the season; arbitrary behind the last date.
      mean: ``c``, float32, mean of each channel of what is stored.
      deviation: ``c``, float32, standard deviation of each channel.
      holes: ``n``, whether something may be missing in a parcel.
      marks: What tells that nothing was observed.
    """

    values: Num[Array, "r d c"]
    first: Int[Array, " n"]
    dates: Int[Array, " n"]
    days: Int[Array, "n t"]
    mean: Float[Array, " c"]
    deviation: Float[Array, " c"]
    holes: Bool[Array, " n"]
    marks: Marks = struct.field(pytree_node=False, default=Marks())


@struct.dataclass
class PixelTable:
    """All parcels of a split.

    Attributes:
      series: By modality.
      pixels: ``n``, int32, number of pixels of each parcel.
      label: ``n``, int32, class index.
      geometric: ``n g``, features of the outline as a `Series` has them; None when not used.
      drawn: ``n s``, int32, the pixels that are taken of each parcel; None where they are drawn
        anew for each batch.
    """

    series: Mapping[str, RaggedSeries]
    pixels: Int[Array, " n"]
    label: Int[Array, " n"]
    geometric: Float[Array, "n g"] | None = None
    drawn: Int[Array, "n s"] | None = None


@struct.dataclass
class Rows:
    """Which parcels make a batch.

    Attributes:
      number: ``b``, int32, number of the parcel in the table; 0 where not real.
      real: ``b``, False for the samples that only fill up the batch.
      place: ``b``, uint32, place of the sample among all of a run: what is drawn follows from it.
    """

    number: Int[Array, " b"]
    real: Bool[Array, " b"]
    place: UInt[Array, " b"]


def make_batch(
    table: PixelTable, rows: Rows, key: Key[Array, ""], size: int, *, spread: bool = False
) -> Batch:
    """Makes a batch of parcels.

    Args:
      table: The parcels.
      rows: Which of them.
      key: PRNG key of a run.
      size: Number of pixels ``s`` of each parcel, of which the table does not say the pixels.
      spread: Whether the rows are spread over several devices, on which they stay.
    """
    number, real = rows.number, rows.real
    count = table.pixels[number]
    if table.drawn is None:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows.place)
        drawn = draw_pixels(keys, count, size)
    else:
        drawn = table.drawn[number]
    pixels = jnp.arange(drawn.shape[1]) < jnp.maximum(count, 1)[:, None]
    pixels &= real[:, None]
    outline = None
    if table.geometric is not None:
        outline = jnp.where(real[:, None], table.geometric[number], 0)

    def series(one: RaggedSeries) -> Series:
        stored = _gathered(one, number, drawn, pixels).replace(geometric=outline)
        found, empty = _series(stored, one.holes[number], spread), (count == 0)[:, None]
        # One zero pixel stands for a parcel without any.
        values = jnp.where(empty[..., None, None], 0, found.values)
        return found.replace(values=values, valid=jnp.where(empty, stored.valid, found.valid))

    return Batch(
        series={name: series(one) for name, one in table.series.items()},
        label=jnp.where(real, table.label[number], 0),
        real=real,
        number=number,
    )


def _gathered(
    one: RaggedSeries,
    number: Int[Array, " b"],
    drawn: Int[Array, "b s"],
    pixels: Bool[Array, "b s"],
) -> Stored:
    """One modality of a batch as it is stored, but for its axes: ``b s t c``."""
    (limit, height, channels), length = one.values.shape, one.days.shape[1]
    dates = one.dates[number]
    valid = (jnp.arange(length) < dates[:, None]) & pixels.any(1)[:, None]
    of_pixel = one.first[number][:, None] + drawn * -(-dates // height)[:, None]
    index = of_pixel[..., None] + jnp.arange(-(-length // height))
    # Behind the last date of a pixel lie the rows of others, which are not valid.
    values = one.values.at[jnp.minimum(index, limit - 1)].get(mode="promise_in_bounds")
    values = values.reshape(*drawn.shape, -1, channels)[:, :, :length]

    def moments(x):
        return jnp.broadcast_to(x, (len(number), channels))

    return Stored(
        values=values,
        days=jnp.where(valid, one.days[number], 0),
        valid=valid,
        mean=moments(one.mean),
        deviation=moments(one.deviation),
        pixels=pixels,
        marks=one.marks,
    )


def _series(stored: Stored, holes: Bool[Array, " b"], spread: bool) -> Series:
    """Normalises what `_gathered` gives; on a CPU nothing is looked for in parcels without holes.

    That takes longer there than all else. A branch also keeps XLA from gathering value by value, in
    the order of the result, what lies in one piece.
    """
    most = -(-len(holes) // _FEW)

    def search(stored: Stored) -> Series:
        return as_series(stored.replace(values=stored.values.transpose(0, 2, 3, 1)))

    def whole(stored: Stored) -> Series:
        return search(stored.replace(marks=Marks()))

    def some(stored: Stored) -> Series:
        (which,) = jnp.nonzero(holes, size=most, fill_value=len(holes))
        few = search(jax.tree.map(lambda x: x[which], stored))
        return jax.tree.map(lambda x, own: x.at[which].set(own, mode="drop"), whole(stored), few)

    def on_cpu(stored: Stored) -> Series:
        number = holes.sum()
        branch = jnp.where(number > most, 2, jnp.where(number > 0, 1, 0))
        return jax.lax.switch(branch, (whole, some, search), stored)

    if spread:
        return search(stored)
    return jax.lax.platform_dependent(stored, cpu=on_cpu, default=search)


def draw_pixels(
    keys: Key[Array, " b"], count: Int[Array, " b"], size: int
) -> Int[Array, "b {size}"]:
    """Draws `size` pixels of each parcel without replacement, every set of them equally likely.

    A smaller parcel gives all its pixels in order, its last one repeated; an empty one pixel 0.
    This is Floyd's algorithm (Bentley and Floyd, "A sample of brilliance", CACM 1987): of the last
    pixels, i from n - s on, each proposes one of 0 to i, and is taken itself if that is taken. What
    is taken already is found without a loop over the pixels: an equal proposal before, or the pixel
    that was taken itself, whose own proposal had been taken, and so on.

    Args:
      keys: PRNG key of each parcel.
      count: Number of its pixels.
      size: Number of pixels to draw ``s``.
    """
    index = jnp.arange(size)
    few = jnp.minimum(index, jnp.maximum(count - 1, 0)[:, None])

    def draw(key, count):
        start = jnp.maximum(count, size) - size
        proposed = jax.random.randint(key, (size,), 0, start + index + 1)
        order = jnp.argsort(proposed, stable=True)
        inorder = proposed[order]
        again = jnp.concatenate([jnp.zeros(1, bool), inorder[1:] == inorder[:-1]])
        taken = jnp.zeros(size, bool).at[order].set(again)
        # The pixel whose own turn a proposal names: an earlier one, or its own, of which the
        # answer is known.
        named = jnp.where(proposed >= start, proposed - start, index)
        for _ in range(max(size - 1, 1).bit_length()):
            taken, named = taken | taken[named], named[named]
        return jnp.where(taken, start + index, proposed)

    many = jax.vmap(draw)(keys, count)
    return jnp.where((count > size)[:, None], many, few)
