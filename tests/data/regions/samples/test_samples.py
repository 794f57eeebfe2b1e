"""Tables of samples: what becomes of each line, what is told, what is refused."""

from __future__ import annotations

import csv
import datetime
import gzip
import itertools
import json
import os
import pathlib
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from commands import exit_code
from refusal import refused_in_a_line

from pastis_jax.cli import console
from pastis_jax.cli.ingest_samples import Arguments, run
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.data.regions.samples import folds as sample_folds
from pastis_jax.data.regions.samples.columns import Column, read_columns
from pastis_jax.data.regions.samples.ingest import ingest_samples, propose_columns
from pastis_jax.errors import DataWarning

REAL = os.environ.get("PASTIS_JAX_REAL_SCENES")
START = datetime.date(2021, 9, 1)
DAYS = (0, 40, 100)
BANDS = ("S2-L2A-B04", "S2-L2A-B02", "S2-L2A-B08")
"""Stored as B2, B4, B8."""
WEATHER = "AGERA5-TMEAN"


def make(samples=20):
    """Columns of a table like WorldCereal's: all samples of a date, then those of the next."""
    rng = np.random.default_rng(0)
    lines = [*itertools.product(range(len(DAYS)), range(samples))]
    number = np.array([sample for _, sample in lines])
    dates = [START + datetime.timedelta(days=DAYS[k]) for k, _ in lines]
    # Twenty blocks, 20 km apart.
    return {
        "sample_id": [f"a-{k}" for k in number],
        "timestamp": np.array(dates, "datetime64[ns]"),
        **{band: rng.integers(300, 4000, len(lines)).astype(np.uint16) for band in BANDS},
        "S1-SIGMA0-VH": rng.integers(1000, 2000, len(lines)).astype(np.uint16),
        "S1-SIGMA0-VV": rng.integers(3000, 4000, len(lines)).astype(np.uint16),
        WEATHER: rng.integers(27000, 30000, len(lines)).astype(np.uint16),
        "slope": np.ones(len(lines), np.uint16),
        "lon": 9.0 + 0.25 * (number // (samples // 20)),
        "lat": 42.0 + 0.001 * (number % 2),
        "crop": np.array([1101, 1103])[number % 2],
    }


def parquet(columns, file):
    pyarrow.parquet.write_table(pa.table(columns), file)
    return file


def comma(columns, file):
    texts = {name: [*map(str, values)] for name, values in columns.items()}
    with open(file, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(texts)
        writer.writerows(zip(*texts.values(), strict=True))
    return file


def ingest(table, tmp_path, **options):
    """Ingests columns; returns the opened folder and the texts of what was told."""
    table = parquet(table, tmp_path / "t.parquet") if isinstance(table, dict) else table
    options = {"label": "crop", "season_start": START, "progress": False} | options
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        out = ingest_samples(table, tmp_path / "out", **options)
    texts = [str(one.message) for one in told]
    assert all(one.category is DataWarning for one in told)
    assert [finding["text"] for finding in json.loads((out / "findings.json").read_text())] == texts
    return PixelSetFolder(out), texts


def series_of(folder, sample):
    return folder.read(next(parcel for parcel in folder.parcels if parcel.id == sample))


def rows_of(folder):
    text = (folder.root / "metadata_parcel.csv").read_text(encoding="utf-8")
    return [*csv.DictReader(text.splitlines())]


def own(columns, sample):
    return np.array(columns["sample_id"]) == sample


@pytest.mark.parametrize("write", [parquet, comma])
def test_values_days_labels_are_those_of_the_table(tmp_path, write):
    columns = make()
    table = write(columns, tmp_path / "t.table")
    folder, told = ingest(table, tmp_path)
    assert folder.dataset.names == ("S2", "S1", "weather")
    assert folder.dataset["S2"].channels == ("B2", "B4", "B8")
    assert folder.dataset["S1"].channels == ("VV", "VH", "VV-VH")
    assert len(folder.parcels) == 20
    assert told == ["columns that are not taken: slope"]
    for parcel in folder.parcels:
        lines, read = own(columns, parcel.id), folder.read(parcel)
        expected = np.stack([columns[BANDS[k]][lines] for k in (1, 0, 2)], 1)
        np.testing.assert_array_equal(read["S2"][0][..., 0], expected)
        numbers = [columns[f"S1-SIGMA0-{x}"][lines].astype(float) for x in ("VV", "VH")]
        vv, vh = (20 * np.log10(numbers) - 83).astype(np.float32)
        np.testing.assert_array_equal(
            read["S1"][0][..., 0], np.stack((vv, vh, vv - vh), 1).astype(np.float16)
        )
        np.testing.assert_array_equal(read["weather"][0][:, 0, 0], columns[WEATHER][lines])
        assert all(tuple(days) == DAYS for _, days in read.values())
        code = folder.dataset.nomenclature.classes[parcel.label].code
        assert str(code) == str(columns["crop"][lines][0])


def test_training_takes_its_statistics(tmp_path):
    folder, _ = ingest(make(), tmp_path)
    published, computed = (
        prepare_pixel_sets(
            folder.root, cache=tmp_path / "cache", compute_statistics=compute, progress=False
        ).fold_statistics
        for compute in (False, True)
    )
    assert {*published} == {"S2", "S1", "weather"}
    for name, fold in itertools.product(published, (1, 2, 3, 4, 5)):
        np.testing.assert_allclose(published[name][fold], computed[name][fold], rtol=1e-6)


@pytest.mark.parametrize(
    ("unit", "offset", "given", "stored"),
    [
        ("reflectance", 0.0, [0.05, 0.1, 0.2], [500, 1000, 2000]),
        ("reflectance x 10000", -1000.0, [1500.4, 2000, 3000], [500, 1000, 2000]),
        ("dB", 0.0, [-12, -10, -11.5], [-12, -10, -11.5]),
        ("linear power", 0.0, [0.1, 0.01, 0], [-10, -20, np.nan]),
        ("worldcereal", 0.0, [65535, 10000, 1000], [np.nan, -3, -23]),
        ("index", 0.0, [0.5, -0.25, 0.125], [0.5, -0.25, 0.125]),
        ("none", 0.0, [1e5, -7, 0], [1e5, -7, 0]),
    ],
)
def test_units(tmp_path, unit, offset, given, stored):
    modality = {"reflectance": "S2", "reflectance x 10000": "S2", "index": "i", "none": "n"}
    name = modality.get(unit, "S1")
    columns = {k: v for k, v in make().items() if "S2" not in k and "S1" not in k}
    columns["x"] = np.repeat(np.array(given, np.float64), 20)
    channel = "B2" if name == "S2" else "VV"
    folder, _ = ingest(columns, tmp_path, columns=[Column("x", name, channel, unit, offset)])
    values, days = series_of(folder, "a-3")[name]
    expected = [x for x in stored if not np.isnan(x)]
    np.testing.assert_array_equal(values[:, 0, 0], np.array(expected, values.dtype))
    assert [*days] == [d for d, x in zip(DAYS, stored, strict=True) if not np.isnan(x)]


def test_what_is_missing(tmp_path):
    columns = make()
    lines = own(columns, "a-3")
    for band in BANDS:
        columns[band][lines] = 65535
    columns["S1-SIGMA0-VV"][own(columns, "a-4")] = 65535  # of two channels one alone
    columns[BANDS[0]][np.flatnonzero(own(columns, "a-5"))[1]] = 65535
    columns[WEATHER][20:40] = 65535  # the second date, of all samples
    columns[WEATHER][np.flatnonzero(own(columns, "a-6"))[0]] = 0
    folder, told = ingest(columns, tmp_path)
    assert len(series_of(folder, "a-3")["S2"][0]) == 0
    assert len(series_of(folder, "a-3")["S1"][0]) == 3
    assert len(series_of(folder, "a-4")["S1"][0]) == 0
    np.testing.assert_array_equal(series_of(folder, "a-5")["S2"][0][1, :, 0] == -10000, [0, 1, 0])
    assert [*series_of(folder, "a-7")["weather"][1]] == [0, 100]
    np.testing.assert_array_equal(np.isnan(series_of(folder, "a-6")["weather"][0][:, 0, 0]), [1, 0])
    text = " ".join(told)
    assert "1 of 20 samples (a-3) have no S2" in text
    assert "1 of 20 samples (a-4) have a channel of S1 missing at all dates" in text
    # Patches are samples with one fold, dates and modalities.
    assert len(folder.patches) == 7


def test_complete_samples_alone(tmp_path):
    columns = make()
    columns[WEATHER][own(columns, "a-3")] = 65535
    folder, told = ingest(columns, tmp_path, complete=True)
    assert len(folder.parcels) == 19
    assert "1 of 20 samples (a-3) have no weather: they are left out" in told


def test_a_channel_without_values_is_left_out(tmp_path):
    columns = make()
    columns["S2-L2A-B8A"] = np.full(60, 65535)
    columns["S1-SIGMA0-VV"][:] = columns["S1-SIGMA0-VH"][:] = 65535
    folder, told = ingest(columns, tmp_path)
    assert folder.dataset.names == ("S2", "weather")
    assert folder.dataset["S2"].channels == ("B2", "B4", "B8")
    assert "S2: S2-L2A-B8A have no value at all" in told


def with_lines(columns, lines):
    return {
        name: np.concatenate((values, np.array(values)[lines])) for name, values in columns.items()
    }


def test_lines_that_stand_twice(tmp_path):
    columns = with_lines(make(), [3, 7])
    folder, told = ingest(columns, tmp_path)
    assert "2 lines are of a sample and day that other lines are of too: they are joined" in told
    assert len(series_of(folder, "a-3")["S2"][0]) == 3
    columns["S1-SIGMA0-VH"][-1] += 1
    table = parquet(columns, tmp_path / "u.parquet")
    refused_in_a_line(
        lambda: ingest_samples(
            table, tmp_path / "new", label="crop", season_start=START, progress=False
        ),
        *("u.parquet", "a-7 on 2021-09-01 differ in S1"),
    )
    assert not (tmp_path / "new").exists()


def test_sensors_may_have_lines_of_their_own(tmp_path):
    columns = with_lines(make(), np.arange(60))
    radar = ("S1-SIGMA0-VV", "S1-SIGMA0-VH")
    for name in (*BANDS, WEATHER):
        columns[name][60:] = 65535
    for name in radar:
        columns[name][:60] = 65535
    folder, _ = ingest(columns, tmp_path)
    read = series_of(folder, "a-3")
    assert [len(read[name][0]) for name in ("S2", "S1", "weather")] == [3, 3, 3]


@pytest.mark.parametrize(
    "dates",
    [
        ["2021-09-01", "2021-10-11", "2021-12-10"],
        ["20210901", "20211011", "20211210"],
        ["2021-09-01T10:30:00Z", "2021-10-11 23:59:59", "2021-12-11T00:30:00+02:00"],
        [20210901, 20211011, 20211210],
        pa.array(
            [datetime.date(2021, 9, 1), datetime.date(2021, 10, 11), datetime.date(2021, 12, 10)]
        ),
        pa.array(
            [
                datetime.datetime(2021, 9, 1, 1),
                datetime.datetime(2021, 10, 11, 2),
                datetime.datetime(2021, 12, 10, 23),
            ],
            pa.timestamp("ns", "Europe/Paris"),
        ),
    ],
    ids=["text", "digits", "zones", "integers", "days", "moments with a zone"],
)
def test_dates(tmp_path, dates):
    columns = make()
    columns["timestamp"] = (
        pa.array(np.repeat(np.array(dates, object), 20).tolist())
        if isinstance(dates, list)
        else dates.take(pa.array(np.repeat(np.arange(3), 20)))
    )
    folder, _ = ingest(columns, tmp_path)
    assert [*series_of(folder, "a-3")["S2"][1]] == [*DAYS]


def no_crop(columns):
    del columns["crop"]


def bad_date(columns):
    columns["timestamp"] = ["01/09/2021"] * 60


def two_labels(columns):
    columns["crop"][-1] = 7


def undeclared(columns):
    columns["S2-L2A-B02"][5] = 40000


def divided(columns):
    for band in BANDS:
        columns[band] = (columns[band] // 100).astype(np.uint16)


def metres(columns):
    columns["lon"] = columns["lon"] * 1e5


def moves(columns):
    columns["lon"][-1] += 1


def wide(columns):
    for band in BANDS:
        columns[f"{band}-ts0-10m"] = columns.pop(band)
    for name in ("S1-SIGMA0-VV", "S1-SIGMA0-VH", WEATHER):
        del columns[name]


def text(columns):
    columns[WEATHER] = ["warm"] * 60


def constant(columns):
    columns[WEATHER][:] = 28000


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_crop, ["no column crop", "sample_id"]),
        (bad_date, ["timestamp", "'01/09/2021' is not a date", "YYYY-MM-DD"]),
        (two_labels, ["line 60 of the data", "sample a-19 has crop 1103 and 7"]),
        (undeclared, ["sample a-5: S2", "do not fit in int16"]),
        (divided, ["S2", "already normalised or divided"]),
        (metres, ["sample a-0 lies at 900000", "no degrees"]),
        (moves, ["sample a-19 lies in two places"]),
        (wide, ["holds one date", "a line for each sample and date"]),
        (text, [WEATHER, "no numbers"]),
        (constant, [WEATHER, "never varies"]),
    ],
)
def test_refused_in_a_line_with_nothing_left(tmp_path, damage, words):
    columns = make()
    damage(columns)
    table = parquet(columns, tmp_path / "t.parquet")
    refused_in_a_line(
        lambda: ingest_samples(
            table, tmp_path / "out", label="crop", season_start=START, progress=False
        ),
        *words,
    )
    assert [*tmp_path.iterdir()] == [table]


