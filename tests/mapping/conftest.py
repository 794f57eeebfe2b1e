"""A small Region, and runs as if they had been trained on it."""

from __future__ import annotations

import map_factory
import pytest
import region_factory as factory

GRID = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=72, width=200)
DAYS = {"S2": (10, 40, 40, 200), "S1A": (5, 100, 210)}


@pytest.fixture(scope="session")
def truth(tmp_path_factory):
    """Folder of the Region, and what is in it: three dates of S1A, two of them without its left
    third."""
    root = tmp_path_factory.mktemp("mapping") / "R"
    return root, factory.make_region(root, grid=GRID, days=DAYS, fields=16)


@pytest.fixture(scope="session")
def region(truth):
    return truth[0]


@pytest.fixture(scope="session")
def runs(region, tmp_path_factory):
    """Makes runs, each once: of a task, and what else `make_run` takes."""
    made, place = {}, tmp_path_factory.mktemp("runs")

    def make(task, **options):
        key = task, *sorted(options.items())
        if key not in made:
            made[key] = map_factory.make_run(place / str(len(made)), task, region, **options)
        return made[key]

    return make
