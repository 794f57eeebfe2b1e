"""Lists of columns: what names tell, what a person may write."""

from __future__ import annotations

import pytest
from refusal import refused_in_a_line

from pastis_jax.data.regions.samples.columns import (
    Column,
    guess_columns,
    read_columns,
    write_columns,
)

SCALED = "reflectance x 10000"


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("S2-L2A-B02", "uint16", ("S2", "B2", SCALED, 0.0, (65535.0,))),
        ("S2-L2A-B8A", "", ("S2", "B8A", SCALED, 0.0, (65535.0,))),
        ("S2-L2A-B02", "double", ("S2", "B2", "", None, ())),
        ("B02", "uint16", ("S2", "B2", "", None, ())),
        ("b8a", "double", ("S2", "B8A", "", None, ())),
        ("S2_B11", "float", ("S2", "B11", "", None, ())),
        ("OPTICAL-B12", "uint16", ("S2", "B12", "", None, ())),
        ("S1-SIGMA0-VH", "uint16", ("S1", "VH", "worldcereal", 0.0, (65535.0,))),
        ("S1-SIGMA0-VH", "float", ("S1", "VH", "", 0.0, ())),
        ("VV", "double", ("S1", "VV", "", 0.0, ())),
        ("SAR-VV", "double", ("S1", "VV", "", 0.0, ())),
        ("AGERA5-PRECIP", "uint16", ("weather", "AGERA5-PRECIP", "none", 0.0, (65535.0,))),
        ("AGERA5-TMEAN", "uint16", ("weather", "AGERA5-TMEAN", "none", 0.0, (65535.0, 0.0))),
        ("temperature_2m", "double", ("weather", "temperature_2m", "none", 0.0, ())),
    ],
)
def test_names_tell(name, dtype, expected):
    assert guess_columns({name: dtype}) == [Column(name, *expected)]


@pytest.mark.parametrize(
    "name", ["B1", "B09", "B10", "SCL", "QA60", "elevation", "slope", "NDVI", "year", "lat", "B13"]
)
def test_names_of_what_is_not_taken(name):
    assert guess_columns({name: "double"}) == []


def test_channels_come_in_the_order_in_which_they_are_stored():
    names = ["VH", "temperature_2m", "B8A", "B11", "VV", "B2"]
    found = guess_columns(dict.fromkeys(names, ""))
    assert [entry.channel for entry in found] == ["B2", "B8A", "B11", "VV", "VH", "temperature_2m"]


def test_a_list_is_read_as_it_was_written(tmp_path):
    columns = [
        Column("a,b", "S2", "B2", SCALED, -1000.0, (0.0, 65535.0)),
        Column('"c"', "rain", "mm", "none", None, (float("-inf"),)),
        Column("d", "S1", "VV"),
    ]
    write_columns(columns, tmp_path / "columns.csv")
    assert read_columns(tmp_path / "columns.csv") == columns


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (Column("red", "S2", "B4"), ("the unit of 'red' is empty", "reflectance x 10000, refl")),
        (Column("red", "S2", "B4", SCALED), ("the offset of 'red' is empty", "-1000")),
        (Column("vv", "S1", "VV"), ("the unit of 'vv' is empty", "dB, linear power, worldcereal")),
        (Column("rain", "rain", "mm"), ("the unit of 'rain' is empty", "index, none")),
    ],
)
def test_a_list_that_was_not_filled_in(tmp_path, column, words):
    file = tmp_path / "columns.csv"
    write_columns([Column("VH", "S1", "VH", "dB"), column], file)
    refused_in_a_line(lambda: read_columns(file, complete=True), "columns.csv: line 3", *words)
    others = {"S1", "S2", "rain"} - {column.modality}
    if column.modality != "S1":
        assert read_columns(file, complete=True, modalities=others) == read_columns(file)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("B02,S2,B2,percent,0,", "unit 'percent' is none of"),
        ("B02,S2,B2,reflectance,nan,", "not finite"),
        ("B02,S2,B2,reflectance,0,none", "'none' is not a number"),
        ("B02,S2,,reflectance,0,", "channel is empty"),
        ("B02,S2,B99,reflectance,0,", "channel 'B99' is none of S2, which has B1, B2"),
        ("B02,S2,B2", "3 fields"),
        ("VV,S2,B2,dB,0,", "column 'VV' occurs twice"),
        ("VV2,S1,VV,dB,0,", "both VV and VV2 are S1 VV"),
    ],
)
def test_wrong_lists_of_columns(tmp_path, line, words):
    file = tmp_path / "columns.csv"
    write_columns([Column("VV", "S1", "VV", "dB", 0.0, (0.0, -9999.0))], file)
    file.write_text(file.read_text() + line + "\n")
    refused_in_a_line(lambda: read_columns(file), "line 3", words)
