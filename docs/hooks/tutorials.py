"""Makes a page of each notebook: its text and code as they are, its outputs as they were recorded.

`docs/tutorials/record.py` runs a notebook and keeps what it showed beside itself.
"""

from __future__ import annotations

import json
import logging
import pathlib
import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

log = logging.getLogger("mkdocs.hooks.tutorials")

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
RECORDED = ROOT / "docs" / "tutorials"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each notebook."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        files.append(File.generated(config, f"tutorials/{path.stem}.md", content=page_of(path)))
    return files


def page_of(path: pathlib.Path) -> str:
    """The Markdown of a notebook with its outputs."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    recorded = _recorded(path.stem, code)
    outputs = iter(cell["outputs"] for cell in recorded["cells"])
    pieces = []
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            pieces.append(_led(source))
            continue
        pieces.append(f"```python\n{source}\n```")
        pieces += [_shown(output) for output in next(outputs)]
    pieces.insert(1, _origin(path.name, recorded))
    return "\n\n".join(pieces) + "\n"


def _origin(name: str, recorded: dict[str, Any]) -> str:
    """A line that says where the page and its outputs come from."""
    parts = [f"This page is the notebook `notebooks/{name}` of the repository."]
    if not any(cell["outputs"] for cell in recorded["cells"]):
        parts.append("Its outputs are not shown here: run it to see them.")
    elif recorded["values"]:
        values = ", ".join(f"`{value}`" for value in recorded["values"])
        parts.append(f"Its outputs were recorded in a shorter run, with {values}.")
    return f"*{' '.join(parts)}*"


def _recorded(name: str, code: list[str]) -> dict[str, Any]:
    """What each cell of code showed when the notebook was recorded; nothing if it never was."""
    file = RECORDED / f"{name}.json"
    nothing = {"values": [], "cells": [{"outputs": []} for _ in code]}
    if not file.exists():
        return nothing
    recorded = json.loads(file.read_text(encoding="utf-8"))
    if [cell["code"] for cell in recorded["cells"]] != code:
        again = f"python docs/tutorials/record.py {name}"
        log.warning("%s: the notebook has other code by now; run `%s`", file, again)
        return nothing
    return recorded


def _shown(output: dict[str, str]) -> str:
    if "picture" in output:
        return f"![Output of the cell above]({output['picture']})"
    return f'```text title="Output"\n{output["text"]}\n```'


def _led(text: str) -> str:
    """Links of a notebook, from where its page lies in the site."""
    text = text.replace("](../docs/", "](../")
    return re.sub(r"\]\((\d_\w+)\.ipynb", r"](\1.md", text)
