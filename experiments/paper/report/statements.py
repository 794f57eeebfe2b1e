"""The numbers of the paper's text, with ours beside them where the runs at hand give one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from experiments.paper import pooled
from experiments.paper.paper_numbers import CELLS, STATEMENTS, Statement
from experiments.paper.report.runs import SCORES, Key, Runs
from experiments.paper.report.tables import Entry, Table, score_of, shade_of, signed
from pastis_jax.errors import UserError

TITLE = "Numbers of the text"
CAPTION = (
    "What the paper's text says beside its tables, and the same of our runs: gains are differences "
    "of the scores in the tables; scores with S2 dates removed are those of random dates, all "
    "draws together."
)
OF_THE_DATA = Entry("none", "of the data: pastis-jax inspect counts it")
A_SETTING = Entry("none", "a setting, and ours as well")
RADAR = ("S1D", "S1A")
FUSED = ("early", "mid", "late", "decision")


def statements(runs: Runs) -> Table:
    """Returns the table of all numbers of the text."""
    rows = [
        (
            f"{WHAT[name]} (section {statement.section})".replace("section Table", "Table"),
            [_row(runs, statement)],
        )
        for name, statement in STATEMENTS.items()
    ]
    return Table(TITLE, CAPTION, ("What", "Ours"), rows, ())


def _place(statement: Statement) -> str:
    return (
        statement.section
        if statement.section.startswith("Table")
        else f"section {statement.section}"
    )


def _row(runs: Runs, statement: Statement) -> Entry:
    entry = OURS[statement.name](runs)
    entry = dataclasses.replace(entry, paper=f"{statement.value:g}, {statement.unit}")
    if entry.state != "done" or entry.value is None:
        return entry
    difference = entry.value - statement.value
    of_score = statement.unit.startswith(("points", "PQ"))
    return dataclasses.replace(
        entry,
        difference=signed(difference),
        shade=shade_of(difference) if of_score else None,
    )


def _done(value: float, *details: str, form: str = ".1f") -> Entry:
    return Entry("done", f"{value:{form}}", value, details=details)


def _worst(entries: Sequence[Entry], names: Sequence[str]) -> Entry | None:
    """What keeps a number from being made of several; None if nothing does."""
    for entry, name in zip(entries, names, strict=True):
        if entry.value is None:
            return Entry("missing", f"{name}: {entry.ours}")
    return None


def _gap(runs: Runs, first: Key, second: Key) -> Entry:
    """Points by which the main score of one model is above another's."""
    entries = [score_of(runs, key, SCORES[key[0]]) for key in (first, second)]
    if lacking := _worst(entries, ["/".join(key) for key in (first, second)]):
        return lacking
    return _done(entries[0].value - entries[1].value)


def _over_radar(runs: Runs) -> Entry:
    """Points by which S2 is above the better orbit, parcels."""
    gaps = [_gap(runs, ("parcel", "S2", "base"), ("parcel", orbit, "base")) for orbit in RADAR]
    return next((gap for gap in gaps if gap.value is None), None) or min(
        gaps, key=lambda gap: gap.value
    )


def _below_parcels(runs: Runs) -> Entry:
    """Points by which semantic segmentation is below parcels, mean of the models of both."""
    gaps = {}
    for cell in CELLS:
        if cell.task == "semantic" and cell.score == "mIoU" and cell.value is not None:
            model = cell.model, cell.enhancement
            gaps["-".join(model)] = _gap(runs, ("parcel", *model), ("semantic", *model))
    known = {model: gap.value for model, gap in gaps.items() if gap.value is not None}
    if not known:
        return Entry("missing", "no model was run for both")
    return _done(float(np.mean([*known.values()])), f"mean of {', '.join(known)}")


def _faster(runs: Runs) -> Entry:
    """Percent of the time of late fusion that mid fusion needs less, parcels."""
    seconds = {}
    for model in ("mid", "late"):
        measured = runs.times.get(("parcel", model), ())
        if not measured:
            return Entry("missing", f"inference/parcel-{model}: not run")
        times = [time["seconds"]["loading and prediction"] for time in measured]
        seconds[model] = pooled.spread(times)["mean"]
    return _done(100 * (1 - seconds["mid"] / seconds["late"]), "loading and prediction", form=".0f")


def _temporal_over_spatial(runs: Runs) -> Entry:
    """Parameters of the temporal encoders of late fusion over those of its spatial ones."""
    for (task, model, _), same in runs.finished.items():
        table = same[0].result.get("parameters_by_module")
        if (task, model) == ("parcel", "late") and table:
            temporal, spatial = (
                sum(number for name, number in table.items() if name.startswith(f"{part}_"))
                for part in ("temporal", "spatial")
            )
            if spatial:
                return _done(temporal / spatial)
    return Entry("missing", "parcel/late: not run")


