"""Tables 1 to 4 of the paper, filled with our numbers beside the paper's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from experiments.paper import paper_numbers, pooled
from experiments.paper.paper_numbers import TableCell
from experiments.paper.report.runs import SCORES, Key, Run, Runs
from pastis_jax.errors import UserError

State = Literal["done", "failed", "unfinished", "missing", "none"]

TITLES = {
    1: "Parcel classification",
    2: "Semantic segmentation, mIoU",
    3: "Panoptic segmentation",
    4: "Seconds to load and predict one fold",
}
POINTS = (
    "Test score in points, from counts summed over the folds; mean and ± standard deviation over "
    "seeds."
)
BESIDE = "Below it the paper's number, and how ours differs from it."
RATIO = (
    "The paper's ratio is not to be expected: its early fusion is interpolated on the host while "
    "samples load, ours on the device; and late fusion of full encoders takes 2.6 times the "
    "multiply-adds of early fusion for parcels, 3.1 times for patches."
)
"""Multiply-adds: docs/reproduction.md, by benchmarks.arithmetic."""
OURS_ALONE = "the paper has no mid fusion of images"
STEPS = (1, 3, 10)
"""Differences, in points, from which a cell is coloured more strongly."""
LONGEST_ERROR = 90


@dataclasses.dataclass(frozen=True)
class Entry:
    """A cell of a table.

    Attributes:
      state: What there is of ours; `none` where there cannot be anything.
      ours: Our value as text, or why there is none.
      value: The same as a number.
      paper: The paper's value as printed, `-` with the letter of a note, or empty.
      difference: Ours less the paper's, if both are there, else empty.
      shade: -3 to 3, how far and in which direction a score differs; None for what is no score.
      details: Spread over folds, runs that are missing, the error.
    """

    state: State
    ours: str
    value: float | None = None
    paper: str = ""
    difference: str = ""
    shade: int | None = None
    details: tuple[str, ...] = ()

    @property
    def beside(self) -> str:
        """The paper's value and the difference, or empty."""
        difference = f" ({self.difference})" if self.difference else ""
        return f"paper {self.paper}{difference}" if self.paper else ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
      name: Its heading.
      caption: What its numbers are.
      columns: Headings of the columns, that of the rows' names first.
      rows: Name and entries of each row.
      notes: Sentences below it.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Entry]]]
    notes: Sequence[str]


def paper_tables(runs: Runs) -> list[Table]:
    """Returns Tables 1 to 4."""
    return [_scores(runs, number) for number in (1, 2, 3)] + [_times(runs)]


def other_runs(runs: Runs) -> Table | None:
    """Returns the scores of finished runs that no table has; None if there are none."""
    shown = {_key(cell) for number in (1, 2, 3) for cell in _cells(number)}
    columns = tuple(dict.fromkeys(SCORES[task] for task, _, _ in runs.finished))
    rows = [
        (
            ", ".join(key).replace("_", " "),
            [
                score_of(runs, key, score) if score == SCORES[key[0]] else Entry("none", "")
                for score in columns
            ],
        )
        for key in sorted(runs.finished.keys() - shown)
    ]
    caption = f"Finished runs that the paper's tables have no place for. {POINTS}"
    return Table("Other runs", caption, ("Run", *columns), rows, ()) if rows else None


def _cells(number: int) -> list[TableCell]:
    """The cells of a table, with those that we have and the paper does not.

    These are mid fusion in Tables 2 and 3; in Table 4 also decision fusion, where there is one.
    """
    given = [cell for cell in paper_numbers.CELLS if cell.table == number]
    if number == 1:
        return given
    late = [cell for cell in given if cell.model == "late"]

    def ours(model):
        return [
            dataclasses.replace(
                cell,
                row=f"{cell.row.replace('Late', model.capitalize())} (ours)",
                model=model,
                printed="",
                value=None,
                reason=OURS_ALONE,
            )
            for cell in late
            if (cell.task, model) != ("panoptic", "decision")
        ]

    at = given.index(late[0])
    return given[:at] + ours("mid") + given[at:] + (ours("decision") if number == 4 else [])


def _key(cell: TableCell) -> Key:
    return cell.task, cell.model, cell.enhancement


def _name(key: Key) -> str:
    """Beginning of the names of its runs, as experiments.paper gives them."""
    task, model, enhancement = key
    return f"{task}/{model}-{enhancement}/"


