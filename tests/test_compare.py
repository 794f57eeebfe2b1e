"""The comparison with the published code: fair turns, checked results, one line for a mistake."""

from __future__ import annotations

import json
import os
import pathlib
import sys
import time

import numpy as np
import pytest
from refusal import refused_in_a_line as refused

from benchmarks.compare import __main__ as command
from benchmarks.compare import paps, report, work
from benchmarks.compare.reference import FILES, Reference, scatter_max_stand_in
from benchmarks.compare.timing import Ratio, Way, take_turns


class Clock:
    """A clock that moves when work is done."""

    def __init__(self, monkeypatch):
        self.now, self.done = 0.0, []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def way(self, name, *seconds):
        """Work that takes these seconds in turn; a wait at the end is part of it."""
        left = iter(seconds)

        def start():
            self.now += next(left)
            self.done.append(name)

        return Way(start)


def test_ways_take_turns(monkeypatch):
    clock = Clock(monkeypatch)
    ways = {"slow": clock.way("slow", 4, 4, 4, 6), "fast": clock.way("fast", 4, 1, 1, 2)}
    found = take_turns(ways, repeats=2, least=0.5)
    assert found == {"slow": [4, 6], "fast": [1, 2]}
    assert clock.done[4:] == ["slow", "fast", "slow", "fast"]


def test_short_work_is_done_several_times(monkeypatch):
    clock = Clock(monkeypatch)
    found = take_turns({"a": clock.way("a", *[0.25] * 6)}, repeats=1, least=1.0)
    assert found == {"a": [0.25]}
    assert len(clock.done) == 2 + 4


def test_long_work_warms_up_once(monkeypatch):
    clock = Clock(monkeypatch)
    assert take_turns({"a": clock.way("a", 7.0, 5.0)}, repeats=1, least=0.5) == {"a": [5.0]}


def test_a_wait_is_timed_and_a_preparation_is_not(monkeypatch):
    clock = Clock(monkeypatch)

    def passes(seconds):
        return lambda *_: setattr(clock, "now", clock.now + seconds)

    assert Way(passes(1), passes(2), prepare=passes(100)).seconds(1) == 3
    assert Way(passes(1), passes(2), prepare=passes(100)).seconds(4) == 6 / 4


def test_ratios_are_of_medians_and_their_spread_of_turns():
    assert Ratio.of([2, 4, 9], [1, 1, 3]) == Ratio(median=4, least=2, most=4)


def test_differences():
    assert work.largest([1.0, 2.0], [1.0, 2.5]) == pytest.approx(0.2)
    assert work.largest([0.1], [0.2]) == pytest.approx(0.1)  # relative to 1 at least
    assert not work.Difference("x", float("nan"), 1.0).small
    with pytest.raises(ValueError, match="shapes"):
        work.largest(np.zeros(3), np.zeros(4))


def test_a_gradient_is_judged_beside_its_layer():
    theirs = {"layer": {"kernel": np.array([3.0, 4.0]), "bias": np.array([1e-9])}}
    ours = {"layer": {"kernel": np.array([3.0, 4.0]), "bias": np.array([5e-3])}}
    assert work.largest_of_gradients(ours, theirs) == pytest.approx(1e-3)
    ours = {"layer": {"kernel": np.array([3.0, 4.5]), "bias": np.array([0.0])}}
    assert work.largest_of_gradients(ours, theirs) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="names"):
        work.largest_of_gradients({}, theirs)


def test_instances_may_be_numbered_in_any_way():
    theirs = np.array([[[0, 1, 1, 2]]])
    assert paps.other_instance(np.array([[[0, 7, 7, 3]]]), theirs) == 0
    assert paps.other_instance(np.array([[[0, 7, 3, 3]]]), theirs) == 0.25
    assert paps.other_instance(np.array([[[1, 1, 1, 2]]]), theirs) == 0.25


def clone(folder, name):
    """A folder that passes for a clone."""
    file = folder / name / FILES[name]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"NAME = {name!r}\n")
    return file


