"""Pieces of a page: everything that is shown is escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from pastis_jax.text import plain


class Html(str):
    """Text that is HTML already."""


def escape(text: object) -> Html:
    """Writes any text as HTML; what is HTML stays."""
    return text if isinstance(text, Html) else Html(html.escape(plain(text), quote=True))


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    texts: int = 1,
    label: str = "",
) -> Html:
    """Writes a table, which scrolls where it is too wide.

    Args:
      head: Titles of the columns.
      rows: Cells; the first of a row is its title.
      caption: What it tells, above it.
      texts: Columns that hold texts, from the left; the others are numbers.
      label: What it tells where a heading stands above it already.
    """

    def cell(kind: str, place: int, content: object) -> str:
        scope = ' scope="col"' if kind == "head" else ' scope="row"' if not place else ""
        tag = "th" if scope else "td"
        number = "" if place < texts else ' class="number"'
        return f"<{tag}{scope}{number}>{escape(content)}</{tag}>"

    def line(kind: str, cells: Sequence[object]) -> str:
        return f"<tr>{''.join(cell(kind, i, x) for i, x in enumerate(cells))}</tr>"

    body = "\n".join(line("row", row) for row in rows)
    shown = f"<caption>{escape(caption)}</caption>" if caption else ""
    named = f'role="region" aria-label="{escape(caption or label)}"'
    return Html(
        f'<div class="wide" tabindex="0" {named}><table>{shown}'
        f"<thead>{line('head', head)}</thead>\n<tbody>{body}</tbody></table></div>"
    )


def swatch(colour: Sequence[int], name: str) -> Html:
    """The name of a class behind a patch of its colour."""
    red, green, blue = (int(value) for value in colour)
    patch = f'<i class="swatch" style="background:rgb({red},{green},{blue})"></i>'
    return Html(f"{patch}{escape(name)}")


def share_bar(share: float, colour: Sequence[int]) -> Html:
    """A bar as long as a share of 1."""
    red, green, blue = (int(value) for value in colour)
    style = f"width:{100 * min(max(share, 0), 1):.2f}%;background:rgb({red},{green},{blue})"
    return Html(f'<div class="share"><div style="{style}"></div></div>')


def items(lines: Iterable[object]) -> Html:
    """A list of lines; nothing for none."""
    shown = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return Html(f"<ul>{shown}</ul>" if shown else "")


def hectares(area: float) -> str:
    """An area in hectares; small ones with a digit behind the point."""
    if not math.isfinite(area):
        return "-"
    if 0 < area < 0.01:
        return "< 0.01"
    return f"{area:,.{0 if area >= 1000 else 1 if area >= 1 or not area else 2}f}"


def percentage(share: float, digits: int = 1) -> str:
    """A share of 1 in percent; a dash for what is not known."""
    return f"{100 * share:.{digits}f} %" if math.isfinite(share) else "-"


def within(share: float, error: float, tested: int = 0) -> str:
    """A share of 1 with half its 95 % interval, both in percent.

    Where all of some that were tested were alike, no error is known: their number is told instead.
    """
    if not math.isfinite(share):
        return "-"
    if error == 0 and tested:
        told = "no error" if share > 0.5 else "none right"
        return f"{percentage(share)}, {told} among {tested:,} tested"
    half = f"{100 * error:.1f}" if math.isfinite(error) else "?"
    return f"{100 * share:.1f} ± {half} %"