@pytest.mark.parametrize("content", [b"PAR1 and then nothing", b"", b"a,b\n1,2,3\n", b"\xff\xfe\n"])
def test_damaged_tables(tmp_path, content):
    table = tmp_path / "t.csv"
    table.write_bytes(content)
    refused_in_a_line(
        lambda: ingest_samples(
            table, tmp_path / "out", label="b", id="a", date="a", season_start=START
        )
    )
    assert [*tmp_path.iterdir()] == [table]


def test_a_cut_parquet_file(tmp_path):
    table = parquet(make(), tmp_path / "t.parquet")
    table.write_bytes(table.read_bytes()[:-100])
    refused_in_a_line(
        lambda: ingest_samples(table, tmp_path / "out", label="crop", season_start=START),
        "t.parquet",
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"season_start": "1.9.2021"}, ["season_start", "YYYY-MM-DD"]),
        ({"modalities": ["S3"]}, ["modalities", "no S3", "S2, S1, weather"]),
        ({"block": 0}, ["block", "metres"]),
        ({"pixel_size": 0}, ["pixel_size", "metres"]),
        ({"gap": -1}, ["gap"]),
        ({"classes": "none.csv"}, ["none.csv"]),
        ({"fold": "slope"}, ["fold", "1 folds"]),
        ({"min_samples": 11}, ["min_samples"]),
        ({"unknown": "drop"}, ["unknown", "refuse or void"]),
        ({"columns": [Column("slope", "S2", "B2")]}, ["unit of slope is not known", "columns"]),
        (
            {"columns": [Column("slope", "S2", "B2", "reflectance")]},
            ["offset of slope is not known"],
        ),
        ({"columns": [Column("slope", "S2", "B2", "dB")]}, ["cannot become reflectance"]),
        ({"columns": [Column("no", "S2", "B2", "none")]}, ["S2"]),
    ],
)
def test_arguments_that_cannot_be(tmp_path, options, words):
    table = parquet(make(), tmp_path / "t.parquet")
    options = {"label": "crop", "season_start": START, "progress": False} | options
    refused_in_a_line(lambda: ingest_samples(table, tmp_path / "out", **options), *words)
    assert [*tmp_path.iterdir()] == [table]


