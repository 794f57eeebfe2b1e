"""The command `pastis-jax`: what it takes, and how it ends."""

from __future__ import annotations

import pytest

from pastis_jax.cli.main import main

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
        (["predict"], 2, ["error: predict: no such command"]),
        (["train"], 2, ["error: train: no task is given", TASKS]),
        (["train", "--help"], 0, ["usage: pastis-jax train parcel|semantic|panoptic"]),
        (["train", "--epochs"], 2, ["error: train: '--epochs' is no task", TASKS]),
        (["train", "regression"], 2, ["error: train: 'regression' is no task", TASKS]),
        (["train", "parcel", "--fold", "9"], 2, ["error: --fold: PASTIS-R has runs 1 to 5, got 9"]),
        (["train", "parcel", "--fusion", "no"], 2, ["error: --fusion: there is no 'no'"]),
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
