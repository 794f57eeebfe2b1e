"""Small drawings of a page, as SVG elements; their colours come from the page's style."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.mapping.report.attention import Attention
from pastis_jax.mapping.report.curves import Curve
from pastis_jax.mapping.report.html import Html, escape
from pastis_jax.mapping.season import Season

_WIDTH, _LEFT, _RIGHT = 360.0, 46.0, 6.0
_TOP, _CURVE, _GAP, _BARS = 8.0, 72.0, 14.0, 26.0
_MARK = 5.0
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SIDE, _EDGE, _EDGE_TOP = 200.0, 34.0, 8.0


def _n(number: float) -> str:
    """A coordinate in a drawing."""
    return f"{number:.1f}"


def series_svg(
    curve: Curve, attention: Attention | None, span: tuple[int, int], season: Season
) -> str:
    """Draws what was observed over a season, and the attention beneath.

    Dates without an observation are crosses at the bottom, and break the line; clouded ones are
    circles beside it.

    Args:
      curve: What was observed.
      attention: What a model looked at; None where it has none.
      span: First and last day that are shown.
      season: What days count from.
    """
    bottom = _TOP + _CURVE
    end = bottom + _MARK + (_GAP + _BARS if attention is not None else 0)
    wide = max(span[1] - span[0], 1)

    def across(day: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (float(day) - span[0]) / wide

    seen = np.isfinite(curve.values)
    low, high = _range(curve.values[seen])

    def up(value: float) -> float:
        return bottom - _CURVE * (float(value) - low) / (high - low)

    parts = []
    for day, name in _months(span, season):
        x = _n(across(day))
        parts.append(f'<line class="tick" x1="{x}" x2="{x}" y1="{_n(_TOP)}" y2="{_n(end)}"/>')
        if across(day) < _WIDTH - 16:
            place = f'x="{_n(across(day) + 2)}" y="{_n(end + 10)}"'
            parts.append(f"<text {place}>{escape(name)}</text>")
    for value in (low, high) if seen.any() else ():
        place = f'x="{_n(_LEFT - 4)}" y="{_n(up(value) + 4)}"'
        parts.append(f'<text class="end" {place}>{value:.3g}</text>')
    turned = f'transform="translate(9 {_n(_TOP + _CURVE / 2)}) rotate(-90)"'
    parts.append(f'<text class="middle" {turned}>{escape(curve.axis)}</text>')
    for line in _unbroken(seen, curve.clouded):
        points = " ".join(f"{_n(across(curve.days[i]))},{_n(up(curve.values[i]))}" for i in line)
        parts.append(f'<polyline class="line" points="{points}"/>')
    for i, day in enumerate(curve.days):
        x, date = across(day), season.date(day).isoformat()
        if seen[i]:
            kind, also = ("cloud", ", clouded") if curve.clouded[i] else ("dot", "")
            title = f"<title>{date}: {curve.values[i]:.3g}{also}</title>"
            place = f'cx="{_n(x)}" cy="{_n(up(curve.values[i]))}"'
            parts.append(f'<circle class="{kind}" {place} r="2.2">{title}</circle>')
        else:
            path = f"M{_n(x - 2)} {_n(bottom - 2)}l4 4m0 -4l-4 4"
            title = f"<title>{date}: not observed</title>"
            parts.append(f'<path class="gap" d="{path}">{title}</path>')
    if attention is not None:
        parts += _bars(attention, across, end, season)
    of = "" if attention is None else " Bars: share of the attention of each date."
    label = f"{curve.title} of {curve.modality}: {seen.sum()} dates, {(~seen).sum()} missing.{of}"
    return (
        f'<svg class="series" viewBox="0 0 {_n(_WIDTH)} {_n(end + 14)}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _bars(attention: Attention, across, end: float, season: Season) -> list[str]:
    most = max(float(attention.weight.max(initial=0)), 1e-9)
    base = f'<line class="axis" x1="{_n(_LEFT)}" x2="{_n(_WIDTH - _RIGHT)}" y1="{_n(end)}"'
    parts = [f'{base} y2="{_n(end)}"/>']
    if len(attention.weight):
        place = f'x="{_n(_LEFT - 4)}" y="{_n(end - _BARS + 8)}"'
        parts.append(f'<text class="end" {place}>{100 * most:.3g} %</text>')
        place = f'x="{_n(_LEFT)}" y="{_n(end - _BARS - 3)}"'
        parts.append(f"<text {place}>attention to each date</text>")
    for day, weight in zip(attention.days, attention.weight, strict=True):
        height = _BARS * float(weight) / most
        title = f"<title>{season.date(day).isoformat()}: {100 * weight:.1f} %</title>"
        box = f'x="{_n(across(day) - 1.8)}" y="{_n(end - height)}" width="3.6"'
        parts.append(f'<rect class="bar" {box} height="{_n(height)}">{title}</rect>')
    return parts


def _range(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest value of an axis, apart."""
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _unbroken(seen: np.ndarray, clouded: np.ndarray) -> list[np.ndarray]:
    """Numbers of the clear dates of each stretch without a gap, of two such dates or more."""
    places = np.flatnonzero(seen)
    cut = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    clear = [part[~clouded[part]] for part in cut]
    return [part for part in clear if len(part) > 1]


