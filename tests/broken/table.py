"""The table of what was tried, for the documentation."""

from __future__ import annotations

import collections
import pathlib

from broken.cases import CASES
from broken.faults import ANEW, REFUSED, WORKS

PROMISED = {
    REFUSED: "refused: one line names the file and what to do, nothing stays in the cache",
    WORKS: "works",
    ANEW: "made anew: one line says so, and the run goes on",
}
SAME = ", and what was prepared before is known again"
LISTED = "; `pastis-jax inspect` lists it and goes on"
BEGIN, END = "<!-- broken inputs: begin -->\n", "<!-- broken inputs: end -->\n"


def table() -> str:
    """Markdown: kinds of files, faults, how many were tried, what becomes of them."""
    rows: dict[tuple[str, str], collections.Counter[str]] = {}
    for case in CASES:
        outcome = PROMISED[case.does.outcome]
        if case.inspected and case.does.outcome == REFUSED:
            outcome += LISTED
        if case.what.startswith("stray"):
            outcome += SAME
        fault = case.fault.encode(errors="backslashreplace").decode()
        rows.setdefault((case.what, outcome), collections.Counter())[f"`{fault}`"] += 1
    lines = ["| file | what is wrong | tried | what becomes of it |", "|---|---|---|---|"]
    for (what, outcome), faults in rows.items():
        names = ", ".join(name.strip("`") if "." not in name else name for name in faults)
        lines.append(f"| {what} | {names} | {faults.total()} | {outcome} |")
    return "\n".join([*lines, "", f"{len(CASES)} folders in all.", ""])


def write(page: pathlib.Path) -> None:
    """Puts the table in the place that a page keeps for it."""
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
