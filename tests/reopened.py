"""A finished run, opened again, scores what it scored."""

from __future__ import annotations

import json

from experiments import restored


def check(folder):
    """Asserts that the finished run in `folder` is tested to the same numbers; returns it open."""
    stored = json.loads((folder / "result.json").read_text())
    opened = restored.open_run(folder)
    scores = opened.evaluate().scores
    names = {"PQ", "SQ", "RQ", "mIoU", "OA", "loss"} & stored["test"].keys()
    assert {name: scores[name] for name in names} == {name: stored["test"][name] for name in names}
    return opened
