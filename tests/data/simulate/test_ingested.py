"""A simulated region, ingested: the Region holds the truth, value by value."""

from __future__ import annotations

import csv
import datetime
import json

import numpy as np
import pytest

from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.regions import ingest
from pastis_jax.data.regions.parcels.crops import read_crops
from pastis_jax.data.regions.store import Region
from pastis_jax.data.simulate import simulate_region
from pastis_jax.data.simulate.landscape import scenes, vectors

pytest.importorskip("geopandas")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "r"
    return simulate_region(out, size=128, dates=6, seed=2, progress=False)


@pytest.fixture(scope="module")
def truth(folder):
    return json.loads((folder / "truth" / "truth.json").read_text())


@pytest.fixture(scope="module")
def region(folder, truth):
    root = ingest(
        folder / "scenes",
        folder.parent / "region",
        season_start=truth["season_start"],
        parcels=folder / "parcels.gpkg",
        label=vectors.CODE,
        parcel_id=vectors.ID,
        workers=1,
        progress=False,
    )
    return Region(root)


@pytest.fixture(scope="module")
def window(region, truth):
    """Rows and columns of the truth in the Region, which reaches as far as any scene does."""
    grid, own = truth["grid"], region.grid
    assert (own.crs, own.pixel_size) == (grid["crs"], grid["pixel_size"])
    row, column = (own.top - grid["top"]) / 10, (grid["left"] - own.left) / 10
    assert (row, column) == (int(row), int(column))
    return (
        slice(int(row), int(row) + grid["height"]),
        slice(int(column), int(column) + grid["width"]),
    )


@pytest.mark.parametrize("name", PASTIS_R.names)
def test_values_dates_orbits_and_masks(folder, truth, region, window, name):
    own = truth["modalities"][name]
    start = datetime.date.fromisoformat(truth["season_start"])
    days = [(datetime.date.fromisoformat(row["date"]) - start).days for row in own["scenes"]]
    assert region.days(name).tolist() == days
    assert list(region.orbits(name)) == [row["orbit"] for row in own["scenes"]]
    modality = region.dataset[name]
    assert list(modality.channels) == own["channels"]
    assert (modality.dtype, modality.unit) == (own["dtype"], own["unit"])
    kinds = set()
    for k, row in enumerate(own["scenes"]):
        values = region.read(name, *window, [k])[0]
        missing = np.isnan(values[0]) if own["nodata"] is None else values[0] == own["nodata"]
        stamp = row["date"].replace("-", "")
        true, how = (
            np.load(folder / "truth" / name / f"{stamp}_{what}.npy") for what in ("values", "how")
        )
        kinds |= set(np.unique(how).tolist())
        exact = np.isin(how, (scenes.EXACT, scenes.EITHER))
        np.testing.assert_array_equal(values[:, exact], true[:, exact])
        moved = how == scenes.RESAMPLED
        difference = np.abs(values[:, moved].astype(float) - true[:, moved])
        assert (difference <= own["tolerance"]).all()
        assert missing[how == scenes.MISSING].all()
        if name == "S2":
            mask = np.load(folder / "truth" / name / f"{stamp}_mask.npy")
            got = region.mask(name, *window, [k])[0]
            np.testing.assert_array_equal(got[exact], mask[exact])
            assert (got[moved] != mask[moved]).sum() <= 0.001 * moved.sum()
    expected = {"S2": {1, 2, 3}, "S1A": {0, 1}, "S1D": {0, 2, 255}}[name]
    assert expected <= kinds


def test_parcels_have_their_pixels_and_classes(folder, region, window):
    with open(folder / "truth" / "parcels.csv", newline="") as file:
        listed = list(csv.DictReader(file))
    own = region.parcels
    true, got = np.load(folder / "truth" / "numbers.npy"), region.numbers(*window)
    ids = np.array(["none", *(row["id"] for row in listed), "contested"])
    np.testing.assert_array_equal(np.array(["none", *own.id, "contested"])[got], ids[true])
    by_id = {row["id"]: row for row in listed}
    assert {row["id"] for row in listed if row["kind"] == "outside"} == set(by_id) - set(own.id)
    for name, code, label, pixels in zip(own.id, own.code, own.label, own.pixels, strict=True):
        row = by_id[name]
        assert code == row["code"]
        assert label == int(row["class"])
        assert pixels == int(row["pixels"])


def test_odd_parcels_are_told(region, truth):
    found = {
        one["kind"]: one["text"] for one in json.loads((region.root / "findings.json").read_text())
    }
    odd = truth["special_parcels"]
    assert odd["bow-tie"] in found["parcels repaired"]
    assert odd["holds no centre"] in found["parcels without pixels"]
    assert all(odd[kind] in found["parcels overlap"] for kind in ("overlaps", "overlapped"))
    assert found["parcels outside"].startswith("1 of ")


def test_codes_are_of_the_classes_that_are_simulated():
    codes = read_crops("rpg").codes
    assert {(code, label) for label, own in vectors.CODES.items() for code in own} == {
        (code, codes[code]) for own in vectors.CODES.values() for code in own
    }
