"""Our numbers beside those of the paper's text."""

from __future__ import annotations

import pathlib

import pytest

from experiments.paper.paper_numbers import STATEMENTS
from experiments.paper.report import statements
from experiments.paper.report.runs import Run, Runs


def matrix(hits):
    """Counts of two classes whose mIoU is hits / (20 - hits), both alike."""
    return [[hits, 10 - hits], [10 - hits, hits]]


def miou(hits):
    return 100 * hits / (20 - hits)


def segments(hits):
    return {
        "true_positive": [0, hits],
        "false_positive": [0, 10 - hits],
        "false_negative": [0, 10 - hits],
        "iou": [0.0, float(hits)],
    }


def run(key, hits, *, fold=1, **result):
    task, model, enhancement = key
    panoptic = task == "panoptic"
    test = {"per_class": {"Background": 0, "Corn": 0}} if panoptic else {"iou": {"a": 0, "b": 0}}
    given = {
        "task": task,
        "fusion": "single" if model.startswith("S") else model,
        "modalities": [model] if model.startswith("S") else ["S2", "S1A", "S1D"],
        "temporal_dropout": enhancement in ("temporal_dropout", "both"),
        "auxiliary": enhancement in ("auxiliary", "both"),
        **{"fold": fold, "seed": 0, "data": "given", "peak_memory_gb": None},
        "test": {**test, "mIoU": 0.5, "PQ": 0.5},
        "confusion": matrix(hits),
        "counts": segments(hits),
    }
    folder = pathlib.Path("/".join(key), f"fold{fold}-seed0")
    return Run(folder, {**given, **result}, {"legacy_void": True})


def measured(key, scores, *, fold=1):
    """A measurement whose draws hit so many, by share removed."""
    count = segments if key[0] == "panoptic" else matrix
    curve = {
        "ratios": list(scores),
        "counts": [[count(h) for h in hits] for hits in scores.values()],
    }
    score = "PQ" if key[0] == "panoptic" else "mIoU"
    names = dict(zip(("task", "model", "enhancement"), key, strict=True))
    curves = [{"spell": 6, **curve, "counts": None}, {"spell": 1, **curve}]
    return {**names, "fold": fold, "seed": 0, "score": score, "curves": curves}


def rows(hits, clouds=(), times=None, **results):
    """Entries by the name of the number."""
    finished = {key: [run(key, h, **results)] for key, h in hits.items()}
    by_key = {}
    for content in clouds:
        key = content["task"], content["model"], content["enhancement"]
        by_key.setdefault(key, []).append(content)
    given = Runs(
        root=pathlib.Path("runs"),
        finished=finished,
        failures={},
        unfinished=(),
        times=times or {},
        clouds=by_key,
        pictures={},
    )
    table = statements.statements(given)
    return dict(zip(STATEMENTS, (entry for _, (entry,) in table.rows), strict=True))


def test_every_number_of_the_text_has_a_row_and_says_what_ours_lacks():
    entries = rows({("parcel", "S2", "base"): 5})
    assert entries.keys() == STATEMENTS.keys()
    assert all(entry.paper.startswith(f"{STATEMENTS[n].value:g}, ") for n, entry in entries.items())
    assert all(entry.state in ("missing", "none") and entry.ours for entry in entries.values())
    assert entries["parcel_late_over_S2"].ours == "parcel/late/both: not run"
    assert entries["panoptic_S2_few_dates"].ours == "cloud_cover/panoptic/S2/base: not run"
    assert "inspect" in entries["radar_images"].ours


def test_gains_are_differences_of_scores():
    entries = rows(
        {
            ("parcel", "S2", "base"): 8,
            ("parcel", "S1A", "base"): 6,
            ("parcel", "S1D", "base"): 7,
            ("parcel", "late", "both"): 9,
            ("semantic", "S2", "base"): 5,
            ("semantic", "late", "both"): 8,
            ("semantic", "late", "temporal_dropout"): 7,
        }
    )
    for name, value in {
        "parcel_S2_over_radar": miou(8) - miou(7),
        "parcel_late_over_S2": miou(9) - miou(8),
        "semantic_late_over_S2": miou(7) - miou(5),
        "semantic_auxiliary_over_late": miou(8) - miou(7),
        "semantic_below_parcel": (miou(8) - miou(5) + miou(9) - miou(8)) / 2,
    }.items():
        assert entries[name].value == pytest.approx(value), name
        assert entries[name].state == "done"
        assert entries[name].shade is not None
    assert entries["semantic_below_parcel"].details == ("mean of S2-base, late-both",)
    assert entries["parcel_late_over_S2"].beside == "paper 3.3, points of mIoU (+11.9)"


def test_panoptic_quality_with_30_percent_of_the_dates():
    """Of the draws of random dates, at 70 % removed, and of the runs at hand alone."""
    s2, late = ("panoptic", "S2", "base"), ("panoptic", "late", "temporal_dropout")
    entries = rows(
        {s2: 8, late: 9},
        [
            measured(s2, {0.0: [8], 0.7: [2, 4]}),
            measured(s2, {0.0: [8], 0.7: [0, 0]}, fold=2),
            measured(late, {0.0: [9], 0.6: [5, 5]}),
        ],
    )
    assert entries["panoptic_S2_few_dates"].value == pytest.approx(30)
    assert (
        entries["panoptic_S2_few_dates"].beside
        == "paper 33, PQ at 30 % of the S2 dates (\u22123.0)"
    )
    assert entries["panoptic_late_few_dates"].state == "missing"
    assert entries["panoptic_late_over_S2"].value == pytest.approx(10)


def test_clouds():
    s2, late, decision = (
        ("parcel", model, kind)
        for model, kind in (("S2", "base"), ("late", "both"), ("decision", "both"))
    )
    entries = rows(
        {s2: 8, late: 9, decision: 9, ("parcel", "S1A", "base"): 4, ("parcel", "S1D", "base"): 5},
        [
            measured(s2, {0.0: [8], 0.5: [6], 0.6: [4, 5], 0.7: [1]}),
            measured(late, {0.0: [9], 0.5: [8]}),
            measured(decision, {0.0: [9], 0.9: [6]}),
        ],
    )
    assert entries["occlusion_S2_below_radar"].ours == "parcel from 60%; semantic not run"
    lost = statements.signed(miou(8) - miou(9))
    assert entries["occlusion_fusion_constant"].ours == f"parcel late {lost}; semantic not run"
    above = statements.signed(miou(6) - miou(5))
    assert entries["occlusion_decision_above_radar"].ours == f"parcel {above}; semantic not run"


def test_times_parameters_and_memory():
    def time(seconds, **given):
        return {"seconds": {"loading and prediction": seconds}, "count": 496, **given}

    key = ("parcel", "late", "both")
    table = {"spatial_S2/mlp": 10, "temporal_S2/ltae": 30, "temporal_S1A/ltae": 15, "decoder/x": 7}
    times = {("parcel", "mid"): [time(8.0)], ("parcel", "late"): [time(10.0)]}
    times["semantic", "late"] = [time(9.0, km2=812.6)]
    entries = rows(
        {key: 5, ("semantic", "late", "base"): 5},
        times=times,
        parameters_by_module=table,
        peak_memory_gb=51.5,
    )
    assert entries["parcel_mid_faster_than_late"].value == pytest.approx(20)
    assert entries["parcel_temporal_over_spatial_parameters"].value == pytest.approx(4.5)
    assert entries["gpu_memory"].ours == "51.5"
    assert entries["inference_patches"].ours == "496"
    assert entries["inference_area"].ours == "813"
    assert entries["inference_area"].shade is None
