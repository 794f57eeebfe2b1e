"""The attention of runs for parcels: shares of the dates that an encoder reads."""

from __future__ import annotations

import numpy as np
import pytest
import report_maps
from parcel_maps import mapper_of

from pastis_jax.mapping.blocks import Block
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.report.attention import Attending
from pastis_jax.mapping.report.curves import observe
from pastis_jax.mapping.report.places import place_of


def told_of(mapper, row=0):
    results = report_maps.results_of(mapper)
    made = Made(mapper, (), mapper.region.root, {})
    place = place_of(mapper.region.grid, results.geometry[row])
    return Attending(made)(place, observe(made, place), results.id[row]), observe(made, place)


@pytest.mark.parametrize(
    ("task", "fusion", "together"),
    [("parcel", "mid", True), ("semantic", "late", False)],
)
def test_attention_is_shared_among_valid_dates(tmp_path, task, fusion, together):
    mapper = report_maps.opened(tmp_path, task, fusion=fusion)
    attention, observed = told_of(mapper)
    assert [*attention] == [*mapper.run.modalities]
    sums = [one.weight.sum() for one in attention.values()]
    assert (sum(sums) if together else sums) == pytest.approx(1 if together else [1] * len(sums))
    for name, one in attention.items():
        assert (one.weight >= 0).all()
        assert set(one.days.tolist()) <= set(observed[name].days.tolist())
    if task == "parcel":  # the first parcel was seen on one of three dates
        assert attention["S1A"].days.tolist() == [100]


def test_early_fusion_attends_to_dates_of_its_first_modality(tmp_path):
    attention, _ = told_of(report_maps.opened(tmp_path, "parcel", fusion="early"))
    assert [*attention] == ["S2"]
    assert attention["S2"].weight.sum() == pytest.approx(1)
    assert np.isfinite(attention["S2"].weight).all()


def test_the_pixels_of_a_parcel_are_those_that_the_map_is_made_of(tmp_path, monkeypatch):
    opened = report_maps.opened(tmp_path, "parcel", fusion="late")
    mapper = mapper_of(opened.run, opened.region.root, monkeypatch)
    grid, results = mapper.region.grid, report_maps.results_of(mapper)
    content = mapper(Block(slice(0, grid.height), slice(0, grid.width)))
    made = Made(mapper, (), mapper.region.root, {})
    for place, row in enumerate(content["parcel"].tolist()):
        observed = observe(made, place_of(grid, results.geometry[row]))
        shown = Attending(made)._pixel_set(observed, results.id[row])["S2"]
        drawn = opened.run.given[0]["S2"]
        assert shown.valid.sum() == drawn.valid[place].sum() > 0
        np.testing.assert_array_equal(
            shown.values[shown.valid], drawn.values[place][drawn.valid[place]]
        )
