"""What is found in the files that users have, by their names and headers."""

from __future__ import annotations

import datetime
import itertools
import os
import pathlib
import shutil

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
import scene_files  # noqa: E402
from refusal import refused_in_a_line  # noqa: E402

from pastis_jax.data.regions import sensors  # noqa: E402
from pastis_jax.data.regions.checks import check_layers  # noqa: E402
from pastis_jax.data.regions.find import find_layers  # noqa: E402
from pastis_jax.data.regions.given import Given  # noqa: E402
from pastis_jax.data.regions.manifest import Layer, write_manifest  # noqa: E402
from pastis_jax.errors import ArgumentError  # noqa: E402

DAY = datetime.date(2023, 9, 14)
TEN = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
PLAIN = Given(unit={"S2": "reflectance x 10000"}, offset={"S2": 0.0})


def only(folder, given=PLAIN):
    """The one layer of a folder."""
    (layer,) = find_layers([folder], given=given).layers
    return layer


def channels(found, modality="S2"):
    return {layer.channel for layer in found.layers if layer.modality == modality}


# Sen2Cor


def test_each_band_of_a_product_is_taken_in_the_pixels_that_it_has(tmp_path):
    scene_files.safe(tmp_path, xml=scene_files.metadata())
    found = find_layers([tmp_path])
    assert channels(found) == {*TEN, "mask"}
    for layer in found.layers:
        band = "SCL" if layer.is_mask else f"B{layer.channel[1:]:0>2}"
        metres = 10 if layer.channel in ("B2", "B3", "B4", "B8") else 20
        assert layer.path.endswith(f"R{metres}m/T31TFJ_20230914T104629_{band}_{metres}m.jp2")
        assert (layer.date, layer.orbit, layer.band) == (DAY, "008", "1")
    assert found.levels == {"S2": ("L2A",)}
    assert any("B1, B9" in note for note in found.notes)
    assert check_layers(found.layers) == ["S2 has one date only, 2023-09-14"]


@pytest.mark.parametrize(
    ("baseline", "xml", "offset"),
    [
        ("0509", None, -1000.0),
        ("0400", None, -1000.0),
        ("0301", None, 0.0),
        ("0214", None, 0.0),
        ("9999", scene_files.metadata("04.00", offsets=False), -1000.0),
        ("0301", scene_files.metadata("03.01", offsets=False), 0.0),
    ],
)
def test_the_baseline_tells_the_offset(tmp_path, baseline, xml, offset):
    scene_files.safe(tmp_path, baseline=baseline, xml=xml)
    layers = [layer for layer in find_layers([tmp_path]).layers if not layer.is_mask]
    assert {(layer.offset, layer.unit, layer.nodata) for layer in layers} == {
        (offset, "reflectance x 10000", 0.0)
    }


def test_offsets_are_those_that_the_metadata_name_for_each_band(tmp_path):
    scene_files.safe(tmp_path, xml=scene_files.metadata())
    offsets = {layer.channel: layer.offset for layer in find_layers([tmp_path]).layers}
    # Band 8 of the metadata is B8A, and their 1000 + k tells the bands apart.
    assert (offsets["B2"], offsets["B8A"], offsets["B12"]) == (-1001.0, -1008.0, -1012.0)


def test_a_product_of_no_ground_segment_does_not_tell_its_offset(tmp_path):
    scene_files.safe(tmp_path, baseline="9999")
    refused_in_a_line(lambda: find_layers([tmp_path]), "offset", "S2", "B02_10m.jp2", "9 others")
    found = find_layers([tmp_path], given=Given(offset={"S2": -1000.0}))
    assert {layer.offset for layer in found.layers if not layer.is_mask} == {-1000.0}


def test_what_is_given_does_not_take_the_place_of_what_a_product_says(tmp_path):
    scene_files.safe(tmp_path)
    found = find_layers([tmp_path], given=Given(offset={"S2": 0.0}))
    assert {layer.offset for layer in found.layers if not layer.is_mask} == {-1000.0}
    assert any("`offset` is not taken for 10 layers of S2: -1000.0" in note for note in found.notes)


def test_of_a_granule_processed_twice_the_later_is_taken(tmp_path):
    old = scene_files.safe(tmp_path, baseline="0400")
    scene_files.safe(tmp_path, baseline="0509", granule="A042993")
    found = find_layers([tmp_path])
    assert len(found.layers) == 11
    assert all("_N0509_" in layer.path for layer in found.layers)
    ((path, reason),) = found.left_out
    assert path.startswith(str(old))
    assert "in baseline 0509 L2A too: baseline 0400 L2A is not taken" in reason


