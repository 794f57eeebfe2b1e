"""Arrays and texts in a page."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest

from pastis_jax.mapping.report.html import Html, escape, hectares, percentage, table, within
from pastis_jax.mapping.report.packed import pack, pack_json, script_json

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u2028\x1b[2J"


def unpacked(packed):
    return zlib.decompress(base64.b64decode(packed["data"]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", ">i2"])
def test_arrays_are_unpacked_as_they_were(dtype):
    values = np.arange(-3, 9).astype(dtype).reshape(3, 4)[:, ::2]
    packed = pack(values)
    kept = np.frombuffer(unpacked(packed), np.dtype(packed["type"]).newbyteorder("<"))
    assert np.array_equal(kept.reshape(packed["shape"]), values)
    assert packed["type"] == np.dtype(dtype).name


def test_texts_are_unpacked_as_they_were():
    assert json.loads(unpacked(pack_json({"id": [HOSTILE]}))) == {"id": [HOSTILE]}


def test_no_text_ends_a_script():
    written = script_json({"name": HOSTILE})
    assert not set("<>&\u2028") & set(written)
    assert json.loads(written) == {"name": HOSTILE}


def test_what_is_shown_is_escaped():
    shown = table(("Class", HOSTILE), [(HOSTILE, Html("<b>1</b>"))], caption=HOSTILE)
    assert "<img" not in shown
    assert "\x1b" not in shown
    assert "<b>1</b>" in shown
    assert escape(escape("<")) == "&lt;"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (hectares(1234.5), "1,234"),
        (hectares(12.34), "12.3"),
        (hectares(0.04), "0.04"),
        (hectares(0.004), "< 0.01"),
        (hectares(0), "0.0"),
        (hectares(float("nan")), "-"),
        (percentage(0.1234), "12.3 %"),
        (percentage(float("nan")), "-"),
        (within(0.5, 0.1), "50.0 ± 10.0 %"),
        (within(0.5, float("nan")), "50.0 ± ? %"),
        (within(0.5, 0.1, 9), "50.0 ± 10.0 %"),
        (within(1.0, 0.0, 1234), "100.0 %, no error among 1,234 tested"),
        (within(0.0, 0.0, 2), "0.0 %, none right among 2 tested"),
        (within(float("nan"), 0.1), "-"),
    ],
)
def test_numbers_are_written_for_readers(shown, expected):
    assert shown == expected