def test_implausible_samples_can_be_left_out(tmp_path):
    columns = make()
    for band in BANDS:
        columns[band][own(columns, "a-3")] = 7
    folder, told = ingest(columns, tmp_path, skip_implausible=True)
    assert len(folder.parcels) == 19
    assert any("1 samples have values that no sensor measures: a-3 (S2" in text for text in told)


@pytest.mark.parametrize(("mark", "first"), [(None, None), (0.0, -10000), (np.nan, -1000)])
def test_lines_of_0_need_a_mark(tmp_path, mark, first):
    columns = make()
    for band in BANDS:
        columns[band][0] = 0
    marks = () if mark is None else (mark,)
    named = [
        Column(band, "S2", band[7] + band[-1], "reflectance x 10000", -1000.0, marks)
        for band in BANDS
    ]
    if mark is None:
        words = ("1 of 60 lines", "0 in all channels of S2", "nodata")
        refused_in_a_line(lambda: ingest(columns, tmp_path, columns=named), *words)
        return
    folder, _ = ingest(columns, tmp_path, columns=named)
    assert (series_of(folder, "a-0")["S2"][0][0] == first).all()


def test_negative_power(tmp_path):
    columns = make()
    columns["VV"] = np.linspace(0.1, 0.2, 60)
    columns["VV"][3] = -1e-4
    chosen = [Column("VV", "S1", "VV", "linear power")]
    _, told = ingest(columns, tmp_path, columns=chosen)
    assert "1 values of VV are below 0: they count as missing" in told
    columns["VV"] -= 12
    table = parquet(columns, tmp_path / "u.parquet")
    refused_in_a_line(
        lambda: ingest_samples(
            table, tmp_path / "new", columns=chosen, label="crop", season_start=START
        ),
        *("VV are negative", "dB perhaps"),
    )


