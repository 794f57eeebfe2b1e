"""Broken folders: every fault ends as docs/reliability.md promises."""

from __future__ import annotations

import pathlib

import pytest
from broken.cases import CASES, check, make_sound
from broken.layouts import LAYOUTS
from broken.table import table
from tiers import long

KEPT = 60
_KEPT = {round(place * len(CASES) / KEPT) for place in range(KEPT)}
"""These are spread over all kinds of files."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    return {name: make_sound(name, folder) for name in LAYOUTS}


def marked():
    for place, case in enumerate(CASES):
        name = str(case).encode("ascii", "backslashreplace").decode()
        yield pytest.param(case, id=name, marks=() if place in _KEPT else long)


@pytest.mark.parametrize("case", [*marked()])
def test_broken_folder(case, sound, tmp_path):
    check(case, sound[case.layout], tmp_path / "case")


def test_there_are_enough():
    assert len(CASES) >= 300
    assert len({str(case) for case in CASES}) == len(CASES)
    assert {CASES[place].what for place in _KEPT} >= {case.what for case in CASES} - {
        "dataset.json"
    }


def test_the_documentation_has_the_table():
    page = pathlib.Path(__file__).parent.parent / "docs" / "reliability.md"
    assert table() in page.read_text(), (
        "PYTHONPATH=tests python -m broken --write docs/reliability.md"
    )
