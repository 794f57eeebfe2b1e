"""The command `pastis-jax`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from pastis_jax.text import plain

USAGE = """usage: pastis-jax COMMAND [...]

Crop mapping from satellite image time series, optical and radar together.

  train parcel|semantic|panoptic   train and test a model, on your data or on simulated data
  simulate --out FOLDER            simulate a PASTIS-R folder, or with --region scenes and parcels
  ingest SOURCES --out REGION      make a Region from scenes and parcels, or with --samples a
                                   folder from a table
  evaluate RUN                     score a run on its data or on other data, also by date
  inspect FOLDER                   show what data, a Region or a run hold, and what is wrong
  predict --run RUN --data REGION --out MAP   map a Region with a run
  export REGION OUT                write a Region as a folder in the layout of PASTIS-R
  instances FOLDER                 write the panoptic targets of a folder of patches
  upgrade RUN                      convert a run of version 0.1, so that it can predict by itself

pastis-jax COMMAND --help explains the flags of a command.
"""
TASKS = ("parcel", "semantic", "panoptic")


def script() -> None:
    """The command as a process of its own.

    After Ctrl-C it ends at once: what is taken down in order may be a compiler that still runs in
    another thread, which then ends the process by a fault.
    """
    try:
        main()
    except SystemExit as stopped:
        if stopped.code == 130:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(130)
        raise


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command. Ends the process with code 2 after a mistake, 130 after Ctrl-C."""
    try:
        _run(arguments)
    except KeyboardInterrupt:  # while what a command needs is still imported
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _run(arguments: Sequence[str] | None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(USAGE, end="")
        raise SystemExit(0 if given else 2)
    if given[0] == "--version":
        from pastis_jax import machine

        print(machine.code_version())
        return
    name, *rest = given
    if name == "train":
        if rest and rest[0] in ("-h", "--help"):
            print(f"usage: pastis-jax train {'|'.join(TASKS)} [...]")
            print("\npastis-jax train TASK --help explains the flags of a task.")
            raise SystemExit(0)
        if not rest or rest[0] not in TASKS:
            fault = f"{rest[0]!r} is no task" if rest else "no task is given"
            _end(f"train: {fault}; give {', '.join(TASKS)} first")
        from pastis_jax.cli import train

        train.main(rest[0], rest[1:])
        return
    if name not in COMMANDS:
        _end(f"{name}: no such command; pastis-jax --help lists them")
    COMMANDS[name](rest)


def _simulate(arguments: Sequence[str]) -> None:
    from pastis_jax.cli import simulate

    simulate.main(arguments)


def _ingest(arguments: Sequence[str]) -> None:
    from pastis_jax.cli import ingest

    ingest.main(arguments)


def _evaluate(arguments: Sequence[str]) -> None:
    from pastis_jax.cli import evaluate

    evaluate.main(arguments)


def _inspect(arguments: Sequence[str]) -> None:
    from pastis_jax.cli import inspect

    inspect.main(arguments)


def _predict(arguments: Sequence[str]) -> None:
    from pastis_jax.cli import predict

    predict.main(arguments)


def _export(arguments: Sequence[str]) -> None:
    from pastis_jax.cli import export

    export.main(arguments)


def _instances(arguments: Sequence[str]) -> None:
    from pastis_jax.cli import instances

    instances.main(arguments)


def _upgrade(arguments: Sequence[str]) -> None:
    from pastis_jax.cli import upgrade

    upgrade.main(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "ingest": _ingest,
    "simulate": _simulate,
    "evaluate": _evaluate,
    "inspect": _inspect,
    "predict": _predict,
    "export": _export,
    "instances": _instances,
    "upgrade": _upgrade,
}
"""Commands but for `train`; each imports what it needs when it runs."""


def _end(text: str) -> None:
    print(plain(f"error: {text}", 1000), file=sys.stderr)
    raise SystemExit(2)
