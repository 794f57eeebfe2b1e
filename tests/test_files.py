"""Files written whole: all of the content or none of it, and never through a link."""

from __future__ import annotations

import os
import stat

import pytest
from disk import full_disk

from pastis_jax.errors import UserError
from pastis_jax.files import LEFT, whole, write_whole


def test_a_file_is_written_with_its_folder_and_the_rights_of_any_file(tmp_path):
    path = tmp_path / "a" / "b" / "Zürich.txt"
    write_whole(path, "naïve\n")
    assert path.read_bytes() == "naïve\n".encode()
    write_whole(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    (tmp_path / "plain").write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert os.listdir(path.parent) == ["Zürich.txt"]


def test_it_takes_its_name_last(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    with whole(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
        (beside,) = (p for p in tmp_path.iterdir() if p != path)
        assert beside.suffix == ".partial"
        assert list(tmp_path.glob(LEFT)) == [beside]
    assert path.read_text() == "new"


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path):
    path = tmp_path / "report.md"
    path.write_text("old")
    with full_disk(100), pytest.raises(OSError, match="large") as caught:
        write_whole(path, "x" * 1000)
    assert str(path) in str(caught.value)
    assert "partial" not in str(caught.value)
    assert caught.value.__notes__ == ["make room there, or write elsewhere"]
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.md"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_whatever_stops_the_writing_leaves_nothing(tmp_path, stop):
    def written():
        with whole(tmp_path / "picture.png") as file:
            file.write(b"half")
            raise stop

    with pytest.raises(stop):
        written()
    assert os.listdir(tmp_path) == []


def test_a_link_is_replaced_and_what_it_leads_to_is_left_alone(tmp_path):
    outside, path = tmp_path / "outside.txt", tmp_path / "out" / "report.html"
    outside.write_text("mine")
    path.parent.mkdir()
    path.symlink_to(outside)
    (path.parent / "report.html.partial").symlink_to(outside)
    (path.parent / "report.partial").symlink_to(outside)
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert not path.is_symlink()
    assert outside.read_text() == "mine"


def test_the_name_beside_it_is_not_to_be_foreseen(tmp_path, monkeypatch):
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda _: "ab")
    (tmp_path / "report.md.ab.partial").symlink_to(outside)
    with pytest.raises(FileExistsError, match=r"report\.md"):
        write_whole(tmp_path / "report.md", "new")
    assert outside.read_text() == "mine"
    assert (tmp_path / "report.md.ab.partial").is_symlink()


def test_a_long_name_is_no_hindrance(tmp_path):
    write_whole(tmp_path / ("ä" * 127), "new")
    assert (tmp_path / ("ä" * 127)).read_text() == "new"


def test_no_folder_or_device_is_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/null"):
        with pytest.raises(UserError, match="not a file"):
            write_whole(path, "new")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file'$"):
        write_whole(tmp_path / "file" / "report.md", "new")


def test_an_error_that_names_another_file_goes_on_naming_it(tmp_path):
    def written():
        with whole(tmp_path / "report.md") as file:
            file.write((tmp_path / "missing.txt").read_bytes())

    with pytest.raises(FileNotFoundError, match="missing"):
        written()
    assert os.listdir(tmp_path) == []
