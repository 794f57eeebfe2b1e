"""A finished run, opened again or pooled alone, scores what it scored."""

from __future__ import annotations

import json

from experiments import restored
from experiments.paper import pooled


def check(folder):
    """Asserts that a finished run, tested or pooled, gives its numbers; returns it open."""
    stored = json.loads((folder / "result.json").read_text())
    opened = restored.open_run(folder)
    scores = opened.evaluate().scores
    names = {"PQ", "SQ", "RQ", "mIoU", "OA", "loss"} & stored["test"].keys()
    assert {name: scores[name] for name in names} == {name: stored["test"][name] for name in names}
    alone = {name: value for name, value in pooled.pool([stored]).items() if name in names}
    assert alone == {name: stored["test"][name] for name in alone}
    assert alone
    return opened
