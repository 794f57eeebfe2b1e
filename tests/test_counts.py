"""Compiled models need no more multiply-adds, bytes and temporaries than the committed counts.

After a change that needs more with good reason, or a new version of JAX: `python -m
benchmarks.counts --write`. What needs less is written anew too, so that it stays so.
"""

from __future__ import annotations

import pytest
from tiers import all_but

from benchmarks import counts
from benchmarks.counts import CASES, Case

FIRST = [
    Case("parcel", "late", "training"),
    Case("parcel", "late", "inference"),
    Case("semantic", "single", "training"),
    Case("semantic", "single", "inference"),
    Case("panoptic", "single", "inference"),
]
"""Compiled in every run of the suite; the others with --all."""
ORDERED = FIRST + [case for case in CASES if case not in FIRST]


@pytest.fixture(scope="module")
def bounds():
    known = counts.read()
    if not any(jax == counts.version() for jax, _ in known):
        pytest.skip(f"no counts of JAX {counts.version()}")
    return known


@pytest.mark.parametrize(
    "case", all_but(len(FIRST), ORDERED), ids=lambda case: "-".join(case.names)
)
def test_no_more_than_before(case, bounds):
    found = counts.exceeded(counts.count(case), bounds[counts.version(), case])
    assert not found, "; ".join(found)


@pytest.mark.parametrize("task", counts.SCHEMES)
def test_early_fusion_multiplies_no_more_than_late(task):
    early, late = (
        counts.multiply_adds(Case(task, fusion, "inference")) for fusion in ("early", "late")
    )
    assert 0 < early <= late


def test_every_case_has_counts_of_every_version():
    known = counts.read()
    versions = {jax for jax, _ in known}
    assert set(known) == {(jax, case) for jax in versions for case in CASES}


def test_more_than_the_margin_is_told():
    committed = {name: 1000 for name in counts.COUNTS}
    assert counts.exceeded(committed, committed) == []
    assert counts.exceeded(committed | {"multiply_adds": 1001}, committed) == []
    (line,) = counts.exceeded(committed | {"temporaries": 1101}, committed)
    assert line == "temporaries 1,101, at most 1,000 and 10.0%"


def test_written_counts_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(counts, "FILE", tmp_path / "counts.csv")
    counted = {case: dict.fromkeys(counts.COUNTS, i) for i, case in enumerate(CASES)}
    monkeypatch.setattr(counts, "version", lambda: "0.9")
    counts.write(counted)
    monkeypatch.setattr(counts, "version", lambda: "0.12")
    counts.write({case: dict.fromkeys(counts.COUNTS, 7) for case in CASES})
    known = counts.read()
    assert known["0.9", CASES[3]]["temporaries"] == 3
    assert known["0.12", CASES[3]]["temporaries"] == 7
