"""`pastis-jax predict`: what is wrong is one line on stderr with code 2, flags named as such."""

from __future__ import annotations

import map_factory
import pytest
import region_factory as factory
from commands import exit_code

from pastis_jax.cli.main import main

pytest.importorskip("rasterio")
GRID = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=40, width=40)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("predict")
    factory.make_region(place / "R", grid=GRID, days={"S2": (10, 40, 200)}, fields=16)
    map_factory.make_run(place / "run", "semantic", place / "R", fusion="single")
    return place


def predict(place, *flags, out):
    given = ("--run", str(place / "run"), "--data", str(place / "R"), "--out", str(out))
    return exit_code(lambda: main(["predict", *given, *flags]))


def test_a_map(place, tmp_path, capsys):
    flags = ("--until", "2024-01-31", "--reject", "0.2", "--probabilities", "--stride", "32")
    assert predict(place, *flags, out=tmp_path / "M") == 0
    assert str(tmp_path / "M") in capsys.readouterr().out
    names = {file.name for file in (tmp_path / "M").iterdir()}
    assert {"crop.tif", "confidence.tif", "probabilities.tif", "map.json"} <= names


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--until", "spring"], ("--until", "spring", "YYYY-MM-DD")),
        (["--season", "2024"], ("--season", "YYYY-MM-DD")),
        (["--season", "2030-09-01"], ("no acquisition of S2", "--season or --until")),
        (["--season", "2023-06-01"], ("01 June", "01 September", "--allow season")),
        (["--until", "2023-09-01"], ("no acquisition of S2", "--season or --until")),
        (["--allow", "units"], ("--allow", "units")),
        (["--max-cloud", "2"], ("--max-cloud", "0 to 1")),
        (["--reject", "-1"], ("--reject", "0 to 1")),
        (["--stride", "33"], ("--stride", "at most a window")),
        (["--batch-size", "0"], ("--batch-size", "1 or more")),
        (["--parcel-id", "ID"], ("--parcel-id", "leave it out")),
        (["--plugin", "no_such_module"], ("--plugin", "no_such_module")),
    ],
)
def test_flags_that_cannot_be(place, tmp_path, capsys, flags, words):
    assert predict(place, *flags, out=tmp_path / "M") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    for word in words:
        assert word in line
    assert "`" not in line
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("lacking", ["--run", "--data", "--out"])
def test_a_flag_is_lacking(place, tmp_path, capsys, lacking):
    given = {"--run": place / "run", "--data": place / "R", "--out": tmp_path / "M"}
    flags = [str(x) for name, value in given.items() if name != lacking for x in (name, value)]
    assert exit_code(lambda: main(["predict", *flags])) == 2
    assert f"{lacking}: is not given" in capsys.readouterr().err
