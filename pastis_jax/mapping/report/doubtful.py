"""The parcels that a map is least certain of: where they lie, what was seen of them, and when."""

from __future__ import annotations

from typing import Any

import numpy as np

from pastis_jax.mapping.blocks import UNCLASSIFIED
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.parcel_results import ParcelResults
from pastis_jax.mapping.report.attention import Attending, Attention
from pastis_jax.mapping.report.curves import Curve, observe
from pastis_jax.mapping.report.drawing import key_of_marks, series_svg
from pastis_jax.mapping.report.html import Html, escape, hectares, swatch
from pastis_jax.mapping.report.outlines import FINE, outlines, top_classes
from pastis_jax.mapping.report.places import Place, least_certain, place_of

MOST = 12
"""Parcels that are shown."""
_AROUND = 12
"""Pixels around a parcel in its thumbnail."""


def doubtful(made: Made, results: ParcelResults | None) -> tuple[Html, list[dict[str, Any]]]:
    """Writes the section on the least certain parcels.

    Returns:
      The section, and what the page draws of the place of each: pixels around it, and outline.
    """
    chosen = [] if results is None else least_certain(results, MOST)
    if not chosen:
        return Html("<p>The map has no parcels of which something is known.</p>"), []
    attending, cards, thumbnails = Attending(made), [], []
    span, attended = _span(made), False
    for row in chosen:
        place = place_of(made.region.grid, results.geometry[row])
        drawings: list[str] = []
        if place is not None:
            observed = observe(made, place)
            attention = attending(place, observed, str(results.id[row]))
            attended = attended or bool(attention)
            for name, one in observed.items():
                drawings.append(_drawing(made, one.curve(), attention.get(name), span))
            thumbnails.append(_thumbnail(made, results, row, place))
        number = len(thumbnails) - 1 if place is not None else None
        cards.append(_card(made, results, row, number, drawings, place))
    names = ("observed", "half of it or more under clouds", "a date without observation")
    names += ("share of the attention on that date",) if attended else ()
    told = f'<p class="keys">{key_of_marks(names)}</p>'
    if not attended:
        told += "<p>This run tells of no attention for them.</p>"
    return Html(f'{told}<div class="cards">{"".join(cards)}</div>'), thumbnails


def _span(made: Made) -> tuple[int, int]:
    days = np.concatenate([one.days for one in made.season.acquired.values()])
    return int(days.min()), int(days.max())


def _drawing(made: Made, curve: Curve, attention: Attention | None, span) -> str:
    drawn = series_svg(curve, attention, span, made.season)
    told = escape(f"{curve.modality}: {curve.title}")
    return f"<figure><figcaption>{told}</figcaption>{drawn}</figure>"


def _thumbnail(made: Made, results: ParcelResults, row: int, place: Place) -> dict[str, Any]:
    """Pixels around a parcel, and its outline, in pixels of the Region."""
    # From the parcel's own corner: what is packed reaches no farther than a page's map.
    part = made.region.grid.part(place.rows, place.columns)
    steps, rings = outlines(part, results.geometry[row : row + 1])
    corners = (np.cumsum(steps.astype(np.int64), 0).astype(np.int16) + 8192) / FINE
    corners += (place.columns.start, place.rows.start)
    cut = np.split(corners, np.cumsum(rings[:, 1])[:-1]) if len(rings) else []
    top, left = place.rows.start - _AROUND, place.columns.start - _AROUND
    side = max(place.rows.stop + _AROUND - top, place.columns.stop + _AROUND - left)
    return {
        "row": row,
        "box": [left, top, side],
        "middle": list(place.middle),
        "rings": [ring.ravel().tolist() for ring in cut],
    }


def _card(made, results: ParcelResults, row: int, number, drawings, place) -> str:
    classes, percents = top_classes(results.probability[row : row + 1])
    names, colours = made.classes.names, made.classes.colours
    top = "".join(
        f"<li>{swatch(colours[i], names[i])} <b>{share} %</b></li>"
        for i, share in zip(classes[0], percents[0], strict=True)
    )
    told = [f"{hectares(results.hectares[row])} ha"]
    if (true := int(results.truth[row])) >= 0:
        told.append(f"truth: {names[true]}")
    if results.label[row] == UNCLASSIFIED:
        told.append("unclassified")
    dates = zip(made.run.modalities, results.dates[row], strict=True)
    told.append("valid dates: " + ", ".join(f"{count} {name}" for name, count in dates))
    if place is not None and not place.whole:
        told.append("series of the pixels around its middle")
    place_told = "<p>It has no pixel in the Region.</p>"
    if number is not None:
        label = f'aria-label="Where parcel {escape(results.id[row])} lies"'
        place_told = (
            f'<canvas class="thumb" width="180" height="180" role="img" {label} '
            f'data-place="{number}"></canvas>'
            f'<button type="button" data-show="{number}">Show on the map</button>'
        )
    return (
        f'<article class="card"><h3>Parcel {escape(results.id[row])}</h3>'
        f'<div class="where">{place_told}</div><ol class="top">{top}</ol>'
        f'<p class="small">{escape("; ".join(told))}</p>{"".join(drawings)}</article>'
    )
