"""Picture of the gradient flow (Figure 6 of the paper)."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pastis_jax.text import plain
from pastis_jax.viz.curves import GREY, INK, row_labels, save

SHARED = "shared"
"""Name of what modalities share."""
MODALITY_COLOURS = {"S2": "#2f7d3b", "S1A": "#1f6fb4", "S1D": "#d07a1f"}
OTHER_COLOURS = ("#8e4585", "#008080", "#a0522d", "#556b2f", "#b03060")
"""Of modalities of other datasets, in their order."""
LIGHTER = {"PSE": 0.0, "L-TAE": 0.35, "decoder": 0.65}


def gradient_flow(
    panels: Sequence[tuple[str, Mapping[str, Mapping[str, np.ndarray]]]], path: pathlib.Path
) -> None:
    """Draws each module's share of what all together move the objective by, stacked by epoch.

    Each epoch is as wide as its place on the axis. Modules of a modality have shades of a colour.
    What has a negative flow, and so raises the objective, hangs below zero; what has none in any
    epoch is left out.

    Args:
      panels: Title and flow of each run, from top to bottom; the flow by modality (or SHARED) and
        part, one value for each epoch.
      path: PNG to write.
    """
    figure = Figure(figsize=(7.5, 2.9 * len(panels)), layout="constrained")
    legend, colours = {}, _colours(name for _, flow in panels for name in flow)
    rows = figure.subplots(len(panels), squeeze=False)[:, 0]
    for axes, (title, flow) in zip(rows, panels, strict=True):
        modules = {
            (name, part): values
            for name, parts in flow.items()
            for part, values in parts.items()
            if np.any(values != 0)
        }
        shades = {module: _shade(colours, *module) for module in modules}
        if modules:
            _stack(axes, modules, list(shades.values()))
        else:
            axes.text(0.5, 0.5, "no flow", transform=axes.transAxes, ha="center", color=GREY)
        legend |= {_label(*module): shades[module] for module in reversed(modules)}
        axes.set_title(plain(title, 90), color=INK, fontsize=10, loc="left")
        axes.set_ylabel("share of the flow")
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    rows[-1].set_xlabel("epoch")
    texts = row_labels(legend)
    handles = [Patch(color=c, label=text) for text, c in zip(texts, legend.values(), strict=True)]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
    save(figure, path)


def _colours(names: Iterable[str]) -> dict[str, str]:
    """The colours of these modalities."""
    others = [name for name in dict.fromkeys(names) if name not in {SHARED, *MODALITY_COLOURS}]
    return MODALITY_COLOURS | dict(zip(others, itertools.cycle(OTHER_COLOURS)))


def _stack(axes, modules, colours) -> None:
    """Stacks shares of what all modules move, those that raise the objective downwards."""
    shares = np.array(list(modules.values()))
    shares = shares / np.abs(shares).sum(0)
    epochs = np.arange(shares.shape[1] + 1)
    shares = np.concatenate([shares, shares[:, -1:]], 1)  # the end of the last epoch
    style = {"colors": colours, "step": "post", "linewidth": 0}
    axes.stackplot(epochs, np.maximum(shares, 0), **style)
    if (shares < 0).any():
        axes.stackplot(epochs, np.minimum(shares, 0), **style)
        axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xlim(0, epochs[-1])
    axes.set_ylim(np.minimum(shares, 0).sum(0).min(), np.maximum(shares, 0).sum(0).max())


def _label(name: str, part: str) -> str:
    return f"{part}, {name}" if name == SHARED else f"{part} {name}"


def _shade(colours: Mapping[str, str], name: str, part: str) -> tuple[float, ...]:
    colour = np.array(to_rgb(colours.get(name, GREY)))
    return tuple(colour + (1 - colour) * LIGHTER.get(part, 0.8) * (name != SHARED))