def _months(span: tuple[int, int], season: Season) -> list[tuple[int, str]]:
    """Days that months begin on, at most some eight of them, and what these are called."""
    first, last = season.date(span[0]), season.date(span[1])
    months, at = [], first.replace(day=1)
    while at <= last:
        if at >= first:
            months.append(
                ((at - season.start).days, _MONTHS[at.month - 1] if at.month > 1 else str(at.year))
            )
        at = (at + datetime.timedelta(days=32)).replace(day=1)
    return months[:: max(-(-len(months) // 8), 1)]


def reliability_svg(told: Mapping[str, Any]) -> str:
    """Draws how often parcels of some confidence were right; on the diagonal they were as often.

    Args:
      told: What `calibration.Reliability.compute` gives.
    """
    count, confidence, accuracy = (told[name] for name in ("count", "confidence", "accuracy"))
    bins, inner = len(count), _SIDE - _EDGE - _EDGE_TOP

    def place(x: float, y: float) -> tuple[float, float]:
        return _EDGE + inner * x, _EDGE_TOP + inner * (1 - y)

    parts, numbers = [], []
    for i in range(bins):
        if not count[i]:
            continue
        x, y = place(i / bins, accuracy[i])
        text = f"confidence {confidence[i]:.2f}, right {accuracy[i]:.2f}, "
        title = f"<title>{text}{count[i]:,} parcels</title>"
        box = f'x="{_n(x + 0.5)}" y="{_n(y)}" width="{_n(inner / bins - 1)}"'
        height = _n(inner * accuracy[i])
        parts.append(f'<rect class="bar" {box} height="{height}">{title}</rect>')
        foot = f"translate({_n(x + inner / bins / 2 + 3)} {_n(_EDGE_TOP + inner - 4)}) rotate(-90)"
        numbers.append(f'<text class="count" transform="{foot}">{count[i]:,}</text>')
    (x0, y0), (x1, y1) = place(0, 0), place(1, 1)
    parts.append(
        f'<line class="ideal" x1="{_n(x0)}" y1="{_n(y0)}" x2="{_n(x1)}" y2="{_n(y1)}"/>'
        f'<path class="axis" d="M{_n(x0)} {_n(y1)}V{_n(y0)}H{_n(x1)}"/>'
    )
    parts += numbers  # above bars and line
    for share in (0.0, 0.5, 1.0):
        x, y = place(share, share)
        parts.append(f'<text class="middle" x="{_n(x)}" y="{_n(y0 + 12)}">{share:g}</text>')
        parts.append(f'<text class="end" x="{_n(x0 - 4)}" y="{_n(y + 4)}">{share:g}</text>')
    middle = f'x="{_n((x0 + x1) / 2)}" y="{_n(_SIDE - 6)}"'
    parts.append(f'<text class="middle" {middle}>confidence</text>')
    turned = f'transform="translate(9 {_n((y0 + y1) / 2)}) rotate(-90)"'
    parts.append(f'<text class="middle" {turned}>share right</text>')
    return (
        f'<svg class="reliability" viewBox="0 0 {_n(_SIDE)} {_n(_SIDE)}" role="img" '
        f'aria-label="Share of held-out parcels that is right, by confidence">'
        f"{''.join(parts)}</svg>"
    )


def key_of_marks(names: Sequence[str]) -> Html:
    """Draws the marks of `series_svg` with what they mean: line, circle, gap and bar."""
    marks = (
        '<polyline class="line" points="0,8 14,8"/><circle class="dot" cx="7" cy="8" r="2.2"/>',
        '<circle class="cloud" cx="7" cy="8" r="2.2"/>',
        '<path class="gap" d="M5 6l4 4m0 -4l-4 4"/>',
        '<rect class="bar" x="5" y="3" width="3.6" height="11"/>',
    )
    keys = (
        f'<span class="mark"><svg viewBox="0 0 14 16" aria-hidden="true">{mark}</svg> '
        f"{escape(name)}</span>"
        for mark, name in zip(marks, names, strict=False)
    )
    return Html("".join(keys))