def test_parts_of_one_pass_that_were_cut_are_both_taken(tmp_path):
    scene_files.safe(tmp_path / "a")
    scene_files.safe(tmp_path / "b", granule="A042993")
    found = find_layers([tmp_path])
    assert len(found.layers) == 22
    check_layers(found.layers)


@pytest.mark.parametrize(
    ("xml", "words"),
    [("<n1:Level", ("MTD_MSIL2A.xml", "not metadata")), (None, ("multiplied by 1000",))],
)
def test_metadata_that_cannot_be_meant_are_refused(tmp_path, xml, words):
    scene_files.safe(tmp_path, xml=xml or scene_files.metadata(quantification=1000))
    refused_in_a_line(lambda: find_layers([tmp_path]), *words)


def test_a_product_of_sentinel_1_as_delivered_is_refused(tmp_path):
    name = "S1A_IW_GRDH_1SDV_20230910T055512_20230910T055537_050262_060C55_6A5F.SAFE"
    scene_files.write(tmp_path / name / "measurement" / "s1a-iw-grd-vv-20230910t055512-001.tif")
    refused_in_a_line(lambda: find_layers([tmp_path]), name, "terrain")


def test_granules_outside_of_a_product_need_an_offset(tmp_path):
    scene_files.write(tmp_path / "T31TFJ_20230914T104629_B02_10m.jp2")
    refused_in_a_line(lambda: find_layers([tmp_path]), "`offset`", "T31TFJ", "S2=-1000", "S2=0")
    layer = only(tmp_path, Given(offset={"S2": -1000.0}))
    assert (layer.channel, layer.date, layer.offset) == ("B2", DAY, -1000.0)


# Other forms of names


def test_theia_corrected_for_slopes_with_its_mask(tmp_path):
    scene = "SENTINEL2A_20180924-105012-345_L2A_T31TFJ_C_V1-9"
    for kind in ("FRE", "SRE"):
        for band in ("B2", "B8A"):
            metres = 10.0 if band == "B2" else 20.0
            scene_files.write(tmp_path / scene / f"{scene}_{kind}_{band}.tif", pixel=metres)
    for mask, metres in (("CLM_R1", 10.0), ("CLM_R2", 20.0), ("MG2_R1", 10.0), ("EDG_R1", 10.0)):
        values = scene_files.numbers(dtype="uint8", first=0)
        scene_files.write(tmp_path / scene / "MASKS" / f"{scene}_{mask}.tif", values, pixel=metres)
    scene_files.write(tmp_path / scene / f"{scene}_ATB_R1.tif")
    (tmp_path / scene / f"{scene}_QKL_ALL.jpg").touch()
    found = find_layers([tmp_path])
    told = {(x.channel, x.unit, x.offset, x.nodata, x.date.isoformat()) for x in found.layers}
    assert told == {
        ("B2", "reflectance x 10000", 0.0, -10000.0, "2018-09-24"),
        ("B8A", "reflectance x 10000", 0.0, -10000.0, "2018-09-24"),
        ("mask", "cloud", 0.0, None, "2018-09-24"),
    }
    assert {pathlib.Path(x.path).stem.partition("V1-9_")[2] for x in found.layers} == {
        *("FRE_B2", "FRE_B8A", "CLM_R1")
    }
    assert any("SRE" in note and "2 files" in note for note in found.notes)


def test_theia_without_slopes_takes_what_there_is(tmp_path):
    scene_files.write(tmp_path / "SENTINEL2B_20180924-105012-345_L2A_T31TFJ_C_V1-9_SRE_B11.tif")
    assert only(tmp_path, Given()).channel == "B11"


