"""Pictures of scores: learning curves, confusion matrix, IoU and PQ per class."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from pastis_jax.files import whole
from pastis_jax.text import plain

GOLD, INK, GREY = "#c8901a", "#20507a", "#8a8a8a"
_LABEL, _LINE = 40, 100
"""Characters of the label of a row, and of a line of any text."""


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a figure as PNG, 120 dots per inch, as a whole or not at all.

    Texts are shown as they are: names come from data, and a dollar sign in one begins no formula.

    Raises:
      OSError: If it cannot be written, naming `path`.
    """
    with matplotlib.rc_context({"text.parse_math": False}):  # of ticks that are made meanwhile
        for text in figure.findobj(Text):
            text.set_parse_math(False)
            text.set_text("\n".join(plain(line, _LINE) for line in text.get_text().split("\n")))
        with whole(path) as file:
            figure.savefig(file, format="png", dpi=120, bbox_inches="tight")


def row_labels(names: Iterable[str]) -> list[str]:
    """Names as labels of rows, cut where they are too long for one."""
    return [plain(name, _LABEL) for name in names]


def learning_curves(metrics: pathlib.Path, path: pathlib.Path, *, score: str = "mIoU") -> None:
    """Draws loss and score of train and validation over epochs.

    Args:
      metrics: The run's metrics.jsonl.
      path: PNG to write.
      score: Name of the score; a split that has none is left out.
    """
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    epochs = [line["epoch"] for line in lines]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for axes, name in ((losses, "loss"), (scores, score)):
        for split, colour in (("train", GREY), ("val", INK)):
            if name in lines[0][split]:
                values = np.array([line[split][name] for line in lines], float)  # null is NaN
                axes.plot(epochs, values, color=colour, marker="o", markersize=3, label=split)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        if len(epochs) == 1:
            axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    if scored := [line for line in lines if line["val"][score] is not None]:
        best = max(scored, key=lambda line: line["val"][score])["epoch"]
        scores.axvline(best, color=GOLD, linewidth=1, label=f"best: epoch {best}")
    scores.set_ylim(0, 1)
    scores.legend(frameon=False)
    save(figure, path)


def confusion_matrix(counts: np.ndarray, names: Sequence[str], path: pathlib.Path) -> None:
    """Draws the confusion matrix, each row (a true class) in percent.

    Args:
      counts: ``k k``, rows are the truth.
      names: Class names.
      path: PNG to write.
    """
    support = counts.sum(1)
    percent = 100.0 * counts / np.maximum(support[:, None], 1)  # floats: pixels overflow int32
    k = len(names)
    names = row_labels(names)
    rows = [f"{n} ({int(s):,})" for n, s in zip(names, support, strict=True)]
    beside, below = (0.085 * max(map(len, texts)) for texts in (rows, names))
    size = 0.42 * k + max(3, 1.2 + beside), 0.42 * k + max(2.2, 0.6 + below)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(percent, cmap="cividis", vmin=0, vmax=100)
    axes.set_xticks(range(k), names, rotation=60, ha="right")
    axes.set_yticks(range(k), rows)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (number of samples)")
    for i, j in zip(*np.nonzero(percent >= 0.5), strict=True):
        colour = "black" if percent[i, j] > 55 else "white"
        text = f"{percent[i, j]:.0f}"
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=7)
    figure.colorbar(picture, ax=axes, label="% of the true class", shrink=0.7)
    save(figure, path)


def iou_per_class(
    iou: np.ndarray,
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    path: pathlib.Path,
) -> None:
    """Draws the IoU of each class as a bar in its official colour, sorted; absent classes last.

    Args:
      iou: ``k``, NaN for a class that is absent.
      names: Class names.
      colours: Official colours, 0 to 255.
      path: PNG to write.
    """
    texts = [f"{value:.2f}" for value in iou]
    _sorted_bars(iou, texts, names, colours, path, name="IoU", mean_name="mIoU")


def pq_per_class(
    scores: Mapping[str, np.ndarray],
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    path: pathlib.Path,
) -> None:
    """Draws the PQ of each class of things as `iou_per_class` does, and the SQ and RQ it is of.

    Args:
      scores: `SQ`, `RQ` and `PQ`, ``k`` each, NaN for a class that is absent, as
        `PanopticQuality.compute` returns them `per_class`. Class 0, the background, is left out.
      names: Class names, ``k``.
      colours: Official colours, 0 to 255.
      path: PNG to write.
    """
    pq, sq, rq = (scores[name][1:] for name in ("PQ", "SQ", "RQ"))
    texts = [f"{p:.2f}  (SQ {s:.2f}, RQ {r:.2f})" for p, s, r in zip(pq, sq, rq, strict=True)]
    _sorted_bars(pq, texts, names[1:], colours[1:], path, name="PQ", mean_name="PQ")


def _sorted_bars(values, texts, names, colours, path, *, name, mean_name):
    """Draws one bar per class, NaN as absent, with a line at the mean of the others."""
    order = np.argsort(np.where(np.isnan(values), -1, values))
    mean = np.nanmean(values) if np.any(~np.isnan(values)) else 0.0
    figure = Figure(figsize=(7, 0.3 * len(names) + 1), layout="constrained")
    axes = figure.subplots()
    plain = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # over the line of the mean
    for row, i in enumerate(order):
        colour = np.array(colours[i]) / 255
        value = 0.0 if np.isnan(values[i]) else values[i]
        axes.barh(row, value, color=colour, edgecolor=INK, linewidth=0.5)
        text = "absent" if np.isnan(values[i]) else texts[i]
        axes.text(value + 0.01, row, text, va="center", fontsize=8, bbox=plain)
    axes.axvline(mean, color=GOLD, linewidth=1.5, zorder=0)
    axes.set_title(f"{mean_name} {mean:.3f}", color=GOLD, fontsize=10)
    axes.set_yticks(range(len(names)), row_labels([names[i] for i in order]))
    axes.set_xlim(0, 1.08)
    axes.set_xlabel(name)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