def test_full_disk(tmp_path, monkeypatch):
    table = parquet(make(), tmp_path / "t.parquet")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    refused_in_a_line(
        lambda: ingest_samples(
            table, tmp_path / "out", label="crop", season_start=START, progress=False
        ),
        *("out", "No space left"),
    )
    assert [*tmp_path.iterdir()] == [table]


def test_out_must_be_empty(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    table = parquet(make(), tmp_path / "t.parquet")
    refused_in_a_line(
        lambda: ingest_samples(table, tmp_path / "out", label="crop", season_start=START),
        "not an empty folder",
    )


def test_rare_unknown_and_missing_labels(tmp_path):
    columns = make()
    labels = np.array([f"{code}" for code in columns["crop"]], object)
    labels[own(columns, "a-2")] = "rare"
    labels[own(columns, "a-3")] = None
    columns["crop"] = labels
    folder, told = ingest(columns, tmp_path, min_samples=2)
    void = folder.dataset.nomenclature.void_number
    assert {p.id for p in folder.parcels if p.label == void} == {"a-2", "a-3"}
    assert "1 classes have fewer than 2 samples and become void (1 samples): rare" in told
    assert "1 samples have no label: they are void" in told


def test_a_list_of_classes(tmp_path):
    file = tmp_path / "classes.csv"
    file.write_text("code,class\n1101,Wheat\n1109,Maize\n")
    columns = make()
    columns["crop"][own(columns, "a-3")] = 1109
    table = parquet(columns, tmp_path / "t.parquet")
    options = {"label": "crop", "season_start": START, "classes": file, "progress": False}
    refused_in_a_line(lambda: ingest_samples(table, tmp_path / "out", **options), "1103 (9)")
    folder, told = ingest(columns, tmp_path, classes=file, unknown="void")
    assert any("9 samples have labels that are not in the list" in text for text in told)
    assert [entry.name for entry in folder.dataset.nomenclature.crops] == ["Wheat", "Maize"]


def test_far_dates_are_told(tmp_path):
    columns = make()
    late = np.flatnonzero(own(columns, "a-3"))
    columns["timestamp"][late] += np.timedelta64(365, "D")
    _, told = ingest(columns, tmp_path)
    assert any(
        "(a-3) have dates far from the season, days 365 to 465 after its start on" in t
        for t in told
    )


def test_folds_are_blocks_of_ground(tmp_path):
    columns = make(40)
    folder, told = ingest(columns, tmp_path)
    folds = {parcel.id: parcel.fold for parcel in folder.parcels}
    assert all(folds[f"a-{k}"] == folds[f"a-{k + 1}"] for k in range(0, 40, 2))
    assert [[*folds.values()].count(fold) for fold in (1, 2, 3, 4, 5)] == [8] * 5
    assert not any("lie within" in text for text in told)


def test_near_samples_of_other_folds_are_told(tmp_path):
    folder, told = ingest(make(), tmp_path, gap=30000.0)
    folds = [0, *(parcel.fold for parcel in folder.parcels), 0]
    near = sum({*folds[k - 1 : k + 2]} - {0} != {folds[k]} for k in range(1, 21))
    assert any(f"{near} of 20 samples lie within 30000 m of one in another" in t for t in told)


def test_folds_of_a_column_and_of_names(tmp_path):
    columns = make()
    number = np.array([int(name[2:]) for name in columns["sample_id"]])
    columns["part"] = [["north", "east", "south"][k % 3] for k in number]
    folder, _ = ingest(columns, tmp_path, fold="part")
    assert folder.dataset.folds == ("east", "north", "south")
    assert series_of(folder, "a-4") is not None
    assert {p.fold for p in folder.parcels if p.id in ("a-4", "a-7")} == {"east"}
    names = [f"a-{k}" for k in range(40)]
    some = sample_folds.by_name(names)
    assert {*some} == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(sample_folds.by_name(names[7:]), some[7:])


def test_names_of_folds_are_words(tmp_path):
    columns = make()
    columns["part"] = [f"part {name[-1]}" for name in columns["sample_id"]]
    table = parquet(columns, tmp_path / "t.parquet")
    options = {"label": "crop", "season_start": START, "fold": "part", "progress": False}
    refused_in_a_line(lambda: ingest_samples(table, tmp_path / "out", **options), "no plain word")


def test_points_as_wkb(tmp_path):
    shapely = pytest.importorskip("shapely")
    columns = make()
    points = shapely.points(columns.pop("lon"), columns.pop("lat"))
    columns["geometry"] = shapely.to_wkb(points).tolist()
    folder, told = ingest(columns, tmp_path)
    assert not any("no places" in text for text in told)
    rows = rows_of(folder)
    assert (float(rows[5]["Longitude"]), float(rows[5]["Latitude"])) == (10.25, 42.001)


def test_without_places(tmp_path):
    columns = make(60)
    del columns["lon"], columns["lat"]
    folder, told = ingest(columns, tmp_path)
    assert any("samples have no places: identifiers tell the folds" in text for text in told)
    assert {parcel.fold for parcel in folder.parcels} == {1, 2, 3, 4, 5}


def test_classes_are_dealt_evenly():
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 60, 2000)
    classes = rng.choice(4, 2000, p=(0.6, 0.3, 0.08, 0.02))
    folds = sample_folds.deal_samples(blocks, classes)[blocks]
    for number in range(4):
        counts = np.bincount(folds[classes == number], minlength=5)
        assert counts.max() <= 1.35 * counts.mean()


