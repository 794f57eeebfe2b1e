"""Products of Sentinel-2, as ground segments deliver them."""

from __future__ import annotations

import pathlib

import pytest

pytest.importorskip("rasterio")
import scene_files
from refusal import refused_in_a_line
from scene_files import DAY, TEN, channels, only

from pastis_jax.data.regions.sources.checks import check_layers
from pastis_jax.data.regions.sources.find import find_layers
from pastis_jax.data.regions.sources.given import Given


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