def test_sits(tmp_path):
    for band in ("B02", "B8A", "CLOUD"):
        scene_files.write(tmp_path / f"SENTINEL-2_MSI_20LKP_{band}_2020-06-04.tif")
    found = find_layers([tmp_path], given=PLAIN)
    assert {(x.channel, x.unit, x.date.isoformat()) for x in found.layers} == {
        ("B2", "reflectance x 10000", "2020-06-04"),
        ("B8A", "reflectance x 10000", "2020-06-04"),
        ("mask", "scl", "2020-06-04"),
    }


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("S2_T31TFJ_20230914.tif", "2023-09-14"),
        ("2023-09-14_scene.tif", "2023-09-14"),
        ("scene_2023_09_14.tif", "2023-09-14"),
        ("scene.2023.09.14.v2.tif", "2023-09-14"),
        ("S2B_20230914T104629_cut.tif", "2023-09-14"),
        ("S2A_MSIL2A_20230914T104629_N0509_R008_T31TFJ_20240201T164821.tif", "2023-09-14"),
        ("scene_2023257.tif", "2023-09-14"),
        ("2023-09-14/scene.tif", "2023-09-14"),
    ],
)
def test_dates_anywhere_in_a_name(tmp_path, name, date):
    scene_files.write(tmp_path / name, names=("B2",))
    assert only(tmp_path).date.isoformat() == date


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scene.tif", ("without a date",)),
        ("scene_20231399.tif", ("without a date",)),
        ("scene_2023400.tif", ("without a date",)),
        ("scene_2023001_2023002.tif", ("without a date",)),
        ("scene_20230101_20240101.tif", ("several dates", "2023-01-01", "2024-01-01")),
        ("scene_20230102_20230101.tif", ("several dates",)),
    ],
)
def test_a_scene_without_a_clear_date_is_refused_by_name(tmp_path, name, words):
    scene_files.write(tmp_path / "S2_20230914.tif", names=("B2",))
    scene_files.write(tmp_path / name, names=("B2",))
    refused_in_a_line(lambda: find_layers([tmp_path], given=PLAIN), name, *words)


def test_a_date_is_given_for_one_scene(tmp_path):
    scene_files.write(tmp_path / "scene.tif", names=("B2",))
    assert only(tmp_path, Given(offset={"S2": 0.0}, dates=(DAY,))).date == DAY


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("B02", "B8A", "B11"), ["B2", "B8A", "B11"]),
        (("blue", "nir08", "swir22"), ["B2", "B8A", "B12"]),
        (("Red Edge 1", "red-edge-2", "rededge3"), ["B5", "B6", "B7"]),
        (("b2", "b08", "b8a"), ["B2", "B8", "B8A"]),
        (("S2-L2A-B02", "S2-L2A-B08", "S2-L2A-B12"), ["B2", "B8", "B12"]),
    ],
)
def test_spellings_of_bands(tmp_path, names, expected):
    scene_files.write(tmp_path / "scene_20230914.tif", names=names)
    layers = find_layers([tmp_path], given=PLAIN).layers
    assert [x.channel for x in sorted(layers, key=lambda x: x.band)] == expected


def test_bands_that_are_none_are_told(tmp_path):
    scene_files.write(
        tmp_path / "scene_20230914.tif", names=("B1", "B2", "AOT", "NDVI", "elevation", "QA10")
    )
    found = find_layers([tmp_path], given=PLAIN)
    assert [x.channel for x in found.layers] == ["B2"]
    told = " ".join(found.notes)
    for name in ("B1", "AOT, NDVI", "elevation", "QA10"):
        assert name in told


def test_names_that_only_count_are_no_names(tmp_path):
    # Earth Engine calls bands without names b1, b2 and so on.
    scene_files.write(tmp_path / "scene_20230914.tif", names=("b1", "b2", "b3", "b4", "b5"))
    refused_in_a_line(lambda: find_layers([tmp_path]), "scene_20230914.tif", "no names", "channels")
    given = Given(offset={"S2": 0.0}, channels={"b1": "B2", "b2": "B3", "3": "B4"})
    found = find_layers([tmp_path], given=given)
    assert {x.band: x.channel for x in found.layers} == {"1": "B2", "2": "B3", "3": "B4"}


def test_a_band_can_be_of_a_modality_of_ones_own(tmp_path):
    scene_files.write(tmp_path / "soil_20230914.tif", names=("sm_surface",))
    refused_in_a_line(lambda: find_layers([tmp_path]), "no scene", "sm_surface")
    layer = only(tmp_path, Given(channels={"sm_surface": "soil.moisture"}))
    assert (layer.modality, layer.channel, layer.unit) == ("soil", "moisture", "none")


def test_names_of_file_and_band_must_agree(tmp_path):
    scene_files.write(tmp_path / "scene_B03_20230914.tif", names=("B02",))
    refused_in_a_line(lambda: find_layers([tmp_path]), "scene_B03", "B3", "B02")


