"""Patches of an official folder, mapped one by one."""

from __future__ import annotations

import csv
import io
import pathlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data import layout
from pastis_jax.data.calendar import Days
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.metadata import PATCH_METADATA, Identifier, Patch, read_patches
from pastis_jax.data.pastis_r import check_official
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.regions import _geo
from pastis_jax.files import whole, write_whole
from pastis_jax.mapping import georeference
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, UNCLASSIFIED_COLOUR, Content, percent
from pastis_jax.mapping.georeference import Placed
from pastis_jax.mapping.inputs import Frames, Stacker
from pastis_jax.mapping.instances import answer_of, certainty
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.semantic import classes_of
from pastis_jax.runs import Run
from pastis_jax.text import named

FOLDER = "patches"


class _Unlabelled(PatchFolder):
    """Patches that need no annotations."""

    def __init__(self, root: pathlib.Path, dataset: Dataset, modalities: tuple[str, ...]):
        self.root, self.dataset, self.modalities = root, dataset, modalities
        self.patches = read_patches(root / PATCH_METADATA, dataset, modalities)
        check_official(root, self.patches)
        self.whole, self._extras = True, frozenset()


class PatchSamples:
    """Patches of a folder, for a semantic or panoptic run.

    Args:
      run: The run.
      root: The folder.
      dataset: What it holds.
      modalities: Of the run, those that are there.
      options: Of the map.
      chosen: Patches to map; () for all.

    Attributes:
      run: As given.
      modalities: As given.
      names: Patches, as text.
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
        _geo.need("rasterio")
        self.run, self.modalities, self._options = run, modalities, options
        self._folder = _Unlabelled(root, dataset, modalities)
        self._stacker = Stacker(run, dataset, dataset.season_start)
        self._last = None if options.until is None else dataset.day(options.until)
        every = self._folder.patches
        self.unknown = tuple(name for name in chosen if name not in every)
        taken = {name: every[name] for name in chosen or every if name in every}
        seen = {n: p for n, p in taken.items() if any(map(len, self._days(p).values()))}
        self._patches: dict[str, Patch] = {str(name): patch for name, patch in seen.items()}
        self.names = tuple(self._patches)
        blind = [name for name in taken if name not in seen]
        fault = f"{len(blind):,} patches have no acquisition, and are left out: {named(blind)}"
        self.notes = (fault,) if blind else ()
        spec = run.task.spec
        self._read = [spec.modalities.index(name) for name in spec.read]
        self._answer = answer_of(self) if run.task.name == "panoptic" else run.answer

    def _kept(self, days: np.ndarray) -> np.ndarray:
        return days <= (np.inf if self._last is None else self._last)

    def _days(self, patch: Patch) -> Days:
        return {name: patch.days[name][self._kept(patch.days[name])] for name in self.modalities}

    def days(self) -> list[Days]:
        """Days of the acquisitions of each patch; none of modalities that are missing."""
        none = dict.fromkeys(self.run.modalities, np.zeros(0, np.int32))
        return [none | self._days(patch) for patch in self._patches.values()]

    def frames(self, name: str) -> tuple[Frames, tuple[int, int]]:
        """Reads a patch: its acquisitions, and its rows and columns.

        Raises:
          DataError: If a file of it cannot be read, or be right.
        """
        patch, frames, shape = self._patches[name], {}, (0, 0)
        for modality, (values, days) in self._folder.series(patch).items():
            if not len(days):
                continue
            values, kept = np.asarray(values), self._kept(days)
            shape = values.shape[2:]
            file = self._folder.file(patch, modality)
            layout.check_values(values, self._folder.dataset[modality], file)
            frames[modality] = self._stacker.taken(modality, values[kept], days[kept])
        return frames, shape

    def predict(self, name: str) -> Content:
        """Predicts a patch: `crop`, `confidence`, `margin` and `dates` as of a block.

        Of panoptic runs also `instances`, (h, w) uint16, and `label`, `score`, of each, (n,).
        """
        frames, shape = self.frames(name)
        counts = self._stacker.counts(frames, shape)
        series = self._stacker.stack([frames], 1, shape)
        known = counts[self._read].any(0) & self.run.usable(series)[0]
        content: Content = {"dates": counts}
        if self.run.task.name == "panoptic":
            return content | self._instances(series, known)
        shares = np.full((len(self.run.classes.names), *shape), np.nan, np.float32)
        if known.any():
            shares = np.array(np.moveaxis(self._answer(series)[0], -1, 0))
        shares[:, ~known] = np.nan
        content |= classes_of(shares, known, self._options.reject)
        if self._options.probabilities:
            content["probabilities"] = percent(shares)
        return content

    def _instances(self, series: Mapping[str, Any], known: np.ndarray) -> Content:
        numbers, score = np.zeros(known.shape, np.uint16), np.zeros(0, np.float32)
        shares = np.zeros((0, len(self.run.classes.names)), np.float32)
        if known.any():
            slots, confidence, probability = (x[0] for x in self._answer(series))
            found, numbers = np.unique(np.where(known, slots, 0), return_inverse=True)
            found, first = found[found > 0] - 1, int(found[0] > 0)
            numbers = (numbers + first).reshape(known.shape).astype(np.uint16)
            score, shares = confidence[found], probability[found]
        best, margin = certainty(shares) if len(shares) else (score, score)
        label = np.where(best < self._options.reject, UNCLASSIFIED, shares.argmax(1))
        background = self.run.classes.background
        layers = {
            "crop": np.append(UNCLASSIFIED if background is None else background, label),
            "confidence": np.append(NODATA, percent(best)),
            "margin": np.append(NODATA, percent(margin)),
        }
        layers = {n: np.where(known, of[numbers], NODATA) for n, of in layers.items()}
        return {
            **{name: of.astype(np.uint8) for name, of in layers.items()},
            "instances": numbers,
            "label": label.astype(np.uint8),
            "score": score.astype(np.float32),
        }

    def finish(self, contents: Callable[[str], Content], out: pathlib.Path) -> dict[str, Any]:
        """Writes a folder of each patch."""
        outlines = georeference.read_outlines(self._folder.root / PATCH_METADATA)
        facts, nowhere = {}, []
        for name, patch in self._patches.items():
            content, folder = contents(name), out / FOLDER / name
            folder.mkdir(parents=True)
            ring, shape = outlines.rings.get(patch.id), content["crop"].shape
            placed = None if ring is None else georeference.place(ring, shape)
            self._write(content, folder, placed, outlines.crs)
            facts[name] = {"rows": shape[0], "columns": shape[1], "crs": None}
            if placed is None:
                nowhere.append(name)
            else:
                facts[name] |= {"crs": outlines.crs, "transform": [*placed.transform]}
                facts[name]["residual in pixels"] = round(placed.residual, 6)
        notes = []
        if nowhere:
            fault = f"{len(nowhere):,} of {len(facts):,} patches have no polygon of four corners "
            notes.append(f"{fault}in {PATCH_METADATA}, their maps no place: {named(nowhere)}")
        return {"notes": notes, "patches": facts}

    def _write(
        self, content: Content, folder: pathlib.Path, placed: Placed | None, crs: str
    ) -> None:
        classes = self.run.classes
        for name, values, bands in self._rasters(content):
            colours = None
            if name == "crop":
                colours = {**dict(enumerate(classes.colours)), UNCLASSIFIED: UNCLASSIFIED_COLOUR}
            nodata = NODATA if values.dtype == np.uint8 else None
            write_raster(
                folder / f"{name}.tif",
                values,
                bands=bands,
                placed=placed,
                crs=crs,
                nodata=nodata,
                colours=colours,
            )
        if "instances" in content:
            text = io.StringIO()
            table = csv.writer(text, lineterminator="\n")
            table.writerow(("number", "class", "name", "confidence", "pixels"))
            pixels = np.bincount(content["instances"].ravel(), minlength=len(content["label"]) + 1)
            rows = zip(content["label"].tolist(), content["score"].tolist(), strict=True)
            for number, (label, score) in enumerate(rows, 1):
                told = (label, classes.names[label]) if label < UNCLASSIFIED else ("", "")
                table.writerow((number, *told, round(score, 4), pixels[number]))
            write_whole(folder / "instances.csv", text.getvalue())

    def _rasters(self, content: Content) -> Iterator[tuple[str, np.ndarray, Sequence[str]]]:
        for name in ("crop", "confidence", "margin", "instances"):
            if name in content:
                yield name, content[name][None], (name,)
        yield "dates", content["dates"], self.run.modalities
        if "probabilities" in content:
            yield "probabilities", content["probabilities"], self.run.classes.names


def write_raster(
    file: pathlib.Path,
    values: np.ndarray,
    *,
    bands: Sequence[str],
    placed: Placed | None,
    crs: str,
    nodata: int | None,
    colours: Mapping[int, tuple[int, int, int]] | None = None,
) -> None:
    """Writes a small GeoTIFF.

    Args:
      file: To write.
      values: (band, h, w).
      bands: Their names.
      placed: Where it lies; None for nowhere.
      crs: Coordinate system of that.
      nodata: Mark of what is not known; None for none.
      colours: Of the values of the first band.

    Raises:
      OSError: If it cannot be written.
    """
    rasterio, errors = _geo.need("rasterio"), _geo.need("rasterio.errors")
    place: dict[str, Any] = {}
    if placed is not None:
        place = {"crs": crs, "transform": rasterio.Affine(*placed.transform)}
    count, h, w = values.shape
    memory = _geo.need("rasterio.io").MemoryFile()
    with memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.NotGeoreferencedWarning)
        with memory.open(
            driver="GTiff",
            height=h,
            width=w,
            count=count,
            dtype=values.dtype.name,
            nodata=nodata,
            compress="deflate",
            **place,
        ) as dataset:
            dataset.write(values)
            for number, name in enumerate(bands, 1):
                dataset.set_band_description(number, name)
            if colours:
                shown = {value: (*colour, 255) for value, colour in colours.items()}
                dataset.write_colormap(1, shown)
        with whole(file) as stream:
            stream.write(memory.read())
