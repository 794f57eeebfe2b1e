"""Masks of scenes in one form."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from refusal import refused_in_a_line

from pastis_jax.data.regions.ingestion import masks
from pastis_jax.data.regions.manifest import MASK, Layer


def layer(unit):
    return Layer("mask.tif", "1", "m", MASK, datetime.date(2024, 5, 1), "", unit)


def mask_of(numbers, unit, nodata=None):
    return masks.as_mask(np.array(numbers), layer(unit), nodata).tolist()


@pytest.mark.parametrize(
    ("numbers", "unit", "nodata", "expected"),
    [
        ([*range(12)], "scl", None, [255, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0]),
        ([0, 4, 99], "scl", 99, [255, 0, 255]),
        ([0, 40, 41, 100], "cloud probability", None, [0, 0, 1, 1]),
        ([0.0, 39.5, 40.5, np.nan], "cloud probability", None, [0, 0, 1, 255]),
        ([0, 50, 255], "cloud probability", 255, [0, 1, 255]),
        ([0.0, 1.0], "cloud probability", None, [0, 0]),
        ([0, 1, 7], "cloud", None, [0, 1, 1]),
        ([0, 1, 255], "cloud", 255, [0, 1, 255]),
        ([0, 1], "cloud", 0, [0, 1]),
        ([0, 1, 2], "valid", None, [1, 0, 0]),
        ([0, 1], "valid", 0, [1, 0]),
        ([False, True], "valid", None, [1, 0]),
    ],
)
def test_meaning(numbers, unit, nodata, expected):
    assert mask_of(numbers, unit, nodata) == expected


@pytest.mark.parametrize(
    ("numbers", "unit"),
    [
        ([4, 12], "scl"),
        ([4, -1], "scl"),
        ([4.5], "scl"),
        ([0, 101], "cloud probability"),
        ([0.1, 0.9], "cloud probability"),
        ([0], ""),
        ([0], "dB"),
    ],
)
def test_numbers_without_meaning_are_refused(numbers, unit):
    refused_in_a_line(lambda: mask_of(numbers, unit), "mask.tif", "manifest")


def test_several_masks_are_one():
    one, other = np.array([[0, 0, 1, 255, 255]]), np.array([[0, 1, 0, 0, 255]])
    for pair in ([one, other], [other, one]):
        assert masks.together(pair, (1, 5)).tolist() == [[0, 1, 1, 0, 255]]
    assert masks.together([], (1, 2)).tolist() == [[255, 255]]
