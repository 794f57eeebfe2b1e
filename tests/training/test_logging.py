"""The folder of a run: what it holds, what it is refused for."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import warnings
from functools import partial

import pytest
from disk import full_disk
from refusal import refused_in_a_line

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
        "`epochs` 3, now 4",
        "`crop` unset, now 0",
        "`widths` 8 8, now 8 4",
        "`flips` off, now on",
        "`overwrite`",
    ):
        assert part in str(caught.value)
    assert "`fusion`" not in str(caught.value)
    with pytest.raises(UserError, match="of another kind"):
        open_run({**CONFIG, "pixels": 3})


def test_a_run_goes_on_with_data_that_were_moved(tmp_path):
    """By what they hold, until it is finished; other data are refused."""

    def open_run(place):
        config = {"data": place, "epochs": 2}
        return training.RunFolder(tmp_path / "run", config, places=("data",))

    def place():
        return json.loads((tmp_path / "run/config.json").read_text())["data"]

    folder = open_run("/first")
    folder.begin({"labels": "1"})
    folder.close()
    folder = open_run("/second")
    assert folder.continues
    folder.begin({"labels": "1"})
    folder.close()
    assert place() == "/second"
    folder = open_run("/third")
    refused_in_a_line(partial(folder.begin, {"labels": "2"}), "data of this run have changed")
    assert place() == "/second"
    (tmp_path / "run/result.json").write_text("{}")
    assert open_run("/second").result == {}
    refused_in_a_line(partial(open_run, "/third"), "other settings (`data` /second, now /third)")


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
    (path / ".lock").touch()  # A run that was killed has left it.
    run.begin()
    run.close()
    assert {file.name for file in path.iterdir()} == {"data.json", "config.json"}
    assert json.loads((path / "config.json").read_text())["epochs"] == 9


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"fus',
        "[]",
        "null",
        "5",
        "\ud800",
        "{" * 10**5,
        '{"a":' * 999 + "1" + "}" * 999,
        b"\xff",
    ],
    ids=range(9),
)
@pytest.mark.parametrize("name", ["config.json", "result.json", "data.json"])
def test_a_damaged_file_of_a_run_ends_in_a_line(tmp_path, name, content):
    """Nothing recommends what is then refused, and nothing is deleted."""
    run = training.RunFolder(tmp_path, CONFIG)
    run.begin({"labels": "1"})
    run.close()
    encoded = content if isinstance(content, bytes) else content.encode(errors="surrogatepass")
    (tmp_path / name).write_bytes(encoded)
    begin = partial(_begin, tmp_path)
    if name == "config.json":
        for overwrite in (False, True):
            refused_in_a_line(partial(begin, overwrite), name, "cannot be read", "another `out`")
        assert (tmp_path / name).read_bytes() == encoded
    else:
        words = ("delete it",) if name == "result.json" else ("`overwrite`",)
        refused_in_a_line(partial(begin, False), name, "cannot be read", *words)
        begin(True)


def _begin(path, overwrite):
    run = training.RunFolder(path, CONFIG, overwrite=overwrite)
    try:
        run.begin({"labels": "1"})
    finally:
        run.close()


def test_what_overwrite_would_refuse_is_not_told_to_be_overwritten(tmp_path):
    (tmp_path / "config.json").write_text('{"epochs": 3, "model_type": "llama"}')
    with pytest.raises(UserError, match="of another kind") as caught:
        training.RunFolder(tmp_path, CONFIG)
    assert "`overwrite`" not in str(caught.value)


def test_links_in_the_folder_of_a_run_lead_nowhere(tmp_path):
    """Files take the place of links; a folder that is one is refused; nothing outside changes."""
    outside, path = tmp_path / "outside", tmp_path / "run"
    (outside / "checkpoints").mkdir(parents=True)
    names = ("config.json", "data.json", "metrics.jsonl", "result.json", "run.json", "weights.npz")
    for name in (*names, ".lock", "config.partial"):
        (outside / name).write_text("precious")
    path.mkdir()
    for name in ("data.json", "config.partial"):
        (path / name).symlink_to(outside / name)
    run = training.RunFolder(path, CONFIG)
    run.begin()
    for name in ("metrics.jsonl", "result.json"):
        (path / name).symlink_to(outside / name)
    with pytest.raises(OSError, match="metrics"):
        run.log(epoch=1)
    run.restart_log([{"epoch": 1}])
    run.log(epoch=2)
    run.write("result.json", {"mIoU": 0.5})
    run.close()
    for name in ("run.json", "weights.npz"):
        (path / name).symlink_to(outside / name)
    training.write_json(path / "run.json", {})
    training.write_arrays(path / "weights.npz", {})
    assert not [name for name in names if (path / name).is_symlink()]
    (path / "checkpoints").symlink_to(outside / "checkpoints")
    refused_in_a_line(training.RunFolder(path, CONFIG).begin, "checkpoints", "a link")
    anew = training.RunFolder(path, CONFIG, overwrite=True)
    (path / "checkpoints").unlink()
    (path / ".lock").symlink_to(outside / ".lock")
    refused_in_a_line(anew.begin, ".lock", "cannot lock")
    contents = {x.name: x.read_text() for x in outside.iterdir() if x.is_file()}
    assert set(contents.values()) == {"precious"}
    assert not list((outside / "checkpoints").iterdir())


def test_processes_of_one_run_are_given_the_same(tmp_path, monkeypatch):
    other = json.dumps({**CONFIG, "epochs": 4, "out": "b"})
    monkeypatch.setattr(training.logging, "to_main", lambda text: [text, text, other])
    with pytest.raises(UserError, match=r"process 2 .* \(`epochs` 3, now 4\)"):
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


AT_THE_RUN = """
import sys, time
from pastis_jax import training
training.RunFolder(sys.argv[1], {"seed": 0}).begin()
print("begun", flush=True)
time.sleep(60)
"""


def test_who_is_killed_holds_a_run_no_longer(tmp_path):
    command = [sys.executable, "-c", AT_THE_RUN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            with pytest.raises(UserError, match="another process is at this run"):
                training.RunFolder(tmp_path, {"seed": 0}).begin()
        finally:
            process.kill()
    assert {file.name for file in tmp_path.iterdir()} == {".lock", "data.json", "config.json"}
    for overwrite in (False, True):
        run = training.RunFolder(tmp_path, {"seed": 0}, overwrite=overwrite)
        assert run.continues is not overwrite
        run.begin()
        run.close()
        assert {file.name for file in tmp_path.iterdir()} == {"data.json", "config.json"}
    # One that was killed before it wrote anything.
    (tmp_path / "config.json").rename(tmp_path / ".lock")
    assert not training.RunFolder(tmp_path, {"seed": 0}).continues


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    run = training.RunFolder(tmp_path / "run", CONFIG)
    monkeypatch.setattr("fcntl.flock", flock)
    words = [os.strerror(number), ".lock", "`out`"]
    refused_in_a_line(run.begin, *words)
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_child_that_ends_leaves_the_run_to_its_parent(tmp_path):
    """A worker that reads data, say, knows the folder, and does not hold it."""
    run, other = (training.RunFolder(tmp_path, CONFIG) for _ in range(2))
    run.begin()
    with warnings.catch_warnings(action="ignore"):  # JAX warns of forks; this child does nothing.
        child = os.fork()
    if child == 0:
        try:
            del run
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(UserError, match="another process is at this run"):
        other.begin()


@pytest.mark.parametrize("left", ["data.partial", "data.json", "config.partial"])
def test_a_run_killed_while_it_began_is_begun_again(tmp_path, left):
    (tmp_path / left).write_text('{"fus')
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


def test_what_a_killed_run_was_writing_goes_when_it_continues(tmp_path):
    """A picture half written under a name drawn by chance, say, which nothing else overwrites."""
    first = training.RunFolder(tmp_path / "run", CONFIG)
    first.begin()
    first.close()
    (tmp_path / "run" / "checkpoints").mkdir()
    names = "confusion_matrix.png.4036994a.partial", "checkpoints/a.0123abcd.partial"
    left = [tmp_path / "run" / name for name in names]
    for file in left:
        file.write_bytes(b"half")
    again = training.RunFolder(tmp_path / "run", CONFIG)
    assert again.continues
    assert all(file.exists() for file in left), "as long as it is only looked at"
    again.begin()
    again.close()
    assert not any(file.exists() for file in left)
