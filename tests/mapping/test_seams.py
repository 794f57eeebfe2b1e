"""The measure of seams: of maps whose seams are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.map_seams import (
    NEAR,
    Shifted,
    borders,
    compared,
    jumps,
    measure,
    near,
    one_border,
    paired,
)
from pastis_jax.data.regions.store import Region
from pastis_jax.mapping.windows import Axis


def test_borders():
    axis = Axis(100, 32, 16)
    wanted = sorted({16, 32, 48, 64, 68} | {80, 96} | {32, 48, 64, 80, 96})
    assert borders(axis).tolist() == wanted
    inside = near(axis)
    assert inside.sum() > 0
    for pixel in range(100):
        away = min(pixel - b if pixel >= b else b - 1 - pixel for b in wanted)
        assert inside[pixel] == (away < NEAR)


def test_windows_that_are_shifted():
    axis = Shifted(100, 32, 16, by=8)
    assert axis.starts.tolist() == [0, 8, 24, 40, 56, 68]
    covered = np.zeros(100, bool)
    for start in axis.starts:
        covered[start : start + 32] = True
    assert covered.all()


@pytest.mark.parametrize("more", [0.0, 0.2])
def test_what_is_larger_at_borders_is_found(more):
    rng, where = np.random.default_rng(0), np.zeros((256, 256), bool)
    where[::16] = True
    values = rng.random((256, 256)) + more * where
    values[:40, :40] = np.nan
    found = compared(values, where, 64)
    assert found["blocks"] == 16
    assert found["difference"] == pytest.approx(more, abs=0.02)
    assert (found["low"] > 0) == (more > 0)
    assert found["low"] < found["difference"] < found["high"]


@pytest.mark.parametrize("more", [0.0, 0.2])
def test_the_same_pixels_with_and_without_a_border(more):
    """Fields that end at borders do not count; what a border adds does."""
    rng, ends, others = np.random.default_rng(0), *(np.zeros((128, 128), bool) for _ in range(2))
    ends[::16], others[8::16] = True, True
    fields = 5.0 * ends + rng.random((128, 128)) / 100
    noise = rng.random((128, 128)) / 100
    maps = fields + more * ends, fields + noise + more * others
    found = paired(*one_border(*maps, ends, others), 32)
    assert found["difference"] == pytest.approx(more, abs=0.01)
    assert (found["low"] > 0) == (more > 0)


def test_jumps():
    shares = np.zeros((2, 3, 4))
    shares[0], shares[1] = 1, 0
    shares[:, :, 2:] = shares[::-1, :, 2:]
    down, right = jumps(shares)
    assert np.isnan(down[0]).all()
    assert np.isnan(right[:, 0]).all()
    assert (down[1:] == 0).all()
    assert right[:, 1:].tolist() == [[0, 1, 0]] * 3


def test_of_a_map(region, runs):
    found = measure(runs("semantic", fusion="single", window=(32, 32)), Region(region), size=130)
    assert found["pixels"] == [72, 130]
    assert found["stride"] == [16, 16]
    assert 0 <= found["disagreement"]["elsewhere"] < 0.5
    for name in ("jumps between rows", "jumps between columns"):
        assert found[name]["elsewhere"] > 0
    for name in ("rows", "columns"):
        one = found[f"inside one window, {name}"]
        assert one["inside"] > 0
        assert one["difference"] == pytest.approx(0, abs=0.05 * one["inside"])
