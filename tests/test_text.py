"""Text from data is shown as text: it steers no terminal, starts no line and can be encoded."""

from __future__ import annotations

import pytest

from pastis_jax.cli import console
from pastis_jax.errors import UserError
from pastis_jax.text import fault_of_name, is_plain, plain

HOSTILE = {
    "\x1b[2J\x1b]0;owned\x07": r"\x1b[2J\x1b]0;owned\x07",
    "a\nb\rc\td": r"a\nb\rc\td",
    "\udce9t\udce9": r"\udce9t\udce9",
    "\x9b31m": r"\x9b31m",
    "a\u2028b": r"a\u2028b",
    "\u202egnp.exe": r"\u202egnp.exe",
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.items(), ids=ascii)
def test_what_is_no_text_is_escaped(text, shown):
    assert plain(text) == shown
    assert is_plain(shown)
    plain(text).encode()
    assert "cannot be shown" in fault_of_name(text)


@pytest.mark.parametrize(
    "text", ["Blé tendre d'hiver", "冬小麦", "🌾", "शीत गेहूँ", "$x$ [/b] | <a>", ""]
)
def test_text_of_any_script_stays(text):
    assert plain(text) == text
    assert fault_of_name(text) is None


def test_long_text_is_cut_where_one_sees_it():
    assert plain("x" * 50, 10) == "x" * 9 + "…"
    assert plain("x" * 10, 10) == "x" * 10
    assert "longer than 200" in fault_of_name("x" * 201)
    assert len(fault_of_name("\x1b" * 10**6)) < 300


def test_an_error_is_one_line_of_text_and_no_longer_than_can_be_read():
    error = UserError("a\x1b[31m\nfault " + "x" * 10**5, where="b\udce9\rc", remedy="d\n e")
    text = str(error)
    assert text.isprintable()
    assert text.startswith(r"b\udce9 c: a\x1b[31m fault xxx")
    assert text.endswith("…; d e")
    assert len(text) < 1100


def test_the_table_of_a_run_shows_names_as_they_are_and_what_has_no_score(capsys):
    hostile = "[/x] :dog: my[v2]$data"
    console.show_result(
        {
            "title": f"{hostile}\x1b[2J",
            "test": {"OA": None, "mIoU": None, "iou": {hostile: None, "Corn": 0.5}},
            "val": {"mIoU": None},
            **{"best_epoch": 1, "epochs": 1, "parameters": 10, "samples": "parcels"},
            "throughput": {"train": 1.0, "inference": 1.0},
            "seconds": {"total": 1.0},
            "peak_memory_gb": None,
        },
        scores=("mIoU", "OA"),
        per_class="IoU",
    )
    printed = capsys.readouterr().out
    assert printed.count(hostile) == 2
    assert r"\x1b[2J" in printed
    assert "\x1b" not in printed
    assert printed.count("undefined") == 3
    assert "absent" in printed
