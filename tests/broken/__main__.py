"""Tries every broken folder, and writes the table of the documentation: see the package."""

from __future__ import annotations

import argparse
import pathlib
import tempfile

from absl import flags

from broken.cases import CASES, check, make_sound
from broken.layouts import LAYOUTS
from broken.table import table, write


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="broken", description=__doc__)
    parser.add_argument("--write", type=pathlib.Path, metavar="PAGE", help="page to write it in")
    given = parser.parse_args()
    flags.FLAGS.mark_as_parsed()
    with tempfile.TemporaryDirectory() as folder:
        sound = {name: make_sound(name, pathlib.Path(folder)) for name in LAYOUTS}
        for number, case in enumerate(CASES):
            try:
                check(case, sound[case.layout], pathlib.Path(folder, str(number)))
            except Exception as error:
                raise SystemExit(f"{case}: {type(error).__name__}: {error}") from error
    print(table())
    if given.write is not None:
        write(given.write)


if __name__ == "__main__":
    main()
