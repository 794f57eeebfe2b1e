"""Parcels in a page: where they lie, their outlines, what was observed of them."""

from __future__ import annotations

import base64
import datetime
import json
import re
import types
import zlib

import numpy as np
import pytest
import report_maps
import shapely

from pastis_jax.data.regions.grid import Grid
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.report import outlines as packing
from pastis_jax.mapping.report.attention import Attention
from pastis_jax.mapping.report.curves import Curve, observe
from pastis_jax.mapping.report.doubtful import _thumbnail
from pastis_jax.mapping.report.drawing import reliability_svg, series_svg
from pastis_jax.mapping.report.places import WIDEST, least_certain, place_of
from pastis_jax.mapping.season import Season

GRID = report_maps.GRID


@pytest.fixture(scope="module")
def mapper(tmp_path_factory):
    return report_maps.opened(tmp_path_factory.mktemp("parcels"), "parcel")


@pytest.fixture(scope="module")
def results(mapper):
    return report_maps.results_of(mapper)


def box(top, left, bottom, right):
    """A rectangle of pixels."""
    x, y = GRID.left + 10 * left, GRID.top - 10 * bottom
    return shapely.box(x, y, GRID.left + 10 * right, GRID.top - 10 * top)


def test_the_place_of_a_parcel_is_its_pixels(mapper, results):
    numbers = mapper.region.numbers(slice(0, GRID.height), slice(0, GRID.width))
    for row in range(len(results)):
        place = place_of(GRID, results.geometry[row])
        own = np.zeros((GRID.height, GRID.width), bool)
        own[place.rows, place.columns] = place.covered
        assert np.array_equal(own, numbers == row + 1)
        assert own[place.middle]
        assert place.whole


def test_a_sliver_has_the_pixels_that_it_touches():
    place = place_of(GRID, box(5.1, 5.1, 5.4, 9.4))
    assert (place.rows, place.columns) == (slice(5, 6), slice(5, 10))
    assert place.covered.all()


@pytest.mark.parametrize("shape", [box(-20, 0, -10, 5), shapely.Polygon(), None])
def test_what_lies_outside_has_no_place(shape):
    assert place_of(GRID, shape) is None


def test_of_a_vast_parcel_the_middle_is_read():
    grid = report_maps.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=900, width=900)
    place = place_of(grid, box(0, 0, 900, 900))
    assert place.covered.shape == (WIDEST, WIDEST)
    assert not place.whole


def test_least_certain_come_first(results):
    shares = results.probability
    shares[3] = np.nan
    chosen = least_certain(results, 5)
    confidence = shares.max(1)
    assert 3 not in chosen
    assert np.array_equal(confidence[chosen], np.sort(confidence[~np.isnan(confidence)])[:5])


def test_curves_are_means_of_what_was_observed(mapper, results):
    made = Made(mapper, (), mapper.region.root, {})
    place = place_of(GRID, results.geometry[0])
    observed = observe(made, place)
    window = (slice(0, GRID.height), slice(0, GRID.width))
    inside = mapper.region.numbers(*window) == 1
    optical, radar = (observed[name] for name in ("S2", "S1A"))
    values = mapper.region.read("S2", *window)[..., inside].astype(float)
    channels = optical.modality.channels
    nir, red = (values[:, channels.index(name)] for name in ("B8", "B4"))
    curve = optical.curve()
    assert curve.values == pytest.approx(((nir - red) / (nir + red)).mean(1))
    assert "NDVI" in curve.title
    # The left third was not observed on every second date.
    backscatter = mapper.region.read("S1A", *window)[:, 0, inside].astype(float)
    assert np.isnan(radar.curve().values).tolist() == [True, False, True]
    assert radar.curve().values[1] == pytest.approx(backscatter[1].mean())
    assert radar.curve().title == "VV, dB"


def test_clouds_are_told(mapper, results):
    made = Made(mapper, (), mapper.region.root, {})
    place = place_of(GRID, results.geometry[0])
    curve = observe(made, place)["S2"].curve()
    assert curve.clouded.tolist() == [True, False, False, False]  # of the first all, else a fifth
    assert not observe(made, place)["S1A"].curve().clouded.any()


def season():
    return Season(datetime.date(2023, 9, 1), {}, ())


def drawn(values, clouded=(), attention=None):
    days = np.arange(len(values), dtype=np.int32) * 20
    hidden = np.isin(np.arange(len(values)), clouded)
    curve = Curve("S2", "NDVI", days, np.array(values, float), hidden)
    return series_svg(curve, attention, (0, int(days[-1])), season())


