"""What the site is made of beside its pages: drawings and recorded tutorials are up to date."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import xml.etree.ElementTree

import pytest

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
RECORDED = sorted((DOCS / "tutorials").glob("*.json"))


@pytest.fixture(scope="module")
def draw():
    spec = importlib.util.spec_from_file_location("draw", DOCS / "figures" / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_drawings_are_those_of_the_script(draw, tmp_path, monkeypatch):
    monkeypatch.setattr(draw, "HERE", tmp_path)
    draw.main()
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert drawn == {path.name: path.read_text() for path in (DOCS / "figures").glob("*.svg")}
    for text in drawn.values():
        xml.etree.ElementTree.fromstring(text)


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_a_recorded_tutorial_has_the_code_of_its_notebook(file):
    recorded = json.loads(file.read_text())
    cells = json.loads((ROOT / "notebooks" / f"{file.stem}.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert [cell["code"] for cell in recorded["cells"]] == code
    pictures = {
        output["picture"]
        for cell in recorded["cells"]
        for output in cell["outputs"]
        if "picture" in output
    }
    assert pictures == {path.name for path in (DOCS / "tutorials").glob(f"{file.stem}_*.png")}


def test_every_page_has_a_place_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text().split("\nnav:\n")[1]
    for page in DOCS.rglob("*.md"):
        assert page.relative_to(DOCS).as_posix() in navigation
