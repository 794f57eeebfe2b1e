"""Picture of what is attended to over the calendar."""

from __future__ import annotations

import datetime
import math
import pathlib
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.dates import DateFormatter, MonthLocator, date2num
from matplotlib.figure import Figure

from pastis_jax.viz.curves import GREY, INK, save

# Heights in inches: a row, the strip of acquisitions, what else the figure needs.
_ROW, _STRIP, _REST = 0.165, 0.4, 0.9


def attention_calendar(
    attention: Mapping[str, np.ndarray],
    acquisitions: Mapping[str, np.ndarray],
    rows: Sequence[str],
    starts: Sequence[datetime.date],
    path: pathlib.Path,
    *,
    days: int,
    title: str,
) -> None:
    """Draws mean attention over the calendar: a block for each modality, with a row for each name.

    Above each block stand the acquisitions: where every date got the same attention, a row would
    follow them. Rows that are NaN are grey.

    Args:
      attention: By title of the block, ``r d``, share of the attention in each bin, 0 to 1.
      acquisitions: By title of the block, ``d``, mean number of dates of a sample in each bin.
      rows: Names of the rows, classes or heads.
      starts: First day of each bin, one after another.
      path: PNG to write.
      days: Days in a bin.
      title: What the run is.
    """
    block, count = _ROW * len(rows), len(attention)
    figure = Figure(figsize=(8, count * (block + _STRIP) + _REST), layout="constrained")
    axes = figure.subplots(2 * count, 1, sharex=True, height_ratios=[_STRIP, block] * count)
    edges = date2num([*starts, starts[-1] + datetime.timedelta(days)])
    seen = np.concatenate([values[np.isfinite(values)] for values in attention.values()])
    most = 100 * seen.max(initial=0) or 1
    most_dates = max(map(np.max, acquisitions.values())) or 1
    colours = colormaps["magma_r"].with_extremes(bad="0.85")
    for i, (block_title, values) in enumerate(attention.items()):
        strip, calendar = axes[2 * i : 2 * i + 2]
        strip.stairs(acquisitions[block_title], edges, color=GREY, fill=True)
        strip.set_ylim(0, 1.05 * most_dates)
        strip.set_yticks([0, math.ceil(most_dates)])
        strip.tick_params(labelsize=7, bottom=False)
        strip.set_ylabel("dates", fontsize=7)
        strip.spines[["top", "right"]].set_visible(False)
        strip.set_title(block_title, color=INK, fontsize=10, loc="left")
        picture = calendar.pcolormesh(
            edges, np.arange(len(rows) + 1), 100 * values, cmap=colours, vmin=0, vmax=most
        )
        calendar.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=7)
        calendar.set_ylim(len(rows), 0)
        calendar.tick_params(left=False)
    axes[-1].xaxis.set_major_locator(MonthLocator())
    axes[-1].xaxis.set_major_formatter(DateFormatter("%b\n%Y"))
    axes[-1].tick_params(axis="x", labelsize=7)
    label = f"% of the attention in {days} days"
    bar = figure.colorbar(picture, ax=list(axes), shrink=0.6, aspect=30)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(textwrap.fill(title, 100), fontsize=10, color=INK)
    save(figure, path)
