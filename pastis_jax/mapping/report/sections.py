"""The sections of a page that are tables and sentences."""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
from collections.abc import Sequence

import jax
import numpy as np

import pastis_jax
from pastis_jax.mapping import accuracy
from pastis_jax.mapping.accuracy import WIDTH, Accuracy
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, UNCLASSIFIED_COLOUR
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.parcel_results import ParcelResults
from pastis_jax.mapping.report.drawing import reliability_svg
from pastis_jax.mapping.report.html import (
    Html,
    escape,
    hectares,
    items,
    percentage,
    share_bar,
    swatch,
    table,
    within,
)
from pastis_jax.mapping.report.picture import Totals
from pastis_jax.text import word

_SQUARE_METRES = 10_000


def header(made: Made, notes: Sequence[str]) -> Html:
    """Which run, Region, season and dates a map is of, and what is odd."""
    season, options, rows = made.season, made.options, []
    for name in made.run.modalities:
        one = season.acquired.get(name)
        if one is None or not len(one.days):
            rows.append((name, "none: masked everywhere", "0"))
            continue
        first, last = season.date(one.days.min()), season.date(one.days.max())
        rows.append((name, f"{first} to {last}", f"{len(one.days):,}"))
    pairs = [
        ("Region", ", ".join(dict.fromkeys((made.region.root.name, made.region.dataset.name)))),
        ("Run", f"{made.run.folder.name}: {_title(made)}"),
        ("Season", f"from {season.start}"),
        ("Used until", f"{options.until}" if options.until else f"{made.last_day}, all there is"),
    ]
    if options.reject:
        pairs.append(("Unclassified", f"below a confidence of {options.reject:g}"))
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in pairs)
    dates = table(("Modality", "Dates", "Acquisitions"), rows, texts=2, label="Dates")
    listed_notes = items(notes)
    told = f'<section class="notes"><h2>Notes</h2>{listed_notes}</section>' if notes else ""
    return Html(f"<dl>{listed}</dl>{dates}{told}")


def _title(made: Made) -> str:
    spec = made.run.task.spec
    return f"{made.run.task.name}, {spec.fusion} fusion of {', '.join(made.run.modalities)}"


def areas(made: Made, totals: Totals, adjusted: Accuracy | None) -> Html:
    """The table of areas by class; of parcels as well, where truth is known of some."""
    classes, pixel = made.classes, made.region.grid.pixel_size**2 / _SQUARE_METRES
    counted = totals.pixels[:NODATA].sum()
    values = [*range(len(classes.names)), UNCLASSIFIED]
    names, colours = [*classes.names, "Unclassified"], [*classes.colours, UNCLASSIFIED_COLOUR]
    head = ["Class", "Hectares", "Share", "Mean confidence", "Share of the mapped area"]
    if adjusted is not None:
        head += ["Of parcels, mapped, ha", "Of parcels, estimated, ha"]
    rows = []
    order = sorted(range(len(values)), key=lambda i: -totals.pixels[values[i]])
    for i in order:
        value = values[i]
        of_parcels = adjusted is not None and value < len(classes.names)
        known = of_parcels and (adjusted.mapped[value] > 0 or adjusted.areas[0, value] > 0)
        if not totals.pixels[value] and not known:
            continue
        share = totals.pixels[value] / max(counted, 1)
        row = [
            swatch(colours[i], names[i]),
            hectares(totals.pixels[value] * pixel),
            percentage(share),
            percentage(totals.mean_confidence(value), 0),
            share_bar(share, colours[i]),
        ]
        if adjusted is not None:
            row += _adjusted(adjusted, value) if of_parcels else ["-", "-"]
        rows.append(row)
    nodata = totals.pixels[NODATA] * pixel
    shown = table(head, rows, label="Areas by class")
    told = f"{hectares(counted * pixel)} ha are mapped"
    told += f"; of {hectares(nodata)} ha nothing is known." if nodata else "."
    if adjusted is not None:
        told += " Columns of parcels are of those whose crop is known (see below)."
    return Html(f"{shown}<p>{told}</p>")


def _adjusted(told: Accuracy, value: int) -> list[str]:
    return [hectares(told.mapped[value]), _estimated(told, value)]


