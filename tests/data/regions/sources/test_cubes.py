"""Cubes of NetCDF, Zarr and memory: what is in them, and windows as they are stored."""

from __future__ import annotations

import datetime
import os
import pathlib
import pickle
import shutil
import warnings

import numpy as np
import pytest

xarray = pytest.importorskip("xarray")
pytest.importorskip("rasterio")
pytest.importorskip("zarr")
from refusal import refused_in_a_line  # noqa: E402

from pastis_jax.data.regions.sources import cubes  # noqa: E402
from pastis_jax.data.regions.sources.checks import check_layers  # noqa: E402
from pastis_jax.data.regions.sources.find import find_layers  # noqa: E402
from pastis_jax.data.regions.sources.given import Given  # noqa: E402
from pastis_jax.data.regions.sources.opened import close_all, open_layer, read_group  # noqa: E402

DAYS = np.array(["2023-09-14", "2023-09-19", "2023-10-01"], "datetime64[ns]")
H, W = 6, 8
X, Y = 600005.0 + 10 * np.arange(W), 4900015.0 - 10 * np.arange(H)
ROWS, COLUMNS = slice(0, H), slice(0, W)
PLAIN = Given(offset={"S2": 0.0})
FORMS = ["nc", "nc3", "zarr2", "zarr3", "zarr3c", "memory"]


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


def numbers(*shape, dtype="int16"):
    return np.arange(1, 1 + np.prod(shape)).reshape(shape).astype(dtype)


def cube(*, time="time", y="y", x="x", north_up=True, crs="EPSG:32631", **variables):
    """A Dataset with B02 of three dates, or `variables`."""
    variables = variables or {"B02": ((time, y, x), numbers(3, H, W))}
    coordinates = {x: X, y: Y if north_up else Y[::-1]}
    used = {d for dims, *_ in variables.values() for d in dims}
    if time in used:
        coordinates[time] = DAYS
    return xarray.Dataset(variables, coordinates, attrs={"crs": crs} if crs else {})


def as_source(dataset, form, tmp_path):
    """A Dataset as a user has it."""
    if form == "memory":
        return dataset
    path = tmp_path / f"cube.{'nc' if form.startswith('nc') else 'zarr'}"
    if form == "nc":
        pytest.importorskip("h5py")
    if form == "nc3":
        dataset.to_netcdf(path, engine="scipy")
    elif form == "nc":
        dataset.to_netcdf(path, engine="h5netcdf")
    else:
        with warnings.catch_warnings():  # Zarr 3 has no rules for some of it.
            warnings.filterwarnings("ignore", "Consolidated|The data type")
            together = form in ("zarr2", "zarr3c")
            dataset.to_zarr(path, zarr_format=int(form[4]), consolidated=together)
    return path


def read(layers, rows=ROWS, columns=COLUMNS):
    return read_group([open_layer(layer) for layer in layers], rows, columns)