@pytest.mark.parametrize(
    ("name", "modality", "orbit"),
    [
        ("S1_A_20230910_R088.tif", "S1A", "088"),
        ("S1_D_20230910_R008.tif", "S1D", "008"),
        ("s1-grd-asc-20230910.tif", "S1A", ""),
        ("S1_DESCENDING_2023-09-10.tif", "S1D", ""),
        ("s1a_32ULU_vv_DES_139_20230910t053622.tif", "S1D", "139"),
        # S1A is a satellite here, which flies both ways.
        ("S1A_IW_20230910T055512_DVP_RTC10_G_gpuned_6A5F.tif", "S1", ""),
        ("S1A_20230910.tif", "S1", ""),
    ],
)
def test_passes_and_orbits_in_names(tmp_path, name, modality, orbit):
    values = scene_files.numbers(2, "float32")
    scene_files.write(tmp_path / name, values, names=("VV", "VH"))
    found = find_layers([tmp_path], given=Given(unit={"S1": "linear power"}))
    told = {(x.modality, x.channel, x.orbit, x.unit) for x in found.layers}
    assert told == {(modality, c, orbit, "linear power") for c in ("VV", "VH")}
    assert any("pass of S1 is not known" in n for n in found.notes) == (modality == "S1")


@pytest.mark.parametrize(
    ("units", "unit"), [("dB", "dB"), ("linear power", "linear power"), ("power", "")]
)
def test_a_header_may_tell_the_unit_of_backscatter(tmp_path, units, unit):
    path = tmp_path / "S1_A_20230910.tif"
    scene_files.write(path, scene_files.numbers(1, "float32"), names=("VV",), units=units)
    other = Given(unit={"S1": "worldcereal"})
    assert only(tmp_path, other).unit == (unit or "worldcereal")


def test_bands_may_name_their_pass(tmp_path):
    names = ("VV_asc", "VV_desc", "VH_ascending")
    scene_files.write(tmp_path / "a_20230910.tif", scene_files.numbers(3, "float32"), names=names)
    found = find_layers([tmp_path], given=Given(unit={"S1": "dB"}))
    assert {(x.modality, x.channel, x.band) for x in found.layers} == {
        *(("S1A", "VV", "1"), ("S1D", "VV", "2"), ("S1A", "VH", "3"))
    }


def test_a_pass_is_given_or_told_by_the_header(tmp_path):
    values = scene_files.numbers(1, "float32")
    scene_files.write(tmp_path / "a" / "S1_20230910.tif", values, names=("VV_dB",))
    tags = {"ORBIT_DIRECTION": "ASCENDING"}
    scene_files.write(tmp_path / "b" / "S1_20230911.tif", values, names=("VV_dB",), tags=tags)
    given = Given(direction="descending")
    assert only(tmp_path / "a", Given()).modality == "S1"
    assert only(tmp_path / "a", given).modality == "S1D"
    assert only(tmp_path / "b", given).modality == "S1A"
    assert only(tmp_path / "b", given).unit == "dB"


def test_openeo_composites_are_dated_by_their_first_day(tmp_path):
    name = "s1-grd-sigma0-asc-weekly_2024-03-04_2024-03-10_VV-VH_last.tif"
    scene_files.write(tmp_path / name, scene_files.numbers(2, "float32"))
    found = find_layers([tmp_path], given=Given(unit={"S1": "linear power"}))
    assert [(x.modality, x.channel, x.band) for x in found.layers] == [
        *(("S1A", "VH", "2"), ("S1A", "VV", "1"))
    ]
    assert {x.date.isoformat() for x in found.layers} == {"2024-03-04"}
    assert found.levels == {"S1A": ("sigma0",)}
    assert any("dated by their first day" in note for note in found.notes)


def test_a_stack_of_earth_engine_is_dated_by_the_period_of_its_name(tmp_path):
    names = ("VV", "B2", "elevation", "VV_1", "B2_1", "VV_2", "B2_2")
    values = scene_files.numbers(7, "float64")
    scene_files.write(tmp_path / "98-togo_2019-02-06_2019-05-07.tif", values, names=names)
    given = Given(
        unit={"S1": "dB", "S2": "reflectance x 10000"}, offset={"S2": 0.0}, direction="ascending"
    )
    found = find_layers([tmp_path], given=given)
    assert [(x.modality, x.channel, x.date.isoformat(), x.band) for x in found.layers] == [
        ("S1A", "VV", "2019-02-06", "1"),
        ("S1A", "VV", "2019-03-08", "4"),
        ("S1A", "VV", "2019-04-07", "6"),
        ("S2", "B2", "2019-02-06", "2"),
        ("S2", "B2", "2019-03-08", "5"),
        ("S2", "B2", "2019-04-07", "7"),
    ]
    assert any("every 30 days" in note for note in found.notes)


