"""The paper's numbers are those of the paper."""

from __future__ import annotations

import collections
import os
import pathlib
import re

import pytest

from experiments.paper.paper_numbers import CELLS, STATEMENTS, paper_cell, paper_value

SHAPES = {1: (7, 6), 2: (6, 4), 3: (5, 4), 4: (2, 3)}
"""Rows and columns of each table."""


def printed(table):
    """The cells of a table as printed: row -> texts in the order of the columns."""
    rows = collections.defaultdict(dict)
    for cell in CELLS:
        if cell.table == table:
            rows[cell.row][cell.column] = cell.printed
    return {row: list(columns.values()) for row, columns in rows.items()}


@pytest.fixture(scope="module")
def paper() -> str:
    file = os.environ.get("PASTIS_R_PAPER")
    if not file:
        pytest.skip("PASTIS_R_PAPER names no text version of the paper")
    return pathlib.Path(file).read_text(encoding="utf-8")


@pytest.mark.parametrize("table", SHAPES)
def test_tables_are_those_of_the_paper(paper, table):
    text = re.sub(r"/\s+", "/", " ".join(paper.split())).replace("\u2013", "-")
    text = text[re.search(rf"Table {table} [A-Z]", text).start() :]
    number = r"(?:\d+(?:\.\d)?k?(?:/\d+k)?\*?|-)"
    for row, cells in printed(table).items():
        found = re.search(rf"\b{re.escape(row)}((?: {number}){{{len(cells)}}}) ", text)
        assert found, f"Table {table} has no row {row}"
        assert found[1].split() == cells


def test_statements_are_those_of_the_text(paper):
    def letters(text):
        return re.sub(r"[\s\u00ad-]", "", text)

    text = letters(paper)
    for one in STATEMENTS.values():
        assert letters(one.quote) in text, one.quote


def test_statements_quote_their_number():
    for one in STATEMENTS.values():
        quote = one.quote.replace(",", "").replace("four", "4").replace("115k", "115")
        assert re.search(rf"(?<![\d.]){one.value:g}(?:\.0)?(?!\.?\d)", quote), one


def test_every_cell_of_every_table_is_there_once():
    for table, (rows, columns) in SHAPES.items():
        assert [len(cells) for cells in printed(table).values()] == [columns] * rows
    pairs = [cell for cell in CELLS if "/" in cell.printed]
    assert len(pairs) == 4  # two counts in each of two cells
    assert len(CELLS) == sum(r * c for r, c in SHAPES.values()) + len(pairs) / 2
    keys = [(cell.task, cell.model, cell.enhancement, cell.score) for cell in CELLS]
    assert len(set(keys)) == len(keys)


def test_values_are_what_is_printed():
    for cell in CELLS:
        if cell.value is None:
            assert cell.printed == "-"
            assert cell.reason
            continue
        assert cell.reason is None
        assert ("*" in cell.printed) <= (cell.enhancement == "auxiliary")
        parts = [part.strip("*") for part in cell.printed.split("/")]
        text = parts[cell.enhancement == "auxiliary"] if parts[1:] else parts[0]
        thousands = 1000 if text.endswith("k") else 1
        assert cell.value == float(text.rstrip("k")) * thousands
        assert (cell.score == "parameters") == (thousands > 1)


@pytest.mark.parametrize("name", ["parcel_late_over_S2", "semantic_late_over_S2"])
def test_gains_of_the_text_follow_from_the_tables(name):
    task = name.split("_")[0]
    enhancement = {"parcel": "both", "semantic": "temporal_dropout"}[task]
    late = paper_value(task=task, model="late", enhancement=enhancement, score="mIoU")
    gain = late - paper_value(task=task, model="S2", score="mIoU")
    assert round(gain, 1) == STATEMENTS[name].value


def test_gains_of_the_text_follow_from_tables_2_and_3():
    semantic = {
        name: paper_value(task="semantic", model="late", enhancement=name, score="mIoU")
        for name in ("temporal_dropout", "both")
    }
    gain = semantic["both"] - semantic["temporal_dropout"]
    assert round(gain, 1) == STATEMENTS["semantic_auxiliary_over_late"].value
    base = paper_value(task="panoptic", model="S2", score="PQ")
    for model in ("early", "late"):
        pq = paper_value(task="panoptic", model=model, enhancement="temporal_dropout", score="PQ")
        assert round(pq - base, 1) == STATEMENTS[f"panoptic_{model}_over_S2"].value


def test_panoptic_quality_is_about_the_product_of_its_parts():
    """Means over classes, so not exactly."""
    for model in ("S2", "S1D", "S1A", "early", "late"):
        enhancement = "base" if model.startswith("S") else "temporal_dropout"
        key = {"task": "panoptic", "model": model, "enhancement": enhancement}
        sq, rq, pq = (paper_value(**key, score=score) for score in ("SQ", "RQ", "PQ"))
        assert pq == pytest.approx(sq * rq / 100, abs=1)


def test_cells_name_their_source():
    cell = paper_cell(task="parcel", model="late", enhancement="both", score="mIoU")
    assert cell.value == 77.2
    assert cell.source == "Table 1, row Late Fusion, column Auxiliary & Temp. dropout"


def test_what_the_paper_does_not_give_is_none():
    memory = paper_cell(task="semantic", model="late", score="mIoU")
    assert memory.value is None
    assert "memory" in memory.reason
    assert paper_cell(task="semantic", model="mid", score="mIoU") is None
    assert paper_value(task="semantic", model="mid", score="mIoU") is None


@pytest.mark.parametrize("wrong", [{"task": "parcels"}, {"model": "S1"}, {"score": "miou"}])
def test_unknown_keys_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be one of"):
        paper_value(**{"task": "parcel", "model": "S2", "score": "mIoU"} | wrong)
