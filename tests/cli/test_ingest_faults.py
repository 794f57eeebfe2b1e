"""What is wrong with scenes and parcels: one line on stderr, code 2, and nothing is left behind."""

from __future__ import annotations

import types

import numpy as np
import pytest
import season_files as files
from commands import exit_code
from season_files import UTM

from pastis_jax.cli import main

pytest.importorskip("rasterio")
DEGREES = types.SimpleNamespace(
    crs="EPSG:4326", transform=(1e-4, 0, 4.0, 0, -1e-4, 47.0), height=30, width=40
)
SMALL = files.GRID.part(slice(0, 30), slice(0, 40))
DATES = ("2023-10-02", "2023-11-05")
COMMAND = ("ingest", "scenes", "--out", "out", "--season-start", "2023-09-01", "--workers", "1")
OFFSET = ("--offset", "S2=-1000")
DEALT = ("--parcels", "p.gpkg", "--folds", "3", "--block", "0.1", "--gap", "0")
LABEL = ("--label", "crop")


def scenes(folder, grid=SMALL, change=lambda values: values):
    for seed, date in enumerate(DATES):
        files.write_optical(folder / "scenes", date, change(files.optical(seed, grid)), grid)


def of_8_bits(folder):
    scenes(folder, change=lambda values: (values // 16).astype(np.uint8))


def in_degrees(folder):
    scenes(folder, DEGREES)


def lacking_bands(folder):
    scenes(folder)
    values = files.optical(3, SMALL)[:3]
    files.write(folder / "scenes/S2_2024-04-01.tif", values, SMALL, names=files.BANDS[:3])


def with_radar(folder):
    scenes(folder)
    values = files.power(0, SMALL)
    file = folder / "scenes/S1_ascending_2023-10-03.tif"
    files.write(file, values, SMALL, names=["VV", "VH"])


def undated(folder):
    scenes(folder)
    values = files.optical(3, SMALL)
    files.write(folder / "scenes/S2_spring.tif", values, SMALL, names=files.BANDS)


def cut(folder):
    scenes(folder)
    file = folder / f"scenes/S2_{DATES[1]}.tif"
    file.write_bytes(file.read_bytes()[:2000])


def parcels(folder, shift=0.0, codes=("BTH", "MIS", "CZH")):
    import geopandas
    import shapely

    scenes(folder)
    left, top = SMALL.left + shift, SMALL.top
    corners = [(left + 100 * k, top - 100 * n) for n in range(3) for k in range(4)]
    boxes = [shapely.box(x, y - 80, x + 80, y) for x, y in corners]
    crops = [codes[k % len(codes)] for k in range(len(boxes))]
    geopandas.GeoDataFrame({"crop": crops}, geometry=boxes, crs=UTM).to_file(folder / "p.gpkg")


def parcels_elsewhere(folder):
    parcels(folder, shift=1e5)


def parcels_of_unknown_crops(folder):
    parcels(folder, codes=("BTH", "XXX", "MIS"))


FAULTS = {
    "a damaged scene": (cut, OFFSET, ("S2_2023-11-05.tif: ", "--skip-damaged")),
    "8 bits": (of_8_bits, OFFSET, ("S2_2023-10-02.tif: ", "8 bits", "of 16 bits")),
    "8 bits, with a unit": (
        of_8_bits,
        (*OFFSET, "--unit", "S2=reflectance"),
        ("S2_2023-10-02.tif: ", "8 bits", "of 16 bits"),
    ),
    "degrees": (in_degrees, OFFSET, ("error: --crs: ", "in degrees", "EPSG:32631 say")),
    "bands that lack": (
        lacking_bands,
        OFFSET,
        ("S2_2024-04-01.tif: ", "2024-04-01 lacks B11, B12, B5, B6, B7, B8, B8A, which 2 of 3"),
    ),
    "no unit": (with_radar, OFFSET, ("error: --unit: ", "S1A=dB or S1A='linear power'")),
    "a unit that is none": (with_radar, (*OFFSET, "--unit", "S1A=foo"), ("--unit: 'foo' of S1A",)),
    "no offset": (scenes, (), ("error: --offset: ", "S2_2023-10-02.tif", "S2=-1000")),
    "no date": (undated, OFFSET, ("S2_spring.tif: ", "without a date", "YYYYMMDD")),
    "parcels elsewhere": (
        parcels_elsewhere,
        (*OFFSET, *DEALT, *LABEL),
        ("p.gpkg: none of its 12 features", "--parcels-crs"),
    ),
    "no label": (parcels, (*OFFSET, *DEALT), ("error: --label: ",)),
    "a label that is none": (
        parcels,
        (*OFFSET, *DEALT, "--label", "code"),
        ("error: --label: p.gpkg has no column code", "crop"),
    ),
    "unknown crops": (
        parcels_of_unknown_crops,
        (*OFFSET, *DEALT, *LABEL),
        ("p.gpkg: crops of 4 of 12 parcels are unknown: XXX (4)", '--unknown="void"'),
    ),
    "no parcels": (scenes, (*OFFSET, *DEALT, *LABEL), ("p.gpkg: file not found",)),
    "no folder": (lambda folder: None, OFFSET, ("scenes: file not found",)),
    "no scenes": (lambda folder: (folder / "scenes").mkdir(), OFFSET, ("scenes: no scene",)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_ends_in_a_line_and_leaves_nothing(tmp_path, monkeypatch, capsys, name):
    make, words, said = FAULTS[name]
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    before = files.contents(tmp_path)
    code = exit_code(lambda: main.main([*COMMAND, *words]))
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert code == 2
    assert len(lines) == 1
    for word in ("error: ", *said):
        assert word in lines[0]
    assert files.contents(tmp_path) == before
    assert not {"out", ".out.ingesting"} & {path.name for path in tmp_path.iterdir()}


def test_what_lacks_is_left_out_and_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cut(tmp_path)
    assert exit_code(lambda: main.main([*COMMAND, *OFFSET, "--skip-damaged"])) == 0
    assert f"S2_{DATES[1]}.tif" in capsys.readouterr().out
    assert f"S2_{DATES[1]}.tif" in (tmp_path / "out/findings.json").read_text()