@pytest.mark.parametrize("names", [("B2", "B2_1"), ("0_B2", "1_B2")])
def test_a_stack_without_a_period_needs_dates(tmp_path, names):
    scene_files.write(tmp_path / "stack.tif", names=names)
    refused_in_a_line(lambda: find_layers([tmp_path]), "stack.tif", "series of 2 dates", "`dates`")
    days = (datetime.date(2023, 4, 1), datetime.date(2023, 5, 1))
    found = find_layers([tmp_path], given=Given(offset={"S2": 0.0}, dates=days))
    assert [(x.band, x.date) for x in found.layers] == [("1", days[0]), ("2", days[1])]
    given = Given(dates=(*days, datetime.date(2023, 6, 1)))
    refused_in_a_line(lambda: find_layers([tmp_path], given=given), "names 3")


@pytest.mark.parametrize(
    "form",
    [
        "2023{m}14T104629_2023{m}14T105202_T31TFJ_B2",
        "B2_2023{m}14",
        "B02_2023_{m}_14",
        "2023-{m}-14_B2_median",
    ],
)
def test_a_stack_may_have_dates_in_the_names_of_its_bands(tmp_path, form):
    names = [form.format(m=month) for month in ("08", "09")]
    scene_files.write(tmp_path / "stack.tif", names=names)
    found = find_layers([tmp_path], given=PLAIN)
    assert [x.date.isoformat() for x in found.layers] == ["2023-08-14", "2023-09-14"]


def test_the_simulators_files(tmp_path):
    scene_files.write(tmp_path / "S2_T31TFJ_20230914.tif", names=TEN)
    scl = scene_files.numbers(dtype="uint8", first=0) % 12
    scene_files.write(tmp_path / "S2_T31TFJ_20230914_SCL.tif", scl)
    found = find_layers([tmp_path], given=Given(offset={"S2": -1000.0}))
    assert channels(found) == {*TEN, "mask"}
    mask = next(x for x in found.layers if x.is_mask)
    assert (mask.unit, mask.date, mask.acquisition) == ("scl", DAY, ("S2", DAY, ""))


# Units


@pytest.mark.parametrize(
    ("dtype", "scale", "offset", "unit", "added"),
    [
        ("uint16", 1e-4, -0.1, "reflectance x 10000", -1000.0),
        ("uint16", 1e-4, 0.0, "reflectance x 10000", 0.0),
        ("int16", 1e-4, -0.1, "reflectance x 10000", -1000.0),
    ],
)
def test_scale_and_offset_of_a_header(tmp_path, dtype, scale, offset, unit, added):
    values = scene_files.numbers(1, dtype)
    path = tmp_path / "scene_20230914.tif"
    scene_files.write(path, values, names=("B2",), scale=scale, offset=offset)
    layer = only(tmp_path, Given())
    assert (layer.unit, layer.offset) == (unit, added)


def test_floats_do_not_tell_their_unit(tmp_path):
    for name in ("scene_20230914.tif", "scene_20230919.tif"):
        scene_files.write(tmp_path / name, scene_files.numbers(1, "float32"), names=("B2",))
    refused_in_a_line(
        lambda: find_layers([tmp_path], given=Given(offset={"S2": 0.0})),
        *("`unit`", "scene_20230914.tif and 1 other", "S2=reflectance", "B2", "1001 to 1062"),
    )
    given = Given(unit={"S2": "reflectance"}, offset={"S2": 0.0})
    assert {x.unit for x in find_layers([tmp_path], given=given).layers} == {"reflectance"}


def test_backscatter_does_not_tell_its_unit(tmp_path):
    path = tmp_path / "S1_A_20230914.tif"
    scene_files.write(path, scene_files.numbers(1, "float32"), names=("VV",))
    refused_in_a_line(lambda: find_layers([path]), "`unit`", path.name, "S1A=dB", "linear power")
    with pytest.raises(ArgumentError, match="no S3 among the scenes"):
        find_layers([path], given=Given(unit={"S3": "dB"}))


def test_units_of_a_header(tmp_path):
    values = scene_files.numbers(1, "float32")
    scene_files.write(tmp_path / "S1_A_20230914.tif", values, names=("VV",), units="dB")
    assert only(tmp_path, Given()).unit == "dB"