def test_identifiers_that_are_no_file_names(tmp_path):
    columns = make()
    columns["sample_id"] = [f"plot {name[2:]}/β" for name in columns["sample_id"]]
    folder, told = ingest(columns, tmp_path)
    assert [parcel.id for parcel in folder.parcels] == [*range(1, 21)]
    rows = rows_of(folder)
    assert rows[4]["Sample"] == "plot 4/β"
    assert any("numbered from 1" in text for text in told)


def test_numbers_of_samples_that_went_through_floats(tmp_path):
    columns = make()
    columns["sample_id"] = np.array([float(name[2:]) for name in columns["sample_id"]])
    folder, _ = ingest(columns, tmp_path)
    assert [parcel.id for parcel in folder.parcels] == [*range(20)]


def test_the_list_of_columns_is_proposed_corrected_and_used(tmp_path):
    columns = make()
    for band in BANDS:
        columns[band.replace("S2-L2A-", "")] = columns.pop(band) + 1000
    table = parquet(columns, tmp_path / "t.parquet")
    file, proposed = propose_columns(table, tmp_path / "out", label="crop")
    assert [c.channel for c in proposed] == ["B2", "B4", "B8", "VV", "VH", WEATHER]
    assert read_columns(file) == proposed
    assert [c.column for c in proposed if c.unknown] == ["B02", "B04", "B08"]
    text = file.read_text()
    file.write_text(text.replace(",B2,,,", ",B2,reflectance x 10000,-1000,"))
    refused_in_a_line(
        lambda: ingest_samples(
            table, tmp_path / "out", columns=file, label="crop", season_start=START
        ),
        "unit of B04, B08 is not known",
    )
    for band in ("B4", "B8"):
        file.write_text(
            file.read_text().replace(f",{band},,,", f",{band},reflectance x 10000,-1000,")
        )
    folder, _ = ingest(table, tmp_path, columns=file)
    values = series_of(folder, "a-3")["S2"][0]
    np.testing.assert_array_equal(values[:, 0, 0], columns["B02"][own(columns, "a-3")] - 1000)
    assert read_columns(folder.root / "columns.csv")[0].offset == -1000


