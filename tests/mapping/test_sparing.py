"""A run that encodes some images at a time predicts what it predicts of all at once."""

from __future__ import annotations

import map_factory
import numpy as np
import region_factory

from pastis_jax.runs import opened
from pastis_jax.tasks import blank_series
from pastis_jax.types import Series


def test_some_images_at_a_time(tmp_path):
    """Forty of them, of which 32 are a part."""
    region_factory.make_region(tmp_path / "region", days={"S2": (10, 40, 200)})
    run = map_factory.make_run(tmp_path / "run", "semantic", tmp_path / "region", fusion="single")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 40, 128, 128, 10)).astype(np.float32)
    days, valid = np.arange(40, dtype=np.int32)[None] * 8, rng.random((1, 40)) < 0.9
    series = {"S2": Series(values, days, valid)}
    sparing = run.sparing()
    assert sparing is not run
    assert sparing.sparing() is sparing
    assert not run.task.spec.remat
    assert sparing.answer(series).shape == (1, 128, 128, len(run.classes.names))
    np.testing.assert_allclose(sparing.answer(series), run.answer(series), atol=1e-5)


def test_modalities_are_encoded_one_after_the_other(tmp_path, monkeypatch):
    """On a CPU: what is kept of several dates of several modalities is not all there at once."""
    days = {name: (10, 40, 200) for name in ("S2", "S1A", "S1D")}
    region_factory.make_region(tmp_path / "region", days=days)
    run = map_factory.make_run(tmp_path / "run", "semantic", tmp_path / "region", fusion="late")
    shapes = {name: (1, 40, 128, 128, len(run.dataset[name].channels)) for name in days}
    series = {name: blank_series(shape) for name, shape in shapes.items()}

    def temporaries():
        program = run.sparing()._answer.lower(run.variables, series).compile()
        return program.memory_analysis().temp_size_in_bytes

    ours = temporaries()
    monkeypatch.setattr(opened, "LEAST_MEMORY", None)
    assert ours < 0.9 * temporaries()


def test_parcels_have_no_images(tmp_path):
    region_factory.make_region(tmp_path / "region", days={"S2": (10, 40, 200)})
    run = map_factory.make_run(tmp_path / "run", "parcel", tmp_path / "region", fusion="single")
    assert run.sparing() is run