def test_marks_are_those_of_the_header_or_given(tmp_path):
    scene_files.write(tmp_path / "a_20230914.tif", names=("B2",), nodata=65535)
    scene_files.write(tmp_path / "b_20230915.tif", names=("B2",))
    given = Given(offset={"S2": 0.0}, nodata={"S2": 0.0})
    assert [x.nodata for x in find_layers([tmp_path], given=given).layers] == [65535.0, 0.0]
    notes = check_layers(find_layers([tmp_path], given=PLAIN).layers)
    assert any(
        note.startswith("no mark of what is missing in 1 of 2 files of S2") for note in notes
    )


# Sources


def test_what_is_no_raster_is_left_out_in_silence_and_the_rest_by_name(tmp_path):
    scene_files.write(tmp_path / "scene_20230914.tif", names=("B2",))
    scene_files.write(tmp_path / "dem.tif", names=("height",))
    for name in ("a.xml", "b.png", "c.json", "d.gpkg", "e.zip", "f.xyz", ".hidden.tif"):
        (tmp_path / name).touch()
    found = find_layers([tmp_path], given=PLAIN)
    assert [pathlib.Path(x.path).name for x in found.layers] == ["scene_20230914.tif"]
    assert sorted(pathlib.Path(path).name for path, _ in found.left_out) == [
        *("dem.tif", "e.zip", "f.xyz")
    ]


def test_sources_are_files_patterns_and_folders_each_file_once(tmp_path, monkeypatch):
    for day in ("20230914", "20230919"):
        scene_files.write(tmp_path / "in" / f"scene_{day}.tif", names=("B2",))
    monkeypatch.chdir(tmp_path)
    sources = ["in/scene_20230914.tif", "in/*.tif", tmp_path / "in"]
    found = find_layers(sources, given=PLAIN)
    assert len(found.layers) == 2
    # They are read from elsewhere as well.
    assert all(os.path.isabs(x.path) for x in found.layers)


def test_links_to_folders_are_followed_once(tmp_path):
    scene_files.write(tmp_path / "in" / "a" / "scene_20230914.tif", names=("B2",))
    scene_files.write(tmp_path / "elsewhere" / "scene_20230919.tif", names=("B2",))
    (tmp_path / "in" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "c").symlink_to(tmp_path / "in" / "a")
    (tmp_path / "in" / "a" / "loop").symlink_to(tmp_path / "in")
    assert [x.date.day for x in find_layers([tmp_path / "in"], given=PLAIN).layers] == [14, 19]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"channels": {"B99": "B2"}}, ("`channels`", "B99", "choose among 1, B2")),
        ({"dates": (DAY,)}, ("`dates`", "all scenes have dates")),
        ({"unit": {"S1": "dB"}}, ("`unit`", "no S1", "S2")),
    ],
)
def test_what_is_given_in_vain_is_refused(tmp_path, given, words):
    scene_files.write(tmp_path / "scene_20230914.tif", names=("B2",))
    call = Given(offset={"S2": 0.0}, **given)
    refused_in_a_line(lambda: find_layers([tmp_path], given=call), *words)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("none", ("none", "not found")),
        ("*.tif", ("*.tif", "not found")),
        ("notes.txt", ("notes.txt", "no raster")),
        (".", ("no scene among 0 files",)),
    ],
)
def test_sources_without_scenes_are_refused(tmp_path, source, words):
    (tmp_path / "notes.txt").touch()
    refused_in_a_line(lambda: find_layers([tmp_path / source]), *words)


def test_a_damaged_scene_is_named_or_left_out(tmp_path):
    scene_files.write(tmp_path / "scene_20230914.tif", names=("B2",))
    (tmp_path / "scene_20230919.tif").write_bytes(b"II*\0 but no more")
    refused_in_a_line(
        lambda: find_layers([tmp_path], given=PLAIN), "scene_20230919.tif", "cannot be read"
    )
    given = Given(offset={"S2": 0.0}, skip_damaged=True)
    found = find_layers([tmp_path], given=given)
    assert len(found.layers) == 1
    assert [pathlib.Path(path).name for path, _ in found.left_out] == ["scene_20230919.tif"]


def test_a_corrected_manifest_is_a_source(tmp_path):
    scene_files.write(tmp_path / "in" / "scene_20230914.tif", names=("B2", "B3"))
    found = find_layers([tmp_path / "in"], given=PLAIN)
    for name in ("manifest.csv", "mine.csv"):
        write_manifest(found.layers[:1], tmp_path / name)
        assert find_layers([tmp_path / name]).layers == found.layers[:1]
    # One that lies among scenes is not read with them, and that is told.
    write_manifest(found.layers, tmp_path / "in" / "manifest.csv")
    found = find_layers([tmp_path / "in"], given=PLAIN)
    assert len(found.layers) == 2
    assert any("manifest.csv is not read" in note for note in found.notes)


