"""The page as HTML in one file: pictures as data URIs, one style sheet, no scripts."""

from __future__ import annotations

import base64
import html
import importlib.resources
import pathlib
import re
import struct
from collections.abc import Iterable, Mapping

from experiments.paper.report.content import Page, PictureSection
from experiments.paper.report.tables import STEPS, Entry, Table
from pastis_jax.errors import UserError
from pastis_jax.text import plain

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *content: str, **attributes: object) -> Markup:
    """Returns an element; escapes what is not `Markup`.

    Args:
      name: Its name.
      *content: What it holds, one after another.
      **attributes: `class_` gives class, `aria_label` gives aria-label.
    """
    return Markup(f"<{name}{_given(attributes)}>{join(content)}</{name}>")


def _given(attributes: Mapping[str, object]) -> str:
    names = (name.rstrip("_").replace("_", "-") for name in attributes)
    pairs = zip(names, attributes.values(), strict=True)
    return "".join(f' {name}="{html.escape(plain(value))}"' for name, value in pairs)


def join(content: Iterable[str]) -> Markup:
    """Returns the parts one after another, escaped where they are not `Markup`."""
    return Markup("".join(x if isinstance(x, Markup) else html.escape(plain(x)) for x in content))


def render(page: Page) -> str:
    """Returns the whole document."""
    style = (
        importlib.resources.files("experiments.paper.report")
        .joinpath("page.css")
        .read_text("utf-8")
    )
    sections = [
        *(_section(table.name, _table(table)) for table in page.tables),
        *(_section(section.name, _pictures(section)) for section in page.sections),
        *([_section("Failed cells", _failures(page.failures))] if page.failures else []),
    ]
    head = join(
        [
            Markup('<meta charset="utf-8">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Markup('<meta name="color-scheme" content="light dark">'),
            tag("title", page.title),
            Markup(f"<style>{style}</style>"),
        ]
    )
    body = join([_header(page), tag("main", _contents(page), *sections)])
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>{body}</body>\n</html>\n'


def anchor(name: str) -> str:
    """Returns the id of a section."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _section(name: str, *content: str) -> Markup:
    return tag("section", Markup("\n"), tag("h2", name), *content, Markup("\n"), id=anchor(name))


def _header(page: Page) -> Markup:
    warnings = [tag("li", warning) for warning in page.warnings]
    facts = [tag("div", tag("dt", term), tag("dd", text)) for term, text in page.facts.items()]
    return tag(
        "header",
        tag("h1", page.title),
        tag("ul", *warnings, class_="warnings") if warnings else "",
        tag("dl", *facts),
    )


def _contents(page: Page) -> Markup:
    names = [part.name for part in (*page.tables, *page.sections)]
    names += ["Failed cells"] * bool(page.failures)
    links = [tag("li", tag("a", name, href=f"#{anchor(name)}")) for name in names]
    return tag("nav", tag("ul", *links), aria_label="Contents")


def _table(table: Table) -> Markup:
    columns = tag("tr", *(tag("th", name, scope="col") for name in table.columns))
    rows = [
        tag("tr", tag("th", name, scope="row"), *map(_entry, entries), Markup("\n"))
        for name, entries in table.rows
    ]
    shaded = any(entry.shade is not None for _, entries in table.rows for entry in entries)
    content = tag(
        "table",
        tag("caption", tag("span", table.caption)),
        tag("thead", columns, Markup("\n")),
        tag("tbody", *rows),
    )
    notes = [tag("li", note) for note in table.notes]
    return join(
        [
            tag("div", content, class_="scroll", role="region", aria_label=table.name, tabindex=0),
            _legend() if shaded else "",
            tag("ul", *notes, class_="notes") if notes else "",
        ]
    )


def _entry(entry: Entry) -> Markup:
    texts = [("ours", entry.ours), ("paper", entry.beside)]
    texts += [("detail", text) for text in entry.details]
    spans = [tag("span", text, class_=name) for name, text in texts if text]
    shade = "" if entry.shade is None else f" {_shade(entry.shade)}"
    return tag("td", *spans, class_=f"{entry.state}{shade}")


def _shade(shade: int) -> str:
    """Name of a colour."""
    return f"{'below' if shade < 0 else 'above'}-{abs(shade)}" if shade else "equal"


def _legend() -> Markup:
    """What the colours mean."""
    single, three, ten = STEPS
    bounds = [f"{single} to {three}", f"{three} to {ten}", f"{ten} or more"]
    labels = {
        **{-n: f"{bounds[n - 1]} below" for n in (3, 2, 1)},
        0: f"less than {single}",
        **{n: f"{bounds[n - 1]} above" for n in (1, 2, 3)},
    }
    items = [tag("li", text, class_=_shade(shade)) for shade, text in labels.items()]
    return join(
        [
            tag("p", "Colour: our points less the paper's.", class_="legend"),
            tag("ul", *items, class_="legend"),
        ]
    )


def _pictures(section: PictureSection) -> Markup:
    if not section.pictures:
        missing = f" Missing: there is no {section.expected}."
        return tag("p", section.caption, missing, class_="gap")
    images = [_image(path, f"{section.name} ({path.stem})") for path in section.pictures]
    return tag("figure", *images, tag("figcaption", section.caption))


def _image(path: pathlib.Path, alt: str) -> Markup:
    """Embeds a PNG; its size, from its header, keeps the page from moving while it loads.

    Raises:
      UserError: If it is none.
    """
    content = path.read_bytes()
    if content[:8] != SIGNATURE or len(content) < 24:
        raise UserError("this is not a PNG", where=path, remedy="draw it anew")
    width, height = struct.unpack(">II", content[16:24])
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    attributes = {"src": source, "alt": alt, "width": width, "height": height}
    return Markup(f"<img{_given(attributes)}>\n")


def _failures(failures: Mapping[str, str]) -> Markup:
    items = [tag("div", tag("dt", name), tag("dd", error)) for name, error in failures.items()]
    return tag("dl", *items, class_="failures")
