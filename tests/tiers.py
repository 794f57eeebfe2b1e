"""Which tests `pytest` runs, and which only `pytest --all` does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

long = pytest.mark.long


def all_but(kept: int, cases: Iterable[Any]) -> list[Any]:
    """Cases of a parametrised test, all but the first `kept` of them long."""
    return [
        case if place < kept else pytest.param(case, marks=long) for place, case in enumerate(cases)
    ]