@pytest.mark.parametrize("north_up", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_variables_are_bands(tmp_path, form, north_up):
    dataset = cube(
        north_up=north_up,
        B02=(("time", "y", "x"), numbers(3, H, W)),
        B8A=(("time", "y", "x"), numbers(3, H, W) + 1000),
    )
    found = find_layers([as_source(dataset, form, tmp_path)], given=PLAIN)
    assert [(x.channel, x.band, str(x.date)) for x in found.layers if x.channel == "B8A"] == [
        *(("B8A", "B8A[0]", "2023-09-14"), ("B8A", "B8A[1]", "2023-09-19")),
        ("B8A", "B8A[2]", "2023-10-01"),
    ]
    assert {(x.unit, x.modality) for x in found.layers} == {("reflectance x 10000", "S2")}
    one = open_layer(found.layers[0])
    assert (one.crs, one.height, one.width, one.dtype) == ("EPSG:32631", H, W, "int16")
    assert one.transform == (10.0, 0.0, 600000.0, 0.0, -10.0, 4900020.0)
    # Rows run from north to south, whichever way the file has them.
    expected = dataset["B8A"].values[:, :: 1 if north_up else -1]
    wanted = [x for x in found.layers if x.channel == "B8A"]
    rows, columns = slice(1, 4), slice(2, 8)
    np.testing.assert_array_equal(read(wanted, rows, columns), expected[:, rows, columns])
    (note,) = check_layers(found.layers)
    assert "no mark of what is missing in 1 of 1 files of S2" in note


@pytest.mark.parametrize("form", FORMS)
def test_a_dimension_of_bands(tmp_path, form):
    values = numbers(3, 2, H, W)
    dataset = cube(values=(("time", "bands", "y", "x"), values))
    dataset = dataset.assign_coords(bands=["B03", "SCL"])
    found = find_layers([as_source(dataset, form, tmp_path)], given=PLAIN)
    assert [(x.channel, x.band) for x in found.layers if x.date.month == 10] == [
        *(("B3", "values|B03[2]"), ("mask", "values|SCL[2]"))
    ]
    for layer in found.layers:
        place = (list(DAYS.astype("datetime64[D]").tolist()).index(layer.date), layer.is_mask)
        np.testing.assert_array_equal(read([layer])[0], values[place[0], int(place[1])])


def test_a_data_array_with_numbered_bands_goes_by_its_name():
    array = cube()["B02"].expand_dims(band=[1]).assign_attrs(crs="EPSG:32631")
    found = find_layers([array], given=PLAIN)
    assert {(x.channel, x.date.year) for x in found.layers} == {("B2", 2023)}
    assert open_layer(found.layers[0]).crs == "EPSG:32631"


@pytest.mark.parametrize(
    ("time", "y", "x"),
    [("t", "y", "x"), ("date", "lat", "lon"), ("timestep", "northing", "easting"), ("d", "Y", "X")],
)
def test_names_of_coordinates(time, y, x):
    found = find_layers([cube(time=time, y=y, x=x)], given=PLAIN)
    assert [x.date.day for x in found.layers] == [14, 19, 1]


def test_coordinates_by_their_attributes():
    dataset = cube(y="rows", x="cols")
    dataset["rows"].attrs["axis"] = "Y"
    dataset["cols"].attrs["standard_name"] = "projection_x_coordinate"
    assert len(find_layers([dataset], given=PLAIN).layers) == 3


@pytest.mark.parametrize(
    "times",
    [["2023-09-14", "2023-09-19", "2023-10-01"], ["20230914T104629", "20230919", "20231001"]],
)
def test_dates_may_be_texts(times):
    dataset = cube().assign_coords(time=times)
    assert [str(x.date) for x in find_layers([dataset], given=PLAIN).layers] == [
        *("2023-09-14", "2023-09-19", "2023-10-01")
    ]


def test_times_without_dates_need_them():
    dataset = cube().assign_coords(time=[0, 1, 2])
    refused_in_a_line(lambda: find_layers([dataset]), "series of 3 dates", "`dates`")
    days = tuple(datetime.date(2023, month, 1) for month in (4, 5, 6))
    found = find_layers([dataset], given=Given(offset={"S2": 0.0}, dates=days))
    assert tuple(x.date for x in found.layers) == days
    np.testing.assert_array_equal(read(found.layers), dataset["B02"].values)


def test_a_cube_of_one_date_has_it_in_its_name(tmp_path):
    pytest.importorskip("h5py")
    cube(B02=(("y", "x"), numbers(H, W))).to_netcdf(tmp_path / "S2_20230914.nc", engine="h5netcdf")
    (layer,) = find_layers([tmp_path], given=PLAIN).layers
    assert (layer.band, str(layer.date)) == ("B02", "2023-09-14")


@pytest.mark.parametrize("where", ["mapping", "spatial_ref", "epsg", "attribute"])
@pytest.mark.parametrize("form", ["nc", "memory"])
def test_where_the_system_is_named(tmp_path, where, form):
    from rasterio.crs import CRS

    dataset, wkt = cube(crs=None), CRS.from_epsg(32631).to_wkt()
    if where == "mapping":
        dataset["utm"] = ((), 0, {"crs_wkt": wkt})
        dataset["B02"].attrs["grid_mapping"] = "utm"
    elif where == "spatial_ref":  # of odc-stac and rioxarray
        dataset = dataset.assign_coords(spatial_ref=((), 32631, {"spatial_ref": wkt}))
    elif where == "epsg":  # of stackstac
        dataset = dataset.assign_coords(epsg=32631)
    else:
        dataset["B02"].attrs["crs"] = "EPSG:32631"
    found = find_layers([as_source(dataset, form, tmp_path)], given=PLAIN)
    assert open_layer(found.layers[0]).crs == "EPSG:32631"


def test_a_system_may_be_given():
    layers = find_layers([cube(crs=None)], given=PLAIN).layers
    refused_in_a_line(lambda: check_layers(layers), "`source_crs`")
    refused_in_a_line(lambda: open_layer(layers[0]), "where it lies")
    assert open_layer(layers[0], crs="EPSG:32631").crs == "EPSG:32631"
    refused_in_a_line(lambda: find_layers([cube(crs="UTM")]), "crs is no coordinate system")


def with_x(x):
    return cube().assign_coords(x=x)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (with_x(np.where(np.arange(W) == 3, X + 4, X)), ("x are not even",)),
        (with_x(X[::-1]), ("x fall", "west to east")),
        (with_x(np.full(W, X[0])), ("x are not even",)),
        (cube().drop_vars("y"), ("y has no coordinates",)),
        (cube().isel(x=slice(0, 1)), ("x are no list",)),
        (cube().expand_dims(level=2), ("dimension level",)),
        (cube().assign_coords(time=[DAYS[0], DAYS[1], np.datetime64("NaT", "ns")]), ("missing",)),
    ],
)
def test_axes_that_are_none_are_refused(dataset, words):
    refused_in_a_line(lambda: find_layers([dataset], given=PLAIN), "<Dataset", *words)


