"""A Region that is not like what a run was trained on is refused in a line, or allowed by name."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shutil

import pytest
from refusal import refused_in_a_line

from pastis_jax.data import dataset_file
from pastis_jax.data.regions.store import Region
from pastis_jax.errors import DataError
from pastis_jax.mapping import MapOptions
from pastis_jax.mapping.fit import check_fit
from pastis_jax.mapping.mapper import Mapper


def changed(region, out, change):
    """A copy of a Region's descriptions, changed; its values stay where they are."""
    out.mkdir()
    for file in ("dataset.json", "region.json"):
        shutil.copy(region / file, out)
    for name in ("cube.zarr", "parcels.parquet"):
        (out / name).symlink_to(region / name)
    dataset, content = (
        dataset_file.read(out / "dataset.json"),
        json.loads((out / "region.json").read_text()),
    )
    (out / "dataset.json").unlink()
    dataset_file.write(change(dataset, content) or dataset, out)
    (out / "region.json").write_text(json.dumps(content))
    return Region(out)


def other_modality(dataset, **fields):
    """The dataset with another S1A."""
    modalities = tuple(
        dataclasses.replace(m, picture=None, **fields) if m.name == "S1A" else m
        for m in dataset.modalities
    )
    return dataclasses.replace(dataset, modalities=modalities)


def level(dataset, content):
    content["modalities"]["S1A"]["level"] = "gamma0"


def no_level(dataset, content):
    content["modalities"]["S1A"]["level"] = ""


def unit(dataset, content):
    return other_modality(dataset, unit="linear power")


def channels(dataset, content):
    return other_modality(dataset, channels=("VV", "VH", "ratio"))


def order(dataset, content):
    return other_modality(dataset, channels=dataset["S1A"].channels[::-1])


def season(dataset, content):
    return dataclasses.replace(dataset, season_start=datetime.date(2024, 1, 1))


def another_year(dataset, content):
    return dataclasses.replace(dataset, season_start=datetime.date(2031, 9, 20))


def pixels(dataset, content):
    content["grid"]["pixel_size"] = 20.0


def lacking(dataset, content):
    modalities = tuple(m for m in dataset.modalities if m.name != "S1A")
    return dataclasses.replace(dataset, modalities=modalities)


@pytest.fixture
def fit(region, runs, tmp_path):
    def check(change, fusion="mid", **options):
        run = runs("parcel", fusion=fusion)
        return check_fit(run, changed(region, tmp_path / "C", change), MapOptions(**options))

    return check


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (level, ("S1A is gamma0", "trained on sigma0", "`allow` level")),
        (unit, ("S1A is VV, VH, VV-VH in linear power", "the run takes", "in dB")),
        (channels, ("S1A is VV, VH, ratio", "the run takes VV, VH, VV-VH")),
        (order, ("S1A is VV-VH, VH, VV", "the run takes VV, VH, VV-VH")),
        (season, ("01 January", "01 September", "`season` 2023-09-01", "`allow` season")),
        (pixels, ("20 m", "10 m", "`pixel_size` 10", "`allow` pixel_size")),
    ],
)
def test_refused(fit, tmp_path, change, words):
    refused_in_a_line(lambda: fit(change), str(tmp_path / "C"), *words)


@pytest.mark.parametrize(
    ("change", "allow"), [(level, "level"), (season, "season"), (pixels, "pixel_size")]
)
def test_allowed_by_name(fit, change, allow):
    notes = fit(change, allow=(allow,))
    assert [*notes] == (
        ["its S1A is gamma0, the run was trained on sigma0: allowed"] * (change is level)
    )


def test_each_needs_its_own_name(fit):
    others = ("season", "pixel_size")
    with pytest.raises(DataError, match="trained on sigma0"):
        fit(level, allow=others)


def test_a_level_that_is_not_known_is_told_of(fit):
    (note,) = fit(no_level)
    assert "S1A is sigma0 in training" in note
    assert "not known" in note


def test_the_same_season_of_another_year(fit):
    """Days that are not those of the year that the run takes them for are told of."""
    (note,) = fit(another_year)
    assert "20 September, those of the run from 01 September" in note
    assert "19 days off; `season` 2031-09-01 mends that" in note


