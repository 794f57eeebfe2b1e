"""A finished run, opened again or pooled alone, scores what it scored."""

from __future__ import annotations

import json

import pastis_jax
from experiments.paper import pooled


def check(folder):
    """Asserts that a finished run, tested or pooled, gives its numbers; returns its data, open."""
    stored, config = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("result", "config")
    )
    opened = pastis_jax.open_run(folder).open_data(parallel=config["parallel"])
    scores = opened.evaluate().scores
    names = {"PQ", "SQ", "RQ", "mIoU", "OA", "loss"} & stored["test"].keys()
    assert {name: scores[name] for name in names} == {name: stored["test"][name] for name in names}
    alone = {name: value for name, value in pooled.pool([stored]).items() if name in names}
    assert alone == {name: stored["test"][name] for name in alone}
    assert alone
    return opened
