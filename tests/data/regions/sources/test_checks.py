"""What layers must have in common."""

from __future__ import annotations

import shutil

import pytest

rasterio = pytest.importorskip("rasterio")
import scene_files  # noqa: E402
from refusal import refused_in_a_line  # noqa: E402

from pastis_jax.data.regions.sources.checks import check_layers  # noqa: E402
from pastis_jax.data.regions.sources.find import find_layers  # noqa: E402
from pastis_jax.data.regions.sources.given import Given  # noqa: E402

PLAIN = Given(unit={"S2": "reflectance x 10000"}, offset={"S2": 0.0})


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