def test_days_off_that_are_allowed(fit):
    assert fit(another_year, allow="season") == ()


@pytest.mark.parametrize(
    ("start", "notes"), [("2023-09-01", 0), ("2024-09-01", 0), ("2023-09-10", 1)]
)
def test_a_season_that_is_given(fit, start, notes):
    assert len(fit(season, season=start)) == notes


@pytest.mark.parametrize("fusion", ["mid", "late", "decision"])
def test_a_modality_that_is_missing_is_masked(fit, fusion):
    assert fit(lacking, fusion) == ("S1A is missing: masked everywhere",)


def test_a_modality_that_is_missing_is_refused(fit, tmp_path):
    words = (str(tmp_path / "C"), "no S1A", "early fusion of S2, S1A", "another run")
    refused_in_a_line(lambda: fit(lacking, "early"), *words)


def test_all_modalities_are_missing(region, runs, tmp_path):
    run = runs("parcel", fusion="late", modalities=("S1A",))
    other = changed(region, tmp_path / "C", lacking)
    refused_in_a_line(lambda: check_fit(run, other, MapOptions()), "no S1A", "the run needs")


# What a mapper refuses beside


def mapper(run, region, **options):
    return Mapper(run, Region(region), MapOptions(**options))


def test_a_stride_beyond_the_window(region, runs):
    run = runs("semantic", fusion="single")
    refused_in_a_line(
        lambda: mapper(run, region, stride=33), "`stride`", "got 33", "at most a window, 32"
    )
    assert mapper(run, region, stride=32).grid.rows.stride == 32


def test_clouds_without_masks(region, runs):
    run = runs("parcel", fusion="single", modalities=("S1A",))
    refused_in_a_line(lambda: mapper(run, region, max_cloud=0.5), "no masks", "`max_cloud`")


@pytest.mark.parametrize(("given", "used"), [(None, 0.4), (0.1, 0.1)])
def test_clouds_count_as_in_training(region, runs, given, used):
    run = runs("parcel", fusion="late", max_cloud=0.4)
    assert mapper(run, region, max_cloud=given).max_cloud == used


def test_without_masks_clouds_count_too(region, runs, tmp_path):
    def unmasked(dataset, content):
        content["modalities"]["S2"]["masked"] = False

    run = runs("parcel", fusion="late", max_cloud=0.4)
    made = Mapper(run, changed(region, tmp_path / "C", unmasked), MapOptions())
    assert made.max_cloud is None
    assert any("no masks" in note for note in made.notes)


def test_an_old_run_without_window_and_levels(region, runs):
    run = runs("semantic", fusion="single", window=None)
    saved = dataclasses.replace(run.saved, levels={})
    old = runs("semantic", fusion="single", window=None, seed=1)
    old.saved = saved
    made = mapper(old, region)
    assert made.grid.size == (72, 128)
    assert any("older run" in note and "128 pixels" in note for note in made.notes)
    assert any("what it is in training is not known" in note for note in made.notes)
    assert any("smaller than the run's windows" in note for note in made.notes)


def test_a_region_that_the_model_cannot_take(region, runs, tmp_path):
    def low(dataset, content):
        content["grid"]["height"] = 2

    run = runs("semantic", fusion="single")
    other = changed(region, tmp_path / "C", low)
    words = ("2 x 200 pixels", "takes 3 or more", "larger Region")
    refused_in_a_line(lambda: Mapper(run, other, MapOptions()), *words)


@pytest.mark.parametrize(("date", "odd"), [(3, True), ("2024-03-19", False)])
def test_a_run_of_one_date(region, runs, date, odd):
    """By number, windows of a Region would differ; by day, one is chosen as in training."""
    run = runs("semantic", fusion="single", seed=2)
    run.saved = dataclasses.replace(run.saved, records={**run.saved.records, "date": date})
    if odd:
        refused_in_a_line(lambda: mapper(run, region), "number 3", "YYYY-MM-DD")
        return
    frames = mapper(run, region).inputs.read(slice(0, 32), slice(0, 32))
    assert frames["S2"][1].tolist() == [200]
    assert len(frames["S2"][0]) == 1
