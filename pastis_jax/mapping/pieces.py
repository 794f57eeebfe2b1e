"""What windows found: instances as single windows see them, before they are joined.

A window keeps an instance whose centre, that of its bounding box, lies in the window's central
cell. Cells tile the Region, and cells end midway between the centres of windows: whichever window
sees a parcel whole, the one that keeps it sees it whole too. Two things are kept beside:

- an instance that the border of the window cuts, if it reaches into the central cell: what is
  larger than a window is put together from these, every pixel of it lies in one cell;
- one whose centre lies just outside of the cell. Two windows do not see quite the same, and each
  could leave a parcel near the border of its cell to the other. It is not `central`: it gives way.

    instance_window       (n, 2) int64      row and column of the window, among windows
    instance_box          (n, 4) int64      top, left, bottom, right in the Region, half open
    instance_cut          (n, 4) bool       touches this border of its window, no edge of the Region
    instance_central      (n,) bool         centre in the cell, or cut
    instance_label        (n,) int32        most probable class
    instance_confidence   (n,) float32      of its centre
    instance_probability  (n, k) float32    of each class
    instance_start        (n + 1,) int64    where the bits of each begin
    instance_bits         (bytes,) uint8    masks within boxes, packed, row by row
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator

import numpy as np

from pastis_jax.mapping.blocks import Content
from pastis_jax.mapping.windows import WindowGrid

MARGIN = 16
"""Part of a window by which a centre may lie outside of the cell."""
_FIELDS = ("window", "box", "cut", "central", "label", "confidence", "probability")
NAMES = tuple(f"instance_{name}" for name in (*_FIELDS, "start", "bits"))
"""Of the arrays in a block."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """An instance as one window sees it.

    Attributes:
      window: Row and column of the window, among windows.
      box: Top, left, bottom and right in the Region; half open.
      cut: Whether it touches the top, left, bottom and right border of its window, where that is
        no edge of the Region.
      central: Whether its centre lies in the window's cell, or it is cut.
      confidence: Of its centre.
      probability: Of each class, (k,) float32.
      mask: Its pixels within the box, (h, w) bool.
    """

    window: tuple[int, int]
    box: tuple[int, int, int, int]
    cut: tuple[bool, bool, bool, bool]
    central: bool
    confidence: float
    probability: np.ndarray
    mask: np.ndarray


def pieces_of(
    grid: WindowGrid,
    place: tuple[int, int],
    on_map: np.ndarray,
    confidence: np.ndarray,
    probability: np.ndarray,
) -> Iterator[Piece]:
    """Gives what a window keeps of what it found.

    Args:
      grid: The windows.
      place: Of this one.
      on_map: Slot + 1 of each pixel's instance, 0 for none, (h, w).
      confidence: Of each slot, (i,).
      probability: Of the classes of each slot, (i, k).
    """
    window, cell = grid.window(place), grid.cell(place)
    origin = np.array([side.start for side in window])
    ends = np.array([side.stop for side in window])
    inner = np.concatenate([origin > 0, ends < (grid.rows.length, grid.columns.length)])
    borders = np.array([0, 0, *grid.size])
    own_cell = tuple(
        slice(side.start - start, side.stop - start)
        for side, start in zip(cell, origin.tolist(), strict=True)
    )
    for slot in np.unique(on_map[on_map > 0]).tolist():
        mask = on_map == slot
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
        cut = (box == borders) & inner
        own = _centred(box, own_cell, (0, 0)) or bool(cut.any() and mask[own_cell].any())
        if not own and not _centred(box, own_cell, [side // MARGIN for side in grid.size]):
            continue
        yield Piece(
            window=place,
            box=tuple((box + np.tile(origin, 2)).tolist()),
            cut=tuple(cut.tolist()),
            central=own,
            confidence=float(confidence[slot - 1]),
            probability=probability[slot - 1],
            mask=mask[box[0] : box[2], box[1] : box[3]],
        )


def _centred(box, cell, margin) -> bool:
    """Whether the centre of a box lies in a cell that is larger by a margin.

    On the border of two cells it belongs to the first one: cells end at whole pixels, rounded down.
    """
    return all(
        2 * (cell[axis].start - margin[axis])
        < box[axis] + box[axis + 2]
        <= 2 * (cell[axis].stop + margin[axis])
        for axis in (0, 1)
    )


def packed(pieces: Iterable[Piece], classes: int) -> Content:
    """Arrays of a block.

    Args:
      pieces: What its windows keep, window by window.
      classes: Number of classes ``k``.
    """
    pieces = [*pieces]
    n, bits = len(pieces), [np.packbits(piece.mask) for piece in pieces]
    probability = np.array([piece.probability for piece in pieces], np.float32).reshape(n, classes)
    return {
        "instance_window": np.array([x.window for x in pieces], np.int64).reshape(n, 2),
        "instance_box": np.array([x.box for x in pieces], np.int64).reshape(n, 4),
        "instance_cut": np.array([x.cut for x in pieces], bool).reshape(n, 4),
        "instance_central": np.array([x.central for x in pieces], bool),
        "instance_label": probability.argmax(1).astype(np.int32),
        "instance_confidence": np.array([x.confidence for x in pieces], np.float32),
        "instance_probability": probability,
        "instance_start": np.cumsum([0, *map(len, bits)], dtype=np.int64),
        "instance_bits": np.concatenate([np.zeros(0, np.uint8), *bits]),
    }


class Pieces:
    """The instances that the windows of a block keep.

    Args:
      content: Of the block.

    Attributes:
      window, box, cut, central, confidence, probability: Of each, as in the block.
    """

    def __init__(self, content: Content):
        self.window, self.box = content["instance_window"], content["instance_box"]
        self.cut, self.central = content["instance_cut"], content["instance_central"]
        self.confidence = content["instance_confidence"]
        self.probability = content["instance_probability"]
        self._start, self._bits = content["instance_start"], content["instance_bits"]

    def __len__(self) -> int:
        return len(self.window)

    @functools.cached_property
    def masks(self) -> list[np.ndarray]:
        """Pixels of each within its box, (h, w) bool."""
        masks = []
        for box, start, stop in zip(self.box, self._start, self._start[1:], strict=False):
            shape = int(box[2] - box[0]), int(box[3] - box[1])
            bits = np.unpackbits(self._bits[start:stop], count=shape[0] * shape[1])
            masks.append(bits.reshape(shape).astype(bool))
        return masks


def within(box: np.ndarray, rows: slice, columns: slice) -> tuple[slice, slice] | None:
    """Rows and columns of what of a box lies in a rectangle; None where nothing does."""
    top, bottom = max(int(box[0]), rows.start), min(int(box[2]), rows.stop)
    left, right = max(int(box[1]), columns.start), min(int(box[3]), columns.stop)
    return None if top >= bottom or left >= right else (slice(top, bottom), slice(left, right))


def seen(box: np.ndarray, mask: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """The pixels of an instance in a rectangle, (h, w) bool: False outside of its box."""
    pixels = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    if (common := within(box, rows, columns)) is not None:
        down, right = common
        pixels[_from(down, rows.start), _from(right, columns.start)] = mask[
            _from(down, int(box[0])), _from(right, int(box[1]))
        ]
    return pixels


def box_of(rows: slice, columns: slice) -> np.ndarray:
    """The box of a rectangle, (4,) int64."""
    return np.array([rows.start, columns.start, rows.stop, columns.stop])


def _from(pixels: slice, origin: int) -> slice:
    return slice(pixels.start - origin, pixels.stop - origin)