def test_coordinates_in_32_bits_are_even():
    transform = open_layer(find_layers([with_x(X.astype("f4"))], given=PLAIN).layers[0]).transform
    assert transform[:3] == (10.0, 0.0, 600000.0)


def test_unsigned_numbers_that_are_stored_as_signed(tmp_path):
    values = np.full((3, H, W), 65535, "uint16")
    values[0, 0] = np.arange(W) + 40000
    variable = (("time", "y", "x"), values.view("int16"), {"_Unsigned": "true", "_FillValue": -1})
    path = as_source(cube(B02=variable), "nc", tmp_path)
    layers = find_layers([path], given=PLAIN).layers
    assert {x.nodata for x in layers} == {65535.0}
    assert open_layer(layers[0]).dtype == "uint16"
    np.testing.assert_array_equal(read(layers), values)


@pytest.mark.parametrize("form", ["nc", "zarr3"])
def test_scaled_reflectances_keep_their_offset_in_the_layer(tmp_path, form):
    attributes = {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0}
    variable = (("time", "y", "x"), numbers(3, H, W, dtype="uint16"), attributes)
    layers = find_layers([as_source(cube(B02=variable), form, tmp_path)]).layers
    assert {(x.unit, x.offset, x.nodata) for x in layers} == {("reflectance x 10000", -1000.0, 0.0)}
    np.testing.assert_array_equal(read(layers), variable[1])


def test_other_scales_are_applied(tmp_path):
    values = numbers(3, H, W)
    attributes = {"scale_factor": 0.01, "_FillValue": 5, "units": "dB"}
    path = as_source(cube(VV=(("time", "y", "x"), values, attributes)), "nc", tmp_path)
    layers = find_layers([path]).layers
    assert {(x.modality, x.unit) for x in layers} == {("S1", "dB")}
    expected = np.where(values == 5, np.nan, values * 0.01).astype(np.float32)
    np.testing.assert_array_equal(read(layers), expected)


def test_orbits_along_time():
    dataset = cube(VV=(("time", "y", "x"), numbers(3, H, W, dtype="float32")))
    dataset = dataset.assign_coords(
        {
            "sat:relative_orbit": ("time", [88, 110, 88]),
            "sat:orbit_state": ("time", ["ascending", "descending", "ascending"]),
        }
    )
    given = Given(unit={"S1": "linear power"})
    layers = find_layers([dataset], given=given).layers
    assert [(x.modality, x.orbit, x.date.day) for x in layers] == [
        *(("S1A", "088", 14), ("S1A", "088", 1), ("S1D", "110", 19))
    ]


def test_weather_and_what_does_not_change():
    dataset = cube(
        B02=(("time", "y", "x"), numbers(3, H, W)),
        temperature_2m=(("time", "y", "x"), numbers(3, H, W, dtype="float32")),
        elevation=(("y", "x"), numbers(H, W)),
        flag=(("time",), numbers(3)),
    )
    found = find_layers([dataset], given=PLAIN)
    assert {(x.modality, x.channel, x.unit) for x in found.layers} == {
        *(("S2", "B2", "reflectance x 10000"), ("weather", "temperature_2m", "none"))
    }
    assert any("elevation" in note for note in found.notes)