def _estimated(told: Accuracy, value: int) -> str:
    """The estimated area of a class with half its 95 % interval, or why that is not known."""
    area, error = told.areas[:, value]
    tested = int(told.counts[value].sum())
    if error > 0:
        return f"{hectares(area)} ± {hectares(WIDTH * error)}"
    if not area:
        # Of a class that is left out, that none was found elsewhere tells nothing.
        out = told.mapped[value] > 0 and not told.used[value]
        return "-" if out else f"{hectares(area)}, none among {told.samples:,} tested"
    if told.users[0, value] == 1:
        return f"{hectares(area)}, no error among {tested:,} tested"
    return f"{hectares(area)} ± ?"


def accuracies(made: Made, results: ParcelResults | None, told: Accuracy | None) -> Html:
    """What held-out parcels tell of the map."""
    if results is None or told is None:
        return Html(f"<p>{_why_not(results)}</p>")
    names, colours = made.classes.names, made.classes.colours
    overall, error = told.overall
    known = np.flatnonzero((told.counts.sum(0) + told.counts.sum(1) > 0) | (told.mapped > 0))
    rows = [
        (
            swatch(colours[i], names[i]),
            f"{told.counts[i].sum():,}",
            within(told.users[0, i], WIDTH * told.users[1, i], told.counts[i].sum()),
            within(told.producers[0, i], WIDTH * told.producers[1, i], _of_class(told, i)),
            hectares(told.mapped[i]),
            _estimated(told, i),
        )
        for i in known
    ]
    head = ("Class", "Parcels tested", "User's accuracy", "Producer's accuracy", "Mapped, ha")
    shown = within(overall, WIDTH * error, told.samples)
    by_class = table((*head, "Estimated, ha"), rows, label="Accuracy by class")
    return Html(
        f'<p class="large">Overall accuracy {escape(shown)}, by area, of '
        f"{told.samples:,} parcels.</p>{_what_it_is(made, results, told)}{by_class}"
        f"{_matrices(told, names, known)}"
    )


def _of_class(told: Accuracy, value: int) -> int:
    """Samples of a true class that count."""
    return int(told.counts[told.used, value].sum())


def _why_not(results: ParcelResults | None) -> str:
    if results is None or not len(results):
        return "The map has no parcels: there is no truth to compare it with."
    if not (results.truth >= 0).any():
        return "No parcel's true class is known: there is nothing to compare the map with."
    if not accuracy.sampled(results).any():
        return (
            "Of no parcel that the run was neither trained nor validated on is the true class "
            "known: nothing can be said of accuracy here."
        )
    return "Fewer than two parcels of any class tell of accuracy: nothing can be said of it."


def _what_it_is(made: Made, results: ParcelResults, told: Accuracy) -> Html:
    sample, whole = accuracy.sampled(results), accuracy.population(results)
    pixel = made.region.grid.pixel_size**2 / _SQUARE_METRES
    lines = [
        f"The sample: the {int(sample.sum()):,} of {len(results):,} parcels whose class is known "
        "and which the run was neither trained nor validated on. What they speak for: all "
        f"{int(whole.sum()):,} classified parcels whose crop is known, "
        f"{hectares(pixel * results.pixels[whole].sum())} ha, not what lies between them.",
        "The estimator is the stratified one of Olofsson et al. (2014), with the classes of the "
        "map as strata: each counts by the hectares mapped as it, however many parcels of it were "
        "tested; within a class of the map, parcels count alike, whatever their size.",
        "Held-out parcels were not drawn at random from the whole map: where folds are blocks of "
        "land they lie together, so that the intervals (95 %, 1.96 standard errors) may be too "
        "narrow. Where every tested parcel was right, no interval is known: that none was wrong is "
        "no proof that none is.",
    ]
    if (void := accuracy.left_out(results)).any():
        lines.insert(1, _left_out(made, int(void.sum()), pixel * results.pixels[void].sum()))
    out = (told.mapped > 0) & ~told.used
    if out.any():
        named = ", ".join(made.classes.names[i] for i in np.flatnonzero(out))
        lines.append(
            f"Left out of all estimates: {named}, {hectares(told.mapped[out].sum())} ha, of which "
            "fewer than two parcels were tested."
        )
    if unclear := int((results.label == UNCLASSIFIED).sum()):
        lines.append(f"{unclear:,} unclassified parcels count neither as right nor as wrong.")
    return items(lines)


