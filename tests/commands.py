"""Commands called in this process."""

from __future__ import annotations

from collections.abc import Callable


def exit_code(call: Callable[[], None]) -> int:
    """The code that a command ends with."""
    try:
        call()
    except SystemExit as stopped:
        return stopped.code or 0
    return 0