def _memory(runs: Runs) -> Entry:
    """Most memory of late fusion of patches with all dates, GB."""
    same = runs.finished.get(("semantic", "late", "base"), ())
    used = [m for run in same if (m := run.result["peak_memory_gb"]) is not None]
    if not used:
        return Entry("missing", "semantic/late/base: not run" if not same else "not measured")
    recomputed = any(run.config.get("remat") for run in same)
    return _done(max(used), *["with recomputation (--remat)"] * recomputed)


def _fold(runs: Runs, name: str) -> Entry:
    """What is counted of the patches whose prediction was timed."""
    values = {
        time[name]
        for (task, _), times in runs.times.items()
        for time in times
        if task != "parcel" and time.get(name) is not None
    }
    return _done(max(values), form=",.0f") if values else Entry("missing", "not run")


# Scores with optical dates removed


def _at(runs: Runs, key: Key, share: float) -> float | None:
    """The score of a model, points, with a share of the optical dates removed at random.

    None where it was not measured of these runs.

    Raises:
      UserError: If its measurements differ in their number of draws.
    """
    places = {run.place for run in runs.finished.get(key, ())}
    curves, score = {}, None
    for content in runs.clouds.get(key, ()):
        place = content["fold"], content["seed"]
        for curve in content["curves"]:
            if curve["spell"] == 1 and place in places:
                at = [i for i, ratio in enumerate(curve["ratios"]) if abs(ratio - share) < 1e-6]
                if at:
                    curves[place], score = curve["counts"][at[0]], content["score"]
    if not curves:
        return None
    folds, seeds = pooled.complete(curves)
    scores = []
    for seed in seeds:
        draws = [curves[fold, seed] for fold in folds]
        if len({*map(len, draws)}) > 1:
            where, remedy = runs.root / "cloud_cover", "measure all folds alike"
            raise UserError(
                f"{'/'.join(key)} has other numbers of draws", where=where, remedy=remedy
            )
        scores += [
            pooled.count(key[0], tests).compute()[score] for tests in zip(*draws, strict=True)
        ]
    return 100 * float(np.mean(scores))


def _shares(runs: Runs, key: Key) -> list[float]:
    """The shares of removed dates at which a model was measured, rising."""
    curves = (curve for content in runs.clouds.get(key, ()) for curve in content["curves"])
    return sorted({ratio for curve in curves if curve["spell"] == 1 for ratio in curve["ratios"]})


def _with_few_dates(runs: Runs, key: Key) -> Entry:
    value = _at(runs, key, 0.7)
    return (
        Entry("missing", f"cloud_cover/{'/'.join(key)}: not run") if value is None else _done(value)
    )


def _radar(runs: Runs, task: str) -> float | None:
    """The score of the better orbit alone, points; None unless both were run."""
    entries = [score_of(runs, (task, orbit, "base"), SCORES[task]) for orbit in RADAR]
    values = [entry.value for entry in entries if entry.value is not None]
    return max(values) if len(values) == len(RADAR) else None


def _by_task(value: Callable[[str], str | None]) -> Entry:
    """A text for parcels and one for semantic segmentation."""
    texts = {task: value(task) for task in ("parcel", "semantic")}
    if not any(texts.values()):
        return Entry("missing", "not run")
    parts = [f"{task} {text or 'not run'}" for task, text in texts.items()]
    return Entry("done", "; ".join(parts))


def _below_radar(runs: Runs) -> Entry:
    """The least share of removed dates at which S2 scores below both orbits."""

    def of(task):
        key, radar = (task, "S2", "base"), _radar(runs, task)
        if radar is None or not (shares := _shares(runs, key)):
            return None
        scores = {share: _at(runs, key, share) for share in shares}
        below = [share for share, score in scores.items() if score is not None and score < radar]
        return f"from {below[0]:.0%}" if below else "at no share"

    return _by_task(of)


def _loss_of_fusion(runs: Runs) -> Entry:
    """Points that fusion models lose with half of the dates removed, of the most enhanced runs."""

    def of(task):
        lost = {}
        for model in FUSED:
            for enhancement in ("both", "auxiliary", "temporal_dropout", "base"):
                key = task, model, enhancement
                whole, half = _at(runs, key, 0.0), _at(runs, key, 0.5)
                if whole is not None and half is not None:
                    lost[model] = half - whole
                    break
        return ", ".join(f"{model} {signed(points)}" for model, points in lost.items()) or None

    return _by_task(of)


