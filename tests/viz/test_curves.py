"""Pictures of a run with pixels by the million and classes that are absent."""

from __future__ import annotations

import drawn
import numpy as np
import pytest

from pastis_jax import viz
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.viz import curves

CLASSES, VOID = PASTIS_R.nomenclature.classes, PASTIS_R.nomenclature.void_number
NAMES = [crop.name for crop in CLASSES[:VOID]]
COLOURS = [crop.colour for crop in CLASSES[:VOID]]


figure_of = drawn.fixture(curves)


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_confusion_of_millions_of_pixels(figure_of, dtype):
    counts = np.diag(np.full(VOID, 300_000_000)).astype(dtype)
    counts[1, 0] = 100_000_000
    axes = figure_of(viz.confusion_matrix, counts, NAMES).axes[0]
    percent = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(np.diag(percent), [100, 75] + [100] * (VOID - 2))
    labels = axes.get_yticklabels()
    assert labels[1].get_text() == "Meadow (400,000,000)"
    boxes = [label.get_window_extent() for label in labels]
    assert min(box.x0 for box in boxes) > 0
    assert axes.get_window_extent().width > 0.5 * axes.figure.bbox.width


def test_iou_of_absent_classes(figure_of):
    iou = np.linspace(0, 1, VOID)
    iou[3] = np.nan
    axes = figure_of(viz.iou_per_class, iou, NAMES, COLOURS).axes[0]
    assert axes.get_title() == f"mIoU {np.nanmean(iou):.3f}"
    assert axes.texts[0].get_text() == "absent"
    nothing = figure_of(viz.iou_per_class, np.full(VOID, np.nan), NAMES, COLOURS).axes[0]
    assert nothing.get_title() == "mIoU 0.000"
