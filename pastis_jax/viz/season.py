"""The early-season curve: scores by what had been observed up to a day."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from pastis_jax.viz.curves import INK, row_labels, save


def by_date(
    dates: Sequence[datetime.date],
    per_class: np.ndarray,
    mean: Sequence[float],
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    path: str | os.PathLike[str],
    *,
    score: str,
    mean_name: str,
    title: str,
) -> None:
    """Draws the score of each class as a thin line in its colour, and their mean as a thick one.

    Args:
      dates: Days up to which the season was observed, rising.
      per_class: ``t k``, NaN where a class or a day has none.
      mean: ``t``, likewise.
      names: Class names, ``k``; in the legend the best at the last date comes first, and classes
        without any score are left out.
      colours: Official colours, 0 to 255.
      path: PNG to write.
      score: Name of the score of a class.
      mean_name: Name of the mean.
      title: Above the whole.
    """
    mean = np.array(mean, float)
    drawn = np.flatnonzero(np.isfinite(per_class).any(0))
    last = [per_class[:, k][np.isfinite(per_class[:, k])][-1] for k in drawn]
    order = [drawn[i] for i in np.argsort(-np.array(last), kind="stable")]
    figure = Figure(figsize=(9.5, max(4.0, 0.19 * len(order) + 1.4)), layout="constrained")
    axes = figure.subplots()
    labels = row_labels(names)
    for place, k in enumerate(order):
        axes.plot(
            dates,
            per_class[:, k],
            color=np.array(colours[k]) / 255,
            linewidth=1.1,
            # Official colours may be alike: neighbours in the legend differ by their lines.
            linestyle=("-", "--", "-.", ":")[place % 4],
            marker=".",
            markersize=4,
            label=f"{labels[k]} {last[np.flatnonzero(drawn == k)[0]]:.2f}",
        )
    shown = mean[np.isfinite(mean)]
    text = f"{mean_name} {shown[-1]:.2f}" if len(shown) else mean_name
    axes.plot(dates, mean, color=INK, linewidth=3.2, marker="o", markersize=5, label=text)
    locator = AutoDateLocator(maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    margin = datetime.timedelta(days=10)
    axes.set_xlim(dates[0] - margin, dates[-1] + margin)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("observed up to")
    axes.set_ylabel(score)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    handles, texts = axes.get_legend_handles_labels()
    figure.legend(
        *([handles[-1], *handles[:-1]], [texts[-1], *texts[:-1]]),
        loc="outside right upper",
        frameon=False,
        fontsize=8,
        title="at the last date",
        title_fontsize=8,
    )
    save(figure, path)
