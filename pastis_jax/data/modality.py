"""What one sensor, or one orbit of it, observes: a modality of a dataset."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from pastis_jax.data.fields import refuse, refuse_twice, refuse_unreadable

Unit = Literal["reflectance x 10000", "reflectance", "dB", "linear power", "index", "none"]
UNITS: tuple[str, ...] = get_args(Unit)
OPTICAL: tuple[Unit, ...] = ("reflectance x 10000", "reflectance", "index")
"""Units of what clouds hide."""
_NEVER_ZERO: tuple[Unit, ...] = ("reflectance x 10000", "reflectance", "dB", "linear power")
"""Units of which no whole acquisition measures exactly 0 everywhere: it was filled with it."""
_FRACTIONS: tuple[Unit, ...] = ("reflectance", "linear power", "index")
"""Units of values below 1, of which integers would keep nothing."""

_MODALITY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_RESERVED = {
    *("TARGET", "ParcelIDs", "INSTANCES", "ZONES", "HEATMAP"),
    *("semantic", "parcels", "fine", "parcel_ids", "instances", "zones", "heatmap"),
    *("label", "parcel", "patch", "fold", "number", "geometric_features", "shared"),
}
"""Names of files and fields that stand beside the modalities."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """How a modality is shown as red, green and blue.

    Attributes:
      channels: Names of the three channels, or of one to be shown in grey.
      ranges: Lowest and highest value of each, in the unit, that become 0 and 1; None
        stretches from the 2nd to the 98th percentile of all of them together.

    Examples:
      >>> Picture(("red", "green", "blue"), ranges=((0, 3000), (0, 3000), (0, 3000))).channels
      ('red', 'green', 'blue')
    """

    channels: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...] | None = None


@dataclasses.dataclass(frozen=True)
class Modality:
    """One sensor, or one orbit of it.

    Attributes:
      name: Suffix of its folder, as in ``DATA_S2``.
      channels: Names of the channels, in file order. One called ``A-B`` after two others is their
        difference, in dB.
      dtype: Name of the NumPy type on disk, of integers or floats. Values mostly below 1, such as
        ``reflectance``, need floats.
      unit: What a stored value means; it decides which values are plausible.
      nodata: Value that marks a missing observation, which may be NaN; None for none. In dB, NaN
        and -inf always mark one.
      plausible: Lowest and highest value that can have been measured; None for those of the unit.
      drop_rate: Share of the dates that temporal dropout drops, 0 to 1.
      picture: How it is shown; None shows its first three channels, or its first.
      offset: What is added to a stored value that is not missing, to have it in the unit.

    Raises:
      ValueError: Naming the field.

    Examples:
      >>> radar = Modality("SAR", ("VV", "VH"), "float32", "linear power", drop_rate=0.2)
      >>> radar.channels, radar.optical
      (('VV', 'VH'), False)
    """

    name: str
    channels: tuple[str, ...]
    dtype: str
    unit: Unit
    nodata: float | None = None
    plausible: tuple[float, float] | None = None
    drop_rate: float = 0.0
    picture: Picture | None = None
    offset: float = 0.0

    def __post_init__(self) -> None:
        refuse("name", not _MODALITY.fullmatch(self.name), f"{self.name!r} is no plain word")
        refuse("name", self.name in _RESERVED, f"{self.name} has another meaning")
        refuse_unreadable("name", self.name)
        refuse("channels", not self.channels, "there is none")
        refuse_unreadable("channels", *self.channels)
        refuse_twice("channels", "name", self.channels)
        try:
            kind: str = np.dtype(self.dtype).kind
        except (TypeError, ValueError, SyntaxError):
            kind = ""
        refuse("dtype", kind not in ("i", "u", "f"), f"{self.dtype!r} is no NumPy type of numbers")
        refuse("unit", self.unit not in UNITS, f"{self.unit!r} is none of {', '.join(UNITS)}")
        refuse(
            "dtype",
            kind != "f" and self.unit in _FRACTIONS,
            f"{self.dtype} keeps nothing of {self.unit}, which needs floats",
        )
        refuse(
            "nodata",
            self.nodata is not None and not _holds(self.dtype, self.nodata),
            f"{self.dtype} cannot hold {self.nodata}",
        )
        if self.plausible is not None:
            low, high = self.plausible
            refuse("plausible", not low < high, f"{low:g} is not below {high:g}")
        refuse("offset", not math.isfinite(self.offset), f"{self.offset} is no number to add")
        refuse("drop_rate", not 0 <= self.drop_rate < 1, "must be at least 0 and below 1")
        if self.picture is not None:
            shown, ranges = self.picture.channels, self.picture.ranges
            refuse("picture.channels", len(shown) not in (1, 3), "name one or three")
            unknown = [name for name in shown if name not in self.channels]
            refuse("picture.channels", unknown, f"there is no {', '.join(unknown)}")
            refuse(
                "picture.ranges",
                ranges is not None and len(ranges) != len(shown),
                "give one for each of its channels",
            )
            refuse(
                "picture.ranges",
                any(not low < high for low, high in ranges or ()),
                "the lowest value comes first",
            )

    def __eq__(self, other: object) -> bool:
        # NaN as nodata is like itself.
        return isinstance(other, Modality) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def _fields(self) -> tuple[Any, ...]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return tuple((fields | {"nodata": str(self.nodata)}).values())

    @property
    def optical(self) -> bool:
        """Whether clouds hide what it observes."""
        return self.unit in OPTICAL

    @property
    def never_zero(self) -> bool:
        """Whether no whole acquisition measures 0: one that is 0 throughout was filled with it."""
        return self.unit in _NEVER_ZERO and self.nodata != 0

    @property
    def shown(self) -> Picture:
        """How it is shown, by default too."""
        number = 3 if len(self.channels) >= 3 else 1
        return self.picture or Picture(self.channels[:number])

    @functools.cached_property
    def differences(self) -> tuple[tuple[int, int, int], ...]:
        """Numbers of the channels that are the difference of two others, and of these two."""
        if self.unit != "dB":
            return ()
        places = {name: number for number, name in enumerate(self.channels)}
        return tuple(
            (places[f"{first}-{second}"], places[first], places[second])
            for first, second in itertools.permutations(self.channels, 2)
            if f"{first}-{second}" in places
        )

    @functools.cached_property
    def polarisations(self) -> tuple[tuple[int, int], ...]:
        """Numbers of channels of like polarisation, each with that of the crossed one beside it."""
        if self.unit not in ("dB", "linear power"):
            return ()
        places = {name.upper(): number for number, name in enumerate(self.channels)}
        pairs = (("VV", "VH"), ("HH", "HV"))
        return tuple((places[like], places[x]) for like, x in pairs if {like, x} <= places.keys())

    def missing(
        self, values: np.ndarray, acquisition: Sequence[int] | None = None
    ) -> np.ndarray | None:
        """Which of `values`, as they are stored, mark a missing observation; None if none can.

        Args:
          values: Of any shape and numeric type.
          acquisition: The axes of one acquisition, channels and space. With them, one that is 0 in
            every channel at every pixel is missing too, in units in which it cannot be measured.
        """
        missing = self._marked(values)
        if acquisition is not None and (blank := self.blank(values, acquisition)).any():
            missing = np.broadcast_to(blank, values.shape) if missing is None else missing | blank
        return missing

    def _marked(self, values: np.ndarray) -> np.ndarray | None:
        missing = None
        if self.unit == "dB" and values.dtype.kind == "f":
            missing = _nan_or_lowest(values)
        if self.nodata is not None:
            marked = self.marked(values)
            missing = marked if missing is None else missing | marked
        return missing

    def marked(self, values: np.ndarray) -> np.ndarray:
        """Which of `values` are the nodata mark, as their type or that of the modality rounds it.

        Args:
          values: Of any shape and numeric type.
        """
        if self.nodata is None:
            return np.zeros(values.shape, bool)
        if math.isnan(self.nodata):
            return np.isnan(values)
        if values.dtype == np.float16:
            values = values.astype(np.float32)  # few marks keep their value in 16 bits
        integers = values.dtype.kind in "iu" and float(self.nodata).is_integer()
        # Beside a float, NumPy makes float64 of integers first.
        marked = values == (int(self.nodata) if integers else self.nodata)
        if values.dtype.itemsize > 4 and np.dtype(self.dtype) == np.float32:
            marked |= values == float(np.float32(self.nodata))
        return marked

    def blank(self, values: np.ndarray, acquisition: Sequence[int]) -> np.ndarray:
        """Which acquisitions are 0 wherever they are not marked, which none is when measured.

        Args:
          values: Of any shape, as they are stored.
          acquisition: The axes of one acquisition, channels and space.

        Returns:
          bool, these axes of length 1; all False in units in which 0 can be everywhere, and where
          0 is the mark.
        """
        axes = {axis % values.ndim for axis in acquisition}
        first = values[tuple(slice(1 if i in axes else None) for i in range(values.ndim))]
        never = not self.never_zero or not values.size
        # One value of each acquisition tells of nearly all that they are not.
        candidate, marked = first == 0, None if never else self._marked(first)
        if never or not (candidate if marked is None else candidate | marked).any():
            return np.zeros([1 if i in axes else n for i, n in enumerate(values.shape)], bool)
        marked, zero = self._marked(values), values == 0
        filled = zero if marked is None else zero | marked
        shared = {"axis": tuple(axes), "keepdims": True}
        return filled.all(**shared) & zero.any(**shared)


def _nan_or_lowest(values: np.ndarray) -> np.ndarray:
    """Which of `values` are NaN or -inf."""
    if values.dtype != np.float16:
        return ~(values > -np.inf)
    # NumPy makes float32 of each 16 bits to compare them; as integers they are in order.
    bits = values.view(np.int16)
    return (bits > 0x7C00) | ((bits < 0) & (bits >= -0x400))


def _holds(dtype: str, value: float) -> bool:
    if np.dtype(dtype).kind == "f":
        with np.errstate(over="ignore"):
            held = float(np.array(value, np.float64).astype(dtype))
        # Wider types are compared as float32 at least, which rounds both alike.
        near = held == value or np.dtype(dtype).itemsize > 2
        return math.isnan(value) or (math.isfinite(held) and near)
    limits = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max