def _left_out(made: Made, number: int, area: float) -> str:
    if made.run.task.name == "panoptic":
        kind = word(number, "instance matches", "instances match")
        them = word(number, "it", "them")
        return (
            f"{number:,} {kind} no parcel whose crop the run knows ({hectares(area)} ha): the "
            f"estimates leave {them} out."
        )
    if number == 1:
        return (
            f"1 parcel ({hectares(area)} ha) is of a crop that the run does not know: the map "
            "gives it one of its classes, and the estimates leave it out."
        )
    return (
        f"{number:,} parcels ({hectares(area)} ha) are of crops that the run does not know: the "
        "map gives each one of its classes, and the estimates leave them out."
    )


def _matrices(told: Accuracy, names: Sequence[str], known: np.ndarray) -> Html:
    head = ["Mapped as", *(names[i] for i in known)]
    counts = [[names[i], *(f"{told.counts[i, j]:,}" for j in known)] for i in known]
    shares = [
        [names[i], *(f"{told.shares[i, j]:.4f}" if told.used[i] else "-" for j in known)]
        for i in known
    ]
    return Html(
        "<details><summary>Error matrix, in parcels and in shares of the area</summary>"
        f"{table(head, counts, caption='Parcels; columns are true classes')}"
        f"{table(head, shares, caption='Estimated shares of the area; columns are true classes')}"
        "</details>"
    )


def reliability(results: ParcelResults | None) -> Html:
    """Whether confidences mean what they say, of held-out parcels."""
    told = None if results is None else accuracy.reliability_of(results)
    if told is None:
        return Html("<p>No held-out parcel of known class tells whether confidences hold.</p>")
    error, number = 100 * told["ECE"], told["count"].sum()
    return Html(
        f'<div class="beside">{reliability_svg(told)}<div><p class="large">Expected calibration '
        f"error {error:.1f} %</p><p>Of {number:,} held-out parcels: what was said with some "
        "confidence (horizontal axis) and how often it was right (bars), with the number of "
        "parcels in each bar. On the dashed line it was right as often as it was sure.</p></div>"
        "</div>"
    )


def making(made: Made) -> Html:
    """How a map was made: command, scores of the run, digests, versions."""
    run, rows = made.run, []
    rows.append(("Command", Html(f"<code>{escape(command(made))}</code>")))
    test = run.result["test"]
    scores = ", ".join(
        f"{name} {test[name]:.3f}"
        for name in run.task.scores_in(test)
        if _is_number(test.get(name))
    )
    rows.append(("Scores of the run in its own test", scores or "not known"))
    if _is_number(test.get("ECE")):
        rows.append(("Expected calibration error in that test", f"{test['ECE']:.3f}"))
    rows += [(f"Digest of {name}", Html(f"<code>{made.key[name]}</code>")) for name in made.key]
    rows += [
        ("Code that trained the run", run.saved.code),
        ("Code that made the map", f"pastis_jax {pastis_jax.__version__}, JAX {jax.__version__}"),
    ]
    grid = made.region.grid
    place = f"{grid.height:,} x {grid.width:,} pixels of {grid.pixel_size:g} m, "
    place += f"upper left corner at {grid.left:.10g}, {grid.top:.10g}"
    rows += [("Grid", place), ("Coordinate system", grid.crs)]
    return table(("What", "Value"), rows, texts=2, label="How it was made")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def command(made: Made) -> str:
    """The command that makes such a map; folders and files by their names, wherever they lie."""
    words = ["pastis-jax", "predict", "--run", made.run.folder.name]
    words += ["--data", made.region.root.name, "--out", "MAP"]
    for field in dataclasses.fields(made.options):
        value = getattr(made.options, field.name)
        if value == field.default:
            continue
        words.append(f"--{field.name.replace('_', '-')}")
        if isinstance(value, tuple):
            words += value
        elif value is not True:
            words.append(value.name if isinstance(value, pathlib.Path) else str(value))
    return shlex.join(words)
