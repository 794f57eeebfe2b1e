"""The page as Markdown, with the pictures as files beside it."""

from __future__ import annotations

import html
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator

from experiments.paper.report.content import Page, PictureSection
from experiments.paper.report.tables import Entry, Table
from pastis_jax.text import plain


def render(page: Page, pictures: str) -> str:
    """Returns the whole text.

    Args:
      page: Its content.
      pictures: Folder of the pictures, relative to the text.
    """
    return "\n".join(_lines(page, pictures)) + "\n"


def _lines(page: Page, pictures: str) -> Iterator[str]:
    yield f"# {escaped(page.title)}"
    for warning in page.warnings:
        yield f"\n**{escaped(warning)}**"
    yield ""
    yield from (f"- {escaped(term)}: {escaped(text)}" for term, text in page.facts.items())
    for table in page.tables:
        yield from _table(table)
    for section in page.sections:
        yield from _section(section, pictures)
    if page.failures:
        yield "\n## Failed cells\n"
        yield from (f"- {escaped(name)}: {escaped(error)}" for name, error in page.failures.items())


def _table(table: Table) -> Iterator[str]:
    yield f"\n## {escaped(table.name)}\n\n{escaped(table.caption)}\n"
    yield _row(map(escaped, table.columns))
    yield "|---" * len(table.columns) + "|"
    for name, entries in table.rows:
        yield _row([escaped(name), *map(_entry, entries)])
    if table.notes:
        yield ""
        yield from (f"- {escaped(note)}" for note in table.notes)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _entry(entry: Entry) -> str:
    ours = escaped(entry.ours)
    ours = f"**{ours}**" if entry.state == "done" else ours
    others = [escaped(text) for text in (entry.beside, *entry.details) if text]
    return "<br>".join([ours, *others])


def escaped(text: str) -> str:
    """Text that is shown as it is, in a heading, a list or a cell of a table."""
    return re.sub(r"([\\`*_|\[\]#~$])", r"\\\1", html.escape(plain(text), quote=False))


def link(folder: str, name: str) -> str:
    """The address of a file in a folder beside the text."""
    return f"{folder}/{urllib.parse.quote(os.fsencode(name))}"


def _section(section: PictureSection, pictures: str) -> Iterator[str]:
    yield f"\n## {escaped(section.name)}\n\n{escaped(section.caption)}"
    if not section.pictures:
        yield f"\nMissing: there is no {escaped(section.expected)}."
    for path in section.pictures:
        alt = escaped(f"{section.name} ({path.stem})")
        yield f"\n![{alt}]({link(pictures, path.name)})"