def test_what_a_manifest_does_not_say_may_be_given(tmp_path):
    path = scene_files.write(tmp_path / "scene.tif", names=("B2",))
    layers = [Layer(str(path), "1", "S2", "B2", DAY)]
    write_manifest(layers, tmp_path / "manifest.csv")
    refused_in_a_line(lambda: find_layers([tmp_path / "manifest.csv"]), "`unit`", "scene.tif")
    (layer,) = find_layers([tmp_path / "manifest.csv"], given=PLAIN).layers
    assert (layer.unit, layer.offset) == ("reflectance x 10000", 0.0)


def test_the_season_chooses_dates(tmp_path):
    for day in ("20230814", "20230914"):
        scene_files.write(tmp_path / f"scene_{day}.tif", names=("B2",))
    season = (datetime.date(2023, 9, 1), datetime.date(2024, 8, 31))
    found = find_layers([tmp_path], given=Given(offset={"S2": 0.0}, season=season))
    assert [x.date for x in found.layers] == [DAY]
    assert any("1 acquisition of S2" in note and "2023-08-14" in note for note in found.notes)
    given = Given(offset={"S2": 0.0}, season=(datetime.date(2020, 1, 1), datetime.date(2020, 2, 1)))
    refused_in_a_line(lambda: find_layers([tmp_path], given=given), "season_start", "2023-08-14")


def test_one_mask_of_clouds_is_read(tmp_path):
    names = ("B2", "SCL", "MSK_CLDPRB", "dataMask")
    scene_files.write(tmp_path / "scene_20230914.tif", names=names)
    scene_files.write(tmp_path / "scene_20230919_SCL.tif")
    found = find_layers([tmp_path], given=PLAIN)
    assert {(x.channel, x.unit) for x in found.layers if x.is_mask} == {
        ("mask", "scl"), ("mask", "valid"),
    }  # fmt: skip
    told = " ".join(found.notes)
    assert "not read, where scl is there: 1 mask, cloud probability" in told
    assert "where the scene is missing: 1 mask of S2" in told


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"unit": {"S2": "dn"}}, ("`unit`", "'dn'")),
        ({"direction": "up"}, ("`direction`", "ascending")),
        ({"dates": (DAY, DAY)}, ("`dates`", "rise")),
        ({"season": (DAY, datetime.date(2020, 1, 1))}, ("`season`",)),
        ({"channels": {"1": "violet"}}, ("`channels`", "'violet'")),
    ],
)
def test_what_cannot_be_given(given, words):
    refused_in_a_line(lambda: Given(**given), *words)


# What layers must have in common


def layers_of(folder, given=PLAIN):
    return find_layers([folder], given=given).layers


def test_scenes_of_a_modality_have_the_same_bands(tmp_path):
    for day, names in (("20230914", ("B2", "B8A")), ("20230919", ("B2",))):
        scene_files.write(tmp_path / f"scene_{day}.tif", names=names)
    refused_in_a_line(
        lambda: check_layers(layers_of(tmp_path)),
        *("scene_20230919.tif", "lacks B8A", "1 of 2", "2023-09-19"),
    )


def test_each_of_two_tiles_of_a_scene_has_all_bands(tmp_path):
    scene_files.write(tmp_path / "a_20230914.tif", names=("B2", "B3"))
    scene_files.write(tmp_path / "b_20230914.tif", names=("B2",), corner=(600080.0, 4900020.0))
    refused_in_a_line(lambda: check_layers(layers_of(tmp_path)), "lacks B3")


def test_tiles_of_a_day_are_merged_and_copies_refused(tmp_path):
    scene_files.write(tmp_path / "a_20230914.tif", names=("B2",))
    scene_files.write(tmp_path / "b_20230914.tif", names=("B2",), corner=(600080.0, 4900020.0))
    check_layers(layers_of(tmp_path))
    shutil.copy(tmp_path / "a_20230914.tif", tmp_path / "copy_20230914.tif")
    refused_in_a_line(
        lambda: check_layers(layers_of(tmp_path)), "twice", "a_20230914.tif", "copy_20230914.tif"
    )


def test_two_bands_of_one_channel_are_refused(tmp_path):
    scene_files.write(tmp_path / "a_20230914.tif", names=("B2", "blue"))
    refused_in_a_line(lambda: check_layers(layers_of(tmp_path)), "twice", "bands 1 and 2")