def test_a_corrected_list_is_never_overwritten(tmp_path):
    table = parquet(make(), tmp_path / "t.parquet")
    file, _ = propose_columns(table, tmp_path / "out")
    text = file.read_text()
    options = {"label": "crop", "season_start": START, "progress": False}
    refused_in_a_line(lambda: propose_columns(table, tmp_path / "out"), "that is not given")
    refused_in_a_line(
        lambda: ingest_samples(table, tmp_path / "out", **options), "columns.csv", "not given"
    )
    other = tmp_path / "other.csv"
    other.write_text(text)
    refused_in_a_line(
        lambda: ingest_samples(table, tmp_path / "out", columns=other, **options), "not an empty"
    )
    assert file.read_text() == text


@pytest.mark.parametrize(
    "names",
    [
        {"sample_id": "id", "timestamp": "doa"},
        {"timestamp": "Index", "lon": "longitude", "lat": "latitude"},
        {"timestamp": "DATE", "sample_id": "parcel_id"},
    ],
)
def test_usual_names(tmp_path, names):
    columns = {names.get(name, name): values for name, values in make().items()}
    folder, told = ingest(columns, tmp_path)
    assert told == ["columns that are not taken: slope"]
    assert [*series_of(folder, "a-3")["S2"][1]] == [*DAYS]


