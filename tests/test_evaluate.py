"""A run scored again: by date of the season, at its temperature, by the command."""

from __future__ import annotations

import csv
import datetime
import json
import pathlib
import shutil

import jax.numpy as jnp
import numpy as np
import patch_factory as factory
import pytest
from commands import exit_code
from refusal import refused_in_a_line

import pastis_jax
from pastis_jax.cli import evaluate
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.runs import Run, saved, until
from pastis_jax.types import Series

RUN = pathlib.Path(__file__).parent / "runs" / "format1"


def changed(folder, to, **fields):
    """A copy of a run, of other fields."""
    shutil.copytree(folder, to)
    content = json.loads((to / "run.json").read_text())
    (to / "run.json").write_text(json.dumps({**content, **fields}))
    return to


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A kept run, at a temperature; it was trained with statistics of nothing."""
    statistics = {name: factory.norm(name, 1) for name in ("S2", "S1A")}
    to = tmp_path_factory.mktemp("evaluate") / "run"
    return changed(RUN, to, statistics=statistics, temperature=2.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Patches of which the test patch was first observed in the second month of the season."""
    return factory.make_patches(tmp_path_factory.mktemp("data") / "patches", seed=7)


@pytest.fixture(scope="module")
def opened(folder, data):
    run, cache = pastis_jax.open_run(folder), data.parent / "cache"
    return run.open_data(data, cache_dir=cache, needed=("test",))


@pytest.fixture(scope="module")
def months(opened):
    return opened.evaluate_by_date()


@pytest.fixture(scope="module")
def plain(opened):
    return opened.evaluate()


def days(opened):
    """Days of the test patches, of both modalities."""
    observed = opened.splits.observed("test")
    return np.concatenate([patch[name] for patch in observed for name in opened.run.modalities])


def same(one, other):
    assert one.scores.keys() == other.scores.keys()
    assert {"ECE", "NLL", "Brier"} <= one.scores.keys()
    for name, value in one.scores.items():
        np.testing.assert_allclose(value, other.scores[name], rtol=1e-5)
    assert one.unobserved == other.unobserved


# By date


def test_up_to_the_last_day_is_all(opened, plain):
    last = opened.splits.dataset.date(days(opened).max())
    same(opened.evaluate(until=last), plain)
    same(opened.evaluate(until=last.isoformat()), plain)
    earlier = opened.evaluate(until=last - datetime.timedelta(days=1))
    assert earlier.scores["loss"] != plain.scores["loss"]


def test_before_the_first_day_there_is_no_score(opened):
    first = opened.splits.dataset.date(days(opened).min())
    assert opened.evaluate(until=first).samples == 1
    for day in (first - datetime.timedelta(days=1), "2001-01-01"):
        words = ("`until`: nothing of S2 or S1A had been observed up to", f"give {first}")
        refused_in_a_line(lambda day=day: opened.evaluate(until=day), *words)


@pytest.mark.parametrize("odd", ["", "2019", "20190501", "2019-02-30", "\x1b", "2019-W10-5", 5])
def test_what_is_no_day_is_refused(odd):
    refused_in_a_line(lambda: until.as_date(odd), "`until`", "is not a day", "YYYY-MM-DD")


