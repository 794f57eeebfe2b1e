"""The STAC Item of a map: what the specification asks for."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re

import numpy as np
import pytest
from drawn_map import GRID, KEY, make_map

from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED
from pastis_jax.mapping.files import rasters, stac


@pytest.fixture(scope="module")
def item(tmp_path_factory):
    """A map, the folder of its files, and its Item as it was written."""
    root = tmp_path_factory.mktemp("map")
    made, _ = make_map(root / "blocks", probabilities=True)
    (out := root / "map").mkdir()
    rasters.write_rasters(made, out)
    (out / "parcels.gpkg").write_bytes(b"parcels")
    (out / "parcels.parquet").write_bytes(b"more parcels")
    stac.write_item(made, out)
    return made, out, json.loads((out / stac.FILE).read_text())


def test_what_every_item_has(item):
    _, _, content = item
    assert (content["type"], content["stac_version"]) == ("Feature", "1.1.0")
    assert {*content} == {
        *("type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "properties"),
        *("links", "assets"),
    }
    assert re.fullmatch(r"[a-z0-9-]+", content["id"])
    properties = content["properties"]
    assert properties["datetime"] is None
    moments = [properties[f"{end}_datetime"] for end in ("start", "end")]
    assert moments == ["2023-09-06T00:00:00Z", "2024-03-19T23:59:59Z"]
    for moment in moments:
        datetime.datetime.fromisoformat(moment)
    used = {
        name.partition(":")[0] for of in (properties, *content["assets"].values()) for name in of
    }
    for prefix, name in (("proj", "projection"), ("file", "file"), ("processing", "processing")):
        assert prefix in used
        assert any(f"/{name}/v" in schema for schema in content["stac_extensions"])
    assert {properties[f"pastis_jax:{name.lower()}"] for name in KEY} == {*KEY.values()}


def test_where_it_lies(item):
    _, _, content = item
    properties = content["properties"]
    assert properties["proj:code"] == "EPSG:32631"
    assert properties["proj:shape"] == [GRID.height, GRID.width]
    assert properties["proj:transform"] == [10, 0, 600000, 0, -10, 5200000]
    west, south, east, north = content["bbox"]
    assert (west, south) == pytest.approx((4.3116, 46.8468), abs=1e-3)
    (ring,) = content["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    assert [west, east] == [f(x for x, _ in ring) for f in (min, max)]
    assert [south, north] == [f(y for _, y in ring) for f in (min, max)]
    x, y = np.array(ring).T
    assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0  # anticlockwise


def test_across_the_antimeridian():
    grid = dataclasses.replace(GRID, crs="EPSG:32601", left=240000.0, top=7200000.0, width=20000)
    geometry, (west, south, east, north) = stac.footprint(grid)
    assert geometry["type"] == "MultiPolygon"
    assert -180 <= east < 0 < west <= 180
    assert south < north
    assert east < -176 < 176 < west


def test_a_coordinate_system_without_a_code():
    wkt = (
        'PROJCS["mine",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
        'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"'
        '],PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",4.2],PARAMETER['
        '"scale_factor",1],PARAMETER["false_easting",500000],PARAMETER["false_northing",0],'
        'UNIT["metre",1]]'
    )
    said = stac.projection(dataclasses.replace(GRID, crs=wkt))
    assert said["proj:code"] is None
    assert "mine" in said["proj:wkt2"]


def test_files_and_their_checksums(item):
    _, out, content = item
    there = {path.name for path in out.iterdir() if path.is_file()}
    assets = content["assets"]
    assert {of["href"] for of in assets.values()} == {f"../{name}" for name in there}
    for of in assets.values():
        file = (out / stac.FILE).parent / of["href"]
        assert of["file:checksum"] == "1220" + hashlib.sha256(file.read_bytes()).hexdigest()
        assert of["file:size"] == file.stat().st_size
        assert of["roles"]
    assert assets["crop"]["type"].endswith("profile=cloud-optimized")
    assert assets["parcels.gpkg"]["type"] == "application/geopackage+sqlite3"


def test_classes_and_bands(item):
    made, _, content = item
    crop = content["assets"]["crop"]
    values = {of["value"]: of for of in crop["classification:classes"]}
    names = dict(enumerate(made.classes.names))
    assert {*values} == {*names, UNCLASSIFIED, NODATA}
    assert {value: values[value]["title"] for value in names} == names
    assert all(re.fullmatch(r"[0-9A-Za-z_-]+", of["name"]) for of in values.values())
    assert len({of["name"] for of in values.values()}) == len(values)
    assert all(
        re.fullmatch(r"[0-9A-F]{6}", of.get("color_hint", "0" * 6)) for of in values.values()
    )
    assert values[NODATA]["nodata"] is True
    assert (crop["data_type"], crop["nodata"]) == ("uint8", 255)
    bands = {
        name: [b["name"] for b in of["bands"]]
        for name, of in content["assets"].items()
        if "bands" in of
    }
    assert bands["dates"] == [*made.run.modalities]
    assert bands["probabilities"] == [*made.classes.names]
    assert "nodata" not in content["assets"]["dates"]


def test_names_that_differ_in_signs_only_are_told_apart():
    raster = rasters.Raster(
        "crop",
        ("crop",),
        names={0: "Rye!", 1: "rye", 2: "麦"},
        colours=dict.fromkeys(range(3), (0, 0, 0)),
    )
    assert [of["name"] for of in stac.classes(raster)] == ["rye-0", "rye-1", "x", "nodata"]
