"""Cells: done once, failures kept, dependencies, shards; those of the paper; cross-validation."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
import subprocess
import threading
import time

import pixel_set_factory as factory
import pytest
import tyro
from refusal import refused_in_a_line
from tiers import long

from experiments import cross_validation
from experiments.paper import __main__ as paper
from experiments.paper import gradient_flow
from experiments.paper.cells import Cell, Cells, Shard
from pastis_jax.cli import config as configs

COMMAND = """
import os, pathlib, signal, sys, time
start = time.time()
out, how = pathlib.Path(sys.argv[sys.argv.index("--out") + 1]), sys.argv[1]
if how == "fail":
    sys.exit("error: --this: is wrong")
if how == "die":
    os.kill(os.getpid(), signal.SIGKILL)
out.parent.mkdir(parents=True, exist_ok=True)
if how == "copy":
    out.write_text(pathlib.Path(sys.argv[2]).read_text())
else:
    time.sleep(float(how))
    with out.open("a") as file:
        file.write("x")
with (out.parent / "times").open("a") as file:
    file.write(f"{how} {start} {time.time()}\\n")
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder for cells, whose commands know the module `work`."""
    (tmp_path / "work.py").write_text(COMMAND)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return tmp_path / "cells"


def cell(name, *flags, needs=(), alone=False):
    return Cell(name, ("work", *flags), f"{name}.txt", f"{name}.txt", needs, alone)


def test_what_is_done_is_not_done_again(root, capsys):
    cells = [cell("a/one", "0"), cell("two", "copy", "{root}/a/one.txt", needs=("a/one",))]
    for _ in range(2):
        Cells(root, cells).run()
    assert (root / "a" / "one.txt").read_text() == (root / "two.txt").read_text() == "x"
    assert "2 of 2 cells are there already" in capsys.readouterr().out
    (root / "two.txt").unlink()
    kept = Cells(root, cells)
    assert [kept.status(one) for one in cells] == ["done", "missing"]
    kept.run()
    assert (root / "a" / "one.txt").read_text() == "x"
    assert (root / "two.txt").exists()
    refused_in_a_line(lambda: Cells(root, [cell("a/one", "0.1")]), "work 0.1", "another --out")
    for flags in (["--cache-dir", "elsewhere"], ["--cache-dir=elsewhere"]):
        moved = Cells(root, [cell("a/one", "0", *flags)])
        assert moved.status(*moved.cells.values()) == "done"


def test_what_is_made_of_a_result_that_changed_is_made_again(root):
    cells = [cell("one", "0"), cell("two", "copy", "{root}/one.txt", needs=("one",))]
    kept = Cells(root, cells)
    kept.run()
    (root / "one.txt").write_text("new")
    assert [kept.status(one) for one in cells] == ["done", "missing"]
    kept.run()
    assert (root / "two.txt").read_text() == "new"
    assert [kept.status(one) for one in cells] == ["done", "done"]


def test_what_was_begun_goes_on_by_the_same_command(root):
    begun = cell("one", "fail")
    Cells(root, [begun]).run()
    Cells(root, [cell("one", "die")])  # It has left nothing behind.
    (root / "one.txt").write_text("begun")
    refused_in_a_line(lambda: Cells(root, [cell("one", "die")]), "work fail", "another --out")


def test_failures_are_kept_and_the_others_go_on(root, capsys):
    cells = [cell("bad", "fail"), cell("dead", "die"), cell("after", "0", needs=("bad",))]
    cells.append(cell("good", "0"))
    kept = Cells(root, cells)
    kept.run(workers=2)
    assert [kept.status(one) for one in cells] == ["failed", "failed", "missing", "done"]
    assert kept.record(cells[0])["error"] == "error: --this: is wrong"
    assert "signal 9" in kept.record(cells[1])["error"]
    printed = capsys.readouterr().out
    assert "bad: FAILED: error: --this: is wrong" in printed
    assert "after: not run, it needs bad" in printed
    # Mended, it is done the next time.
    again = Cells(root, [cell("bad", "0"), *cells[1:]])
    again.run()
    assert again.status(cells[2]) == "done"


def test_who_measures_time_is_alone(root):
    cells = [cell("a", "0.4"), cell("b", "0.3", alone=True), cell("c", "0.2"), cell("d", "0.1")]
    Cells(root, cells).run(workers=4)
    lines = [map(float, line.split()) for line in (root / "times").read_text().splitlines()]
    times = {how: (start, end) for how, start, end in lines}
    start, end = times.pop(0.3)
    assert len(times) == 3
    assert all(other_end <= start or end <= other for other, other_end in times.values())


def test_nothing_is_looked_at_while_nothing_ends(root, monkeypatch):
    """The files of the cells are read when one ends, and not all the time."""
    looked = []
    ready = Cells._ready
    monkeypatch.setattr(Cells, "_ready", lambda *given: looked.append(given) or ready(*given))
    cells = [cell("long", "1"), cell("next", "0", needs=("long",))]
    kept = Cells(root, cells)
    kept.run(workers=2)
    assert [kept.status(one) for one in cells] == ["done", "done"]
    assert len(looked) == 3  # Both at the beginning, and the second when the first has ended.


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_who_stops_the_command_stops_all(root, monkeypatch, number, error):
    """Its children end before it does."""
    started = []

    class Started(subprocess.Popen):
        def __init__(self, *given, **settings):
            super().__init__(*given, **settings)
            started.append(self)
            threading.Timer(0.3, os.kill, (os.getpid(), number)).start()

    # A shell that starts pytest in the background would have it ignore Ctrl-C.
    before = signal.signal(number, signal.default_int_handler)
    monkeypatch.setattr(subprocess, "Popen", Started)
    kept = Cells(root, [cell("long", "60")])
    begun = time.monotonic()
    try:
        with pytest.raises(error):
            kept.run()
        assert time.monotonic() - begun < 30
    finally:
        assert signal.signal(number, before) == signal.default_int_handler
    assert [one.returncode for one in started] == [-signal.SIGTERM]
    assert kept.status(cell("long", "60")) == "missing"


def test_shards_share_all_cells():
    cells = paper.cells(paper.Config())
    parts = [Shard(i, 3).of(cells) for i in range(3)]
    assert sorted(c.name for c in itertools.chain(*parts)) == sorted(c.name for c in cells)
    for part in parts:
        names = {c.name for c in part}
        assert all(need in names for c in part for need in c.needs)
        assert len(part) > len(cells) / 4
    assert Shard.parse("1/3") == Shard(1, 3)
    for text in ("3/3", "1", "a/b", "-1/2", "0/0"):
        refused_in_a_line(lambda text=text: Shard.parse(text), "--shard")


@pytest.mark.parametrize("smoke", [False, True])
def test_cells_of_the_paper(smoke, monkeypatch, tmp_path):
    """Every command is one that its experiment takes; what is needed comes first."""
    small = (factory.make_pixel_set(tmp_path / "pixels"), tmp_path)
    monkeypatch.setattr(paper.simulate, "default_small", lambda cache: small)
    cells = paper.cells(paper.Config(smoke=smoke, seeds=(0, 7)))
    names = [c.name for c in cells]
    assert len(set(names)) == len(names)
    for c in cells:
        assert all(names.index(need) < names.index(c.name) for need in c.needs)
        module = c.command[0].removeprefix("experiments.")
        if module in configs.CONFIGS:
            given = configs.parse(module, list(c.command[1:]), prog=module)
            assert f"{module}/" in c.name
            assert c.name.endswith(f"fold{given.records.fold}-seed{given.recipe.seed}")
        else:
            measures = importlib.import_module(c.command[0])
            tyro.cli(measures.Config, args=[*c.command[1:], "--out", "out"])
    by_task = {task: {n.split("/")[1] for n in names if n.startswith(f"{task}/")} for task in TASKS}
    assert {task: len(rows) for task, rows in by_task.items()} == TASKS


TASKS = {"parcel": 20, "semantic": 17, "panoptic": 6}
"""Cells of Tables 1 to 3, those of our own (mid fusion of images) included."""


def test_only_what_is_asked_for():
    """A figure of one run asks for no other, whatever folds there are."""
    names = [c.name for c in paper.cells(paper.Config(only=("figure8",), folds=(1, 2)))]
    assert names == ["semantic/S2-base/fold1-seed0", "semantic/late-both/fold1-seed0"]
    flow = paper.cells(paper.Config(only=("figure6",), folds=(3,), seeds=(4,), epochs=9))
    assert [c.name for c in flow] == [
        f"gradient_flow/{x}-fold3-seed4" for x in ("base", "auxiliary")
    ]
    for c in flow:
        given = tyro.cli(gradient_flow.Config, args=[*c.command[1:], "--out", "x.json"])
        assert (given.fold, given.seed, given.epochs) == (3, 4, 9)


def test_models_of_images_with_all_modalities_fit_a_gpu(tmp_path):
    given = (factory.make_pixel_set(tmp_path / "pixels"), tmp_path)
    for c in paper.cells(paper.Config(data=given, only=("table1", "table2", "table3"))):
        several = any(scheme in c.name for scheme in ("/mid-", "/late-", "/decision-"))
        assert ("--remat" in c.command) == (several and not c.name.startswith("parcel/"))


def test_a_shard_ends_well_when_its_own_part_is_done(tmp_path, monkeypatch):
    """What other machines do does not count."""
    ran = []

    def run(self, *, shard, **_):
        ran.extend(shard.of(list(self.cells.values())))

    monkeypatch.setattr(Cells, "run", run)
    monkeypatch.setattr(Cells, "status", lambda self, c: "done" if c in ran else "missing")
    monkeypatch.setattr(paper, "prepare", lambda *_: None)
    config = paper.Config(only=("table1",), shard="0/2", out=tmp_path / "out")
    assert paper.run(config)
    assert len(ran) == 10
    ran.clear()
    monkeypatch.setattr(Cells, "run", lambda self, **_: None)
    assert not paper.run(config)


def test_what_is_there_is_drawn_and_what_was_is_not(tmp_path, capsys):
    """The rest is told, and earlier pictures of these parts do not stay."""
    parts, folder = ("figure6", "figure7", "attention"), tmp_path / "figures"
    names = [
        "figures/figure7.png",
        "figures/figure8.png",
        "gradient_flow/auxiliary-fold2-seed4.png",
    ]
    names += [f"attention/parcel-late-both-fold{fold}-seed4_S2.png" for fold in (1, 2)]
    for name in names:
        picture = tmp_path / name
        picture.parent.mkdir(exist_ok=True)
        picture.write_text(name)
    paper.draw(paper.Config(only=parts, folds=(2, 1), seeds=(4,), out=tmp_path))
    assert {picture.name: picture.read_text().split("/")[0] for picture in folder.iterdir()} == {
        "figure6-fold2-seed4.png": "gradient_flow",
        "figure8.png": "figures",
        "attention-parcel-late-both-fold2-seed4_S2.png": "attention",
    }
    assert "not drawn: " in capsys.readouterr().out


def test_statistics_are_computed_where_there_are_none(tmp_path):
    """Of the data that are prepared, and in every command that reads data."""
    root = factory.make_pixel_set(tmp_path / "pixels")
    for file in root.glob("NORM*"):
        file.unlink()
    given = {"data": (root,), "only": ("table1", "figure6"), "cache_dir": tmp_path / "cache"}
    config = paper.Config(**given)
    refused_in_a_line(lambda: paper.prepare(config, paper.cells(config)), "`compute_statistics`")
    config = paper.Config(**given, compute_statistics=True)
    wanted = paper.cells(config)
    paper.prepare(config, wanted)
    assert all("--compute-statistics" in c.command for c in wanted)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"folds": ()}, "--folds"),
        ({"seeds": (1, 1)}, "--seeds"),
        ({"seeds": (0, -1)}, "--seeds"),
        ({"epochs": 0}, "--epochs"),
        ({"smoke": True, "epochs": 3}, "--smoke"),
        ({"data": ("missing",)}, "no such folder"),
        ({"data": ("pixels",)}, "patches"),
        ({"data": ("pixels", "pixels")}, "pixel sets too"),
    ],
)
def test_mistakes(arguments, words, tmp_path):
    factory.make_pixel_set(tmp_path / "pixels")
    folders = tuple(tmp_path / name for name in arguments.get("data", ()))
    config = paper.Config(**{**arguments, "data": folders}, out=tmp_path / "out")
    refused_in_a_line(lambda: paper.run(config), words)
    assert not (tmp_path / "out").exists()


@long
def test_cross_validation(tmp_path, monkeypatch, capsys):
    """Two folds, each in a process of its own; the sum of what they counted."""
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    root = factory.make_pixel_set(tmp_path / "set", parcels_per_fold=4, labels=(3,))
    flags = ["--data", str(root), "--cache-dir", str(tmp_path / "cache"), "--fusion", "single"]
    own = ["--task", "parcel", "--folds", "1", "3", "--out", str(tmp_path / "out")]
    flags += ["--epochs", "2", "--batch-size", "4", "--learning-rate", "0.05"]
    cross_validation.main([*own, *flags])
    summary = json.loads((tmp_path / "out" / "cross_validation.json").read_text())
    runs = [
        json.loads((tmp_path / "out" / f"fold{fold}-seed0" / "result.json").read_text())
        for fold in (1, 3)
    ]
    assert [run["fold"] for run in runs] == [1, 3]
    hits = sum(run["confusion"][i][i] for run in runs for i in range(18))
    assert hits > 0
    assert summary["pooled"]["0"]["OA"] == pytest.approx(hits / 8)
    assert summary["over_runs"]["OA"]["mean"] == pytest.approx(
        sum(run["test"]["OA"] for run in runs) / 2
    )
    printed = capsys.readouterr().out
    assert "folds summed" in printed
    assert "mean over runs" in printed
    assert "mean over seeds" not in printed  # There is one.
    for wrong, named in (
        (["--fusion", "single", "--auxiliary"], "--auxiliary"),
        (["--fold", "2"], "--fold"),
        (["--shard", "0/2", "--out", "None"], "--shard"),
    ):
        with pytest.raises(SystemExit) as caught:
            cross_validation.main([*own, "--data", str(root), *wrong])
        assert caught.value.code == 2
        assert named in capsys.readouterr().err
