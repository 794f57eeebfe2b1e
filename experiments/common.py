"""What every experiment does the same way: find data, report mistakes, show a table."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import jax
from absl import flags
from rich.console import Console
from rich.table import Table

from experiments import arguments
from pastis_jax.data import simulate
from pastis_jax.data.cache import default_cache
from pastis_jax.errors import UserError
from pastis_jax.machine import code_version, devices, peak_memory  # noqa: F401 (callers use these)
from pastis_jax.training import (
    NonFiniteLossError,
    RunFolder,
    from_main,
    is_main,
    jsonable,
    leaving_on_failure,
    main_first,
    read_facts,
)

Prepared = TypeVar("Prepared")

SIMULATED_PATCHES = 100
"""Number of 64 x 64 patches in the default simulated set."""

CLUSTERING = 0.3
"""Along about 40 % of the borders between two parcels, both grow the same crop; on a sample of
PASTIS-R, 41 %."""


def command(run: Callable[[], Any], *, less_memory: str = "lower --batch-size") -> None:
    """Runs an experiment; what goes wrong ends in one line on stderr.

    Exit code 2 for a mistake of the user, 1 for a run that failed (a loss that is not finite, a
    full disk), 130 for Ctrl-C.

    Args:
      run: The experiment.
      less_memory: What to change where a device has not enough.
    """
    flags.FLAGS.mark_as_parsed()  # Grain asks for absl's flags, which we do not use.
    with leaving_on_failure():
        try:
            run()
        except UserError as error:
            _end(2, f"error: {error}")
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            _end(1, f"error: the device has not enough memory: {less_memory}")
        except (NonFiniteLossError, OSError, MemoryError) as error:
            text = " ".join(str(error).split()) or "out of memory"
            _end(1, "; ".join([f"error: {text}", *_notes(error)]))
        except KeyboardInterrupt as error:
            _end(130, "; ".join(["interrupted", *_notes(error)]))


def _end(code: int, text: str) -> NoReturn:
    """Ends this process with a line on stderr."""
    print(text, file=sys.stderr)
    raise SystemExit(code) from None


def _notes(error: BaseException) -> Sequence[str]:
    return getattr(error, "__notes__", ())


def open_folder(config: arguments.Config, task: str) -> RunFolder:
    """Looks at the folder of a run, before work that would be in vain; writes nothing.

    Args:
      config: Completed.
      task: Begins the name of a new folder.

    Raises:
      UserError: If a run of `config` can be neither begun nor continued there.
    """
    name = f"{task}-{config.fusion}-fold{config.fold}"
    return RunFolder(
        from_main(lambda: str(config.out or default_out(name))),
        arguments.stored(config),
        may_differ=arguments.MAY_DIFFER,
        overwrite=config.overwrite,
    )


def run_in(folder: RunFolder, train: Callable[[], dict[str, Any]], **show: Any) -> dict[str, Any]:
    """Begins or continues the run in `folder`; shows the stored result of a finished one.

    Args:
      folder: Of the run.
      train: Trains, tests and draws; gives the content of result.json, which is written last.
      **show: For `show_result`.

    Returns:
      The content of result.json.
    """
    result = folder.result
    if result is not None:
        say(f"{folder.given} holds this run, finished; --overwrite starts it anew.")
    else:
        if folder.continues:
            say(f"Continuing {folder.given} {_stopped_at(folder)}.")
        try:
            result = jsonable(train())

            def finish() -> str:
                folder.write("result.json", result)
                return ""

            from_main(finish)  # The others wait until the main process has made its pictures.
        except (KeyboardInterrupt, OSError) as error:
            if (folder.path / "config.json").exists():
                error.add_note(f"the same command with --out {folder.given} continues this run")
            raise
        finally:
            folder.close()
    show_result(result, **show)
    say(f"Everything of this run is in {folder.given}; --out {folder.given} shows it again.")
    return result


def _stopped_at(folder: RunFolder) -> str:
    try:
        facts = read_facts(folder.path / "checkpoints", "last")
    except UserError:
        return "from its beginning: it has no checkpoint yet"
    if facts["epoch"] == folder.config["epochs"]:
        return "after its last epoch"
    return f"from epoch {facts['epoch'] + 1}" + (
        f", step {facts['done'] + 1}" * bool(facts["done"])
    )


def runs_name(folds: Sequence[int], seeds: Sequence[int]) -> str:
    """Folds and seeds, for a title."""
    return ", ".join(
        f"{word}{'s' * (len(values) > 1)} {' '.join(map(str, values))}"
        for word, values in (("fold", folds), ("seed", seeds))
    )


def simulated_pixel_set(cache: pathlib.Path | None) -> pathlib.Path:
    """Returns the default simulated pixel-set folder, made on first use and kept in the cache."""
    return _simulated(cache, "pixels")


def simulated_patches(cache: pathlib.Path | None) -> pathlib.Path:
    """Returns the default simulated patch folder, made on first use and kept in the cache."""
    difficulty = simulate.Difficulty(clustering=CLUSTERING)
    made = {"parcels": 1, "patches": SIMULATED_PATCHES, "difficulty": difficulty}
    return _simulated(cache, "patches", **made) / "patches"


def simulated_small(cache: pathlib.Path | None) -> tuple[pathlib.Path, pathlib.Path]:
    """Returns tiny simulated folders, of pixel sets and of patches, to try things on."""
    difficulty = simulate.Difficulty(clustering=CLUSTERING)
    made = {"parcels": 300, "patches": 10, "size": 32, "difficulty": difficulty}
    root = _simulated(cache, "small", **made)
    return root, root / "patches"


def _simulated(cache: pathlib.Path | None, name: str, **arguments: Any) -> pathlib.Path:
    cache = pathlib.Path(os.path.expanduser(cache or default_cache()))
    recipe = hashlib.sha256(repr(arguments).encode())
    for source in sorted(pathlib.Path(simulate.__file__).parent.glob("*.py")):
        recipe.update(source.read_bytes())
    folder = cache / f"simulated-{name}-{recipe.hexdigest()[:12]}"
    if not folder.exists():
        say(f"No --data given: simulating a PASTIS-R in {folder} (kept for later runs).")
        try:
            simulate.simulate(folder, seed=0, **arguments)
        except UserError:
            if not (folder / "metadata.geojson").exists():  # else another process made it meanwhile
                raise
    return folder


def find_data(
    config: arguments.Config,
    simulated: Callable[[pathlib.Path | None], pathlib.Path],
    prepare: Callable[..., Prepared],
) -> tuple[pathlib.Path, Prepared]:
    """Finds the data of a run, or simulates them, and prepares them; the main process first.

    Args:
      config: Completed.
      simulated: Makes the default folder in a cache.
      prepare: `prepare_pixel_sets` or `prepare_patches`.

    Returns:
      Their folder, and what `prepare` made of it.

    Raises:
      UserError: For every mistake in the data.
    """

    def work():
        root = config.data or simulated(config.cache_dir)
        return root, prepare(
            root,
            modalities=config.modalities,
            cache=config.cache_dir,
            compute_statistics=config.compute_statistics,
        )

    return main_first(work)


def default_out(name: str) -> pathlib.Path:
    """A new folder below runs/."""
    return pathlib.Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def check_out(
    path: pathlib.Path, suffix: str, *, kind: str | None = None, where: str = "--out"
) -> None:
    """Refuses a file that cannot be written, before work that would be in vain; writes nothing.

    Args:
      path: The file.
      suffix: How its name must end.
      kind: Of a JSON file; one that is there already is replaced if its `kind` is the same.
      where: The flag.

    Raises:
      UserError: If it is refused.
    """
    there = next(p for p in path.absolute().parents if p.exists())
    what = None
    if path.suffix != suffix:
        what = f"{path} does not end in {suffix}"
    elif path.is_dir() or not there.is_dir() or not os.access(there, os.W_OK):
        what = f"{path} cannot be written"
    elif path.exists() and kind and json_content(path).get("kind") != kind:
        what = f"{path} was not written by this command"
    if what:
        raise UserError(what, where=where, remedy="give another file")


def json_content(path: pathlib.Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where it cannot be read or is no mapping."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        content = None
    return content if isinstance(content, dict) else {}


def say(text: str) -> None:
    """Prints a line for the reader, at once; of several processes, the main one does."""
    if is_main():
        print(text, flush=True)


def say_sources(
    sources: Mapping[str, Sequence], folds: Mapping[str, tuple[int, ...]], root, samples: str
) -> None:
    """Prints how many `samples` there are to train, validate and test."""
    train, val, test = (f"{len(sources[split]):,}" for split in ("train", "val", "test"))
    say(
        f"{train} {samples} to train, {val} to validate, {test} to test "
        f"(folds {dict(folds)}), from {root}"
    )


def show_result(
    result: dict[str, Any], *, scores: Sequence[str] = ("mIoU", "OA"), per_class: str = "IoU"
) -> None:
    """Prints the closing table of a run; of several processes, the main one does.

    Args:
      result: The content of its result.json.
      scores: Names of the scores, that which selected the state first.
      per_class: Name of the score that is listed for each class.
    """
    if not is_main():
        return
    console = Console(width=None if sys.stdout.isatty() else 100)
    test, val = result["test"], result["val"]
    summary = Table(title=result["title"], show_header=False, title_justify="left")
    for name, text in (
        *((f"test {name}", f"{test[name]:.3f}") for name in scores),
        (
            f"validation {scores[0]}",
            f"{val[scores[0]]:.3f} (epoch {result['best_epoch']} of {result['epochs']})",
        ),
        ("parameters", f"{result['parameters']:,}"),
        ("training", f"{result['throughput']['train']:,.1f} {result['samples']}/s"),
        ("inference", f"{result['throughput']['inference']:,.1f} {result['samples']}/s"),
        ("time", ", ".join(f"{k} {v:.0f} s" for k, v in result["seconds"].items())),
    ):
        summary.add_row(name, text)
    if (memory := result["peak_memory_gb"]) is not None:
        summary.add_row("peak memory", f"{memory:.1f} GB")
    for share, removed in result.get("test_removed_optical", {}).items():
        summary.add_row(
            f"test mIoU, {float(share):.0%} of S2 dates removed", f"{removed['mIoU']:.3f}"
        )
    if parts := result.get("test_components"):
        summary.add_row(
            "test PQ of connected components",
            f"{parts['PQ']:.3f} (of at least {parts['least_area']} pixels)",
        )
    console.print(summary)
    classes = Table(title=f"{per_class} per class (test)", title_justify="left")
    for _ in range(3):
        classes.add_column("class")
        classes.add_column(per_class, justify="right")
    values = test.get("iou") or {name: one[per_class] for name, one in test["per_class"].items()}
    cells = [
        (name, "absent" if value is None else f"{value:.3f}") for name, value in values.items()
    ]
    rows = -(-len(cells) // 3)
    cells += [("", "")] * (3 * rows - len(cells))
    for i in range(rows):
        classes.add_row(*(text for column in range(3) for text in cells[i + column * rows]))
    console.print(classes)
