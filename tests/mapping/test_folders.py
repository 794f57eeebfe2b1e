"""Official folders become maps of their patches, or a table of their parcels."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import shutil

import map_factory
import numpy as np
import pytest
import region_factory as factory
from commands import exit_code
from refusal import refused_in_a_line

from pastis_jax.cli.main import main
from pastis_jax.data.regions.records.export import export
from pastis_jax.mapping import MapOptions, predict_folder
from pastis_jax.mapping.ledger import Ledger

rasterio = pytest.importorskip("rasterio")
GRID = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=40, width=100)
SAMPLE = os.environ.get("PASTIS_R_PATCHES")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Exported patches and pixel sets, and a run of each task."""
    place = tmp_path_factory.mktemp("folders")
    factory.make_region(place / "R", grid=GRID, days={"S2": (10, 40, 200)}, fields=16)
    export(place / "R", place / "E", window=32, progress=False)
    for task in ("semantic", "panoptic", "parcel"):
        map_factory.make_run(place / task, task, place / "R", fusion="single")
    return place


def predict(place, task, out, data=None, **options):
    told = []
    how = {k: options.pop(k) for k in ("patches", "overwrite") if k in options}
    data = data or (place / "E" if task == "parcel" else place / "E" / "patches")
    run, given = place / task, MapOptions(**options)
    return predict_folder(run, data, out, options=given, say=told.append, **how), told


def test_pixels(place, tmp_path):
    some = (10001, 10003)
    made, told = predict(place, "semantic", tmp_path / "M", patches=some, probabilities=True)
    assert told == []
    assert made == json.loads((tmp_path / "M/map.json").read_text())
    assert [*made["patches"]] == ["10001", "10003"]
    for name, left in (("10001", 600000.0), ("10003", 600640.0)):
        folder = tmp_path / "M/patches" / name
        with rasterio.open(folder / "crop.tif") as file:
            assert tuple(file.transform)[:6] == (10.0, 0.0, left, 0.0, -10.0, 5200000.0)
            assert file.crs.to_epsg() == 32631
            assert file.nodata == 255
            crop = file.read(1)
        with rasterio.open(folder / "probabilities.tif") as file:
            shares = file.read().astype(int)
            assert file.descriptions[1] == "Meadow"
        with rasterio.open(folder / "confidence.tif") as file:
            assert (file.read(1) == shares.max(0)).all()
        assert (np.take_along_axis(shares, crop[None].astype(int), 0)[0] == shares.max(0)).all()
        with rasterio.open(folder / "dates.tif") as file:
            assert (file.read() == 3).all()
            assert file.descriptions == ("S2",)


