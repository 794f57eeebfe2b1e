"""Folds pooled by their counts, against sums by hand."""

from __future__ import annotations

import math

import pytest

from experiments.paper import pooled

MODEL = {
    "fusion": "late",
    "modalities": ["S2", "S1A", "S1D"],
    "temporal_dropout": False,
    "auxiliary": True,
    "data": "simulated",
    "seed": 0,
}


def confusion(fold, counts, **differing):
    iou = dict.fromkeys(["Meadow", "Corn", "Beet"])
    return {
        **MODEL,
        "task": "parcel",
        "fold": fold,
        "confusion": counts,
        "test": {"iou": iou},
        **differing,
    }


def panoptic(fold, tp, fp, fn, iou):
    counts = {"true_positive": tp, "false_positive": fp, "false_negative": fn, "iou": iou}
    classes = dict.fromkeys(["Background", "Meadow", "Corn", "Beet"])
    return {
        **MODEL,
        "task": "panoptic",
        "fold": fold,
        "counts": counts,
        "test": {"per_class": classes},
    }


FIRST = confusion(1, [[3, 1, 0], [0, 2, 0], [0, 0, 0]])
SECOND = confusion(2, [[1, 0, 0], [2, 1, 0], [0, 0, 0]])


def test_confusion_matrices_are_summed():
    scores = pooled.pool([FIRST, SECOND])  # [[4, 1, 0], [2, 3, 0], [0, 0, 0]]
    assert scores["OA"] == pytest.approx(7 / 10)
    assert scores["mIoU"] == pytest.approx((4 / 7 + 3 / 6) / 2)
    assert scores["macro F1"] == pytest.approx((8 / 11 + 6 / 9) / 2)
    assert scores["iou"]["Meadow"] == pytest.approx(4 / 7)
    assert scores["f1"]["Meadow"] == pytest.approx(8 / 11)
    assert scores["iou"]["Corn"] == pytest.approx(1 / 2)
    assert math.isnan(scores["iou"]["Beet"])
    assert scores["mIoU"] != pytest.approx((pooled.pool([FIRST])["mIoU"] + 1 / 3) / 2)


def test_counts_beyond_32_bits():
    counts = [[2**31 - 1, 0, 0], [0, 0, 0], [0, 0, 0]]
    folds = [confusion(fold, counts) for fold in (1, 2, 3)]
    folds.append(confusion(4, [[0, 2**31 - 1, 0], [0, 0, 0], [0, 0, 0]]))
    assert pooled.pool(folds)["OA"] == 0.75


def test_segments_are_summed():
    folds = [
        panoptic(1, [0, 1, 0, 0], [0, 1, 2, 0], [0, 0, 1, 0], [0, 0.9, 0, 0]),
        panoptic(2, [0, 2, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1.5, 0.6, 0]),
    ]
    scores = pooled.pool(folds)
    meadow = {"SQ": 2.4 / 3, "RQ": 3 / 4, "PQ": 2.4 / 3 * 3 / 4}
    corn = {"SQ": 0.6, "RQ": 1 / 2.5, "PQ": 0.6 / 2.5}
    assert scores["per_class"]["Meadow"] == pytest.approx(meadow)
    assert scores["per_class"]["Corn"] == pytest.approx(corn)
    assert math.isnan(scores["per_class"]["Beet"]["PQ"])
    for name in ("SQ", "RQ", "PQ"):
        assert scores[name] == pytest.approx((meadow[name] + corn[name]) / 2)


@pytest.mark.parametrize(
    ("results", "match"),
    [
        ([], "no result"),
        ([FIRST, panoptic(2, *[[0, 0, 0, 0]] * 4)], "task differs"),
        ([FIRST, SECOND | {"fusion": "mid"}], "fusion differs"),
        ([FIRST, SECOND | {"modalities": ["S2"]}], "modalities differs"),
        ([FIRST, SECOND | {"auxiliary": False}], "auxiliary differs"),
        ([FIRST, SECOND | {"data": "given"}], "data differs"),
        ([FIRST, SECOND | {"seed": 1}], "seed differs"),
        ([FIRST, SECOND | {"fold": 1}], "twice"),
        ([FIRST, SECOND | {"test": {"iou": {"Meadow": 1, "Corn": 1, "Rice": 1}}}], "Beet"),
        ([FIRST, SECOND | {"test": {"iou": {"Corn": 1, "Meadow": 1, "Beet": 1}}}], "order"),
        ([confusion(1, [[1, 0], [0, 1]])], "3 classes"),
    ],
)
def test_refuses_what_is_not_one_model(results, match):
    with pytest.raises(ValueError, match=match):
        pooled.pool(results)


def test_spread():
    assert pooled.spread([1.0, 2.0, 3.0]) == pytest.approx({"mean": 2, "std": math.sqrt(2 / 3)})
    assert pooled.spread([0.25]) == {"mean": 0.25, "std": 0}
    with pytest.raises(ValueError, match="no value"):
        pooled.spread([])