def test_several_columns_with_usual_names(tmp_path):
    columns = make()
    columns["id"] = columns["lon"]
    _, told = ingest(columns, tmp_path)
    assert "sample_id is taken for `id`, and not id" in told


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv"])
def test_compressed_and_with_semicolons(tmp_path, name):
    plain = comma(make(), tmp_path / "plain.csv").read_text().replace(",", ";")
    pack = gzip.compress if name.endswith("gz") else bytes
    (tmp_path / name).write_bytes(pack(("\ufeff" + plain).encode()))
    folder, _ = ingest(tmp_path / name, tmp_path, progress=True)
    assert len(folder.parcels) == 20


def test_the_command(tmp_path, capsys):
    table = parquet(make(), tmp_path / "t.parquet")
    out = tmp_path / "out"

    def command(**flags):
        given = Arguments(samples=table, out=out, **flags)
        return exit_code(lambda: console.command(lambda: run(given)))

    assert command() == 2
    assert "--label: it is not given" in capsys.readouterr().err
    assert command(label="crop") == 2
    assert "--season-start: it is not given" in capsys.readouterr().err
    assert command(dry_run=True) in (0, None)
    assert "columns.csv of 6 columns" in capsys.readouterr().out
    flags = {"label": "crop", "season_start": "2021-09-01", "columns": out / "columns.csv"}
    assert command(**flags) in (0, None)
    assert f"Wrote {out}" in capsys.readouterr().out
    assert len(PixelSetFolder(out).parcels) == 20


@pytest.mark.skipif(not REAL, reason="PASTIS_JAX_REAL_SCENES is not set")
def test_worldcereal(tmp_path):
    name = "month_2022_FRA_LPIS_POLY_110.geoparquet"
    table = pathlib.Path(REAL or "", "worldcereal_openeo_cube", name)
    folder, told = ingest(table, tmp_path, label="ewoc_code", min_samples=10)
    assert len(folder.parcels) == 500
    assert folder.dataset.names == ("S2", "S1", "weather")
    assert len(folder.dataset["S2"].channels) == 9
    assert len(folder.dataset.nomenclature.crops) == 11
    text = " ".join(told)
    for words in ("S2-L2A-B8A", "2 of 500", "5 of 500", "16 of 500", "34 classes"):
        assert words in text
    read = pyarrow.parquet.ParquetFile(table).read().to_pandas()
    lines = read[read.sample_id == folder.parcels[0].id].sort_values("timestamp")
    values, days = folder.read(folder.parcels[0])["S2"]
    np.testing.assert_array_equal(values[:, 0, 0], lines["S2-L2A-B02"])
    np.testing.assert_array_equal(days, (lines.timestamp - np.datetime64("2021-09-01")).dt.days)
    prepare_pixel_sets(folder.root, cache=tmp_path / "cache", progress=False)