def test_instances(place, tmp_path):
    predict(place, "panoptic", tmp_path / "M", patches=("10002",))
    folder = tmp_path / "M/patches/10002"
    with rasterio.open(folder / "instances.tif") as file:
        numbers = file.read(1)
        assert numbers.dtype == np.uint16
    with rasterio.open(folder / "crop.tif") as file:
        crop = file.read(1)
    with open(folder / "instances.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["number"] for row in rows] == [str(n) for n in range(1, numbers.max() + 1)]
    assert len(rows) > 3
    for row in rows:
        here = numbers == int(row["number"])
        assert here.sum() == int(row["pixels"])
        assert (crop[here] == int(row["class"])).all()
    assert (crop[numbers == 0] == 0).all()


def test_parcels(place, tmp_path):
    predict(place, "parcel", tmp_path / "O")
    with open(tmp_path / "O/parcels.csv", newline="") as file:
        all_of = sorted(float(row["confidence"]) for row in csv.DictReader(file))
    least = (all_of[4] + all_of[5]) / 2
    made, _ = predict(place, "parcel", tmp_path / "M", probabilities=True, reject=least)
    with open(tmp_path / "M/parcels.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    with open(place / "E/metadata_parcel.csv", newline="") as file:
        listed = [row["ID_PARCEL"] for row in csv.DictReader(file)]
    assert [row["id"] for row in rows] == listed
    assert made["parcels"] == len(rows)
    rejected = [row for row in rows if float(row["confidence"]) < least]
    assert 0 < made["unclassified"] == len(rejected) < len(rows)
    assert {row["name"] for row in rejected} == {"Unclassified"}
    kept = next(row for row in rows if float(row["confidence"]) >= least)
    assert kept[f"p_{kept['name']}"] == kept["confidence"]
    assert kept["dates_S2"] == "3"
    import pandas

    frame = pandas.read_parquet(tmp_path / "M/parcels.parquet")
    assert frame["id"].tolist() == listed
    some, _ = predict(place, "parcel", tmp_path / "N", patches=("10001",))
    assert some["parcels"] == len(rows)  # all lie in the first chunk


def test_until(place, tmp_path):
    predict(place, "semantic", tmp_path / "M", until="2023-10-31", patches=("10001",))
    with rasterio.open(tmp_path / "M/patches/10001/dates.tif") as file:
        assert (file.read() == 2).all()
    words = ("no acquisition of S2 until 2023-09-02", "`until`")
    out = tmp_path / "N"
    for task in ("semantic", "parcel"):
        refused_in_a_line(lambda t=task: predict(place, t, out, until="2023-09-02"), *words)
        assert not Ledger(out).folder.exists()


def test_labels_are_not_needed(place, tmp_path):
    bare = shutil.copytree(place / "E/patches", tmp_path / "bare")
    for name in ("ANNOTATIONS", "INSTANCE_ANNOTATIONS"):
        shutil.rmtree(bare / name)
    predict(place, "semantic", tmp_path / "A", patches=("10001",))
    predict(place, "semantic", tmp_path / "B", bare, patches=("10001",))
    first, second = (tmp_path / n / "patches/10001/crop.tif" for n in "AB")
    assert first.read_bytes() == second.read_bytes()


def edited(place, tmp_path, change):
    """The patches with other metadata."""
    folder = shutil.copytree(place / "E/patches", tmp_path / "edited")
    content = json.loads((folder / "metadata.geojson").read_text())
    change(content["features"][0])
    (folder / "metadata.geojson").write_text(json.dumps(content))
    return folder


def test_without_a_polygon_it_lies_nowhere(place, tmp_path):
    folder = edited(place, tmp_path, lambda feature: feature.update(geometry=None))
    made, _ = predict(place, "semantic", tmp_path / "M", folder, patches=("10001", "10002"))
    (note,) = made["notes"]
    assert "1 of 2 patches have no polygon" in note
    assert "10001" in note
    crop, warned = tmp_path / "M/patches/10001/crop.tif", rasterio.errors.NotGeoreferencedWarning
    with pytest.warns(warned), rasterio.open(crop) as file:
        assert file.crs is None


def test_a_patch_that_was_never_observed_is_left_out(place, tmp_path):
    folder = edited(place, tmp_path, lambda f: f["properties"].update({"dates-S2": {}}))
    (folder / "DATA_S2/S2_10001.npy").unlink()
    made, told = predict(place, "semantic", tmp_path / "M", folder, patches=("10001", "10002"))
    assert [*made["patches"]] == ["10002"]
    assert told == ["Note: 1 patches have no acquisition, and are left out: 10001"]


def test_goes_on_where_it_was_stopped(place, tmp_path, monkeypatch):
    from pastis_jax.mapping import folders

    def stop(*given, write=folders.write_block):
        write(*given)
        raise KeyboardInterrupt

    some = ("10001", "10002", "10003")
    whole, _ = predict(place, "semantic", tmp_path / "A", patches=some)
    with monkeypatch.context() as patch:
        patch.setattr(folders, "write_block", stop)
        with pytest.raises(KeyboardInterrupt):
            predict(place, "semantic", tmp_path / "M", patches=some)
    again = {"patches": some, "reject": 0.5}
    words = ("`out`", "another map was begun", "not the same options")
    refused_in_a_line(lambda: predict(place, "semantic", tmp_path / "M", **again), *words)
    made, told = predict(place, "semantic", tmp_path / "M", patches=some)
    assert told == [f"Continuing {tmp_path / 'M'}."]
    assert made == whole
    for name in some:
        files = [tmp_path / n / "patches" / name / "crop.tif" for n in "AM"]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("task", "data", "options", "words"),
    [
        ("semantic", "E", {}, ("holds pixel sets", "semantic run takes patches")),
        ("parcel", "E/patches", {}, ("holds patches", "parcel run takes pixel sets")),
        ("semantic", "R", {}, ("neither a Region nor an official folder",)),
        ("semantic", "E/patches", {"patches": ("7",)}, ("has no patch 7", "`patches`")),
        ("semantic", "E/patches", {"stride": 8}, ("`stride`", "this is of Regions")),
        ("semantic", "E/patches", {"season": "2023-09-01"}, ("`season`", "this is of Regions")),
    ],
)
def test_refused(place, tmp_path, task, data, options, words):
    # A Region has no metadata.geojson; the command tells the two apart.
    refused_in_a_line(lambda: predict(place, task, tmp_path / "M", place / data, **options), *words)
    assert not any(tmp_path.iterdir())


def test_other_channels(place, tmp_path):
    folder = shutil.copytree(place / "E/patches", tmp_path / "edited")
    text = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(text.replace('"B12"', '"B10"'))
    words = (str(folder), "B10 in reflectance x 10000, the run takes", "B12")
    refused_in_a_line(lambda: predict(place, "semantic", tmp_path / "M", folder), *words)


def test_command(place, tmp_path, capsys):
    given = ["predict", "--run", str(place / "semantic"), "--data", str(place / "E/patches")]
    out = ["--out", str(tmp_path / "M")]
    assert exit_code(lambda: main([*given, *out, "--patches", "10002"])) == 0
    assert [p.name for p in (tmp_path / "M/patches").iterdir()] == ["10002"]
    region = ["predict", "--run", str(place / "semantic"), "--data", str(place / "R")]
    assert exit_code(lambda: main([*region, "--out", str(tmp_path / "N"), "--patches", "1"])) == 2
    assert "--patches: a Region has none" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.skipif(SAMPLE is None, reason="PASTIS_R_PATCHES is not set")
def test_real_patches(tmp_path):
    """Real patches of three modalities; their polygons are left out of the sample."""
    region = tmp_path / "R"
    factory.make_region(region, grid=GRID, days={n: (10, 40) for n in ("S2", "S1A", "S1D")})
    run = map_factory.make_run(tmp_path / "run", "semantic", region, fusion="late")
    listed = json.loads(pathlib.Path(SAMPLE, "metadata.geojson").read_text())["features"]
    names = [str(feature["properties"]["ID_PATCH"]) for feature in listed[:2]]
    made = predict_folder(run, SAMPLE, tmp_path / "M", patches=names, say=lambda _: None)
    assert [*made["patches"]] == names
    with rasterio.open(tmp_path / "M/patches" / names[0] / "dates.tif") as file:
        assert file.descriptions == ("S2", "S1A", "S1D")
        assert file.read().max() == 3
