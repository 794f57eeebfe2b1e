"""What a run's loop over epochs knows beside the state, as checkpoints hold it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pastis_jax.training.evaluation import Outcome


@dataclasses.dataclass
class Progress:
    """What the loop knows beside the state; goes into every `last` checkpoint.

    Attributes:
      epoch: Number of finished epochs.
      done: Number of steps of the epoch after it.
      batches: State of the training batches after these steps.
      best: Best validation outcome.
      best_epoch: Its epoch.
      samples: Number of training samples of the finished epochs.
      seconds: Wall time of training.
      waited: Part of it in which a batch was made that came after the step before it was over.
      log: Lines of metrics.jsonl.
    """

    epoch: int = 0
    done: int = 0
    batches: Any = None
    best: Outcome | None = None
    best_epoch: int | None = None
    samples: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    log: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """As JSON holds it."""
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.best is not None:
            names = ("scores", "samples", "seconds")
            facts["best"] = {name: getattr(self.best, name) for name in names}
        return facts

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], score: str | None = None) -> Progress:
        """The inverse of `facts`, but for the metrics of the best outcome.

        Raises:
          ValueError: If a fact is not what it was written as, or there is no `score`.
          KeyError: If one is missing.
        """
        values = {field.name: facts[field.name] for field in dataclasses.fields(cls)}
        odd = [n for n in ("epoch", "done", "samples") if not _is(values[n])]
        odd += [n for n in ("best_epoch",) if values[n] is not None and not _is(values[n])]
        odd += [n for n in ("seconds", "waited") if not _is(values[n], float)]
        odd += [] if _is(facts["steps_per_epoch"]) else ["steps_per_epoch"]
        lines = values["log"]
        if not isinstance(lines, list) or not all(map(_is_line, lines)):
            odd.append("log")
        best = values["best"]
        if (best is None) != (values["best_epoch"] is None):
            odd.append("best")
        if best is not None:
            whole = isinstance(best, dict) and best.keys() >= {"scores", "samples", "seconds"}
            scores = best["scores"] if whole and isinstance(best["scores"], dict) else {}
            value = scores.get(score)
            if not whole or (value is not None and not _is(value, float, least=None)):
                odd.append("best")
            if score is not None and score not in scores:
                odd.append("best")
        if odd:
            raise ValueError(f"its {odd[0]} is damaged")
        if best is not None:
            values["best"] = Outcome(**{**best, "scores": _numbers(scores)}, metrics=None)
        return cls(**values)


def _is(value: Any, kind: type = int, least: float | None = 0) -> bool:
    """Whether JSON holds a finite number there, an integer if that is the kind."""
    if isinstance(value, bool) or not isinstance(value, (int, kind)) or not math.isfinite(value):
        return False
    return least is None or value >= least


def _is_line(line: Any) -> bool:
    """Whether this can be a line of metrics.jsonl."""
    if not isinstance(line, dict) or not {"train", "val", "data_wait"} <= line.keys():
        return False
    scores = (line["train"], line["val"])
    return (
        all(_is(line.get(name)) for name in ("epoch", "step"))
        and all(isinstance(part, dict) for part in scores)
        and all(x is None or _is(x, float, None) for part in scores for x in part.values())
    )


def _numbers(value: Any) -> Any:
    """Scores from JSON: lists are arrays, null is NaN."""
    if isinstance(value, dict):
        return {name: _numbers(score) for name, score in value.items()}
    if isinstance(value, list):
        return np.array(value, dtype=float)
    return float("nan") if value is None else value
