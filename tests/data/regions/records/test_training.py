"""A Region is trained on, opened for a run and evaluated by its folder's name alone."""

from __future__ import annotations

import json
import warnings

import pytest
import region_factory as factory
from commands import exit_code
from tiers import all_but

from pastis_jax.cli.main import main
from pastis_jax.data.regions.records.export import export
from pastis_jax.errors import DataWarning
from pastis_jax.runs import open_run
from pastis_jax.tasks import TASKS

SMALL = {
    "parcel": ["--pixels", "8"],
    "semantic": [
        *("--encoder-widths", "8", "8", "--decoder-widths", "8", "8", "--head-widths", "8"),
        *("--heads", "2", "--model-features", "8", "--crop", "16"),
    ],
}
SMALL["panoptic"] = [*SMALL["semantic"][:6], *SMALL["semantic"][8:]]


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    place = tmp_path_factory.mktemp("training")
    grid = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=64, width=384)
    factory.make_region(place / "R", grid=grid, fields=16)
    return place / "R", place / "cache"


def train(region, task, out, *flags):
    root, cache = region
    arguments = ["train", task, "--data", str(root), "--cache-dir", str(cache)]
    arguments += [*SMALL[task], "--fusion", "single", "--epochs", "1", "--batch-size", "4"]
    main([*arguments, *flags, "--out", str(out)])
    return json.loads((out / "result.json").read_text())


@pytest.mark.parametrize("task", all_but(1, ["parcel", "semantic", "panoptic"]))
def test_trains_and_is_evaluated(region, tmp_path, task):
    patches = task != "parcel"
    # A bound that no cloud exceeds: masks are read, and hide nothing that an export would show.
    flags = ["--window", "32"] if patches else ["--max-cloud", "1"]
    result = train(region, task, tmp_path / "run", *flags)
    score = TASKS[task].scores[0]
    run = open_run(tmp_path / "run")
    own = run.evaluate(cache_dir=region[1])
    assert own.scores[score] == result["test"][score]
    # The same samples in the official layout have the same scores.
    export(region[0], tmp_path / "E", pixel_sets=not patches, patches=patches, window=32)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", DataWarning)
        other = run.evaluate(tmp_path / "E", cache_dir=region[1])
    assert other.scores[score] == result["test"][score]
    if not patches:  # an export has no masks, and clouds count
        assert json.loads((tmp_path / "run" / "config.json").read_text())["max_cloud"] == 1
        assert any("holds no masks" in str(one.message) for one in told)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--nodata", "S2=-9999"], "--nodata"),
        (["--offset", "S2=-1000"], "--offset"),
        (["--max-cloud", "2"], "--max-cloud"),
        (["--modalities", "S1A", "--max-cloud", "0.5"], "--max-cloud"),
    ],
)
def test_flags_that_cannot_be(region, tmp_path, capsys, flags, named):
    assert exit_code(lambda: train(region, "parcel", tmp_path / "run", *flags)) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert named in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flags", [["--cache"], ["--date", "0"]])
def test_flags_of_patches_that_cannot_be(region, tmp_path, capsys, flags):
    assert exit_code(lambda: train(region, "semantic", tmp_path / "run", *flags)) == 2
    assert flags[0] in capsys.readouterr().err.splitlines()[-1]
