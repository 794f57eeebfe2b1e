"""A Region that is stopped on the way, or made of scenes that are damaged."""

from __future__ import annotations

import numpy as np
import pytest
import season_files as files
from refusal import refused_in_a_line
from season_files import ALL, GIVEN, OFFSET, contents, findings

from pastis_jax.data.regions.ingestion import running
from pastis_jax.data.regions.ingestion.ingest import ingest
from pastis_jax.data.regions.sources.given import Given
from pastis_jax.data.regions.store import Region

pytest.importorskip("rasterio")


def test_nothing_is_left_beside(whole):
    assert [path.name for path in whole.parent.iterdir()] == ["whole"]


class _StopError(Exception):
    pass


@pytest.mark.parametrize("after", [0, 2, 4])
def test_what_was_stopped_goes_on(scenes, whole, tmp_path, monkeypatch, after):
    made = running.Filler._shard
    done = []

    def shard(self, *arguments):
        if len(done) == after:
            raise _StopError
        done.append(arguments)
        made(self, *arguments)

    monkeypatch.setattr(running.Filler, "_shard", shard)
    with pytest.raises(_StopError):
        ingest(scenes[0], tmp_path / "whole", given=GIVEN, **files.OPTIONS)
    assert (tmp_path / ".whole.ingesting").exists() == bool(after)
    assert not (tmp_path / "whole").exists()
    monkeypatch.setattr(running.Filler, "_shard", lambda *a: (done.append(a), made(*a)))
    ingest(scenes[0], tmp_path / "whole", given=GIVEN, **files.OPTIONS)
    assert len(done) == 5
    assert contents(tmp_path / "whole") == contents(whole)


def test_another_command_is_refused_what_was_begun(scenes, tmp_path, monkeypatch):
    made, done = running.Filler._shard, []

    def shard(self, *arguments):
        if done:
            raise KeyboardInterrupt
        done.append(made(self, *arguments))

    monkeypatch.setattr(running.Filler, "_shard", shard)
    with pytest.raises(KeyboardInterrupt) as stopped:
        ingest(scenes[0], tmp_path / "r", given=GIVEN, **files.OPTIONS)
    monkeypatch.setattr(running.Filler, "_shard", made)
    assert "same command goes on" in stopped.value.__notes__[0]
    other = files.OPTIONS | {"season_start": "2023-08-01"}
    refused_in_a_line(
        lambda: ingest(scenes[0], tmp_path / "r", given=GIVEN, **other), "`overwrite`"
    )
    ingest(scenes[0], tmp_path / "r", given=GIVEN, overwrite=True, **other)
    assert Region(tmp_path / "r").days("S1A").tolist() == [63]
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_full_folder_is_left_alone(scenes, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "mine").write_text("keep")
    refused_in_a_line(
        lambda: ingest(scenes[0], tmp_path / "r", given=GIVEN, **files.OPTIONS), "`out`", "exists"
    )
    assert [path.name for path in tmp_path.rglob("*")] == ["r", "mine"]


