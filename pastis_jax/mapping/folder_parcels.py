"""Pixel sets of an official folder: a table of what each parcel grows."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from pastis_jax.data.calendar import Days
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.metadata import Identifier, Parcel
from pastis_jax.data.pixel_sets.encoding import draw_pixels, encode_pixels
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.regions import _geo
from pastis_jax.errors import DataError
from pastis_jax.files import whole, write_whole
from pastis_jax.mapping.blocks import UNCLASSIFIED, Content
from pastis_jax.mapping.files.vectors import columns_of
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.parcels import generator_of
from pastis_jax.mapping.semantic import classes_of
from pastis_jax.runs import Run
from pastis_jax.types import Series

_CHUNK = 1024
"""Parcels that are kept in one file until the end."""
_TOGETHER = 128
"""Of these, what is predicted at a time."""
_STEP = 8


class ParcelSamples:
    """Parcels of a folder of pixel sets, void ones too, in the order of its table.

    Pixels are drawn as of a Region: by the parcel's identifier.

    Args:
      run: The run.
      root: The folder.
      dataset: What it holds.
      modalities: Of the run, those that are there.
      options: Of the map.
      chosen: Patches whose parcels to tell of; () for all.

    Attributes:
      run: As given.
      modalities: As given.
      names: Of pieces of `_CHUNK` parcels.
      unknown: What was chosen, and is not there.
      notes: What was left out, a line each.
    """

    def __init__(
        self,
        run: Run,
        root: pathlib.Path,
        dataset: Dataset,
        modalities: tuple[str, ...],
        options: MapOptions,
        chosen: tuple[Identifier, ...],
    ):
        _geo.need("pandas")
        self.run, self.modalities, self._options = run, modalities, options
        self._folder = PixelSetFolder(root, modalities, dataset=dataset, complete=False)
        self._last = None if options.until is None else dataset.day(options.until)
        self.unknown = tuple(name for name in chosen if name not in self._folder.patches)
        some = {*chosen} or {*self._folder.patches}
        self._parcels = [parcel for parcel in self._folder.parcels if parcel.patch in some]
        seen = any(any(map(len, days.values())) for days in self.days())
        count = -(-len(self._parcels) // _CHUNK) if seen else 0
        self.names = tuple(f"p{number:05d}" for number in range(count))
        self.notes: tuple[str, ...] = ()
        if run.task.spec.geometric and not all(len(p.geometric_features) for p in self._parcels):
            fault, remedy = "has no features of outlines, which the run takes", "take another run"
            raise DataError(fault, where=self._folder.root, remedy=remedy)

    def _kept(self, days: np.ndarray) -> np.ndarray:
        return days <= (np.inf if self._last is None else self._last)

    def days(self) -> list[Days]:
        """Days of the acquisitions of each patch; none of modalities that are missing."""
        none = dict.fromkeys(self.run.modalities, np.zeros(0, np.int32))
        patches = [self._folder.patches[n] for n in dict.fromkeys(p.patch for p in self._parcels)]
        return [
            none | {n: patch.days[n][self._kept(patch.days[n])] for n in self.modalities}
            for patch in patches
        ]

    def predict(self, name: str) -> Content:
        """Predicts some parcels: `probability`, (n, k), NaN where nothing is known, `dates`,
        (n, m), and `pixels`, (n,)."""
        start = int(name[1:]) * _CHUNK
        some, parts = self._parcels[start : start + _CHUNK], []
        for first in range(0, len(some), _TOGETHER):
            parts.append(self._together(some[first : first + _TOGETHER]))
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def _together(self, some: list[Parcel]) -> Content:
        read = [self._folder.read(parcel) for parcel in some]
        size = self.run.saved.record_options().pixels  # type: ignore[attr-defined]
        drawn = [
            draw_pixels(_pixels(series), size, generator_of(str(parcel.id)))
            for parcel, series in zip(some, read, strict=True)
        ]
        batch = {}
        for name in self.run.modalities:
            of = [self._of(name, series) for series in read]
            most = max(len(days) for _, days in of)
            length = max(-(-most // _STEP), 1) * _STEP
            encoded = [
                self._encode(name, *one, *pixels, parcel, length=length)
                for one, pixels, parcel in zip(of, drawn, some, strict=True)
            ]
            encoded += [encoded[0].replace(valid=np.zeros(length, bool))] * (_TOGETHER - len(some))
            batch[name] = jax.tree.map(lambda *x: np.stack(x), *encoded)
        usable = self.run.usable(batch)[: len(some)]
        shares = np.full((len(some), len(self.run.classes.names)), np.nan, np.float32)
        if usable.any():
            shares[usable] = np.asarray(self.run.answer(batch))[: len(some)][usable]
        dates = [batch[name].valid[: len(some)].sum(1) for name in self.run.modalities]
        return {
            "probability": shares,
            "dates": np.stack(dates, 1).astype(np.uint16),
            "pixels": np.array([_pixels(series) for series in read], np.int32),
        }

    def _of(self, name: str, series: Any) -> tuple[np.ndarray, np.ndarray]:
        if name not in series:
            sensor = self.run.dataset[name]
            return np.zeros((0, len(sensor.channels), 0), sensor.dtype), np.zeros(0, np.int32)
        values, days = series[name]
        kept = self._kept(days)
        return values[kept], days[kept]

    def _encode(self, name, values, days, drawn, real, parcel: Parcel, *, length: int) -> Series:
        here = name in self.modalities
        sensor = (self._folder.dataset if here else self.run.dataset)[name]
        moments = self.run.saved.learned.statistics[name]
        series = encode_pixels(values, days, sensor, moments, drawn, real, length=length)
        if not self.run.task.spec.geometric:
            return series
        return series.replace(geometric=np.log1p(parcel.geometric_features))

    def finish(self, contents: Callable[[str], Content], out: pathlib.Path) -> dict[str, Any]:
        """Writes the table, as CSV and Parquet."""
        parts = [contents(name) for name in self.names]
        whole_of = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        classes, shares = self.run.classes, whole_of["probability"]
        known = np.isfinite(shares).all(1)
        label = classes_of(shares.T, known, self._options.reject)["crop"]
        columns = columns_of(
            classes,
            self.run.modalities,
            id=np.array([str(parcel.id) for parcel in self._parcels]),
            label=label,
            probability=shares,
            pixels=whole_of["pixels"],
            dates=whole_of["dates"],
        )
        ids = {"id": columns.pop("id"), "patch": [str(p.patch) for p in self._parcels]}
        frame = _geo.need("pandas").DataFrame({**ids, **columns})
        if self._options.probabilities:
            for number, name in enumerate(classes.names):
                frame[f"p_{name}"] = shares[:, number].round(4)
        text = io.StringIO()
        frame.to_csv(text, index=False, lineterminator="\n")
        write_whole(out / "parcels.csv", text.getvalue())
        with whole(out / "parcels.parquet") as stream:
            frame.to_parquet(stream, index=False, compression="zstd")
        return {
            "parcels": len(frame),
            "unclassified": int((label == UNCLASSIFIED).sum()),
            "never observed": int((label > UNCLASSIFIED).sum()),
        }


def _pixels(series: Any) -> int:
    """Pixels of a parcel; a modality that it lacks tells none."""
    return max(values.shape[2] for values, _ in series.values())
