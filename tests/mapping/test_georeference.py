"""Where patches lie, by their polygons."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from pastis_jax.mapping.georeference import place, read_outlines

SQUARE = np.array([(700000.0, 6000000.0), (701280.0, 6000000.0), (701280.0, 6001280.0)])
SQUARE = np.concatenate([SQUARE, [(700000.0, 6001280.0)]])


def turned(degrees, by=0.0):
    """A square that is turned about its centre, one corner moved by some metres."""
    angle, centre = math.radians(degrees), SQUARE.mean(0)
    matrix = np.array([(math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))])
    corners = (SQUARE - centre) @ matrix.T + centre
    corners[2] += by
    return corners


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]])
def test_sides_along_the_axes_are_exact(order):
    placed = place(SQUARE[order], (128, 64))
    assert placed.transform == (20.0, 0.0, 700000.0, 0.0, -10.0, 6001280.0)
    assert placed.residual == 0


@pytest.mark.parametrize("degrees", [-40, -2.3, 0.001, 1.7, 40])
def test_turned(degrees):
    placed = place(turned(degrees), (128, 128))
    a, b, c, d, e, f = placed.transform
    assert placed.residual < 1e-6
    angle = math.radians(degrees)
    wanted = (math.cos(angle), math.sin(angle), math.sin(angle), -math.cos(angle))
    np.testing.assert_allclose((a, b, d, e), 10 * np.array(wanted), atol=1e-6)
    np.testing.assert_allclose((c, f), turned(degrees)[3], atol=1e-6)


def test_the_residual_is_told():
    placed = place(turned(2, by=4.0), (128, 128))
    # One corner away by d leaves each a quarter of it, of 10 m pixels.
    assert placed.residual == pytest.approx(math.hypot(4, 4) / 4 / 10, rel=1e-2)


@pytest.mark.parametrize(
    "corners", [turned(2, by=40.0), SQUARE[:3], np.array([(0.0, 0), (1, 0), (2, 0), (3, 0)])]
)
def test_no_parallelogram(corners):
    assert place(corners, (128, 128)) is None


def collection(*geometries, **more):
    features = [
        {"properties": {"ID_PATCH": number}, "geometry": geometry}
        for number, geometry in enumerate(geometries)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features, **more})


def test_outlines(tmp_path):
    ring = [*SQUARE.tolist(), SQUARE[0].tolist()]
    polygon = {"type": "Polygon", "coordinates": [ring]}
    several = {"type": "MultiPolygon", "coordinates": [[ring], [ring]]}
    holed = {"type": "Polygon", "coordinates": [ring, ring]}
    one = {"type": "MultiPolygon", "coordinates": [[ring]]}
    point = {"type": "Point", "coordinates": [1.0, 2.0]}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    text = collection(polygon, None, several, holed, one, point, {}, crs=crs)
    (tmp_path / "metadata.geojson").write_text(text)
    outlines = read_outlines(tmp_path / "metadata.geojson")
    assert outlines.crs == "urn:ogc:def:crs:EPSG::2154"
    assert {*outlines.rings} == {0, 4}
    assert {*map(tuple, outlines.rings[4].tolist())} == {*map(tuple, SQUARE.tolist())}
    (tmp_path / "metadata.geojson").write_text(collection(polygon))
    assert read_outlines(tmp_path / "metadata.geojson").crs == "OGC:CRS84"
