"""A Region is trained on, opened for a run and evaluated by its folder's name alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import region_factory as factory
from commands import exit_code
from tiers import all_but

from pastis_jax.cli.main import main
from pastis_jax.runs import open_run

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


@pytest.mark.parametrize("task", all_but(2, ["parcel", "semantic", "panoptic"]))
def test_trains_and_is_evaluated(region, tmp_path, task, capsys):
    flags = [] if task == "parcel" else ["--window", "32"]
    result = train(region, task, tmp_path / "run", *flags, "--max-cloud", "0.9")
    assert "lie where folds meet" in capsys.readouterr().out or task != "parcel"
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["max_cloud"] == 0.9
    opened = open_run(tmp_path / "run").open_data(cache_dir=region[1])
    score = "OA" if task == "parcel" else next(iter(result["test"]))
    assert np.isclose(opened.evaluate("test")[score], result["test"][score], equal_nan=True)


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
