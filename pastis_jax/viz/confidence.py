"""The reliability diagram: how often what is said with a confidence is right."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pastis_jax.viz.curves import GOLD, GREY, INK, save


def reliability(calibration: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Draws accuracy by confidence, before and after the temperature, above how often each occurs.

    Args:
      calibration: `before` and `after`, each with the bins' `count`, `confidence` and `accuracy`
        (None or NaN for an empty one), `ECE` and `NLL`; `temperature`, and what is counted, `of`.
      path: PNG to write.
    """
    temperature = calibration["temperature"]
    columns = {"the model's own probabilities": calibration["before"]}
    if temperature != 1:
        columns[f"at temperature {temperature:.2f}"] = calibration["after"]
    figure = Figure(figsize=(4.2 * len(columns) + 0.4, 5.2), layout="constrained")
    grid = figure.subplots(
        2, len(columns), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1)
    )
    figure.get_layout_engine().set(wspace=0.08)  # the last percentage, and the next one's first
    for number, (title, bins) in enumerate(columns.items()):
        upper, lower = grid[:, number]
        _diagram(upper, bins)
        upper.set_title(f"{title}\n{_scores(bins)}", fontsize=10)
        _histogram(lower, bins)
        lower.set_xlabel("confidence: probability of the likeliest class")
    grid[0, 0].set_ylabel("share that is right")
    grid[1, 0].set_ylabel(f"share of the\n{calibration['of']}")
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    save(figure, path)


def _scores(bins: Mapping[str, Any]) -> str:
    if bins["ECE"] is None or not np.isfinite(bins["ECE"]):
        return "nothing to count"
    return f"ECE {bins['ECE']:.3f}, NLL {bins['NLL']:.3f}"


def _diagram(axes: Axes, bins: Mapping[str, Any]) -> None:
    """Bars of accuracy; a gold part for what confidence promises above that, hatched below it."""
    accuracy, confidence = (np.array(bins[name], float) for name in ("accuracy", "confidence"))
    number = len(accuracy)
    middle, width = (np.arange(number) + 0.5) / number, 0.92 / number
    axes.bar(middle, accuracy, width, color=INK, label="right")
    lower, gap = np.fmin(accuracy, confidence), np.abs(confidence - accuracy)
    axes.bar(
        *(middle, gap, width, lower),
        facecolor=(*_rgb(GOLD), 0.35),
        edgecolor=GOLD,
        linewidth=0.8,
        hatch="////",
        label="gap to the mean confidence",
    )
    axes.plot((0, 1), (0, 1), color=GREY, linestyle="--", linewidth=1, label="as it should be")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    axes.spines[["top", "right"]].set_visible(False)


def _histogram(axes: Axes, bins: Mapping[str, Any]) -> None:
    count = np.array(bins["count"], float)
    middle = (np.arange(len(count)) + 0.5) / len(count)
    axes.bar(middle, count / max(count.sum(), 1), 0.92 / len(count), color=GREY)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.text(
        *(0.03, 0.8, f"{int(count.sum()):,}"), transform=axes.transAxes, fontsize=8, color=INK
    )


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
