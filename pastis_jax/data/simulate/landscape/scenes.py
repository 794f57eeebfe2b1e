"""Writes the scenes of a region, and beside each what a Region must hold of it."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.simulate import optical
from pastis_jax.data.simulate.landscape import images, places, rasters
from pastis_jax.data.simulate.landscape.plan import Pass, Plan

MISSING, EXACT, RESAMPLED, EITHER, EDGE = 0, 1, 2, 3, 255
"""How a value of a Region comes about: no file has one; a file on its grid does; interpolated from
a file on another grid; both, the file on its grid counting here; and where a pixel of another grid
that would be needed is missing, so that it depends on the interpolation whether there is one."""

_OPTICAL, _RADAR, _ = PASTIS_R.modalities
_SCALE = 1e-4


class Eyes:
    """Writes any scene of a region. Where grids meet is found once.

    Args:
      plan: The region.
      root: Folder with the folders of scenes and of the truth.
    """

    def __init__(self, plan: Plan, root: pathlib.Path):
        self._plan, self._root = plan, root
        self._region = places.region_raster(plan.size)
        self._west, self._east = places.western(plan.size), places.eastern(plan.size)
        rows, columns = self._region.positions(self._east)
        shape = (plan.size, plan.size)
        self._to_east = places.Bilinear(shape, rows, columns)
        # The eastern tile's mask has pixels of 20 m, the centres of which are corners of others.
        rows, columns = (_corners(at) for at in (rows, columns))
        self._mask_to_east = _nearest(shape, rows, columns)
        rows, columns = self._east.positions(self._region)
        shape = (self._east.height, self._east.width)
        # The region's columns west of the tile are never looked for in it.
        self._first = int(np.flatnonzero((columns > -1).any(0))[0])
        rows, columns = rows[:, self._first :], columns[:, self._first :]
        self._from_east = places.Bilinear(shape, rows, columns)
        self._mask_from_east = _nearest(shape, rows, columns)

    def optical(self, k: int) -> dict[str, Any]:
        """Writes date `k` of Sentinel-2.

        Returns:
          Its row of the truth.
        """
        own, seen = self._plan.passes["S2"][k], images.see(self._plan, k)
        stamp = f"{own.date:%Y%m%d}"
        size, files = self._plan.size, []
        values = np.full((10, size, size), optical.NODATA, np.int16)
        mask = np.full((size, size), 255, np.uint8)
        how = np.zeros((size, size), np.uint8)
        if places.EAST in own.sees:
            numbers, scene = self._eastern(seen)
            files += self._tile(own, places.EAST, self._east, numbers, scene)
            self._back(numbers, scene, values, mask, how)
        if places.WEST in own.sees:
            width = self._west.width
            numbers, scene = seen.numbers[:, :, :width], seen.scene[:, : width // 2]
            files += self._tile(own, places.WEST, self._west, numbers, scene)
            here = numbers[0] > 0
            values[:, :, :width][:, here] = seen.reflectance[:, :, :width][:, here]
            mask[:, :width] = images.clouded(_doubled(scene))
            before = how[:, :width]
            before[here] = np.where(before == MISSING, EXACT, EITHER)[here]
        self._save("S2", stamp, values=values, mask=mask, how=how)
        return {"date": own.date.isoformat(), "orbit": "", "files": sorted(files)}

    def _eastern(self, seen):
        """The eastern tile's numbers, `(10, h, w)` uint16, and its mask of 20 m."""
        whole, _ = self._to_east.coverage(seen.missing)
        numbers = np.zeros((10, *whole.shape), np.uint16)
        for band, values in zip(numbers, seen.reflectance, strict=True):
            band[whole] = np.rint(self._to_east(values))[whole] + images.OFFSET
        return numbers, _taken(_doubled(seen.scene), self._mask_to_east, images.NO_DATA)

    def _back(self, numbers, scene, values, mask, how):
        """What the eastern tile becomes on the region's grid, written in the last three."""
        part = np.s_[..., self._first :]
        whole, some = self._from_east.coverage(numbers[0] == 0)
        for band, number in zip(values[part], numbers, strict=True):
            band[whole] = np.rint(self._from_east(number))[whole] - images.OFFSET
        mask[part] = images.clouded(_taken(_doubled(scene), self._mask_from_east, images.NO_DATA))
        how[part] = np.where(whole, RESAMPLED, np.where(some, EDGE, MISSING))

    def _tile(self, own, tile, raster, numbers, scene):
        """Writes a tile's image and its mask; returns their names."""
        name = f"S2_{tile}_{own.date:%Y%m%d}"
        common = {"ACQUISITION_DATE": own.date.isoformat(), "TILE": tile, "LEVEL": "L2A"}
        rasters.write(
            self._root / "scenes" / f"{name}.tif",
            numbers,
            raster,
            bands=_OPTICAL.channels,
            nodata=0,
            unit="reflectance",
            scale=_SCALE,
            offset=-images.OFFSET * _SCALE,
            tags=common | {"PROCESSING_BASELINE": "05.10", "BOA_ADD_OFFSET": f"-{images.OFFSET}"},
        )
        rasters.write(
            self._root / "scenes" / f"{name}_SCL.tif",
            scene[None],
            raster,
            bands=("SCL",),
            nodata=images.NO_DATA,
            unit="",
            tags=common,
            pixel=2 * places.PIXEL,
        )
        return [f"{name}.tif", f"{name}_SCL.tif"]

    def radar(self, own: Pass) -> dict[str, Any]:
        """Writes a pass of Sentinel-1.

        Returns:
          Its row of the truth.
        """
        orbit = next(orbit for orbit in places.ORBITS if own.sees == (orbit.label,))
        level = images.listen(self._plan, orbit, own)
        sees = orbit.sees(self._plan.size)
        numbers = np.where(sees, images.power(level), np.float32(orbit.nodata))
        east, south = orbit.shift
        # No more columns than it sees: the footprint of a file differs from that of others.
        used = np.flatnonzero(sees.any(0))
        columns = slice(int(used[0]), int(used[-1]) + 1)
        raster = places.Raster(
            places.CRS,
            places.LEFT + columns.start * places.PIXEL + east,
            places.TOP - south,
            self._plan.size,
            columns.stop - columns.start,
        )
        if orbit.shift == (0.0, 0.0):
            values, how = np.where(sees, level, np.nan), np.where(sees, EXACT, MISSING)
        else:
            values, how = self._moved(numbers, ~sees, orbit)
        values = values.astype(np.float16)
        values = np.concatenate([values, values[:1] - values[1:]])
        stamp = f"{own.date:%Y%m%d}"
        letter = orbit.name[-1]
        name = f"S1_{letter}_{stamp}_R{orbit.label}.tif"
        rasters.write(
            self._root / "scenes" / name,
            numbers[:, :, columns],
            raster,
            bands=_RADAR.channels[:2],
            nodata=orbit.nodata,
            unit="linear power",
            tags={
                **{"ACQUISITION_DATE": own.date.isoformat(), "CALIBRATION": "gamma0"},
                **{"ORBIT_DIRECTION": orbit.direction, "RELATIVE_ORBIT": orbit.label},
            },
        )
        self._save(orbit.name, stamp, values=values, how=how.astype(np.uint8))
        return {"date": own.date.isoformat(), "orbit": orbit.label, "files": [name]}

    def _moved(self, numbers, missing, orbit):
        """What a file beside the region's grid becomes on it, dB, and how."""
        east, south = orbit.shift
        line = np.arange(self._plan.size)
        rows, columns = line[:, None] - south / places.PIXEL, line[None] - east / places.PIXEL
        between = places.Bilinear(missing.shape, rows, columns)
        whole, some = between.coverage(missing)
        values = np.full((2, *whole.shape), np.nan)
        for band, number in zip(values, numbers, strict=True):
            band[whole] = 10 * np.log10(between(number)[whole])
        return values, np.where(whole, RESAMPLED, np.where(some, EDGE, MISSING))

    def _save(self, modality, stamp, **arrays):
        for name, values in arrays.items():
            np.save(self._root / "truth" / modality / f"{stamp}_{name}.npy", values)


def modalities_of_truth() -> Mapping[str, dict[str, Any]]:
    """What the truth says of each modality, but for its dates."""
    return {
        modality.name: {
            "channels": list(modality.channels),
            "dtype": modality.dtype,
            "unit": modality.unit,
            "nodata": modality.nodata,
        }
        for modality in PASTIS_R.modalities
    }


def _corners(at):
    height, width = at.shape
    return at.reshape(height // 2, 2, width // 2, 2).mean((1, 3))


def _nearest(shape, rows, columns):
    """Rows and columns of the nearest pixels, and which of them there are."""
    rows, columns = (np.floor(at + 0.5).astype(np.int32) for at in (rows, columns))
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return np.where(inside, rows, 0), np.where(inside, columns, 0), inside


def _taken(values, nearest, outside):
    rows, columns, inside = nearest
    return np.where(inside, values[rows, columns], np.asarray(outside, values.dtype))


def _doubled(scene):
    return scene.repeat(2, 0).repeat(2, 1)
