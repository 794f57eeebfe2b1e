"""Connected components of a semantic map as parcels."""

from __future__ import annotations

import numpy as np

from pastis_jax.panoptic import connected_components

MAP = np.array(
    [
        [1, 1, 0, 2, 2],
        [1, 2, 0, 1, 2],
        [0, 2, 2, 1, 1],
        [3, 0, 0, 0, 1],
    ]
)


def test_components_share_a_class_and_edges():
    found = connected_components(MAP)
    assert sorted(np.unique(found)) == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(found == 0, MAP == 0)
    parcels = [{tuple(at) for at in np.argwhere(found == i)} for i in range(1, 6)]
    assert {(0, 0), (0, 1), (1, 0)} in parcels
    assert {(0, 3), (0, 4), (1, 4)} in parcels  # (1, 1) touches them at no edge
    assert {(1, 1), (2, 1), (2, 2)} in parcels
    assert {(1, 3), (2, 3), (2, 4), (3, 4)} in parcels
    assert {(3, 0)} in parcels


def test_small_components_are_left_out_and_numbers_have_no_gaps():
    found = connected_components(MAP, least_area=4)
    assert sorted(np.unique(found)) == [0, 1]
    np.testing.assert_array_equal(found > 0, (MAP == 1) & (np.arange(5) > 2))
    assert connected_components(MAP, least_area=5).max() == 0
    assert connected_components(np.zeros((3, 3), int)).max() == 0
