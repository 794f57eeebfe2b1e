"""Our tables and figures beside the paper's numbers, as one HTML file and as Markdown.

    python -m experiments.paper.report --runs runs/paper --out report

Reads what experiments.paper, or the experiments themselves, have left in a folder. Writes
report.html, which holds all it needs, and report.md with pictures/ beside it.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import tempfile
import urllib.parse
from collections.abc import Mapping

import tyro

from experiments.paper.pictures import validation_curves
from experiments.paper.report import content, markdown, page
from experiments.paper.report.runs import SCORES, Runs, read
from pastis_jax.cli import console
from pastis_jax.errors import UserError
from pastis_jax.files import write_whole
from pastis_jax.json_files import parse_object, read_text
from pastis_jax.runs.fields import is_number, shown

PICTURES = "pictures"


@dataclasses.dataclass(frozen=True)
class Config:
    """Write our tables and figures beside the paper's numbers."""

    runs: pathlib.Path
    """Folder that holds finished runs: the --out of experiments.paper."""
    out: pathlib.Path = pathlib.Path("report")
    """Folder for report.html, report.md and pictures/; an earlier report there is replaced."""


def run(config: Config) -> None:
    """Writes the report.

    Raises:
      UserError: If there is nothing to report, or it cannot be written.
    """
    console.check_folder(config.out)
    runs = read(config.runs)
    with tempfile.TemporaryDirectory(prefix="pastis_jax-") as scratch:
        made = content.make(runs, draw_curves(runs, pathlib.Path(scratch)))
        pictures = {path.name: path for section in made.sections for path in section.pictures}
        files = {
            **{f"{PICTURES}/{name}": path.read_bytes() for name, path in pictures.items()},
            "report.html": page.render(made).encode(),
            "report.md": markdown.render(made, PICTURES).encode(),
        }
    earlier = _linked(config.out / "report.md")
    for name, text in files.items():
        write_whole(config.out / name, text)
    for name in earlier - pictures.keys():
        (config.out / PICTURES / name).unlink(missing_ok=True)
    console.say(f"{config.out / 'report.html'} and {config.out / 'report.md'}: {made.title}.")
    for warning in made.warnings:
        console.say(warning)


def _linked(report: pathlib.Path) -> set[str]:
    """Names of the pictures of an earlier report, if it is one."""
    text = report.read_text(encoding="utf-8", errors="replace") if report.is_file() else ""
    if not text.startswith(f"# {content.TITLE} "):
        return set()
    links = re.findall(rf"^!\[.*\]\({PICTURES}/([^/\n]+\.png)\)$", text, re.MULTILINE)
    names = {os.fsdecode(urllib.parse.unquote_to_bytes(link)) for link in links}
    return {name for name in names if "/" not in name and "\0" not in name}


def draw_curves(runs: Runs, folder: pathlib.Path) -> Mapping[str, pathlib.Path]:
    """Draws the validation scores by epoch of all runs; returns a picture by task."""
    drawn = {}
    for task, score in SCORES.items():
        curves = {}
        keys = [key for key in runs.finished if key[0] == task]
        for key in sorted(keys, key=lambda key: _order(key[1])):
            name = key[2].replace("_", " ")
            curves.setdefault(key[1], {})[name] = [
                _validation(run.folder, score) for run in runs.finished[key]
            ]
        if curves:
            drawn[task] = folder / f"curves-{task}.png"
            validation_curves(curves, drawn[task], score=score)
    return drawn


def _order(model: str) -> tuple[int, str]:
    """Place of a model in the paper's tables."""
    names = ("S2", "S1D", "S1A", "early", "mid", "late", "decision")
    return (names.index(model) if model in names else len(names), model)


def _validation(folder: pathlib.Path, score: str) -> list[float]:
    path = folder / "metrics.jsonl"
    try:
        lines = [parse_object(line) for line in read_text(path).splitlines()]
        values = [line["val"][score] for line in lines]
        if wrong := [x for x in values if x is not None and not is_number(x)]:
            raise ValueError(f"{score} is {shown(wrong[0])}")
        return [float("nan") if value is None else value for value in values]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot be read ({reason})", where=path, remedy="train it anew") from error


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m experiments.paper.report", args=argv)
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
