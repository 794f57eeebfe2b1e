"""Text that came with data, as a reader may be shown it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

NAMED = 3
"""Of many things, those that a line names; it counts them all."""
LONGEST_NAME = 200
"""Characters of a class's or a dataset's name."""
_UNSHOWN = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters that are no text: control characters, halves of pairs, ends of lines."""
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""They change the direction of what follows them, beyond the text that they stand in."""


def plain(text: object, most: int | None = None) -> str:
    """Returns a line without what is no text: control characters and the like become escapes.

    So nothing that stands in a file, a name of one, or a setting can move the cursor of a terminal,
    begin a line of its own, or keep the text from being encoded.

    Args:
      text: Anything; its `str` is taken.
      most: Longest result, characters; what is beyond becomes an ellipsis. None for any length.
    """
    text = str(text) if most is None else str(text)[: most + 1]
    text = text if is_plain(text) else "".join(map(_shown, text))
    return text if most is None or len(text) <= most else f"{text[: most - 1]}…"


def is_plain(text: str) -> bool:
    """Whether all of a text can be shown as it is."""
    return (text.isascii() and text.isprintable()) or not any(map(_unshown, text))


def named(things: Sequence[object], number: int | None = None, *, most: int = NAMED) -> str:
    """Names the first of several things, for a line.

    Args:
      things: Identifiers or names.
      number: How many there are, where `things` are only the first of them.
      most: Number of those to name.
    """
    more = (len(things) if number is None else number) > most
    return ", ".join(map(str, things[:most])) + ", ..." * more


def word(number: int, one: str, several: str) -> str:
    """The word for one thing or for another number of them: lies or lie, class has or classes have.

    Args:
      number: How many there are.
      one: What is said of one.
      several: What is said of another number.
    """
    return one if number == 1 else several


def fault_of_name(name: str) -> str | None:
    """What is wrong with a name that readers are shown; None if nothing is."""
    if not is_plain(name):
        return f"{plain(repr(name), LONGEST_NAME)} holds what cannot be shown"
    if len(name) > LONGEST_NAME:
        return f"{plain(repr(name), 40)} is longer than {LONGEST_NAME} characters"
    return None


def _shown(character: str) -> str:
    return ascii(character)[1:-1] if _unshown(character) else character


def _unshown(character: str) -> bool:
    return unicodedata.category(character) in _UNSHOWN or bool(_TURNING.match(character))
