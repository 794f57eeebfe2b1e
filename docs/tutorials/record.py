"""Runs notebooks and keeps what they show for the pages of the site.

    python docs/tutorials/record.py 1_parcels 2_fusion

writes `1_parcels.json` and its pictures beside this file. It needs the extras `notebooks`, `geo`
and `test`, and takes the minutes that `notebooks/README.md` tells of.
"""

from __future__ import annotations

import argparse
import base64
import json
import pathlib
import re
import tempfile

import nbformat
from nbclient import NotebookClient

HERE = pathlib.Path(__file__).parent
NOTEBOOKS = HERE.parents[1] / "notebooks"
LONGEST = 60
"""Lines of text that are kept of a cell."""


def main() -> None:
    """Records the notebooks that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", help="notebooks, without .ipynb")
    for name in parser.parse_args().names:
        record(name)


def record(name: str) -> None:
    """Runs a notebook in an empty folder; keeps the outputs of each cell of code."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=3600, kernel_name="python3", resources=resources).execute()
    for old in HERE.glob(f"{name}_*.png"):
        old.unlink()
    cells, pictures = [], 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
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
        cells.append({"code": cell.source, "outputs": kept})
    text = json.dumps(cells, indent=1, ensure_ascii=False)
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _plain(text: str) -> str:
    """Text without colours and rewritten lines, cut where it is long."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    lines = [line.rpartition("\r")[2].rstrip() for line in text.strip("\n").splitlines()]
    return "\n".join([*lines[:LONGEST], *["..."] * (len(lines) > LONGEST)])


if __name__ == "__main__":
    main()