def damage(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    file.write_bytes(content)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_damaged_scene(tmp_path, workers):
    folder = tmp_path / "scenes"
    truth = files.season(folder, radar=())
    bad = folder / "S2_2023-11-05.tif"
    damage(bad)
    options = files.OPTIONS | {"workers": workers, "given": OFFSET}
    refused_in_a_line(
        lambda: ingest(folder, tmp_path / "r", **options), str(bad), "the same command goes on"
    )
    root = ingest(folder, tmp_path / "r", skip_damaged=True, **options)
    assert str(bad) in findings(root)["files damaged"]
    assert "2023-11-05" in findings(root)["acquisitions empty"]
    region = Region(root)
    assert region.days("S2").tolist() == [31, 182]
    for t, date in enumerate(("2023-10-02", "2024-03-01")):
        expected = truth["S2", date].astype(np.int16) - 1000
        np.testing.assert_array_equal(region.read("S2", *ALL)[t], expected)
    assert region.observed("S2").sum() == 2 * files.GRID.height * files.GRID.width
    again = ingest(folder, tmp_path / "again" / "r", skip_damaged=True, **options)
    assert contents(again) == contents(root)


def test_a_repaired_scene_goes_on(tmp_path):
    folder = tmp_path / "scenes"
    truth = files.season(folder, radar=())
    good = (folder / "S2_2024-03-01.tif").read_bytes()
    damage(folder / "S2_2024-03-01.tif")
    refused_in_a_line(
        lambda: ingest(folder, tmp_path / "r", given=OFFSET, **files.OPTIONS), "2024-03-01"
    )
    (folder / "S2_2024-03-01.tif").write_bytes(good)
    root = ingest(folder, tmp_path / "r", given=OFFSET, **files.OPTIONS)
    expected = truth["S2", "2024-03-01"].astype(np.int16) - 1000
    np.testing.assert_array_equal(Region(root).read("S2", *ALL, dates=[2])[0], expected)


def test_acquisitions_that_show_nothing_are_left_out(scenes, tmp_path):
    for date in ("2023-10-02", "2023-12-01", "2024-01-01"):
        values = files.optical(3)
        if date == "2023-12-01":
            values[:] = 0
        files.write_optical(tmp_path / "scenes", date, values, nodata=0)
    given = Given(offset={"S2": 0.0})
    root = ingest(tmp_path / "scenes", tmp_path / "r", given=given, **files.OPTIONS)
    region = Region(root)
    assert region.days("S2").tolist() == [31, 122]
    assert (region.observed("S2").sum((1, 2)) == 150 * 200).all()
    np.testing.assert_array_equal(region.read("S2", *ALL)[1], files.optical(3))
    assert "2023-12-01" in findings(root)["acquisitions empty"]
    assert "2023-12-01" not in (root / "manifest.csv").read_text()
    one = ingest(
        tmp_path / "scenes",
        tmp_path / "one",
        given=given,
        bounds=(600100, 5199000, 600300, 5199200),
        **files.OPTIONS,
    )
    assert Region(one).read("S2", slice(0, 20), slice(0, 20)).shape == (2, 10, 20, 20)


@pytest.mark.parametrize("lost", ["S2_2023-11-05.tif", "S2_2023-11-05_SCL.tif"])
def test_a_scene_whose_header_is_damaged(tmp_path, lost):
    folder = tmp_path / "scenes"
    files.season(folder, radar=())
    (folder / lost).write_bytes(b"II*\0 not a TIFF")
    options = files.OPTIONS | {"given": OFFSET}
    refused_in_a_line(lambda: ingest(folder, tmp_path / "r", **options), lost, "skip_damaged")
    root = ingest(folder, tmp_path / "r", skip_damaged=True, **options)
    region = Region(root)
    assert region.days("S2").tolist() == ([31, 182] if "SCL" not in lost else [31, 65, 182])
    assert lost in (root / "findings.json").read_text()


def test_a_scene_that_lost_a_band(tmp_path):
    """Files of one band each, of which one is damaged: the scene goes, whole, and is told."""
    folder, truth = tmp_path / "scenes", {}
    for seed, date in enumerate(("2023-10-02", "2023-11-05")):
        truth[date] = files.optical(seed)
        for band, values in zip(("B02", "B03", "B04"), truth[date], strict=False):
            files.write(folder / f"SENTINEL-2_MSI_31TFJ_{band}_{date}.tif", values[None])
    (folder / "SENTINEL-2_MSI_31TFJ_B03_2023-10-02.tif").write_bytes(b"nothing")
    options = files.OPTIONS | {"given": Given(offset={"S2": 0.0})}
    refused_in_a_line(lambda: ingest(folder, tmp_path / "r", **options), "B03_2023-10-02")
    root = ingest(folder, tmp_path / "r", skip_damaged=True, **options)
    region = Region(root)
    assert region.days("S2").tolist() == [65]
    np.testing.assert_array_equal(region.read("S2", *ALL)[0], truth["2023-11-05"][:3])
    assert "without B3" in findings(root)["scenes incomplete"]
