"""Scores of models by the share of optical dates removed (paper, Figure 7)."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pastis_jax.viz.curves import row_labels, save

MODEL_COLOURS = {
    "S2": "#000000",
    "S1D": "#5e5e5e",
    "S1A": "#a6a6a6",
    "early": "#cc79a7",
    "mid": "#e69f00",
    "late": "#0072b2",
    "decision": "#009e73",
}
"""Single modalities are grey, the schemes have colours that colour-blind readers tell apart."""
OTHER_COLOURS = ("#d55e00", "#56b4e9", "#8c564b", "#bcbd22", "#9467bd")
"""Of other models, in the order of their names."""
ENHANCEMENT_STYLES = {
    "base": ("base", "-"),
    "temporal_dropout": ("temporal dropout", (0, (6, 2))),
    "auxiliary": ("auxiliary supervision", (0, (1, 1.3))),
    "both": ("both", (0, (6, 1.5, 1, 1.5))),
}
"""How it is called, and its dashes."""


@dataclasses.dataclass(frozen=True)
class CloudCurve:
    """Scores of a model.

    Attributes:
      model: Its name; those of the paper are the keys of `MODEL_COLOURS`.
      enhancement: A key of `ENHANCEMENT_STYLES`.
      ratios: Shares removed, 0 to 1.
      scores: At each of them, fractions of all draws, folds and seeds.
    """

    model: str
    enhancement: str
    ratios: Sequence[float]
    scores: Sequence[np.ndarray]


@dataclasses.dataclass(frozen=True)
class CloudPanel:
    """The models of one task under one kind of removal.

    Attributes:
      title: Its title.
      score: Name of the score.
      curves: Of the models.
    """

    title: str
    score: str
    curves: Sequence[CloudCurve]


def cloud_cover(
    panels: Sequence[Sequence[CloudPanel]], path: str | os.PathLike[str], *, title: str = ""
) -> None:
    """Draws means, and bands of a standard deviation, in points; panels of a row share an axis.

    Args:
      panels: Rows of panels.
      path: PNG to write.
      title: Of all.
    """
    curves = [curve for row in panels for panel in row for curve in panel.curves]
    colours = _colours(curve.model for curve in curves)
    columns = max(map(len, panels))
    figure = Figure(figsize=(5.2 * columns + 2.2, 4.4 * len(panels) + 0.6), layout="constrained")
    grid = figure.subplots(len(panels), columns, squeeze=False, sharex=True, sharey="row")
    for row, axes_of_row in zip(panels, grid, strict=True):
        for axes in axes_of_row[len(row) :]:
            axes.remove()
        for panel, axes in zip(row, axes_of_row, strict=False):
            _draw(panel, axes, colours)
        axes_of_row[0].set_ylim(bottom=max(0, axes_of_row[0].get_ylim()[0]))
        axes_of_row[0].set_ylabel(f"{row[0].score}, points")
    for axes in grid[-1]:
        axes.set_xlabel("optical dates removed (%)")
    figure.legend(
        handles=_legend(curves, colours), loc="outside right upper", frameon=False, fontsize=9
    )
    figure.suptitle(title, fontsize=12)
    save(figure, path)


def _colours(models: Iterable[str]) -> dict[str, str]:
    """The colours of these models, the paper's first."""
    models = {*models}
    others = dict(zip(sorted(models - MODEL_COLOURS.keys()), itertools.cycle(OTHER_COLOURS)))
    return {model: c for model, c in (MODEL_COLOURS | others).items() if model in models}


def _draw(panel, axes, colours):
    for curve in sorted(panel.curves, key=lambda curve: [*colours].index(curve.model)):
        colour, (_, dashes) = colours[curve.model], ENHANCEMENT_STYLES[curve.enhancement]
        removed = 100 * np.asarray(curve.ratios)
        mean, spread = (100 * np.array([f(x) for x in curve.scores]) for f in (np.mean, np.std))
        axes.fill_between(removed, mean - spread, mean + spread, color=colour, alpha=0.12, lw=0)
        width = 1.1 if curve.enhancement == "base" else 1.7
        # Over the axis, where a score is 0.
        seen = {"clip_on": False, "zorder": 3}
        axes.plot(removed, mean, color=colour, linestyle=dashes, linewidth=width, **seen)
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlim(0, 100)
    axes.tick_params(labelbottom=True)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(curves, colours):
    """What colours and dashes mean, of those that occur."""
    enhancements = {curve.enhancement for curve in curves}
    handles = [
        Line2D([], [], color=colour, linewidth=3, label=name)
        for name, colour in zip(row_labels(colours), colours.values(), strict=True)
    ]
    handles.append(Line2D([], [], color="none", label=""))
    handles += [
        Line2D([], [], color=MODEL_COLOURS["S1D"], linestyle=dashes, label=name)
        for key, (name, dashes) in ENHANCEMENT_STYLES.items()
        if key in enhancements
    ]
    return handles
