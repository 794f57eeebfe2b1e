"""Writes the flags of every command into `commands.md`, from what `--help` prints."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from unittest import mock

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from pastis_jax.cli import main

MARK = re.compile(r"<!-- help: (.+?) -->")
TERMINAL = {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
"""Narrow enough for one group of flags below the other."""
UNTOLD = re.compile(r" *\(default: (None|False|True|)\)$")
"""Defaults that the flag's own words tell, or that are no value."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Puts the flags of a command in the place of `<!-- help: COMMAND -->`."""
    if page.file.src_uri != "commands.md":
        return markdown
    named = {name.split()[0] for name in MARK.findall(markdown)}
    missing = {"train", *main.COMMANDS} - named
    assert not missing, f"commands.md leaves out {sorted(missing)}"
    return MARK.sub(lambda match: help_of(match.group(1)), markdown)


def help_of(command: str) -> str:
    """What `pastis-jax COMMAND --help` prints, as Markdown."""
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # which can draw boxes
    with (
        mock.patch.dict(os.environ, TERMINAL),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main.main([*command.split(), "--help"])
    printed.seek(0)
    head, *boxes = re.split(r"^╭─ (.*?) ─*╮\n", printed.read(), flags=re.MULTILINE)
    _, _, about = head.partition("\n\n")
    pieces = [_linked(about.strip())]
    for title, box in zip(boxes[::2], boxes[1::2], strict=True):
        pieces += _section(title, box)
    return "\n\n".join(pieces)


def _section(title: str, box: str) -> Iterator[str]:
    """A group of flags: its title and description, and a definition for each flag."""
    lines = [line[2:-1].rstrip() for line in box.splitlines() if line.startswith("│ ")]
    rule = next((i for i, line in enumerate(lines) if set(line) == {"─"}), None)
    about, rows = ([], lines) if rule is None else (lines[:rule], lines[rule + 1 :])
    entries: list[tuple[str, list[str]]] = []
    for row in rows:
        if not row.startswith(" "):
            flag, _, text = row.partition("  ")
            entries.append((flag, [text.strip()]))
        else:
            entries[-1][1].append(row.strip())
    entries = [entry for entry in entries if not entry[0].startswith("-h, ")]
    if not entries:
        return
    if title != "options":
        yield f"**{title.removesuffix(' options').capitalize()}.** {_linked(' '.join(about))}"
    yield "\n\n".join(_definition(flag, " ".join(texts)) for flag, texts in entries)


def _definition(flag: str, text: str) -> str:
    text = UNTOLD.sub("", text.strip())
    text = re.sub(r"\(default: (.*)\)$", r"Default: `\1`.", text)
    return f"`{flag.replace('{None}|', '')}`\n:   {_linked(text) or 'See `--help`.'}"


def _linked(text: str) -> str:
    """Text with links to the pages that it names."""
    text = text.replace("<", "&lt;").replace("*", r"\*").replace("$", r"\$")
    return re.sub(r"`?docs/(\w+\.md)`?", r"[\1](\1)", text)
