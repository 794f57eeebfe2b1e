"""Predicting from a Region equals predicting from its export."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pastis_jax.data.dataset_file import read as described
from pastis_jax.data.regions.records.export import export
from pastis_jax.data.regions.records.windows import RegionWindows
from pastis_jax.data.regions.store import Region
from pastis_jax.mapping import MapOptions
from pastis_jax.mapping.blocks import Block
from pastis_jax.mapping.folder_parcels import ParcelSamples
from pastis_jax.mapping.folder_patches import PatchSamples
from pastis_jax.mapping.mapper import Mapper
from pastis_jax.mapping.semantic import SemanticBlocks, predicted

pytest.importorskip("rasterio")


@pytest.fixture(scope="module")
def exported(region, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "E"
    export(region, out, window=32, progress=False)
    return out


def whole(mapper):
    grid = mapper.region.grid
    return Block(slice(0, grid.height), slice(0, grid.width))


def samples(kind, run, folder):
    dataset = described(folder / "dataset.json")
    return kind(run, folder, dataset, run.modalities, MapOptions(), ())


def windows_of(region, folder):
    """The window of each exported patch, by its name."""
    windows = RegionWindows(region, window=32)
    features = json.loads((folder / "metadata.geojson").read_text())["features"]
    names = {str(f["properties"]["ID_PATCH"]): f["properties"]["WINDOW"] for f in features}
    return {name: windows.cells[windows.places[window]] for name, window in names.items()}


def last(windows, region):
    """Names of the patches at the right and lower edge, which are shifted inwards."""
    grid = Region(region).grid
    return {
        name
        for name, window in windows.items()
        if window.rows.stop == grid.height or window.columns.stop == grid.width
    }


def test_pixels(region, runs, exported):
    """Window by window; with windows side by side also the map, where no other one reaches."""
    run, folder = runs("semantic", fusion="late"), exported / "patches"
    mapper = Mapper(run, Region(region), MapOptions(stride=32, batch_size=1))
    patches, windows = samples(PatchSamples, run, folder), windows_of(region, folder)
    by_window = {}
    for window, _, shares in predicted(mapper, [*mapper.grid.touching(*_all(mapper))]):
        by_window[window[0].start, window[1].start] = shares
    blended, _ = SemanticBlocks(mapper).blend(whole(mapper))
    alone, shifted = 0, last(windows, region)
    assert 0 < len(shifted) < len(windows)
    for name, window in windows.items():
        frames, shape = patches.frames(name)
        answer = run.answer(patches._stacker.stack([frames], 1, shape))[0]
        here = by_window[window.rows.start, window.columns.start]
        np.testing.assert_allclose(answer, here, atol=1e-5)
        if window.rows.stop <= 40 and window.columns.stop <= 160:  # none is shifted over it
            alone += 1
            part = blended[:, window.rows, window.columns]
            np.testing.assert_allclose(np.moveaxis(answer, -1, 0), part, atol=1e-5)
    assert alone > 2


def _all(mapper):
    block = whole(mapper)
    return block.rows, block.columns


def test_parcels(region, runs, exported):
    run = runs("parcel", fusion="late")
    mapper = Mapper(run, Region(region), MapOptions())
    content = mapper(whole(mapper))
    sets = samples(ParcelSamples, run, exported)
    (name,) = sets.names
    there = sets.predict(name)
    ids = mapper.polygons.id[content["parcel"]].tolist()
    place = [ids.index(str(parcel.id)) for parcel in sets._parcels]
    assert len(place) > 30
    for own, other in (
        ("parcel_probability", "probability"),
        ("parcel_dates", "dates"),
        ("parcel_pixels", "pixels"),
    ):
        np.testing.assert_allclose(content[own][place], there[other], atol=1e-5)
    assert there["probability"].std(0).max() > 0.01


def test_instances(region, runs, exported):
    run, folder = runs("panoptic", fusion="single"), exported / "patches"
    mapper = Mapper(run, Region(region), MapOptions(stride=32, batch_size=1))
    windows = windows_of(region, folder)
    patches = samples(PatchSamples, run, folder)
    made = {
        (window[0].start, window[1].start): found
        for window, _, found in predicted(mapper, [*mapper.grid.touching(*_all(mapper))])
    }
    for name, window in windows.items():
        frames, shape = patches.frames(name)
        answer = run.answer(patches._stacker.stack([frames], 1, shape))
        here = made[window.rows.start, window.columns.start]
        np.testing.assert_array_equal(answer.instances[0], here.instances)
        np.testing.assert_array_equal(answer.semantic[0], here.semantic)
        np.testing.assert_allclose(answer.confidence[0], here.confidence, atol=1e-5)
