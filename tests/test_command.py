"""The command `pastis-jax`: what it takes, and how it ends."""

from __future__ import annotations

import pytest
from commands import exit_code

from pastis_jax.cli.main import COMMANDS, main

TASKS = "parcel, semantic, panoptic"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, ["usage: pastis-jax COMMAND"]),
        (
            ["--help"],
            0,
            ["train parcel|semantic|panoptic", "simulate --out FOLDER", "inspect", "instances"],
        ),
        (["-h"], 0, ["usage: pastis-jax COMMAND"]),
        (["map"], 2, ["error: map: no such command"]),
        (["train"], 2, ["error: train: no task is given", TASKS]),
        (["train", "--help"], 0, ["usage: pastis-jax train parcel|semantic|panoptic"]),
        (["train", "--epochs"], 2, ["error: train: '--epochs' is no task", TASKS]),
        (["train", "regression"], 2, ["error: train: 'regression' is no task", TASKS]),
        (["train", "parcel", "--fold", "9"], 2, ["error: --fold: PASTIS-R has runs 1 to 5, got 9"]),
        (["train", "parcel", "--fusion", "no"], 2, ["error: --fusion: there is no 'no'"]),
        (
            ["train", "parcel", "--epochs", "x"],
            2,
            ["error: ", "--epochs: invalid literal"],
        ),
        (["train", "parcel", "--epochs"], 2, ["error: ", "Missing value", "'--epochs'", "--help"]),
        (["train", "parcel", "--epoch", "3"], 2, ["error: ", "--epoch", "--help tells"]),
        (["train", "panoptic", "--loss-weights", "1", "2"], 2, ["error: ", "Expected 4 values"]),
        (["train", "parcel", "--parallel", "no"], 2, ["error: ", "invalid choice 'no'", "'pmap'"]),
        (["train", "parcel", "--modalities"], 2, ["error: --modalities: there is no value"]),
        (["train", "semantic", "--head_widths", "--ema", "1"], 2, ["error: --head-widths: there"]),
        (["train", "parcel", "--epochs", "9" * 21], 2, ["error: --epochs: got 999"]),
        (["train", "parcel", "--batch-size", "65537"], 2, ["error: --batch-size: got 65537"]),
        (["train", "parcel", "--data", "a\x1bb"], 2, ["error: --data: its path holds what cannot"]),
        (["simulate"], 2, ["error: --out: no folder is given", "--region"]),
        (["inspect", "a", "--plugin"], 2, ["error: --plugin: there is no value"]),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else str(x),
)
def test_the_command(arguments, code, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == code
    printed = capsys.readouterr()
    for word in words:
        assert word in (printed.err if words[0].startswith("error") else printed.out)
    if words[0].startswith("error"):
        assert printed.out == ""
        assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["simulate", "instances", "train parcel", "train semantic", "train panoptic"]
)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    assert stopped.value.code == 0
    assert f"usage: pastis-jax {command} [-h]" in capsys.readouterr().out


def test_ctrl_c_while_a_command_is_imported(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "inspect", interrupted)
    assert exit_code(lambda: main(["inspect", "x"])) == 130
    assert capsys.readouterr().err == "interrupted\n"