def test_a_dataset_in_memory_stays_in_its_process(monkeypatch):
    (layer, *_) = find_layers([cube()], given=PLAIN).layers
    one = pickle.loads(pickle.dumps(open_layer(layer)))
    assert one.read(ROWS, COLUMNS).shape == (H, W)
    close_all()
    # It is the user's, and stays open.
    assert one.read(ROWS, COLUMNS).shape == (H, W)
    close_all()
    monkeypatch.setattr(cubes, "_datasets", {})
    refused_in_a_line(lambda: one.read(ROWS, COLUMNS), "`sources`", "another process", "Zarr")


def test_cubes_in_a_folder(tmp_path):
    pytest.importorskip("h5py")
    cube().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    cube(B03=(("time", "y", "x"), numbers(3, H, W))).to_zarr(
        tmp_path / "b.zarr", zarr_format=3, consolidated=False
    )
    xarray.Dataset({"table": ("row", [1, 2])}).to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
    found = find_layers([tmp_path], given=PLAIN)
    assert {(pathlib.Path(x.path).name, x.channel) for x in found.layers} == {
        *(("a.nc", "B2"), ("b.zarr", "B3"))
    }
    ((path, reason),) = found.left_out
    assert (pathlib.Path(path).name, reason) == ("c.nc", "no variable along y and x")


@pytest.mark.parametrize("form", ["nc", "zarr2"])
def test_a_damaged_cube_is_named(tmp_path, form):
    path = as_source(cube(), form, tmp_path)
    if form == "nc":
        path.write_bytes(path.read_bytes()[:500])
    else:
        (path / ".zmetadata").write_text("{")
    refused_in_a_line(lambda: find_layers([path]), path.name, "cannot be read")


def test_damaged_numbers_are_named_when_they_are_read(tmp_path):
    path = tmp_path / "a.zarr"
    cube().to_zarr(path, zarr_format=2)
    layers = find_layers([path], given=PLAIN).layers
    for chunk in (path / "B02").glob("0.*"):
        chunk.write_bytes(b"damaged")
    refused_in_a_line(lambda: read(layers[:1]), "a.zarr", "cannot be read")


@pytest.mark.skipif("PASTIS_JAX_REAL_SCENES" not in os.environ, reason="no real scenes")
def test_the_cube_of_worldcereal(tmp_path):
    pytest.importorskip("h5py")
    name = "worldcereal_preprocessed_inputs.nc"
    folder = pathlib.Path(os.environ["PASTIS_JAX_REAL_SCENES"]) / "worldcereal_openeo_cube"
    for file in folder.glob("*.*"):
        shutil.copy(file, tmp_path)
    refused_in_a_line(lambda: find_layers([tmp_path]), "`offset`", name)
    found = find_layers([tmp_path], given=Given(offset={"S2": 0.0}))
    channels = {m: [] for m in ("S1", "S2", "weather")}
    for layer in found.layers:
        if layer.date == datetime.date(2020, 11, 1):
            channels[layer.modality].append(layer.channel)
    assert channels == {
        "S1": ["VH", "VV"],
        "S2": ["B11", "B12", "B2", "B3", "B4", "B5", "B6", "B7", "B8"],
        "weather": ["AGERA5-PRECIP", "AGERA5-TMEAN"],
    }
    assert len(found.layers) == 12 * 13
    assert found.levels == {"S1": ("sigma0",), "S2": ("L2A",)}
    assert {(x.unit, x.nodata) for x in found.layers if x.modality == "S1"} == {
        ("worldcereal", 65535.0)
    }
    assert any("slope, elevation" in note for note in found.notes)
    assert sorted(pathlib.Path(path).name[:9] for path, _ in found.left_out) == [
        *("cropland-", "worldcere")
    ]
    check_layers(found.layers)
    with xarray.open_dataset(tmp_path / name, engine="h5netcdf") as dataset:
        blue = [x for x in found.layers if x.channel == "B2"]
        values = read(blue, slice(0, 100), slice(0, 100))
        np.testing.assert_array_equal(values, dataset["S2-L2A-B02"].values)
    assert (values == 65535).all((1, 2)).sum() == 2  # months without an image
    one = open_layer(blue[0])
    assert (one.crs, one.transform) == ("EPSG:32631", (10.0, 0.0, 664000.0, 0.0, -10.0, 5612120.0))
