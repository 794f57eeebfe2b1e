"""Pictures of what data may hold: names that mean something to matplotlib, and nothing but void."""

from __future__ import annotations

import datetime
import json

import drawn
import numpy as np
import pytest
from disk import full_disk

from experiments.paper import pictures
from pastis_jax import viz
from pastis_jax.viz import curves, inspection

NAMES = [r"$\frac$", "[/x]", "a\udce9b", "a$x_1$b <b>", "w" * 200, "\x1b[2J\nb"]
COLOURS = [(i * 40, 100, 200) for i in range(6)]
TITLE = r"my$\frac$[/x]" + "\udce9" + "n" * 240
VOID = np.full((8, 8), 6)
NOTHING = np.zeros((8, 8), int)
SEEN = {TITLE: np.zeros((8, 8, 3))}
NAN = np.full(6, np.nan)
STARTS = [datetime.date(2019, 1, 1) + datetime.timedelta(10 * i) for i in range(4)]

figure_of = drawn.fixture(curves)


def panoptic(path):
    row = viz.PanopticRow(
        TITLE, SEEN, np.zeros((8, 8)), np.zeros((0, 2)), NOTHING, NOTHING, NOTHING + 1, VOID
    )
    viz.panoptic_panel([row], NAMES, COLOURS, path, title=TITLE)


def compared(path):
    void = pictures.ClassMap(VOID, NOTHING)
    row = pictures.ComparisonRow(TITLE, SEEN, {TITLE: void, "truth": void}, {TITLE: TITLE}, [])
    pictures.comparison_panel([row], NAMES, COLOURS, path, title=TITLE, gained=TITLE, lost="b")


def learnt(path):
    lost = {"loss": None, "mIoU": None}
    lines = [json.dumps({"epoch": epoch, "train": lost, "val": lost}) for epoch in (1, 2)]
    (path.parent / "metrics.jsonl").write_text("\n".join(lines))
    viz.learning_curves(path.parent / "metrics.jsonl", path)


def attended(path):
    nothing = {TITLE: np.full((6, 4), np.nan)}
    dates = {TITLE: np.zeros(4)}
    pictures.attention_calendar(
        nothing, dates, curves.row_labels(NAMES), STARTS, path, days=10, title=TITLE
    )


def clouds(path):
    lost = [np.array([np.nan])] * 2
    curve = pictures.CloudCurve(TITLE, "base", [0, 1], lost)
    pictures.cloud_cover([[pictures.CloudPanel("x$^$", "mIoU", [curve])]], path, title=TITLE)


PICTURES = {
    "confusion": lambda path: viz.confusion_matrix(np.zeros((6, 6)), NAMES, path),
    "iou": lambda path: viz.iou_per_class(NAN, NAMES, COLOURS, path),
    "pq": lambda path: viz.pq_per_class(
        dict.fromkeys(("SQ", "RQ", "PQ"), NAN), NAMES, COLOURS, path
    ),
    "learning": learnt,
    "segmentation": lambda path: viz.segmentation_panel(
        [viz.PanelRow(TITLE, SEEN, VOID, VOID)], NAMES, COLOURS, path, title=TITLE
    ),
    "panoptic": panoptic,
    "attention": attended,
    "by class": lambda path: pictures.compare_per_class(
        {"a$": NAN[None], TITLE: NAN[None]}, NAMES, COLOURS, path, score="IoU", title=TITLE
    ),
    "comparison": compared,
    "clouds": clouds,
    "no flow": lambda path: pictures.gradient_flow([(TITLE, {TITLE: {"PSE": np.zeros(3)}})], path),
    "flow": lambda path: pictures.gradient_flow([(TITLE, {TITLE: {"PSE": np.ones(3)}})], path),
    "validation": lambda path: pictures.validation_curves(
        {TITLE: {"base": [[None, None]]}}, path, score="mIoU"
    ),
    "months": lambda path: inspection.months({TITLE: {}}, 0, path),
}


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_hostile_names_and_nothing_but_void_are_drawn(draw, tmp_path):
    draw(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("*.partial"))


def test_texts_are_shown_as_they_are(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(
        curves.Figure,
        "savefig",
        lambda figure, file, **_: shown.extend(figure.findobj(curves.Text)),
    )
    viz.iou_per_class(np.linspace(0, 1, 6), NAMES, COLOURS, tmp_path / "picture.png")
    texts = {text.get_text() for text in shown}
    expected = [r"$\frac$", "[/x]", r"a\udce9b", "a$x_1$b <b>", "w" * 39 + "…", r"\x1b[2J\nb"]
    assert {*expected} <= texts
    assert not any(text.get_parse_math() for text in shown)


def test_a_full_disk_names_the_picture_and_leaves_the_old_one(tmp_path):
    path = tmp_path / "iou.png"
    path.write_text("old")
    with full_disk(100), pytest.raises(OSError, match="large") as caught:
        viz.iou_per_class(np.ones(6), NAMES, COLOURS, path)
    assert str(path) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["iou.png"]
    assert path.read_text() == "old"
