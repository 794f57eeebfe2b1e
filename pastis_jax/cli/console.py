"""What every command does the same way: report mistakes in a line, check files, show a result."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import jax
from absl import flags
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pastis_jax.errors import UserError
from pastis_jax.text import plain
from pastis_jax.training import NonFiniteLossError, is_main, leaving_on_failure


def command(run: Callable[[], Any], *, less_memory: str = "lower `batch_size`") -> None:
    """Runs a command; what goes wrong ends in one line on stderr, and a warning is one.

    Exit code 2 for a mistake of the user, 1 for a run that failed (a loss that is not finite, a
    full disk), 130 for Ctrl-C.

    Args:
      run: The command.
      less_memory: What to change where a device has not enough.
    """
    flags.FLAGS.mark_as_parsed()  # Grain asks for absl's flags, which we do not use.
    with leaving_on_failure(), warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            run()
        except UserError as error:
            _end(2, f"error: {error}")
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            _end(1, f"error: the device has not enough memory: {less_memory}")
        except (NonFiniteLossError, OSError, MemoryError) as error:
            kind = "out of memory" if isinstance(error, MemoryError) else type(error).__name__
            text = " ".join(str(error).split()) or kind
            _end(1, "; ".join([f"error: {text}", *_notes(error)]))
        except KeyboardInterrupt as error:
            _end(130, "; ".join(["interrupted", *_notes(error)]))


def _warn(message: Warning | str, *_: Any) -> None:
    """Tells of a warning in a line on stderr."""
    print(plain(f"warning: {as_flags(' '.join(str(message).split()))}"), file=sys.stderr)


def _end(code: int, text: str) -> NoReturn:
    """Ends this process with a line on stderr."""
    print(plain(as_flags(text)), file=sys.stderr)
    raise SystemExit(code) from None


def _notes(error: BaseException) -> Sequence[str]:
    return getattr(error, "__notes__", ())


def as_flags(text: str) -> str:
    """Writes the names of arguments, which the library puts in backquotes, as flags."""
    return re.sub(r"`([a-z][a-z0-9_]*)`", lambda name: flag(name[1]), text)


def flag(name: str) -> str:
    """The flag of an argument."""
    return "--" + name.replace("_", "-")


def say(text: str) -> None:
    """Prints a line for the reader, at once; of several processes, the main one does."""
    if is_main():
        print(plain(text), flush=True)


def say_next(data: os.PathLike[str], task: str = "parcel") -> None:
    """Says which commands look at new data, and train on them."""
    folder = shlex.quote(os.fspath(data))
    look = f"pastis-jax inspect {folder} --out PICTURES"
    say(f"next: {look}, then pastis-jax train {task} --data {folder}")


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Says why a picture is not drawn, and lets the others be."""
    try:
        yield
    except UserError as error:
        say(f"not drawn: {error}")


def screen() -> Console:
    """Where tables are printed."""
    return Console(width=None if sys.stdout.isatty() else 100)


def table(title: str, *columns: str, header: bool = True) -> Table:
    """Returns a table that shows texts as they are, its title and `columns` among them."""
    made = Table(title=Text(plain(title), "table.title"), title_justify="left", show_header=header)
    for number, column in enumerate(columns):
        made.add_column(cell(column), justify="right" if number else "left")
    return made


def cell(text: object) -> Text:
    """Text for a cell of a table, which is not taken for markup."""
    return Text(plain(text))


def check_out(
    path: pathlib.Path, suffix: str, *, kind: str | None = None, where: str = "`out`"
) -> None:
    """Refuses a file that cannot be written, before work that would be in vain; writes nothing.

    Args:
      path: The file.
      suffix: How its name must end.
      kind: Of a JSON file; one that is there already is replaced if its `kind` is the same.
      where: The argument.

    Raises:
      UserError: If it is refused.
    """
    parent = next(p for p in path.absolute().parents if p.exists())
    fault = None
    if path.suffix != suffix:
        fault = f"{path} does not end in {suffix}"
    elif path.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK):
        fault = f"{path} cannot be written"
    elif path.exists() and kind and json_content(path).get("kind") != kind:
        fault = f"{path} was not written by this command"
    if fault:
        raise UserError(fault, where=where, remedy="give another file")


