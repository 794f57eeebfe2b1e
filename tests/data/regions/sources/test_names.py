"""What names of files and of bands say."""

from __future__ import annotations

import datetime

import pytest

pytest.importorskip("rasterio")
import scene_files
from refusal import refused_in_a_line
from scene_files import DAY, PLAIN, TEN, channels, only

from pastis_jax.data.regions.manifest import read_manifest, write_manifest
from pastis_jax.data.regions.sources.find import find_layers
from pastis_jax.data.regions.sources.given import Given


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
        ("scene.tif", ("has no date in its name", "`dry_run`")),
        ("scene_20231399.tif", ("has no date in its name", "`dry_run`")),
        ("scene_2023400.tif", ("has no date in its name", "`dry_run`")),
        ("scene_2023001_2023002.tif", ("has no date in its name", "`dry_run`")),
        ("scene_20230101_20240101.tif", ("several dates", "2023-01-01", "2024-01-01")),
        ("scene_20230102_20230101.tif", ("several dates",)),
    ],
)
def test_a_scene_without_a_clear_date_is_refused_by_name(tmp_path, name, words):
    scene_files.write(tmp_path / "S2_20230914.tif", names=("B2",))
    scene_files.write(tmp_path / name, names=("B2",))
    refused_in_a_line(lambda: find_layers([tmp_path], given=PLAIN), name, *words)


def test_scenes_without_a_date_are_counted_and_can_be_filled_in(tmp_path):
    for name in "abc":
        scene_files.write(tmp_path / f"{name}.tif", names=("B2",))
    scene_files.write(tmp_path / "S2_20230914.tif", names=("B2",))
    words = ("a.tif", "3 scenes have no date in their names, this one is the first")
    refused_in_a_line(lambda: find_layers([tmp_path], given=PLAIN), *words)
    found = find_layers([tmp_path], given=PLAIN, partial=True)
    assert "3 scenes have no date" in found.unknown
    assert len(found.layers) == 1
    file = tmp_path / "manifest.csv"
    write_manifest([*found.undated, *found.layers], file)
    refused_in_a_line(lambda: read_manifest(file), "line 2: date is empty")
    text = file.read_text()
    for day in (1, 2, 3):
        text = text.replace(",B2,,", f",B2,2023-10-0{day},", 1)
    file.write_text(text)
    assert [x.date.day for x in find_layers([file]).layers] == [14, 1, 2, 3]


@pytest.mark.parametrize("channel", ["S2.VV", "S1A.B99", "S2.B02"])
def test_channels_that_a_modality_has_not_are_refused(channel):
    words = ("`channels`", f"{channel[-2:]} for rain is none of {channel.partition('.')[0]}")
    refused_in_a_line(lambda: Given(channels={"rain": channel}), words[0], words[1])


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
