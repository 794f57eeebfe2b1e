"""Any vector file gives the same parcels, or is refused in one line that says what to do."""

from __future__ import annotations

import shutil
import warnings

import numpy as np
import parcel_files
import pytest
from parcel_files import FORMS, GRID, frame, geopandas, shapely, square, write
from refusal import refused_in_a_line

from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.parcels.reading import read_parcels


def read(file, *, label="crop", **arguments):
    return read_parcels(file, label=label, grid=GRID, **arguments)


SQUARES = [square(3, 2), square(20, 30, 7), square(46, 40, 9), square(900, 2), square(30, 5)]
"""The third reaches beyond the grid, the fourth lies outside it."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:2154", "EPSG:4326", "EPSG:3035"])
def test_all_forms_and_systems_hold_the_same(tmp_path, form, crs):
    file = write(tmp_path, form, frame(SQUARES).to_crs(crs))
    given = {"crs": crs} if form == "plain.parquet" else {}
    parcels = read(file, id="name", **given)
    numbers = [int(identifier[1:]) for identifier in parcels.ids]
    assert sorted(numbers) == [0, 1, 2, 4]
    assert form == "fgb" or numbers == [0, 1, 2, 4]  # FlatGeobuf sorts by place when written
    assert [*parcels.codes] == [f"C{number % 3}" for number in numbers]
    expected = np.array(SQUARES)[numbers]
    assert (shapely.hausdorff_distance(parcels.geometries, expected) < 0.01).all()
    np.testing.assert_allclose(parcels.areas, shapely.area(expected), rtol=1e-4)
    kinds = {entry["kind"]: entry for entry in parcels.findings}
    assert kinds.keys() == {"parcels outside", "parcels beyond"}
    assert kinds["parcels outside"]["text"].startswith("1 of 5 features")
    assert kinds["parcels beyond"]["ids"] == ["p2"]


@pytest.mark.parametrize(("form", "first"), [("gpkg", 1), ("shp", 0), ("parquet", 0)])
def test_without_a_column_parcels_have_the_numbers_of_their_file(tmp_path, form, first):
    parcels = read(write(tmp_path, form, frame(SQUARES)))
    assert [*parcels.ids] == [str(first + number) for number in (0, 1, 2, 4)]


@pytest.mark.parametrize("form", ["gpkg", "parquet", "geojson"])
@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([7, 8, 9, 7, 8], ["7", "8", "9", "8"]),
        ([7.0, 8.0, None, 7.0, 8.5], ["7", "8", "", "8.5"]),
        (["a", " b ", "", "d", None], ["a", "b", "", ""]),
        (["01", "é", "c/d", "d", "e"], ["01", "é", "c/d", "e"]),
    ],
)
def test_codes_are_text_whatever_their_type(tmp_path, form, values, codes):
    parcels = read(write(tmp_path, form, frame(SQUARES, crop=values)))
    assert [*parcels.codes] == codes
    missing = [entry["text"] for entry in parcels.findings if "unlabelled" in entry["kind"]]
    assert len(missing) == (1 if "" in codes else 0)
    if missing:
        assert missing[0].startswith(f"{codes.count('')} parcel")


def test_parcels_may_have_no_codes(tmp_path):
    parcels = read(write(tmp_path, "gpkg", frame(SQUARES)), label=None)
    assert [*parcels.codes] == [""] * 4
    assert "parcels unlabelled" not in {entry["kind"] for entry in parcels.findings}


@pytest.mark.parametrize("form", ["gpkg", "parquet"])
def test_order_is_that_of_the_file(tmp_path, form):
    places = np.random.default_rng(0).permutation(500)
    squares = [square(place % 25 * 2, place // 25 * 2, 1) for place in places]
    parcels = read(write(tmp_path, form, frame(squares)), id="name")
    assert [*parcels.ids] == [f"p{number}" for number in range(500)]


def no_crs(parcels):
    return parcels.set_crs(None, allow_override=True)


def degrees(parcels):
    return parcels.set_crs("EPSG:4326", allow_override=True)


def points(parcels):
    return parcels.set_geometry(parcels.geometry.centroid)


def moved(parcels):
    return parcels.set_geometry(parcels.geometry.translate(1e6))


@pytest.mark.parametrize(
    ("form", "change", "arguments", "words"),
    [
        ("gpkg", None, {"label": "Crop"}, ("`label`", "no column Crop", "name, crop")),
        ("parquet", None, {"label": "Crop"}, ("`label`", "no column Crop", "name, crop")),
        ("shp", None, {"id": "key"}, ("`parcel_id`", "no column key", "name, crop")),
        ("gpkg", None, {"id": "crop"}, ("`parcel_id`", "column crop", "holds C1 2 times")),
        ("shp", no_crs, {}, ("`parcels_crs`", "parcels.shp does not say", "EPSG:2154")),
        ("gpkg", no_crs, {}, ("`parcels_crs`", "does not say")),
        ("parquet", no_crs, {}, ("`parcels_crs`", "does not say")),
        ("plain.parquet", None, {}, ("column wkb", "`parcels_crs`")),
        ("gpkg", None, {"crs": "EPSG:999999"}, ("`parcels_crs`", "EPSG:999999")),
        ("gpkg", None, {"layer": "other"}, ("`parcels_layer`", "no layer other", "fields")),
        ("parquet", None, {"layer": "other"}, ("`parcels_layer`", "no layers")),
        ("gpkg", points, {}, ("no layer of polygons (fields: Point)", "polygons")),
        ("parquet", points, {}, ("4 have no polygon", "polygons")),
        ("gpkg", moved, {}, ("none of its 5 features", "EPSG:32631", "`parcels_crs`")),
        ("parquet", moved, {}, ("none of its 5 features", "`parcels_crs`")),
        ("shp", degrees, {}, ("none of its 5 features", "EPSG:4326", "`parcels_crs`")),
    ],
)
def test_refused(tmp_path, form, change, arguments, words):
    parcels = frame(SQUARES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of who writes files without a coordinate system
        file = write(tmp_path, form, change(parcels) if change else parcels)
    refused_in_a_line(lambda: read(file, **arguments), *words)


@pytest.mark.parametrize("form", ["shp", "gpkg", "parquet"])
def test_the_system_can_be_given(tmp_path, form):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = write(tmp_path, form, no_crs(frame(SQUARES)))
    assert len(read(file, crs="EPSG:32631")) == 4


def test_a_given_system_stands_above_the_files_and_is_told(tmp_path):
    """A GeoJSON file in metres, which by its standard is in degrees."""
    file = parcel_files.write_geojson(tmp_path / "a.geojson", SQUARES)
    parcels = read(file, label="n", crs="EPSG:32631")
    assert len(parcels) == 4
    told = [entry["text"] for entry in parcels.findings if entry["kind"] == "parcels crs"]
    assert told == ["the file says WGS 84; read as WGS 84 / UTM zone 31N, as given"]
    assert "parcels crs" not in {f["kind"] for f in read_same(tmp_path).findings}


def read_same(folder):
    return read(write(folder, "gpkg", frame(SQUARES)), crs="EPSG:32631")


def test_layers(tmp_path):
    file = write(tmp_path, "gpkg", frame(SQUARES))
    points(frame(SQUARES)).to_file(file, layer="places")
    assert len(read(file)) == 4  # only one can hold parcels
    frame(SQUARES[:2]).to_file(file, layer="other")
    refused_in_a_line(lambda: read(file), "`parcels_layer`", "fields, other")
    assert len(read(file, layer="other")) == 2
    refused_in_a_line(lambda: read(file, layer="places"), "no layer of polygons (places: Point)")


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.parquet", "a.geojson", "a.txt"])
@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"PAR1" * 9, b"no such thing", b"{}"])
def test_no_such_file(tmp_path, name, content):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    refused_in_a_line(lambda: read(file), str(file), "not found" if content is None else "cannot")


def test_cut_files(tmp_path):
    for form in ("gpkg", "parquet", "geojson"):
        file = write(tmp_path, form, frame(SQUARES))
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        refused_in_a_line(lambda file=file: read(file), str(file))


@pytest.mark.parametrize("form", ["gpkg", "parquet", "geojson"])
def test_no_features(tmp_path, form):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = write(tmp_path, form, frame(SQUARES).iloc[:0])
    refused_in_a_line(lambda: read(file, label=None), str(file))


def test_blank_identifiers_are_refused(tmp_path):
    file = write(tmp_path, "gpkg", frame(SQUARES, name=["a", None, "c", "d", ""]))
    refused_in_a_line(lambda: read(file, id="name"), "`parcel_id`", "2 of the parcels have none")
    file = write(tmp_path, "gpkg", frame(SQUARES, name=["a", "b\n", "c\x1b", "d", "e"]))
    refused_in_a_line(lambda: read(file, id="name"), "`parcel_id`", "c\\x1b")


def test_what_readers_warn_of_is_told(tmp_path):
    file = write(tmp_path, "shp", frame(SQUARES))
    for name in ("parcels.shx", "parcels.cpg"):
        (tmp_path / name).unlink()
    refused_in_a_line(lambda: read(file), "parcels.shp")


def test_curves_become_lines(tmp_path):
    left, top = GRID.left + 100, GRID.top - 100
    arc = f"CURVEPOLYGON(CIRCULARSTRING({left} {top}, {left + 100} {top}, {left} {top}))"
    file = tmp_path / "a.csv"
    file.write_text(f'WKT,crop\n"{arc}",3\n')
    parcels = read(file, crs="EPSG:32631")
    np.testing.assert_allclose(parcels.areas, np.pi * 50**2, rtol=1e-3)
    assert [*parcels.codes] == ["3"]


def test_geoparquet_of_others(tmp_path):
    """Large files come in several row groups; other encodings than WKB are refused."""
    file = tmp_path / "a.parquet"
    frame(SQUARES * 20, name=[*range(100)]).to_parquet(file, row_group_size=7)
    parcels = read(file, id="name")
    assert [*parcels.ids] == [str(i) for i in range(100) if i % 5 != 3]
    frame(SQUARES).to_parquet(file, geometry_encoding="geoarrow")
    refused_in_a_line(lambda: read(file), "encoded as polygon", "WKB")
    geopandas.pd.DataFrame({"crop": [1]}).to_parquet(file)
    refused_in_a_line(lambda: read(file), "without one column of WKB")


def test_archives(tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in", "shp", frame(SQUARES))
    file = shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "in")
    assert [*read(file, id="name").ids] == ["p0", "p1", "p2", "p4"]


@pytest.mark.parametrize("form", ["gpkg", "parquet"])
def test_across_the_date_line(tmp_path, form):
    grid = Grid("EPSG:32601", 340_000.0, 7_200_000.0, 10.0, 4000, 4000)
    far = shapely.box(10, 50, 10.1, 50.1)
    places = [shapely.box(x, 64.8, x + 0.01, 64.81) for x in (179.95, -179.9, 178.2)]
    file = write(tmp_path, form, frame([*places, far], crs="EPSG:4326"))
    parcels = read_parcels(file, label="crop", id="name", grid=grid)
    assert [*parcels.ids] == ["p0", "p1"]
    np.testing.assert_allclose(parcels.areas, 530_000, rtol=0.02)


def test_columns_may_have_any_name(tmp_path):
    columns = {"Kultur.Art": ["a"] * 5, 'no "1"': [*range(5)]}
    for form in ("gpkg", "geojson", "parquet"):
        file = write(tmp_path, form, frame(SQUARES, **columns))
        parcels = read(file, label="Kultur.Art", id='no "1"')
        assert [*parcels.codes] == ["a"] * 4
        assert [*parcels.ids] == ["0", "1", "2", "4"]
        one = read(file, label='no "1"', id='no "1"')
        assert [*one.codes] == [*one.ids] == ["0", "1", "2", "4"]
