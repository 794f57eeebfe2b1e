"""`pastis-jax ingest`, killed again and again at any moment."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from season_files import contents
from tiers import long

from pastis_jax.data.simulate import simulate_region
from pastis_jax.data.simulate.landscape import vectors

pytest.importorskip("geopandas")
TIMES = 8


@long
def test_killed_at_random_moments_the_same_bytes_come_out(tmp_path):
    """A Region with parcels and masks; what is drawn is printed, so that it can be tried again.

    Moments are drawn over all that a process takes from where the last one was left, so that the
    time before the first shard and after the last one is hit too.
    """
    seed = random.SystemRandom().randrange(1 << 32)
    draw = random.Random(seed)
    root = simulate_region(tmp_path / "simulated", size=192, dates=12, seed=3, progress=False)
    truth = json.loads((root / "truth" / "truth.json").read_text())
    command = [sys.executable, "-m", "pastis_jax.cli", "ingest", str(root / "scenes"), "--parcels"]
    command += [str(root / "parcels.gpkg"), "--label", vectors.CODE, "--parcel-id", vectors.ID]
    command += ["--season-start", truth["season_start"], "--workers", "2", "--out"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}

    def start(out):
        """Starts the command; returns when it shows its first bar, which is after all imports."""
        said = tmp_path / "said"
        with said.open("wb") as stream:
            running = subprocess.Popen(
                [*command, str(out)], env=environment, stdout=subprocess.DEVNULL, stderr=stream
            )
        while not said.stat().st_size and running.poll() is None:
            time.sleep(0.002)
        return running

    def ended(running):
        code = running.wait()
        assert code in (0, -signal.SIGKILL), (tmp_path / "said").read_text()
        return code == 0

    whole, out = tmp_path / "whole", tmp_path / "parts" / "whole"
    running = start(whole)
    begun = time.monotonic()
    assert ended(running)
    takes, kills = time.monotonic() - begun, 0
    expected = contents(whole)

    def compare():
        assert contents(out) == expected
        assert [path.name for path in out.parent.iterdir()] == ["whole"]

    while kills < TIMES:
        moment = draw.uniform(0, 0.8) * takes
        running = start(out)
        try:
            running.wait(moment)
        except subprocess.TimeoutExpired:
            running.kill()
        kills += not ended(running)
        finished = out.exists()  # killed after its last step, perhaps
        made = len([*out.parent.glob(".whole.ingesting/region/cube.zarr/*/observed/c/*/*/*")])
        print(f"seed {seed}: {moment:.2f} of {takes:.2f} s, {made} shards, finished {finished}")
        if finished:
            compare()
            shutil.rmtree(out)
    if not out.exists():
        assert ended(start(out))
        compare()
