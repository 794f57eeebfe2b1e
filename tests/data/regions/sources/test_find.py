"""Sources, and what is given of them: what is found, told and refused."""

from __future__ import annotations

import datetime
import itertools
import os
import pathlib
import shutil

import pytest

pytest.importorskip("rasterio")
import scene_files
from refusal import refused_in_a_line
from scene_files import DAY, PLAIN, only

from pastis_jax.data.regions.manifest import Layer, write_manifest
from pastis_jax.data.regions.sources.checks import check_layers
from pastis_jax.data.regions.sources.find import find_layers
from pastis_jax.data.regions.sources.given import Given
from pastis_jax.errors import ArgumentError


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


def test_what_is_not_known_may_be_completed_in_a_manifest(tmp_path):
    scene_files.write(tmp_path / "scene_20230914.tif", names=("B2",))
    found = find_layers([tmp_path], partial=True)
    assert [(x.unit, x.offset) for x in found.layers] == [("reflectance x 10000", None)]
    assert found.unknown.startswith("`offset`: the offset of S2 is not known")
    assert find_layers([tmp_path], given=PLAIN, partial=True).unknown == ""
    write_manifest(found.layers, tmp_path / "manifest.csv")
    assert find_layers([tmp_path / "manifest.csv"], partial=True).layers == found.layers


def test_units_of_both_passes_may_be_given(tmp_path):
    path = tmp_path / "S1_A_20230914.tif"
    scene_files.write(path, scene_files.numbers(1, "float32"), names=("VV",))
    for unit in ({"S1": "dB"}, {"S1A": "dB", "S1D": "linear power"}):
        assert only(path, Given(unit=unit)).unit == "dB"


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
        (".", ("no scene among 2 files", "a.PNG, 8-bit pictures cannot be used")),
    ],
)
def test_sources_without_scenes_are_refused(tmp_path, source, words):
    for name in ("notes.txt", "a.PNG", "b.jpg"):
        (tmp_path / name).touch()
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


@pytest.mark.parametrize(
    ("units", "unit"), [("dB", "dB"), ("linear power", "linear power"), ("power", "")]
)
def test_a_header_may_tell_the_unit_of_backscatter(tmp_path, units, unit):
    path = tmp_path / "S1_A_20230910.tif"
    scene_files.write(path, scene_files.numbers(1, "float32"), names=("VV",), units=units)
    other = Given(unit={"S1A": "worldcereal"})
    assert only(tmp_path, other).unit == (unit or "worldcereal")
