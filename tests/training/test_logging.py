"""The folder of a run: what it holds, what it is refused for."""

from __future__ import annotations

import json
from functools import partial

import pytest
from disk import full_disk

from pastis_jax import training
from pastis_jax.errors import UserError

CONFIG = {"fusion": "mid", "epochs": 3, "crop": None, "widths": (8, 8), "flips": False, "out": "a"}


def test_a_run_of_other_settings_is_refused_by_name(tmp_path):
    open_run = partial(training.RunFolder, tmp_path / "run", may_differ=("out",))
    first = open_run(CONFIG)
    assert not first.continues
    first.begin()
    first.close()
    again = open_run({**CONFIG, "out": "b"})
    assert again.continues
    assert again.result is None
    again.write("result.json", {"mIoU": 0.5})
    assert open_run(CONFIG).result == {"mIoU": 0.5}
    other = {"epochs": 4, "crop": 0, "widths": (8, 4), "flips": True}
    with pytest.raises(UserError) as caught:
        open_run({**CONFIG, **other})
    for part in (
        "--epochs 3, now 4",
        "--crop unset, now 0",
        "--widths 8 8, now 8 4",
        "--flips off, now on",
        "--overwrite",
    ):
        assert part in str(caught.value)
    assert "--fusion" not in str(caught.value)
    with pytest.raises(UserError, match="of another kind"):
        open_run({**CONFIG, "pixels": 3})


def test_overwrite_deletes_a_run_and_nothing_else(tmp_path):
    path = tmp_path / "run"
    open_run = partial(training.RunFolder, path, overwrite=True)
    (path / "thesis").mkdir(parents=True)
    with pytest.raises(UserError, match="not empty"):
        open_run(CONFIG)
    (path / "config.json").write_text('{"epochs": 3, "model_type": "llama"}')
    with pytest.raises(UserError, match="is not of a run"):
        open_run(CONFIG)
    (path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(UserError, match=r"more than a run \(thesis\)"):
        open_run(CONFIG)
    (path / "thesis").rmdir()
    for name in ("result.json", "metrics.jsonl", "panel.png"):
        (path / name).write_text("{}")
    (path / "checkpoints" / "last-0001").mkdir(parents=True)
    run = open_run({**CONFIG, "epochs": 9})
    assert run.result is None
    assert (path / "result.json").exists()  # Nothing is deleted before the run begins.
    run.begin()
    assert [file.name for file in path.iterdir()] == ["config.json"]
    assert json.loads((path / "config.json").read_text())["epochs"] == 9


def test_processes_of_one_run_are_given_the_same(tmp_path, monkeypatch):
    other = json.dumps({**CONFIG, "epochs": 4, "out": "b"})
    monkeypatch.setattr(training.logging, "to_main", lambda text: [text, text, other])
    with pytest.raises(UserError, match=r"process 2 .* \(--epochs 3, now 4\)"):
        training.RunFolder(tmp_path, CONFIG, may_differ=("out",))


def test_two_processes_do_not_share_a_run(tmp_path):
    first, second = (training.RunFolder(tmp_path / "run", CONFIG) for _ in range(2))
    first.begin()
    with pytest.raises(UserError, match="another process is at this run"):
        second.begin()
    first.close()
    # What the second one saw when it was started is no longer true.
    with pytest.raises(UserError, match="another run has been here"):
        second.begin()
    third = training.RunFolder(tmp_path / "run", CONFIG)
    assert third.continues
    third.begin()


def test_a_run_killed_while_it_began_is_begun_again(tmp_path):
    (tmp_path / "config.partial").write_text('{"fus')
    run = training.RunFolder(tmp_path, CONFIG)
    run.begin()
    assert not run.continues
    assert json.loads((tmp_path / "config.json").read_text())["fusion"] == "mid"


def test_a_full_disk_under_a_file_names_it(tmp_path):
    folder, long = training.RunFolder(tmp_path), "x" * 100
    folder.write("result.json", {"old": 1})
    with full_disk(100):
        for name, write in (
            ("metrics.jsonl", lambda: folder.log(value=long)),
            ("metrics.jsonl", lambda: folder.restart_log([{"value": long}])),
            ("result.json", lambda: folder.write("result.json", {"value": long})),
        ):
            with pytest.raises(OSError, match="large") as caught:
                write()
            assert str(tmp_path / name) in str(caught.value)
    assert json.loads((tmp_path / "result.json").read_text()) == {"old": 1}