def _scores(runs: Runs, number: int) -> Table:
    cells = _cells(number)
    rows, columns = (tuple(dict.fromkeys(getattr(c, n) for c in cells)) for n in ("row", "column"))
    letters: dict[str, str] = {}

    def entry(row, column):
        here = [c for c in cells if (c.row, c.column) == (row, column)]
        if here[0].score == "parameters":
            return _parameters(runs, here, letters)
        return _compared(score_of(runs, _key(here[0]), here[0].score), here[0], letters)

    body = [(row, [entry(row, column) for column in columns]) for row in rows]
    notes = [f"({letter}) {reason[0].upper()}{reason[1:]}." for reason, letter in letters.items()]
    name = f"Table {number}: {TITLES[number]}"
    return Table(name, f"{POINTS} {BESIDE}", ("Model", *columns), body, notes)


def _printed(cell: TableCell, letters: dict[str, str]) -> str:
    """The paper's cell; a dash gets the letter of the note that says why."""
    if cell.value is not None:
        return cell.printed
    letters.setdefault(cell.reason, "abcdefgh"[len(letters)])
    return f"- ({letters[cell.reason]})"


def _compared(ours: Entry, cell: TableCell, letters: dict[str, str]) -> Entry:
    printed = _printed(cell, letters)
    if ours.state == "missing" and (cell.reason or "").startswith("not applicable"):
        return Entry("none", "-", paper=printed)
    if ours.state != "done" or cell.value is None:
        return dataclasses.replace(ours, paper=printed)
    difference = ours.value - cell.value
    return dataclasses.replace(
        ours, paper=printed, difference=signed(difference), shade=shade_of(difference)
    )


def score_of(runs: Runs, key: Key, score: str) -> Entry:
    """Our value of `score`, points, without the paper's."""
    same = runs.finished.get(key, ())
    name = _name(key)
    if not same:
        return _without(runs, name)
    by_seed = _pooled(same).values()
    points = [100 * scores[score] for scores in by_seed]
    over_seeds = pooled.spread(points)
    text = f"{over_seeds['mean']:.1f}" + f" ± {over_seeds['std']:.1f}" * (len(points) > 1)
    details = (
        *_folds(same, score),
        *_rules(same, by_seed, score),
        *_lacking(runs, key[0], same, name),
    )
    return Entry("done", text, over_seeds["mean"], details=details)


def _pooled(same: Sequence[Run]) -> Mapping[int, Mapping]:
    """Scores of the folds together, by seed; seeds without all of these are left out."""
    folds, seeds = pooled.complete(run.place for run in same)
    results = {run.place: run.result for run in same}
    try:
        return {seed: pooled.pool([results[f, seed] for f in folds]) for seed in seeds}
    except ValueError as error:
        where = same[0].folder.parent
        raise UserError(str(error), where=where, remedy="report these runs apart") from error


def _folds(same: Sequence[Run], score: str) -> Iterator[str]:
    """The spread over folds, if there are several."""
    if len({run.result["fold"] for run in same}) > 1:
        alone = pooled.spread([100 * run.result["test"][score] for run in same])
        yield f"± {alone['std']:.1f} over {len(same)} runs"


def _rules(same: Sequence[Run], by_seed: Iterable[Mapping], score: str) -> Iterator[str]:
    """The score by the other rule for void, where the results hold it."""
    rules = [scores.get("void_rules") for scores in by_seed]
    if all(rules):
        other = "corrected" if same[0].config.get("legacy_void") else "legacy"
        points = pooled.spread([100 * of_seed[other][score] for of_seed in rules])
        yield f"{points['mean']:.1f} by the {other} rule for void"


def _lacking(runs: Runs, task: str, same: Sequence[Run], name: str) -> Iterator[str]:
    """What of the folds and seeds that other models of the task have is not there."""
    wanted = {run.place for run in runs.all if run.result["task"] == task}
    if len(same) < len(wanted):
        yield f"{len(same)} of {len(wanted)} runs"
    folds, seeds = pooled.complete(run.place for run in same)
    if incomplete := {run.place[1] for run in same} - {*seeds}:
        text = ", ".join(map(str, sorted(incomplete)))
        yield f"without seed {text}, which lacks some of {len(folds)} folds"
    for outcome, names in (("failed", runs.failures), ("not finished", runs.unfinished)):
        if count := sum(cell.startswith(name) for cell in names):
            yield f"{count} {outcome}"


def _without(runs: Runs, name: str) -> Entry:
    """The entry of a cell whose results are not there; `name` begins those of its runs."""
    errors = [error for cell, error in runs.failures.items() if cell.startswith(name)]
    if errors:
        error = errors[0]
        short = error if len(error) <= LONGEST_ERROR else f"{error[: LONGEST_ERROR - 1]}…"
        return Entry("failed", "failed", details=(short,))
    if any(run.startswith(name) for run in runs.unfinished):
        return Entry("unfinished", "not finished")
    return Entry("missing", "not run")