def _decision_over_radar(runs: Runs) -> Entry:
    """Points by which decision fusion is above the better orbit with 90 % of the dates removed."""

    def of(task):
        radar = _radar(runs, task)
        for enhancement in ("both", "auxiliary", "temporal_dropout", "base"):
            score = _at(runs, (task, "decision", enhancement), 0.9)
            if score is not None and radar is not None:
                return signed(score - radar)
        return None

    return _by_task(of)


WHAT = {
    "radar_images": "Radar images",
    "patches": "Patches",
    "optical_images": "Optical images",
    "optical_dates_least": "Shortest optical series",
    "optical_dates_most": "Longest optical series",
    "radar_dates": "Radar series",
    "covered_images": "Optical images with clouds",
    "parcel_S2_over_radar": "Parcels: S2 above the radar",
    "parcel_late_over_S2": "Parcels: late fusion with both enhancements above S2",
    "parcel_mid_faster_than_late": "Parcels: mid fusion faster than late",
    "parcel_temporal_over_spatial_parameters": (
        "Parcels: parameters of temporal over spatial encoders"
    ),
    "semantic_late_over_S2": "Semantic: late fusion with temporal dropout above S2",
    "semantic_auxiliary_over_late": "Semantic: gain of auxiliary supervision for late fusion",
    "semantic_dates": "Semantic: dates of a sample that did not fit",
    "gpu_memory": "Semantic: memory in which late fusion of all dates did not fit",
    "semantic_below_parcel": "Semantic segmentation below parcels",
    "occlusion_S2_below_radar": "Clouds: S2 falls below the radar",
    "occlusion_fusion_constant": "Clouds: fusion is almost constant; ours, points lost at 50 %",
    "occlusion_decision_above_radar": "Clouds: decision fusion above radar at 90 %; ours, points",
    "panoptic_early_over_S2": "Panoptic: early fusion above S2",
    "panoptic_late_over_S2": "Panoptic: late fusion above S2",
    "panoptic_dates_left": "Panoptic: dates left in the next two",
    "panoptic_S2_few_dates": "Panoptic: S2 with few dates",
    "panoptic_late_few_dates": "Panoptic: late fusion with few dates",
    "inference_patches": "Patches of a timed fold",
    "inference_area": "Area of a timed fold",
}
"""What each number is, for readers."""


def _gain(*keys: str) -> Callable[[Runs], Entry]:
    first, second = (tuple(key.split("/")) for key in keys)
    return lambda runs: _gap(runs, first, second)


OURS: dict[str, Callable[[Runs], Entry]] = {
    **dict.fromkeys(("radar_images", "patches", "optical_images"), lambda _: OF_THE_DATA),
    **dict.fromkeys(("optical_dates_least", "optical_dates_most"), lambda _: OF_THE_DATA),
    **dict.fromkeys(("radar_dates", "covered_images", "semantic_dates"), lambda _: OF_THE_DATA),
    "parcel_S2_over_radar": _over_radar,
    "parcel_late_over_S2": _gain("parcel/late/both", "parcel/S2/base"),
    "parcel_mid_faster_than_late": _faster,
    "parcel_temporal_over_spatial_parameters": _temporal_over_spatial,
    "semantic_late_over_S2": _gain("semantic/late/temporal_dropout", "semantic/S2/base"),
    "semantic_auxiliary_over_late": _gain("semantic/late/both", "semantic/late/temporal_dropout"),
    "gpu_memory": _memory,
    "semantic_below_parcel": _below_parcels,
    "occlusion_S2_below_radar": _below_radar,
    "occlusion_fusion_constant": _loss_of_fusion,
    "occlusion_decision_above_radar": _decision_over_radar,
    "panoptic_early_over_S2": _gain("panoptic/early/temporal_dropout", "panoptic/S2/base"),
    "panoptic_late_over_S2": _gain("panoptic/late/temporal_dropout", "panoptic/S2/base"),
    "panoptic_dates_left": lambda _: A_SETTING,
    "panoptic_S2_few_dates": lambda runs: _with_few_dates(runs, ("panoptic", "S2", "base")),
    "panoptic_late_few_dates": lambda runs: _with_few_dates(
        runs, ("panoptic", "late", "temporal_dropout")
    ),
    "inference_patches": lambda runs: _fold(runs, "count"),
    "inference_area": lambda runs: _fold(runs, "km2"),
}
"""Ours, by the name of the number."""
