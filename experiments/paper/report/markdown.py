"""The page as Markdown, with the pictures as files beside it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from experiments.paper.report.content import Page, PictureSection
from experiments.paper.report.tables import Entry, Table


def render(page: Page, pictures: str) -> str:
    """Returns the whole text.

    Args:
      page: Its content.
      pictures: Folder of the pictures, relative to the text.
    """
    return "\n".join(_lines(page, pictures)) + "\n"


def _lines(page: Page, pictures: str) -> Iterator[str]:
    yield f"# {page.title}"
    for warning in page.warnings:
        yield f"\n**{warning}**"
    yield ""
    yield from (f"- {term}: {text}" for term, text in page.facts.items())
    for table in page.tables:
        yield from _table(table)
    for section in page.sections:
        yield from _section(section, pictures)
    if page.failures:
        yield "\n## Failed cells\n"
        yield from (f"- `{name}`: {_escaped(error)}" for name, error in page.failures.items())


def _table(table: Table) -> Iterator[str]:
    yield f"\n## {table.name}\n\n{table.caption}\n"
    yield _row(table.columns)
    yield "|---" * len(table.columns) + "|"
    for name, entries in table.rows:
        yield _row([name, *map(_entry, entries)])
    if table.notes:
        yield ""
        yield from (f"- {_escaped(note)}" for note in table.notes)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _entry(entry: Entry) -> str:
    ours = f"**{entry.ours}**" if entry.state == "done" else entry.ours
    others = [_escaped(text) for text in (entry.beside, *entry.details) if text]
    return "<br>".join([ours, *others])


def _escaped(text: str) -> str:
    """Text that is shown as it is, in a cell of a table too."""
    return re.sub(r"([\\`*_|\[\]])", r"\\\1", html.escape(text, quote=False))


def _section(section: PictureSection, pictures: str) -> Iterator[str]:
    yield f"\n## {section.name}\n\n{section.caption}"
    if not section.pictures:
        yield f"\nMissing: there is no {section.expected}."
    for path in section.pictures:
        yield f"\n![{section.name} ({path.stem})]({pictures}/{path.name})"