def test_each_month_is_what_had_been_observed(opened, months, plain):
    start, every = opened.splits.dataset.season_start, days(opened)
    ends = [one.date for one in months]
    assert ends[0] == datetime.date(start.year, start.month, 30)
    assert all((day + datetime.timedelta(days=1)).day == 1 for day in ends)
    assert opened.splits.dataset.day(ends[-2]) < every.max() <= opened.splits.dataset.day(ends[-1])
    observed = opened.splits.observed("test")[0]
    for one in months:
        day = opened.splits.dataset.day(one.date)
        assert [*one.dates] == [*opened.run.modalities]
        assert one.dates == {name: (observed[name] <= day).sum() for name in one.dates}
        assert (one.outcome is None) == (every.min() > day)
    assert months[0].outcome is None  # or the test does not test it
    same(months[-1].outcome, plain)
    middle = months[len(months) // 2]
    same(middle.outcome, opened.evaluate(until=middle.date))


def test_masking_is_cutting(opened):
    (batch,) = opened.splits.evaluation("test")
    day = int(np.median(days(opened)))

    def cut(series):
        order = np.argsort(np.where(series.valid[0], series.days[0], 10**6))
        number = int((series.valid[0] & (series.days[0] <= day)).sum())
        assert 0 < number < series.valid[0].sum()
        left = order[:number]
        parts = {x: getattr(series, x)[:, left] for x in ("values", "days", "valid")}
        return series.replace(**parts)

    short = batch.replace(series={name: cut(one) for name, one in batch.series.items()})
    same(opened.evaluate([batch], until=opened.splits.dataset.date(day)), opened.evaluate([short]))


def test_a_sample_that_lacks_what_is_taken_for_observed_loses_all():
    valid = np.array([[True, True], [True, False]])
    one = {
        "optical": Series(jnp.zeros((2, 2, 1)), jnp.array([[0, 9], [0, 9]]), jnp.array(valid)),
        "radar": Series(jnp.zeros((2, 2, 1)), jnp.array([[5, 8], [9, 9]]), jnp.array(valid)),
    }
    left = until.cut(jnp.int32(6), one)
    assert left["optical"].valid.tolist() == [[True, False], [True, False]]
    assert left["radar"].valid.tolist() == [[True, False], [False, False]]
    left = until.cut(jnp.int32(6), one, needed=("optical", "radar"))
    assert left["optical"].valid.tolist() == [[True, False], [False, False]]


def test_months_of_a_season():
    def ends(*observed):
        patches = [{"a": np.array(patch, int)} for patch in observed]
        return [str(day) for day in until.month_ends(PASTIS_R, patches)]

    assert ends([], [29]) == ["2018-09-30"]  # days from 2018-09-01
    assert ends([29, 30]) == ["2018-09-30", "2018-10-31"]
    assert ends([-1], [0]) == ["2018-08-31", "2018-09-30"]
    assert ends([181]) == [f"2018-{m}" for m in ("09-30", "10-31", "11-30", "12-31")] + [
        *("2019-01-31", "2019-02-28", "2019-03-31")
    ]
    assert ends() == ["2018-09-30"]


# The temperature of a run


def test_a_run_of_a_version_without_temperatures_has_one_of_1():
    assert "temperature" not in json.loads((RUN / "run.json").read_text())
    assert pastis_jax.open_run(RUN).saved.temperature == 1


def test_predictions_are_at_the_temperature_of_the_run(folder, plain, tmp_path):
    own = pastis_jax.open_run(folder)
    plainly = pastis_jax.open_run(changed(folder, tmp_path / "run", temperature=1))
    rng = np.random.default_rng(0)

    def series(name):
        mean, std = own.saved.learned.statistics[name]
        values = mean + std * rng.uniform(-1, 1, (1, 2, 8, 8, len(mean)))
        days = np.array([[40, 80]], np.int32)
        return Series(values.astype(np.float32), days, np.ones((1, 2), bool))

    observed = {name: series(name) for name in own.modalities}
    before, after = plainly.predict(observed), own.predict(observed)
    roots = np.sqrt(before)
    np.testing.assert_allclose(after, roots / roots.sum(-1, keepdims=True), rtol=1e-4)
    np.testing.assert_array_equal(before.argmax(-1), after.argmax(-1))
    told = plain.metrics.task.reliability()
    assert plain.scores["NLL"] == told["after"]["NLL"] != told["before"]["NLL"]
    assert told["before"]["NLL"] == pytest.approx(plain.scores["loss"], rel=0.2)  # void has one too


@pytest.mark.parametrize("value", [0, -1, 0.04, 21, 1e300, float("nan"), None, True, "1", [1], {}])
def test_a_temperature_that_cannot_be_is_refused(value, tmp_path):
    folder = changed(RUN, tmp_path / "run", temperature=value)
    refused_in_a_line(lambda: saved.read(folder), "run.json", "temperature is")


def test_the_temperature_is_written(folder, tmp_path):
    run = pastis_jax.open_run(folder)
    saved.write(tmp_path, run.saved, run.variables)
    assert saved.read(tmp_path).temperature == 2


# By modality


def test_a_masked_modality_is_as_good_as_absent(opened, plain):
    (batch,) = opened.splits.evaluation("test")
    every = opened.evaluate_by_modality()
    assert [*every] == [("S2", "S1A"), ("S2",), ("S1A",)]
    same(every["S2", "S1A"], plain)
    lost = batch.series["S1A"]
    lost = lost.replace(valid=np.zeros_like(lost.valid), values=np.full_like(lost.values, np.nan))
    same(every["S2",], opened.evaluate([batch.replace(series={**batch.series, "S1A": lost})]))
    assert every["S2",].scores["loss"] != plain.scores["loss"]


# The command


@pytest.fixture
def compiled(opened, monkeypatch):
    """Lets the command open what is open."""

    def open_data(run, data, **options):
        assert (run.saved.temperature, data) == (2, opened.splits.root)
        return opened

    monkeypatch.setattr(Run, "open_data", open_data)


@pytest.mark.usefixtures("compiled")
def test_the_command_writes_what_it_shows(folder, data, months, plain, tmp_path, capsys):
    out, flags = tmp_path / "out", [str(folder), "--data", str(data)]
    assert exit_code(lambda: evaluate.main([*flags, "--by-date", "--out", str(out)])) == 0
    printed = capsys.readouterr().out
    for word in ("mIoU", "at temperature 2.00", "By what had been observed", "2018-09-30", "none"):
        assert word in printed
    names = {file.name for file in out.iterdir()}
    pictures = {f"{x}.png" for x in ("by_date", "confusion_matrix", "iou_per_class", "reliability")}
    assert names == {*pictures, "by_date.csv", "by_date.json", "evaluation.json"}
    content = json.loads((out / "evaluation.json").read_text())
    assert content["scores"]["mIoU"] == pytest.approx(plain.scores["mIoU"])
    assert content["calibration"]["after"]["ECE"] == pytest.approx(plain.scores["ECE"], rel=1e-4)
    rows = json.loads((out / "by_date.json").read_text())
    assert [row["until"] for row in rows] == [str(one.date) for one in months]
    assert rows[0]["mIoU"] is rows[0]["ECE"] is rows[0]["per_class"] is None
    with (out / "by_date.csv").open(newline="") as file:
        lines = [*csv.DictReader(file)]
    assert [line["until"] for line in lines] == [row["until"] for row in rows]
    assert lines[0]["mIoU"] == lines[0]["samples"] == ""
    assert float(lines[-1]["OA"]) == rows[-1]["OA"]


@pytest.mark.usefixtures("compiled")
def test_the_command_by_modality(folder, data, opened, plain, tmp_path, capsys):
    flags = [str(folder), "--data", str(data), "--by-modality"]
    assert exit_code(lambda: evaluate.main([*flags, "--out", str(tmp_path)])) == 0
    assert "With some of the modalities" in capsys.readouterr().out
    subsets = json.loads((tmp_path / "evaluation.json").read_text())["subsets"]
    assert [*subsets] == ["S2 + S1A", "S2", "S1A"]
    assert subsets["S2 + S1A"]["macro F1"] == pytest.approx(plain.scores["macro F1"])
    assert exit_code(lambda: evaluate.main([*flags, "--by-date"])) == 2
    assert "--by-modality" in capsys.readouterr().err


@pytest.mark.usefixtures("compiled")
def test_the_command_up_to_a_day(folder, data, opened, tmp_path, capsys):
    first = opened.splits.dataset.date(days(opened).min())
    flags, out = [str(folder), "--data", str(data)], ["--out", str(tmp_path)]
    assert exit_code(lambda: evaluate.main([*flags, "--until", str(first), *out])) == 0
    assert f"up to {first}" in capsys.readouterr().out
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["until"] == str(first)
    expected = opened.evaluate(until=first).scores["OA"]
    assert content["scores"]["OA"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--until", "2019-06-01", "--by-date"], "--until: --by-date has all days"),
        (["--until", "June"], "--until: 'June' is not a day"),
        (["--until", "2001-01-01"], "--until: nothing of S2 or S1A had been observed up to 2001"),
        (["--split", "all"], "invalid choice 'all'"),
        (["--data", "nowhere"], "nowhere"),
        (["--fold", "6"], "--fold: PASTIS-R has runs 1 to 5, got 6"),
        (["--plugin", "no_such_module"], "--plugin: "),
        (["--out", "RUN"], "is a run, whose files stay"),
    ],
    ids=lambda x: x[0] if isinstance(x, list) else "",
)
def test_mistakes_end_in_a_line(flags, words, folder, data, capsys):
    flags = [str(folder) if flag == "RUN" else flag for flag in flags]
    places = ["--data", str(data), "--cache-dir", str(data.parent / "cache")]
    assert exit_code(lambda: evaluate.main([str(folder), *places, *flags])) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
