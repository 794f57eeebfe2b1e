"""Runs notebooks and keeps what they show for the pages of the site.

    python docs/tutorials/record.py 1_parcels EPOCHS=10

writes `1_parcels.json` and its pictures beside this file. What follows the name takes the place of
values in the cell tagged `parameters`; the page says so. It needs the extras `notebooks`, `geo` and
`test`, and takes the minutes that `notebooks/README.md` tells of.
"""

from __future__ import annotations

import argparse
import base64
import json
import pathlib
import re
import tempfile
from collections.abc import Sequence

import nbformat
from nbclient import NotebookClient

HERE = pathlib.Path(__file__).parent
NOTEBOOKS = HERE.parents[1] / "notebooks"
LONGEST = 60
"""Lines of text that are kept of a cell."""


def main() -> None:
    """Records the notebook that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="the notebook, without .ipynb")
    parser.add_argument("values", nargs="*", help="NAME=VALUE in place of a parameter's value")
    given = parser.parse_args()
    record(given.name, given.values)


def record(name: str, values: Sequence[str] = ()) -> None:
    """Runs a notebook in an empty folder; keeps the outputs of each cell of code."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    written = [cell.source for cell in code]
    (parameters,) = (cell for cell in code if "parameters" in cell.metadata.get("tags", []))
    parameters.source = "\n".join([parameters.source, *values])
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=3600, kernel_name="python3", resources=resources).execute()
    for old in HERE.glob(f"{name}_*.png"):
        old.unlink()
    cells, pictures = [], 0
    for source, cell in zip(written, code, strict=True):
        kept: list[dict[str, str]] = []
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                pictures += 1
                file = HERE / f"{name}_{pictures}.png"
                file.write_bytes(base64.b64decode(data["image/png"]))
                kept.append({"picture": file.name})
            elif output.get("name") != "stderr":
                text = _plain(output.get("text", data.get("text/plain", "")))
                if text:
                    kept.append({"text": text})
        cells.append({"code": source, "outputs": kept})
    recorded = {"values": list(values), "cells": cells}
    text = json.dumps(recorded, indent=1, ensure_ascii=False)
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _plain(text: str) -> str:
    """Text without colours and rewritten lines, cut where it is long."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    lines = [line.rpartition("\r")[2].rstrip() for line in text.strip("\n").splitlines()]
    return "\n".join([*lines[:LONGEST], *["..."] * (len(lines) > LONGEST)])


if __name__ == "__main__":
    main()
