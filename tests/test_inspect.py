"""`pastis-jax inspect`: everything that is wrong with a folder, not only the first; exit codes."""

from __future__ import annotations

import ast
import json

import foreign
import numpy as np
import patch_factory
import pixel_set_factory
import pytest
from commands import exit_code

from pastis_jax.cli import inspect
from pastis_jax.data import inspection
from pastis_jax.data.inspection import inspect_data
from pastis_jax.data.pastis_r import PASTIS_R


@pytest.fixture
def pixel_sets(tmp_path):
    return pixel_set_factory.make_pixel_set(tmp_path / "set")


def look(folder, *flags):
    return exit_code(lambda: inspect.main([str(folder), *flags]))


def test_a_sound_folder(pixel_sets, tmp_path, capsys):
    out = tmp_path / "pictures"
    assert look(pixel_sets, "--out", str(out)) == 0
    printed = capsys.readouterr().out
    for text in ("PASTIS-R", "pixel sets", "2018-09-01", "Meadow", "reflectance x 10000"):
        assert text in printed
    assert {path.name for path in out.iterdir()} == {
        *("dates.png", "classes.png", "series-S2.png", "series-S1A.png", "series-S1D.png"),
    }


def test_all_that_is_damaged_is_listed(pixel_sets, capsys):
    files = sorted((pixel_sets / "DATA_S2").iterdir())
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:100])
    values = np.load(files[2])
    np.save(files[2], values / 10000)
    assert look(pixel_sets, "--all") == 1
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "3 damaged" in printed
    findings = inspect_data(pixel_sets, progress=False).findings
    texts = [finding.text for finding in findings if finding.damage]
    assert [name.name in text for name, text in zip(files, texts, strict=False)] == [True] * 3
    assert "file not found" in texts[0]
    assert "truncated" in texts[1]
    assert "already normalised or divided" in texts[2]


def test_patches_and_their_pictures(tmp_path, capsys):
    root = patch_factory.make_patches(tmp_path / "set")
    target = root / "ANNOTATIONS" / "TARGET_10002.npy"
    np.save(target, np.full_like(np.load(target), 25))
    assert look(root, "--out", str(tmp_path / "out")) == 1
    printed = capsys.readouterr().out
    assert "unknown label 25" in " ".join(printed.split())
    assert (tmp_path / "out" / "patches.png").stat().st_size > 5000


def test_counts_are_right(tmp_path):
    root = patch_factory.make_patches(tmp_path / "set")
    looked = inspect_data(root, progress=False)
    for fold in range(1, 6):
        labels = np.load(root / "ANNOTATIONS" / f"TARGET_{10000 + fold}.npy")[0]
        numbers, pixels = np.unique(labels, return_counts=True)
        expected = dict(zip(numbers.tolist(), pixels.tolist(), strict=True))
        assert dict(looked.counts[fold]) == expected
    for name, sensed in looked.sensed.items():
        dates = [
            len(np.load(root / f"DATA_{name}" / f"{name}_{10000 + fold}.npy"))
            for fold in range(1, 6)
        ]
        assert sensed.dates == dates
        assert sensed.images == sum(dates)
        assert sum(sensed.months.values()) == sum(dates)


def test_images_of_pixel_sets_are_those_of_their_patches(pixel_sets, capsys):
    """Parcels of one patch were seen on the same images."""
    looked = inspect_data(pixel_sets, progress=False)
    features = json.loads((pixel_sets / "metadata.geojson").read_text())["features"]
    patches = {p["ID_PATCH"] for f in features if (p := f["properties"])}
    assert len(looked.sensed["S2"].dates) > len(patches)
    total = {}
    for name, sensed in looked.sensed.items():
        dates = [ast.literal_eval(str(f["properties"][f"dates-{name}"])) for f in features]
        total[name] = sensed.images
        assert sensed.images == sum(map(len, dates))
    assert look(pixel_sets) == 0
    printed = capsys.readouterr().out
    assert f"{total['S2']} optical images, {total['S1A'] + total['S1D']} others." in printed
    dates = looked.sensed["S2"].dates
    assert f"{min(dates)}, {np.median(dates):g}, {max(dates)}" in printed


def test_bright_acquisitions_are_counted(pixel_sets):
    before = inspect_data(pixel_sets, progress=False).sensed["S2"].bright
    for file in (pixel_sets / "DATA_S2").iterdir():
        values = np.load(file)
        values[:] = 600
        values[0, 1] = 5000  # blue is B2, the last of the shown channels B4 B3 B2
        values[0, 0] = 5000
        np.save(file, values)
    looked = inspect_data(pixel_sets, progress=False).sensed["S2"]
    assert looked.bright == pytest.approx(len(looked.dates) / sum(looked.dates))
    assert looked.partly == looked.bright
    assert 0 <= before <= 1