def test_gaps_break_the_line_and_clouds_do_not():
    nan = float("nan")
    svg = drawn([1, 2, nan, 3, 9, 4], clouded=[4])
    lines = re.findall(r'<polyline class="line" points="([^"]*)"', svg)
    assert [len(line.split()) for line in lines] == [2, 2]
    assert svg.count('class="gap"') == 1
    assert svg.count('class="cloud"') == 1
    assert svg.count('class="dot"') == 4
    assert "2023-10-11: not observed" in svg


@pytest.mark.parametrize("values", [[float("nan")] * 3, [1, 1, 1], [5]])
def test_any_series_can_be_drawn(values):
    assert "nan" not in drawn(values).replace("not observed", "")


@pytest.mark.parametrize(
    ("title", "axis"),
    [
        ("vegetation index (NDVI)", "NDVI"),
        ("VV, dB", "VV, dB"),
        ("B2, reflectance x 10000", "B2"),
    ],
)
def test_numbers_beside_a_drawing_have_a_name(title, axis):
    one = np.ones(1)
    curve = Curve("S2", title, np.zeros(1, np.int32), one, one > 1)
    assert curve.axis == axis
    assert f">{axis}</text>" in series_svg(curve, None, (0, 9), season())


def test_attention_is_drawn_beneath():
    told = Attention(np.array([0, 20], np.int32), np.array([0.25, 0.75]))
    svg = drawn([1, 2, 3], attention=told)
    assert svg.count('class="bar"') == 2
    assert "2023-09-21: 75.0 %" in svg


def test_only_bins_with_parcels_are_drawn():
    nan = float("nan")
    told = {"count": [0, 5], "confidence": [nan, 0.8], "accuracy": [nan, 0.6]}
    drawn = reliability_svg(told)
    assert drawn.count("<rect") == 1
    assert re.findall(r'<text class="count"[^>]*>([^<]*)<', drawn) == ["5"]


def unpacked(packed):
    content = zlib.decompress(base64.b64decode(packed["data"]))
    if packed["type"] == "json":
        return json.loads(content)
    return np.frombuffer(content, packed["type"]).reshape(packed["shape"])


def rings_of(steps, rings):
    """As the page puts them together."""
    corners = np.cumsum(steps.astype(np.int64), 0).astype(np.int16).astype(float)
    cut = np.split((corners + 8192) / 8, np.cumsum(rings[:, 1])[:-1])
    return [*zip(rings[:, 0].tolist(), cut, strict=True)]


def test_outlines_are_those_of_the_polygons():
    hole = shapely.difference(box(1, 1, 60, 90), box(10, 10, 20, 20))
    two = shapely.union(box(0, 0, 5, 5), box(50, 50, 60, 2000))
    shapes = np.array([hole, shapely.Polygon(), None, two], object)
    rings = rings_of(*packing.outlines(GRID, shapes))
    assert [owner for owner, _ in rings] == [0, 0, 3, 3]
    assert {tuple(corner) for corner in rings[0][1]} == {(1, 1), (90, 1), (90, 60), (1, 60)}
    assert rings[1][1].max() == 20
    assert rings[3][1][:, 0].max() == 2000


def test_parcels_are_packed(results):
    packed, why = packing.packed_parcels(GRID, results, 100_000)
    assert not why
    told = unpacked(packed["told"])
    assert told["id"] == results.id.tolist()
    assert told["truth"] == results.truth.tolist()
    assert told["top"][::3] == [
        -1 if np.isnan(of).any() else int(of.argmax()) for of in results.probability
    ]
    numbers = unpacked(packed["numbers"])
    assert numbers.shape == (GRID.height, GRID.width)
    assert np.unique(numbers).tolist() == [*range(len(results) + 1)]
    assert len(unpacked(packed["rings"])) == len(results)


@pytest.mark.parametrize(("number", "text"), [(5, 100_000), (100, 50)])
def test_too_many_parcels_are_refused_with_a_reason(results, monkeypatch, number, text):
    monkeypatch.setattr(packing, "MOST", number)
    packed, why = packing.packed_parcels(GRID, results, text)
    assert packed is None
    assert f"{len(results)} parcels" in why


def test_the_outline_of_a_parcel_far_from_the_corner():
    """Coordinates are those of the Region, also where its page shows a pixel of several."""
    grid = Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=9000, width=20_000)
    left, top = 600000 + 10 * 18_000, 5200000 - 10 * 7000
    shape = shapely.box(left, top - 200, left + 300, top)
    place = place_of(grid, shape)
    made = types.SimpleNamespace(region=types.SimpleNamespace(grid=grid))
    (ring,) = _thumbnail(made, types.SimpleNamespace(geometry=np.array([shape])), 0, place)["rings"]
    corners = np.reshape(ring, (-1, 2))
    assert corners.min(0).tolist() == [18_000, 7000]
    assert corners.max(0).tolist() == [18_030, 7020]
