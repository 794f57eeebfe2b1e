"""Figures 1 and 4: of any folder of patches, with its own units, channels and dates."""

from __future__ import annotations

import foreign
import numpy as np
import patch_factory
import pytest
from commands import exit_code

from experiments.paper import __main__ as paper
from experiments.paper import dataset_figures, pictures
from pastis_jax.data.patches.folder import PatchFolder


@pytest.fixture
def panels(monkeypatch):
    """What is drawn, by the name of the picture."""
    drawn = {}
    for name in ("dataset_panel", "series_panel"):
        whole = getattr(pictures, name)

        def draw(shown, *args, title, whole=whole, name=name):
            drawn[name] = (shown, title)
            whole(shown, *args, title=title)

        monkeypatch.setattr(pictures, name, draw)
    return drawn


def test_the_dataset_and_a_series(tmp_path, panels, capsys):
    root = patch_factory.make_patches(tmp_path / "set")
    out = tmp_path / "figures"
    dataset_figures.main(["--data", str(root), "--out", str(out), "--patches", "2", "--dates", "3"])
    assert {path.name for path in out.iterdir()} == {"figure1.png", "figure4.png"}
    folder = PatchFolder(root)
    shown, title = panels["dataset_panel"]
    patches = list(folder.patches.values())
    assert len({folder.patches[int(p.title.split()[1])].fold for p in shown}) == 2
    for name in folder.modalities:
        assert f"{sum(len(patch.days[name]) for patch in patches):,} images of {name}" in title
    patch, title = panels["series_panel"]
    assert patch.title == shown[0].title
    assert title.endswith(patch.title)
    days = {name: folder.patches[int(patch.title.split()[1])].days[name] for name in ("S2", "S1A")}
    for name, own in days.items():
        acquisitions = patch.acquisitions[f"{name}: {len(own)} acquisitions"]
        ends = [f"{folder.dataset.date(day):%d %b %Y}" for day in (own.min(), own.max())]
        assert [acquisitions[0].date, acquisitions[-1].date] == ends
        assert len(acquisitions) == min(3, len(own))
    assert np.array_equal(patch.truth.classes, shown[0].truth.classes)


def test_another_dataset_is_shown_by_its_own_channels(tmp_path, panels):
    root = foreign.make_patches(tmp_path / "set")
    dataset_figures.main(["--data", str(root), "--out", str(tmp_path / "out")])
    (first, *_), title = panels["dataset_panel"]
    assert [*first.acquisitions] == list(foreign.DATASET.names)
    assert title.startswith(foreign.DATASET.name)
    assert "simulated" not in title


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--patches", "0"], "--patches"),
        (["--dates", "0"], "--dates"),
        (["--data", "nowhere"], "nowhere"),
        (["--out", "/dev/null"], "--out"),
    ],
)
def test_mistakes_end_in_a_line(tmp_path, flags, words, capsys, monkeypatch):
    monkeypatch.setattr(dataset_figures.simulate, "default_patches", pytest.fail)
    given = ["--out", str(tmp_path / "out"), "--data", str(tmp_path), *flags]
    assert exit_code(lambda: dataset_figures.main(given)) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_paper_draws_them_without_any_run(tmp_path, monkeypatch):
    root, configs = patch_factory.make_patches(tmp_path / "set"), []
    monkeypatch.setattr(paper.dataset_figures, "run", configs.append)
    (tmp_path / "out/figures").mkdir(parents=True)
    for name in ("figure1.png", "figure10.png"):
        (tmp_path / "out/figures" / name).write_text("earlier")
    config = paper.Config(data=(root,), only=("figure1",), out=tmp_path / "out")
    assert paper.cells(config) == []
    assert paper.run(config)
    assert [(one.only, one.data) for one in configs] == [(("figure1",), root)]
    assert [path.name for path in (tmp_path / "out/figures").iterdir()] == ["figure10.png"]


@pytest.mark.parametrize("out", ["/dev/null", "file", "file/below"])
def test_an_out_that_cannot_be_is_refused_before_data_are_made(tmp_path, out, monkeypatch):
    (tmp_path / "file").write_text("mine")
    for name in ("default_small", "default_patches", "default_pixel_sets"):
        monkeypatch.setattr(paper.simulate, name, pytest.fail)
    given = ["--smoke", "--out", str(tmp_path / out)]
    assert exit_code(lambda: paper.main(given)) == 2