def test_degrees_need_another_system(tmp_path):
    place = {"crs": "EPSG:4326", "pixel": 1e-4, "corner": (1.42, 7.72)}
    scene_files.write(tmp_path / "scene_20230914.tif", names=("B2",), **place)
    refused_in_a_line(lambda: check_layers(layers_of(tmp_path)), "`crs`", "degrees", "EPSG:32631")
    check_layers(layers_of(tmp_path), target="EPSG:32631")


def test_a_file_must_say_where_it_lies(tmp_path):
    scene_files.write(tmp_path / "a" / "scene_20230914.tif", names=("B2",), crs=None)
    layers = layers_of(tmp_path / "a")
    refused_in_a_line(lambda: check_layers(layers), "`source_crs`", "scene_20230914.tif")
    check_layers(layers, crs="EPSG:32631")
    identity = rasterio.Affine.identity()
    path = tmp_path / "b" / "scene_20230914.tif"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        scene_files.write(path, names=("B2",), crs=None, transform=identity)
    refused_in_a_line(lambda: check_layers(layers_of(path)), "does not say where it lies")


@pytest.mark.parametrize(
    ("names", "colours", "words"),
    [
        (("", "", ""), True, ("picture of 8 bits",)),
        (("", "", "", ""), False, ("picture of 8 bits",)),
        (("B4", "B3", "B2"), False, ("B2 of 8 bits",)),
    ],
)
def test_scenes_of_8_bits_are_refused_by_name(tmp_path, names, colours, words):
    values = scene_files.numbers(len(names), "uint8", first=0)
    path = tmp_path / "scene_20230914.tif"
    scene_files.write(path, values, names=names if any(names) else (), colours=colours)
    refused_in_a_line(lambda: check_layers(layers_of(tmp_path)), path.name, *words)


def test_what_a_region_of_these_layers_should_know_is_told(tmp_path):
    scene_files.write(tmp_path / "a_20230914.tif", names=("B2", "SCL"), nodata=0)
    scene_files.write(tmp_path / "b_20230919.tif", names=("B2",), nodata=0)
    assert check_layers(layers_of(tmp_path)) == ["1 of 2 scenes of S2 have no mask of clouds"]


# Sensors


def test_how_modalities_are_stored():
    s2 = sensors.stored("S2", {"B12", "B2", "B4", "B3"})
    assert (s2.channels, s2.dtype, s2.nodata) == (("B2", "B3", "B4", "B12"), "int16", -10000)
    assert s2.picture.channels == ("B4", "B3", "B2")
    s1 = sensors.stored("S1D", ["VH", "VV"])
    assert (s1.channels, s1.dtype, s1.unit) == (("VV", "VH", "VV-VH"), "float16", "dB")
    assert sensors.stored("S1", ["VV"]).channels == ("VV",)
    weather = sensors.stored("weather", ["tmean", "precip"])
    assert (weather.channels, weather.unit, weather.dtype) == (
        ("precip", "tmean"),
        "none",
        "float32",
    )
    assert np.isnan(weather.nodata)


@pytest.mark.skipif("PASTIS_JAX_REAL_SCENES" not in os.environ, reason="no real scenes")
def test_the_togo_stack(tmp_path):
    folder = pathlib.Path(os.environ["PASTIS_JAX_REAL_SCENES"]) / "gee_stack_togo"
    for file in folder.glob("*.tif"):
        shutil.copy(file, tmp_path)
    refused_in_a_line(lambda: find_layers([tmp_path]), "`unit`", "98-togo", "S1", "S2")
    given = Given(unit={"S1": "dB", "S2": "reflectance x 10000"}, offset={"S2": 0.0})
    found = find_layers([tmp_path], given=given)
    assert {m: sum(x.modality == m for x in found.layers) for m in ("S1", "S2", "weather")} == {
        "S1": 24, "S2": 120, "weather": 24,
    }  # fmt: skip
    days = sorted({x.date for x in found.layers})
    assert len(days) == 12
    assert {(b - a).days for a, b in itertools.pairwise(days)} == {30}
    assert (days[0], days[-1]) == (datetime.date(2019, 2, 6), datetime.date(2020, 1, 2))
    refused_in_a_line(lambda: check_layers(found.layers), "`crs`", "EPSG:32631")
    notes = check_layers(found.layers, target="EPSG:32631")
    assert all("no mark of what is missing in 1 of 1 files" in note for note in notes)
    assert len(notes) == 3
