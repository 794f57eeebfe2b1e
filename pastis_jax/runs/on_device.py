"""Where the batches of a run are made: of packed parcels, on the devices or on the host."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from pastis_jax import machine, training
from pastis_jax.data.batches import evaluation_rows, iterate, training_rows
from pastis_jax.data.cache import amount
from pastis_jax.data.folder_builder import split_name
from pastis_jax.data.normalisation import marks_of
from pastis_jax.data.pixel_sets.packed import DATES, PackedPixelSets, PackedSeries
from pastis_jax.data.splits import PixelSplits, Splits
from pastis_jax.errors import ArgumentError
from pastis_jax.nn.ragged import PixelTable, RaggedSeries, Rows, make_batch
from pastis_jax.rng import fold_in_name
from pastis_jax.training import OnDevice, Placement
from pastis_jax.training.processes import from_main, to_main
from pastis_jax.types import Batch

SHARE = 0.8
"""Largest share of the free memory of a device that all parcels may take."""


@dataclasses.dataclass(frozen=True)
class Feed:
    """The batches of a run.

    Attributes:
      training: Makes the endless training batches.
      evaluation: Makes the batches of a split, each record once.
      unchanged: Compares what they are made from with what it was; a DataError if it differs.
      where: What a reader is told of it.
    """

    training: Callable[[], training.Batches]
    evaluation: Callable[[str], Iterator[Batch]]
    unchanged: Callable[[], None]
    where: str | None = None


def feed_of(splits: Splits, placement: Placement, tested: Placement, *, asked: str = "off") -> Feed:
    """Chooses where the batches of a run are made.

    Args:
      splits: The records.
      placement: Where training batches lie.
      tested: Where batches of validation and test lie.
      asked: `on`, `off` or `auto`; see `ParcelRecords.data_on_device`.

    Raises:
      ArgumentError: If parcels must lie on a device, and do not fit.
      DataError: If they cannot be packed.
    """
    if asked == "off" or not isinstance(splits, PixelSplits):
        return Feed(splits.training, splits.evaluation, splits.unchanged)
    packed = splits.packed()
    needed, room, what = packed.nbytes, *_room(placement)
    fits = room is None or needed <= SHARE * room
    # All processes of a run do alike, also where the devices of one have less memory left.
    votes = to_main("fits" if fits else "")
    fits = bool(from_main(lambda: "fits" if all(votes) else ""))
    if asked == "on" and not fits:
        free = "less than that" if room is None else amount(room)
        fault = f"the parcels take {amount(needed)}, of {what} {free} are free, of which "
        fault += f"they may take {SHARE:.0%}"
        raise ArgumentError(fault, argument="data_on_device", remedy="give auto")
    tables = _Tables(splits, packed)
    make = _on_devices if fits else _on_host
    where = "on the device" if fits else f"on the host, as they do not fit on {what}"
    if fits and _platform(placement) == "cpu":
        where = "mapped from the disk"

    def unchanged() -> None:
        splits.unchanged()
        packed.files.check()

    return Feed(
        *make(tables, placement, tested),
        unchanged,
        f"parcels are packed ({amount(needed)}), and {where}",
    )


def _platform(placement: Placement) -> str:
    return placement.mesh.devices.flat[0].platform


def _room(placement: Placement) -> tuple[float | None, str]:
    """Bytes that are free where every device has a copy, None for enough, and what that is."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        limit = stats.get("bytes_limit")
        return None if limit is None else limit - stats.get("bytes_in_use", 0), "a device"
    # One device takes the mapped file as its own memory; several have a copy each.
    memory, copies = machine.memory(), len(jax.local_devices())
    return None if memory is None or copies == 1 else memory / copies, "the memory for a device"