def check_folder(path: pathlib.Path, *, where: str = "`out`") -> None:
    """Refuses a folder that cannot be written to, before work that would be in vain.

    Args:
      path: The folder; it need not exist, and is not made.
      where: The argument.

    Raises:
      UserError: If it is refused.
    """
    path = path.expanduser().absolute()
    existing = next(p for p in (path, *path.parents) if p.exists())
    if not existing.is_dir():
        raise UserError(f"{existing} is not a folder", where=where, remedy="give another folder")
    if not os.access(existing, os.W_OK):
        raise UserError(f"cannot write to {existing}", where=where, remedy="give another folder")


def json_content(path: pathlib.Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where it cannot be read or is no mapping."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        content = None
    return content if isinstance(content, dict) else {}


def show_result(result: dict[str, Any], *, scores: Sequence[str], per_class: str) -> None:
    """Prints the closing table of a run; of several processes, the main one does.

    Args:
      result: The content of its result.json.
      scores: Names of the scores, that which selected the state first.
      per_class: Name of the score that is listed for each class.
    """
    if not is_main():
        return
    console, test, val = screen(), result["test"], result["val"]
    summary = table(result["title"], header=False)
    for name, text in (
        *((f"test {name}", score(test[name])) for name in scores),
        (
            f"validation {scores[0]}",
            f"{score(val[scores[0]])} (epoch {result['best_epoch']} of {result['epochs']})",
        ),
        ("parameters", f"{result['parameters']:,}"),
        ("training", f"{result['throughput']['train']:,.1f} {result['samples']}/s"),
        ("inference", f"{result['throughput']['inference']:,.1f} {result['samples']}/s"),
        ("time", ", ".join(f"{k} {v:.0f} s" for k, v in result["seconds"].items())),
    ):
        summary.add_row(cell(name), cell(text))
    if unobserved := result.get("unobserved"):
        summary.add_row(
            cell(f"{result['samples']} not scored"), f"{unobserved:,} without a valid date"
        )
    if (memory := result["peak_memory_gb"]) is not None:
        summary.add_row("peak memory", f"{memory:.1f} GB")
    if calibration := result.get("calibration"):
        summary.add_row("test ECE", cell(calibrated(calibration)))
    for share, removed in result.get("test_removed_optical", {}).items():
        summary.add_row(
            f"test mIoU, {float(share):.0%} of optical dates removed", score(removed["mIoU"])
        )
    if rules := test.get("void_rules"):
        text = ", ".join(f"{rule} {own['PQ']:.3f}" for rule, own in rules.items())
        summary.add_row("test PQ by each rule for void", cell(text))
    if parts := result.get("test_components"):
        summary.add_row(
            "test PQ of connected components",
            f"{score(parts['PQ'])} (of at least {parts['least_area']} pixels)",
        )
    console.print(summary)
    if fewer := result.get("test_subsets"):
        console.print(subsets_table({" + ".join(result["modalities"]): test, **fewer}, scores))
    values = test.get("iou") or {name: row[per_class] for name, row in test["per_class"].items()}
    console.print(classes_table(values, f"{per_class} per class (test)", per_class))


def calibrated(calibration: Mapping[str, Any]) -> str:
    """The expected calibration error of a result's `calibration`, as readers are shown it."""
    before, after = (score(calibration[name]["ECE"]) for name in ("before", "after"))
    return f"{after} at temperature {calibration['temperature']:.2f} ({before} without)"


def subsets_table(
    subsets: Mapping[str, Mapping[str, float | None] | None], scores: Sequence[str]
) -> Table:
    """A table of the scores with some of the modalities.

    Args:
      subsets: Scores by the modalities that are left, joined by +; None where nothing counted.
      scores: Names of the scores.
    """
    left = table("With some of the modalities (test)", "left", *scores)
    for names, own in subsets.items():
        texts = (score(None if own is None else own.get(name)) for name in scores)
        left.add_row(cell(names), *texts)
    return left


def classes_table(values: Mapping[str, float | None], title: str, per_class: str) -> Table:
    """A table of the score of each class.

    Args:
      values: By class.
      title: Above it.
      per_class: Name of the score.
    """
    classes = table(title)
    for _ in range(3):
        classes.add_column("class")
        classes.add_column(per_class, justify="right")
    cells = [(cell(name), score(value, without="absent")) for name, value in values.items()]
    rows = -(-len(cells) // 3)
    cells += [("", "")] * (3 * rows - len(cells))
    for i in range(rows):
        classes.add_row(*(text for column in range(3) for text in cells[i + column * rows]))
    return classes


def score(value: float | None, *, without: str = "undefined") -> str:
    """A score as readers are shown it; `without` where nothing was counted."""
    return without if value is None else f"{value:.3f}"