def _parameters(runs: Runs, cells: Sequence[TableCell], letters: dict[str, str]) -> Entry:
    """Number of parameters without and, if the paper has it, with auxiliary decoders."""
    counts = [_count(runs, cell) for cell in cells]
    printed = _printed(cells[0], letters)
    if not any(counts):
        return dataclasses.replace(_without(runs, _name(_key(cells[0]))), paper=printed, details=())
    difference = " / ".join(
        f"{signed(100 * (count / cell.value - 1))} %" if count and cell.value else "-"
        for count, cell in zip(counts, cells, strict=True)
    )
    text = " / ".join(f"{count:,}" if count else "-" for count in counts)
    return Entry("done", text, None, printed, difference if cells[0].value else "")


def _count(runs: Runs, cell: TableCell) -> int | None:
    """Parameters of the runs of `cell`; the enhancements differ by auxiliary decoders only."""
    auxiliary = cell.enhancement in ("auxiliary", "both")
    counts = {
        run.result["parameters"]
        for (task, model, _), same in runs.finished.items()
        for run in same
        if (task, model, run.result["auxiliary"]) == (cell.task, cell.model, auxiliary)
    }
    if len(counts) > 1:
        listed = " and ".join(f"{count:,}" for count in sorted(counts))
        fault, remedy = f"{cell.model} has runs of {listed} parameters", "report them apart"
        raise UserError(fault, where=runs.root / cell.task, remedy=remedy)
    return next(iter(counts), None)


def _times(runs: Runs) -> Table:
    cells = _cells(4)
    names, columns = (tuple(dict.fromkeys(getattr(c, n) for c in cells)) for n in ("row", "column"))
    by_place = {(cell.row, cell.column): cell for cell in cells}
    times = {place: _time(runs, cell) for place, cell in by_place.items()}
    nothing = Entry("none", "-")
    rows = [(row, [times.get((row, column), nothing) for column in columns]) for row in names]
    pairs = [[("Early", column), ("Late", column)] for column in columns]
    ratios = [_ratio(*(by_place[p] for p in pair), *(times[p] for p in pair)) for pair in pairs]
    rows.append(("Late / Early", ratios))
    devices = sorted({time["device"] for times in runs.times.values() for time in times})
    where = f"Ours on {', '.join(devices)}, the paper's on another device:"
    notes = [f"{where} only the ratio of late to early fusion can be compared."] * bool(devices)
    notes += [RATIO, "* With auxiliary loss."]
    caption = (
        f"Loading and prediction together; ± the standard deviation over folds and seeds. {BESIDE}"
    )
    return Table(f"Table 4: {TITLES[4]}", caption, ("Model", *columns), rows, notes)


def _time(runs: Runs, cell: TableCell) -> Entry:
    measured = runs.times.get((cell.task, cell.model), ())
    if not measured:
        entry = _without(runs, f"inference/{cell.task}-{cell.model}/")
        return dataclasses.replace(entry, paper=cell.printed)
    together, *apart = (
        pooled.spread([time["seconds"][name] for time in measured])
        for name in ("loading and prediction", "loading", "prediction")
    )
    digits = sum(together["mean"] < bound for bound in (10, 100))
    several = len(measured) > 1
    text = f"{together['mean']:.{digits}f}" + f" ± {together['std']:.{digits}f}" * several
    count = pooled.spread([time["count"] for time in measured])["mean"]
    loading, prediction = (f"{spread['mean']:.{digits}f}" for spread in apart)
    details = (
        f"{count:,.0f} {measured[0]['samples']}",
        f"loading alone {loading}",
        f"prediction alone {prediction}",
    )
    return Entry("done", text, together["mean"], cell.printed, details=details)


def _ratio(early: TableCell, late: TableCell, ours_early: Entry, ours_late: Entry) -> Entry:
    paper = f"{late.value / early.value:.2f}"
    if missing := [entry for entry in (ours_early, ours_late) if entry.value is None]:
        worst = min(missing, key=lambda entry: entry.state != "failed")
        return Entry(worst.state, worst.ours, paper=paper)
    ratio = ours_late.value / ours_early.value
    return Entry("done", f"{ratio:.2f}", ratio, paper)


def signed(value: float) -> str:
    """One decimal and always a sign."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "\N{MINUS SIGN}")


def shade_of(difference: float) -> int:
    """Returns -3 to 3, by STEPS."""
    strength = sum(round(abs(difference), 1) >= step for step in STEPS)
    return strength if difference > 0 else -strength