class _Tables:
    """The parcels of each split, with one array of values for all.

    Args:
      splits: The records.
      packed: Parcels of all folds.
    """

    def __init__(self, splits: PixelSplits, packed: PackedPixelSets):
        self.splits, self.size = splits, splits.encode.pixels
        self._packed, self._values = packed, {n: _some(x) for n, x in packed.series.items()}

    def put(self, place: Callable[[Any], Any]) -> None:
        """Places the values, once for all tables."""
        self._values = place(self._values)

    def training_rows(self) -> Sequence[dict[str, np.ndarray]]:
        """Which records make each training batch."""
        plan, count = self.splits.plan, len(self.splits.sources["train"])
        return training_rows(count, batch_size=plan.batch_size, seed=plan.seed, rows=plan.rows)

    def evaluation_rows(self, split: str) -> Sequence[dict[str, np.ndarray]]:
        """Which records make each batch of validation and test."""
        plan, count = self.splits.plan, len(self.splits.sources[split])
        return evaluation_rows(count, batch_size=plan.evaluation_size, rows=plan.evaluation_rows)

    def __call__(self, split: str, *, drawn: bool = False) -> PixelTable:
        """The table of a split.

        Args:
          split: Its name.
          drawn: Whether it tells the pixels, those that `Splits.evaluation` draws.
        """
        splits, encode = self.splits, self.splits.encode
        few = self._packed.of([split_name(fold) for fold in splits.folds[split]])
        return PixelTable(
            series={name: self._series(name, few.series[name]) for name in encode.lengths},
            pixels=few.pixels,
            label=encode.classes.lookup[few.label].astype(np.int32),
            geometric=np.log1p(few.geometric) if encode.geometric else None,
            drawn=splits.drawn(few.pixels) if drawn else None,
        )

    def _series(self, name: str, one: PackedSeries) -> RaggedSeries:
        encode, sensor = self.splits.encode, self.splits.encode.dataset[name]
        mean, deviation = encode.statistics[name]
        return RaggedSeries(
            values=self._values[name],
            first=one.first,
            dates=one.dates,
            days=one.days[:, : encode.lengths[name]],
            mean=mean - np.float32(sensor.offset),
            deviation=deviation,
            holes=one.holes,
            marks=marks_of(sensor),
        )


def _some(one: PackedSeries) -> np.ndarray:
    """The values; a row of zeros where there is none, as nothing can be gathered from nothing."""
    return one.values if len(one.values) else np.zeros((1, DATES, one.values.shape[2]), np.int16)


def _key(splits: PixelSplits) -> jax.Array:
    return fold_in_name(jax.random.key(splits.plan.seed), "pixels")


def _on_devices(tables: _Tables, placement: Placement, tested: Placement):
    tables.put(placement.whole)
    options = {"key": _key(tables.splits), "size": tables.size}

    @functools.cache
    def table(split: str, drawn: bool) -> PixelTable:
        return placement.whole(tables(split, drawn=drawn))

    make, tell = (training.batch_maker(where, **options) for where in (placement, tested))

    def train() -> OnDevice:
        rows = iterate(tables.training_rows(), ahead=False)
        # A CPU computes slower within a loop, and an epoch of it is long.
        at_once = placement.axis_name is None and _platform(placement) != "cpu"
        return OnDevice(table("train", False), rows, make, placement, at_once=at_once)

    def evaluation(split: str) -> OnDevice:
        rows = iterate(tables.evaluation_rows(split), ahead=False)
        return OnDevice(table(split, True), rows, tell, tested)

    return train, evaluation


@dataclasses.dataclass(frozen=True)
class _OnHost:
    """Batches that this process makes on its CPU, of the packed parcels mapped from the disk."""

    make: Callable[[Rows], Batch]
    rows: Sequence[dict[str, np.ndarray]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Batch:
        return jax.device_get(self.make(Rows(**self.rows[number])))


def _on_host(tables: _Tables, placement: Placement, tested: Placement):
    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        fault = "parcels do not fit on a device, and JAX sees no CPU to make batches on"
        remedy = "set JAX_PLATFORMS=cuda,cpu, or give off"
        raise ArgumentError(fault, argument="data_on_device", remedy=remedy) from error
    key, size = _key(tables.splits), tables.size
    tables.put(functools.partial(jax.device_put, device=cpu))

    @jax.jit
    def make(table: PixelTable, key: jax.Array, rows: Rows) -> Batch:
        return make_batch(table, rows, key, size)

    @functools.cache
    def maker(split: str, drawn: bool) -> Callable[[Rows], Batch]:
        return functools.partial(make, *jax.device_put((tables(split, drawn=drawn), key), cpu))

    def train() -> training.Batches:
        return iterate(_OnHost(maker("train", False), tables.training_rows()))

    def evaluation(split: str) -> Iterator[Batch]:
        return iterate(_OnHost(maker(split, True), tables.evaluation_rows(split)))

    return train, evaluation
