"""What a refused folder must look like."""

from __future__ import annotations

import pytest

from pastis_jax.errors import DataError, UserError


def refused_in_a_line(call, *words):
    """Asserts that `call` ends in a user's error of one line, which holds all `words`."""
    with pytest.raises(UserError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


def refused(prepare, root, tmp_path, *, match, names, **arguments):
    """Asserts that preparing `root` fails with one line that holds `names`, and leaves nothing."""
    cache = tmp_path / "a" / "cache"
    before = sorted(root.rglob("*"))
    with pytest.raises(DataError, match=match) as caught:
        prepare(root, cache=cache, progress=False, **arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert names in text
    assert caught.value.remedy
    assert not cache.parent.exists()
    assert sorted(root.rglob("*")) == before


def with_value(values, value):
    """A copy whose last entry is `value`."""
    values = values.copy()
    values.flat[-1] = value
    return values