def test_modules_of_two_repositories_do_not_mix(tmp_path):
    for name in ("utae-paps", "pytorch-psetae"):
        clone(tmp_path, name)
        (tmp_path / name / "models").mkdir(exist_ok=True)
        (tmp_path / name / "models" / "decoder.py").write_text(f"NAME = {name!r}\n")
    before, path = set(sys.modules), [*sys.path]
    reference = Reference(tmp_path)
    for name in ("utae-paps", "pytorch-psetae"):
        assert name == reference.module(name, "models.decoder").NAME
    assert set(sys.modules) == before
    assert sys.path == path


def test_a_clone_that_is_missing_is_named_with_the_command(tmp_path):
    where = tmp_path / "utae-paps"
    told = (
        f"{where}: this is not there; run: git clone https://github.com/VSainteuf/utae-paps {where}"
    )
    refused(lambda: Reference(tmp_path).clone("utae-paps"), told)


def test_a_clone_that_needs_more_is_named(tmp_path):
    clone(tmp_path, "utae-paps").write_text("import no_such_package\n")
    found = Reference(tmp_path)
    refused(lambda: found.module("utae-paps", "src.backbones.utae"), "utae-paps", "no_such_package")


def fake_row(calls, *, equal):
    """A row of two ways that note their calls."""

    def compare(setting):
        ways = {name: Way(lambda name=name: calls.append(name)) for name in ("published", "ours")}
        difference = work.Difference("logits", 0.0 if equal else 1.0, 1e-4)
        yield work.Work("fake", "inference", "nothing", 4, "parcels", ways, [difference])

    return compare, ("utae-paps",)


@pytest.fixture
def faked(monkeypatch, tmp_path):
    """Has the command run fake rows, without PyTorch."""
    clone(tmp_path, "utae-paps")
    about = {
        **{"versions": {"jax": "0"}, "device": {"jax": "cpu", "torch": "cpu"}, "code": "0"},
        **{"processor": "none", "cores": 1, "threads": {"torch": 1}},
    }
    monkeypatch.setattr(report, "circumstances", lambda setting: about)

    def run(**rows):
        monkeypatch.setattr(command, "ROWS", rows)
        config = command.Config(tmp_path, repeats=2, out=tmp_path / "out", only=tuple(rows))
        command.run(config)

    return run


def test_what_is_measured_is_written(faked, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "take_turns", lambda ways, **_: {n: [2.0, 2.0] for n in ways})
    calls = []
    faked(fake=fake_row(calls, equal=True))
    written = json.loads((tmp_path / "out" / "compare.json").read_text())
    (row,) = written["rows"]
    assert row["ways"]["ours"]["per_second"] == 2
    assert row["ways"]["ours"]["published_takes"] == {"median": 1, "least": 1, "most": 1}
    assert "| ours | 2 | 2 parcels | 1.00 (1.00 to 1.00) |" in (
        tmp_path / "out" / "compare.md"
    ).read_text().replace("|  |  |", "|")


def test_unequal_results_are_not_timed(faked, tmp_path, capsys):
    calls = []
    with pytest.raises(SystemExit) as ended:
        faked(bad=fake_row(calls, equal=False))
    assert ended.value.code == 1
    assert calls == []
    assert capsys.readouterr().err == (
        "error: bad, inference: results differ: logits 1.0e+00 (at most 1e-04)\n"
    )
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["rows"][0]["ways"] == {}


def test_scatter_max_stands_in():
    torch = pytest.importorskip("torch")
    scatter_max = scatter_max_stand_in(torch).scatter_max
    most, place = scatter_max(torch.tensor([0.1, 0.7, 0.7, 0.3]), torch.tensor([0, 2, 2, 0]))
    assert place.tolist() == [3, 4, 1]  # the number of values for the group without any
    assert most[[0, 2]].tolist() == pytest.approx([0.3, 0.7])


@pytest.mark.parametrize("row", command.ROWS)
def test_every_row_equals_the_published_code(row, monkeypatch):
    """With $PASTIS_PUBLISHED, a folder of clones, and PyTorch."""
    pytest.importorskip("torch")
    folder = os.environ.get("PASTIS_PUBLISHED")
    if folder is None:
        pytest.skip("$PASTIS_PUBLISHED is not set")
    setting = work.Setting(Reference(pathlib.Path(folder)), "cpu", short=True, bf16=True)
    rows = [*command.ROWS[row][0](setting)]
    assert rows
    for one in rows:
        assert one.equal, [str(d) for d in one.differences]