def test_what_is_marked_as_missing_is_no_cloud(tmp_path):
    root = patch_factory.make_patches(tmp_path / "set")
    for file in (root / "DATA_S2").iterdir():
        values = np.load(file)
        values[:] = 600
        values[0] = 32000  # all of it
        values[1, :, :12] = 32000  # most of it, and the rest is clear
        values[2, :, :12] = 32000  # and the rest is cloud
        values[2, :, 12:] = 5000
        np.save(file, values)
    looked = inspect_data(root, nodata=("S2=32000",), progress=False).sensed["S2"]
    assert looked.bright == looked.partly == pytest.approx(len(looked.dates) / sum(looked.dates))


def test_a_foreign_dataset(tmp_path, capsys):
    root = foreign.make_pixel_sets(tmp_path / "set")
    assert look(root, "--out", str(tmp_path / "out")) == 0
    printed = capsys.readouterr().out
    assert foreign.DATASET.name in printed
    assert "2023-07-01" in printed
    looked = inspect_data(root, progress=False)
    assert 0 < looked.sensed["NDVI"].missing < 0.1
    assert looked.sensed["SAR"].bright is None


def test_names_are_shown_as_they_are(tmp_path, capsys):
    """Brackets are no markup, and a folder's name steers no terminal."""
    root = foreign.make_pixel_sets(tmp_path / "my[v2]data\x1b[2J\udce9")
    content = json.loads((root / "dataset.json").read_text())
    content["name"] = "[b]land[/x]"
    content["nomenclature"]["classes"][0]["name"] = "[/x] :dog: $\\frac$"
    (root / "dataset.json").write_text(json.dumps(content))
    assert look(root, "--out", str(tmp_path / "out")) == 0
    printed = capsys.readouterr().out
    assert "my[v2]data\\x1b[2J\\udce9" in "".join(printed.split())
    for text in ("[b]land[/x]", "[/x] :dog: $\\frac$"):
        assert text in printed
    assert "\x1b" not in printed


def test_odd_days_and_absent_folds_are_told(pixel_sets, capsys):
    file = pixel_sets / "metadata.geojson"
    content = json.loads(file.read_text())
    dates = content["features"][0]["properties"]["dates-S2"]
    content["features"][0]["properties"]["dates-S2"] = {k: v + 40000 for k, v in dates.items()}
    file.write_text(json.dumps(content))
    assert look(pixel_sets, "--all") == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "are not within -60 to 730 days of the start of the season, 2018-09-01" in printed
    assert printed.count("dates of S2, in") == 1


def test_a_folder_of_neither_kind_is_told_apart(pixel_sets, tmp_path, capsys):
    (pixel_sets / "metadata_parcel.csv").unlink()
    for folder in (pixel_sets, tmp_path):
        assert look(folder) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        if folder == pixel_sets:
            assert "neither metadata_parcel.csv, of pixel sets, nor ANNOTATIONS" in line


def test_dates_of_the_next_season_are_told():
    later = {"S2": [np.array([381, 400]), np.array([383])], "S1A": [np.array([20])], "S1D": []}
    (finding,) = inspection.odd_days(later, "pixel sets", PASTIS_R)
    assert not finding.damage
    assert "the first date of S2 is 381 days after the start of the season, 2018" in finding.text
    assert "from 2019-09-17 to 2019-10-06; correct them, or give season_start" in finding.text


def test_an_image_with_a_cloud_in_a_corner_is_partly_bright(tmp_path):
    root = patch_factory.make_patches(tmp_path / "set")
    for file in (root / "DATA_S2").iterdir():
        values = np.load(file)
        values[:] = 600
        rows = values.shape[2]
        values[0, 0, : rows // 4] = 5000  # a quarter
        values[1, 0, 0, 0] = 5000  # a pixel
        np.save(file, values)
    sensed = inspect_data(root, progress=False).sensed["S2"]
    assert sensed.bright == 0
    assert sensed.partly == pytest.approx(len(sensed.dates) / sum(sensed.dates))


@pytest.mark.parametrize("what", ["nowhere", "empty"])
def test_what_is_neither_ends_with_code_2(tmp_path, what, capsys):
    (tmp_path / "empty").mkdir()
    assert look(tmp_path / what) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / what}: ")
    assert error.count("\n") == 1


def test_where_no_picture_can_be_written_is_told_before_all_is_read(pixel_sets, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("mine")
    assert look(pixel_sets, "--out", str(file)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: --out: cannot write in {file}")
    assert printed.err.count("\n") == 1
    assert file.read_text() == "mine"
