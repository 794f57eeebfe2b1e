"""The command `pastis-jax ingest`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import season_files as files
from commands import exit_code
from disk import full_disk
from season_files import ALL, contents
from tiers import long

from pastis_jax.cli import main
from pastis_jax.data.regions.manifest import read_manifest
from pastis_jax.data.regions.store import Region

pytest.importorskip("rasterio")
RADAR = ("S1A=linear power", "S1D=linear power")
SAID = ("--offset", "S2=-1000", "--unit", *RADAR)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return folder, files.season(folder)


def ended(capsys, *words):
    """Runs the command; returns its code and what it printed on both streams."""
    code = exit_code(lambda: main.main(["ingest", *map(str, words)]))
    return code, *capsys.readouterr()


def test_scenes_become_a_region(scenes, tmp_path, capsys):
    folder, truth = scenes
    code, printed, _ = ended(
        capsys,
        folder,
        "--out",
        tmp_path / "r",
        "--season-start",
        "2023-09-01",
        *SAID,
        "--workers",
        "1",
        "--level",
        "S1A=sigma0",
        "--compress",
    )
    assert code == 0
    assert "200 x 150 pixels of 10 m" in " ".join(printed.split())
    assert "sigma0" in printed
    assert "Wrote" in printed
    assert "resampled" in printed  # masks of 20 m
    region = Region(tmp_path / "r")
    expected = truth["S2", "2023-10-02"].astype(np.int16) - 1000
    np.testing.assert_array_equal(region.read("S2", *ALL)[0], expected)


def test_a_dry_run_writes_the_manifest_alone(scenes, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, _ = ended(capsys, scenes[0], "--dry-run", *SAID)
    assert code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.csv"]
    assert len(read_manifest("manifest.csv")) == 3 * 11 + 2 * 2
    for word in ("S2", "S1D", "2023-10 ", "2024-03-01", "-1000", "EPSG:32631", "mask (scl)"):
        assert word in printed
    assert "linear power" in printed
    code, _, error = ended(capsys, scenes[0], "--dry-run", *SAID)
    assert code == 2
    assert "error: --manifest: " in error
    code, _, _ = ended(
        capsys, "manifest.csv", "--out", "r", "--season-start", "2023-09-01", "--workers", "1"
    )
    assert code == 0
    assert Region("r").days("S2").tolist() == [31, 65, 182]


def test_a_dry_run_tells_what_is_to_be_corrected(tmp_path, capsys):
    folder = tmp_path / "scenes"
    files.season(folder, radar=())
    files.write(folder / "S2_2024-04-01.tif", files.optical(0)[:3], names=files.BANDS[:3])
    manifest = tmp_path / "m.csv"
    words = ("--dry-run", "--offset", "S2=0", "--manifest", manifest)
    code, printed, _ = ended(capsys, folder, *words)
    assert code == 0
    assert "to be corrected" in printed
    assert "2024-04-01" in printed
    assert manifest.exists()


def test_a_dry_run_leaves_open_what_is_not_known(scenes, tmp_path, capsys):
    manifest = tmp_path / "m.csv"
    code, printed, _ = ended(capsys, scenes[0], "--dry-run", "--manifest", manifest)
    assert code == 0
    assert printed.count("not known") >= 3
    assert "to be corrected: --unit" in printed
    assert {layer.unit for layer in read_manifest(manifest) if layer.modality == "S1A"} == {""}
    words = ("--out", tmp_path / "r", "--season-start", "2023-09-01")
    code, _, error = ended(capsys, manifest, *words)
    assert code == 2
    assert "--unit" in error
    text = manifest.read_text().replace("2023-10-03,,,0,", "2023-10-03,,linear power,0,")
    manifest.write_text(text.replace("reflectance x 10000,,", "reflectance x 10000,-1000,"))
    code, _, error = ended(capsys, manifest, *words, "--workers", "1")
    assert code == 0, error
    assert len(Region(tmp_path / "r").days("S1A")) == 1


def test_days_outside_of_the_season_are_left_out(scenes, tmp_path, capsys):
    words = ("--season-start", "2023-09-01", "--season-end", "2023-12-31", "--workers", "1")
    code, printed, _ = ended(capsys, scenes[0], "--out", tmp_path / "r", *SAID, *words)
    assert code == 0
    assert Region(tmp_path / "r").days("S2").tolist() == [31, 65]
    assert "not of 2023-09-01 to 2023-12-31: 1 acquisition of S2, 2024-03-01" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--out"),
        (("--out", "OUT"), "--season-start"),
        (("--out", "OUT", "--season-start", "2023-9-1"), "--season-start"),
        (("--out", "OUT", "--season-start", "2023-09-01"), "--unit"),
        (("--out", "OUT", "--season-start", "2023-09-01", "--unit", "S1A"), "--unit"),
        (("--out", "OUT", "--season-start", "2023-09-01", "--unit", *RADAR), "--offset"),
        (("--out", "OUT", "--season-start", "2023-09-01", "--offset", "S2=x"), "--offset"),
        (("--out", "OUT", "--season-start", "2023-09-01", *SAID, "--level", "S1A"), "--level"),
        (("--out", "OUT", "--season-start", "2023-09-01", *SAID, "--bounds", "1", "2"), "--bounds"),
        (("--out", "OUT", "--season-start", "2023-09-01", *SAID, "--max-cloud", "1"), "ingest"),
        (("--out", "OUT", "--season-end", "2023-09-01", *SAID), "--season-start"),
        (("--samples", "nothing.csv", "--out", "OUT", "--label", "crop"), "--season-start"),
    ],
)
def test_mistakes_end_in_a_line(scenes, tmp_path, capsys, words, said):
    words = [str(tmp_path / "r") if word == "OUT" else word for word in words]
    source = () if "--samples" in words else (scenes[0],)
    code, _, error = ended(capsys, *source, *words)
    assert code == 2
    line = error.splitlines()[-1]  # what comes before are bars
    assert line.startswith("error: ")
    assert said in line
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_in_a_line(tmp_path, capsys):
    """The first date shows nothing and takes no room; the second does not fit."""
    for date, seed in (("2023-10-02", None), ("2023-11-05", 1)):
        values = np.zeros_like(files.optical(0)) if seed is None else files.optical(seed)
        files.write_optical(tmp_path / "scenes", date, values, nodata=0)
    words = (tmp_path / "scenes", "--out", tmp_path / "r", "--season-start", "2023-09-01")
    words += ("--offset", "S2=0", "--workers", "1")
    with full_disk(100_000):
        code, _, error = ended(capsys, *words)
    line = error.splitlines()[-1]
    assert code == 1
    assert line.startswith("error: ")
    assert "File too large: " in line  # as the system says it, not TensorStore
    assert "OUT_OF_RANGE" not in line
    assert str(tmp_path / ".r.ingesting") in line
    assert "the same command goes on where it was left" in line
    code, _, _ = ended(capsys, *words)
    assert code == 0
    expected = files.optical(1).astype(np.int16)
    np.testing.assert_array_equal(Region(tmp_path / "r").read("S2", *ALL)[0], expected)


def test_no_sources(capsys):
    code, _, error = ended(capsys, "--out", "x")
    assert code == 2
    assert "sources" in error.lower()


def test_help_names_the_command(capsys):
    assert exit_code(lambda: main.main(["ingest", "--help"])) == 0
    assert "--season-start" in capsys.readouterr().out
    assert exit_code(lambda: main.main(["--help"])) == 0
    assert "ingest SOURCES" in capsys.readouterr().out


@long
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_moment_the_same_bytes_come_out(tmp_path, kill):
    """Killed again and again, a moment after each start that is longer than the one before."""
    dates = [f"2023-{month:02d}-{day:02d}" for month in (10, 11) for day in range(1, 13)]
    files.season(tmp_path / "scenes", dates, radar=dates)
    command = [sys.executable, "-m", "pastis_jax.cli", "ingest", str(tmp_path / "scenes"), *SAID]
    command += ["--season-start", "2023-09-01", "--workers", "2", "--out"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}

    def start(out):
        return subprocess.Popen(
            [*command, str(out)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    whole = start(tmp_path / "whole")
    _, error = whole.communicate()
    assert whole.returncode == 0, error
    killed, staging = 0, tmp_path / "parts" / ".whole.ingesting"
    for shards in (5, 30, 55):
        running = start(tmp_path / "parts" / "whole")
        counts = staging.glob("region/cube.zarr/*/observed/c/*/*/*")
        while running.poll() is None and sum(1 for _ in counts) < shards:
            time.sleep(0.002)
            counts = staging.glob("region/cube.zarr/*/observed/c/*/*/*")
        if running.poll() is None:
            running.send_signal(kill)
            killed += 1
        _, error = running.communicate()
        if kill == signal.SIGINT and running.returncode:
            assert running.returncode == 130
            assert b"interrupted; the same command goes on" in error
    assert killed >= 2
    last = start(tmp_path / "parts" / "whole")
    last.communicate()
    assert contents(tmp_path / "parts" / "whole") == contents(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["whole"]
