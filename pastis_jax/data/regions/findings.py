"""What was noticed about a Region's inputs: of which kind, in words, and about what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pastis_jax.text import plain

MOST_IDS = 20
"""Identifiers that a finding keeps; its text counts them all."""


def finding(kind: str, text: str, ids: Sequence[object] = ()) -> dict[str, Any]:
    """Returns an entry of `findings.json`.

    Args:
      kind: A word or two, the same for all of a kind.
      text: One line for readers, with the count.
      ids: What it is about; the first `MOST_IDS` are kept.
    """
    return {"kind": kind, "text": plain(text), "ids": [plain(i, 100) for i in ids[:MOST_IDS]]}
