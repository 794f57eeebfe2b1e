"""Instances of a map from what windows found: none cut, none twice, however it is cut in blocks."""

from __future__ import annotations

import instance_factory as factory
import numpy as np
import pytest
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pastis_jax.mapping.pieces import Piece, packed
from pastis_jax.mapping.windows import WindowGrid

SHAPE = (90, 110)


def maps_of(found):
    """The maps of the same pieces in blocks of several sizes, which must be one."""
    (joined, on_map), *others = [factory.joined_map(one) for one in found]
    for other, again in others:
        np.testing.assert_array_equal(again, on_map)
        np.testing.assert_array_equal(other.probability, joined.probability)
        np.testing.assert_array_equal(other.pixels, joined.pixels)
        assert other.counts == joined.counts
    np.testing.assert_array_equal(np.bincount(on_map.ravel())[1:], joined.pixels)
    return joined, on_map


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("size", "stride"), [((32, 32), None), ((24, 40), 14), ((33, 32), 31)])
def test_windows_that_see_the_truth_give_the_truth(size, stride, seed):
    """No parcel is cut, none is there twice: small ones, and those larger than windows."""
    rng = np.random.default_rng(seed)
    truth = factory.draw_parcels(rng, SHAPE, int(rng.integers(3, 40)))
    stride = stride if stride is None else min(stride, min(size) - 1)
    found = factory.found_in(SHAPE, size, factory.sees(truth), stride=stride, block=[1024, 47])
    joined, on_map = maps_of(found)
    assert factory.same_parts(on_map, truth)
    first = [truth[on_map == number][0] for number in range(1, len(joined) + 1)]
    np.testing.assert_array_equal(joined.probability.argmax(1), factory.classes_of(truth)[first])


def odd_parcels():
    """Shapes that no window sees whole, and whose middle may be no part of them."""
    ring, spiral, stripes = (np.zeros(SHAPE, np.int64) for _ in range(3))
    ring[5:85, 5:105] = 1
    ring[12:78, 12:98] = 2
    spiral[::8] = 1
    spiral[4::8] = 2
    for row in range(0, SHAPE[0] - 8, 8):
        last = (row // 8) % 2 == 0
        spiral[row : row + 9, -1 if last else 0] = 1
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    stripes[:] = 1 + (y + x) // 9
    return {"whole": np.ones(SHAPE, np.int64), "ring": ring, "spiral": spiral, "stripes": stripes}


@pytest.mark.parametrize("name", odd_parcels())
def test_parcels_larger_than_windows_are_put_together(name):
    truth = factory.renumbered(odd_parcels()[name])
    found = factory.found_in(SHAPE, (32, 32), factory.sees(truth), block=[1024, 50])
    _, on_map = maps_of(found)
    assert factory.same_parts(on_map, truth)


def test_without_overlap_of_windows_parcels_are_cut():
    """What the tests above rest on: the windows' borders are there to be seen."""
    truth = np.ones(SHAPE, np.int64)
    found = factory.found_in(SHAPE, (30, 22), factory.sees(truth), stride=64)
    _, on_map = factory.joined_map(found)
    assert len(np.unique(on_map)) == 15


def lines(grid, axis):
    """Lines between pixels where a window or a cell ends, (n - 1,) bool."""
    along = (grid.rows, grid.columns)[axis]
    ends = {*along.starts.tolist(), *(along.starts + along.size).tolist(), *along.cells.tolist()}
    return np.isin(np.arange(1, along.length), [*ends])


def cuts(on_map, truth, grid):
    """Neighbours within a parcel, away from its outline, and how many are told apart; at the
    borders of windows and cells, and elsewhere."""
    inside = np.zeros(truth.shape, bool)
    for number in np.unique(truth[truth > 0]):
        inside |= ndimage.binary_erosion(truth == number, np.ones((3, 3)), 2)
    at, elsewhere = np.zeros(2, np.int64), np.zeros(2, np.int64)
    for axis in (0, 1):
        t, m, i = (np.moveaxis(x, axis, 0) for x in (truth, on_map, inside))
        pairs = i[1:] & i[:-1] & (t[1:] == t[:-1])
        cut = pairs & (m[1:] != m[:-1])
        where = lines(grid, axis)
        at += cut[where].sum(), pairs[where].sum()
        elsewhere += cut[~where].sum(), pairs[~where].sum()
    return at, elsewhere


def test_errors_of_windows_cut_no_parcel_at_their_borders():
    """Half of the outlines are moved in or out by a pixel, in each window as chance has it."""
    at, elsewhere = np.zeros(2), np.zeros(2)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        truth = factory.draw_parcels(rng, SHAPE, 12)
        found = factory.found_in(SHAPE, (32, 32), factory.sees(truth, rng=rng, jitter=0.5))
        _, on_map = factory.joined_map(found)
        for total, of in zip((at, elsewhere), cuts(on_map, truth, found.grid), strict=True):
            total += of
    assert at[1] > 500
    assert at[0] / at[1] <= elsewhere[0] / elsewhere[1]
    assert elsewhere[0] == 0


def test_a_parcel_that_two_windows_leave_to_each_other_is_found():
    """Each sees its middle a little on the other's side of the border of their cells."""
    grid = WindowGrid.over((32, 48), (32, 32))
    left, right = grid.cell((0, 0))[1], grid.cell((0, 1))[1]
    assert left.stop == right.start == 24

    def find(rows, columns):
        on_map = np.zeros((32, 32), np.int32)
        start, stop = (19, 30) if columns.start == 0 else (18, 29)
        on_map[10:20, start - columns.start : stop - columns.start] = 1
        return on_map, np.ones(1), np.full((1, factory.CLASSES), 0.2) + np.eye(factory.CLASSES)[1:2]

    joined, on_map = factory.joined_map(factory.found_in((32, 48), (32, 32), find))
    assert joined.counts["found"] == 2
    assert len(joined) == 1
    assert (on_map[10:20, 19:29] == 1).all()


# Against the rules, applied to whole maps at once


def random_pieces(rng, grid, number):
    """Rectangles anywhere in windows, which overlap as chance has it."""
    pieces = []
    for _ in range(number):
        place = (
            int(rng.integers(len(grid.rows.starts))),
            int(rng.integers(len(grid.columns.starts))),
        )
        window = grid.window(place)
        corner = rng.integers(0, np.array(grid.size) - 3)
        far = np.minimum(corner + rng.integers(3, 14, 2), grid.size)
        mask = rng.random(far - corner) < 0.9
        mask[0, 0] = mask[-1, -1] = True
        top, left = corner + np.array([side.start for side in window])
        pieces.append(
            Piece(
                window=place,
                box=(int(top), int(left), int(top + mask.shape[0]), int(left + mask.shape[1])),
                cut=(False,) * 4,
                central=bool(rng.random() < 0.7),
                confidence=float(np.float32(rng.integers(1, 8) / 8)),
                probability=rng.dirichlet(np.ones(factory.CLASSES)).astype(np.float32),
                mask=mask,
            )
        )
    return sorted(pieces, key=lambda piece: piece.window)


def on_canvas(piece, shape):
    canvas = np.zeros(shape, bool)
    canvas[piece.box[0] : piece.box[2], piece.box[1] : piece.box[3]] = piece.mask
    return canvas


def by_the_rules(pieces, grid, shape, min_remain):
    """The map that `joining` describes, with every mask on the whole map."""
    n, masks = len(pieces), [on_canvas(piece, shape) for piece in pieces]
    sees, weights = [], []
    for piece in pieces:
        rows, columns = grid.window(piece.window)
        sees.append(np.zeros(shape, bool))
        weights.append(np.zeros(shape))
        sees[-1][rows, columns], weights[-1][rows, columns] = True, grid.weights
    same = np.zeros((n, n), bool)
    for i in range(n):
        for j in range(i):
            common = sees[i] & sees[j]
            both, either = (masks[i] & masks[j] & common), (masks[i] | masks[j]) & common
            if pieces[i].window != pieces[j].window and either.any():
                same[i, j] = both.sum() / either.sum() > 0.5
    _, group = connected_components(coo_array(same), directed=False)
    wholes = []
    for number in dict.fromkeys(group.tolist()):
        members = np.flatnonzero(group == number).tolist()
        windows = {pieces[m].window: m for m in members}
        ayes = sum(weights[m] * masks[m] for m in members)
        votes = sum(weights[m] for m in windows.values())
        size = np.array([masks[m].sum() for m in members], float)
        share = size @ np.array([pieces[m].probability for m in members]) / size.sum()
        confidence = size @ np.array([pieces[m].confidence for m in members]) / size.sum()
        central = any(pieces[m].central for m in members)
        mask = (2 * ayes >= votes * (1 - 1e-9)) & (ayes > 0)
        wholes.append((not central, -round(confidence, 5), len(wholes), mask, share.argmax() == 0))
    on_map = np.zeros(shape, np.int64)
    for *_, name, mask, background in sorted(wholes, key=lambda whole: whole[:3]):
        fresh = mask & (on_map == 0)
        enough = fresh.any() and (
            fresh.sum() == mask.sum() or fresh.sum() > min_remain * mask.sum()
        )
        if enough and not background:
            on_map[fresh] = name + 1
    return on_map


@pytest.mark.parametrize("min_remain", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_what_overlaps_is_laid_by_the_rules(seed, min_remain):
    rng, shape = np.random.default_rng(seed), (50, 60)
    grid = WindowGrid.over(shape, (24, 20))
    pieces = random_pieces(rng, grid, 70)
    found = [factory.found_of(pieces, grid, block) for block in (1024, 32, 23)]
    results = [factory.joined_map(one, min_remain=min_remain) for one in found]
    expected = by_the_rules(pieces, grid, shape, min_remain)
    for _, on_map in results:
        np.testing.assert_array_equal(on_map, results[0][1])
        assert factory.same_parts(on_map, expected)
    counts = results[0][0].counts
    assert counts["found"] == 70
    assert counts["instances"] == 70 - counts["joined"] - counts["covered"] - counts["background"]
    assert counts["joined"] > 0
    assert counts["covered"] > 0 or min_remain == 0


def test_nothing_found_is_an_empty_map():
    grid = WindowGrid.over((40, 40), (32, 32))
    joined, on_map = factory.joined_map(factory.found_of([], grid, 32))
    assert len(joined) == 0
    assert not on_map.any()


def test_what_is_not_known_holds_no_instance():
    truth = np.ones((40, 40), np.int64)
    known = np.ones(truth.shape, bool)
    known[:, :10] = False
    found = factory.found_in(truth.shape, (32, 32), factory.sees(truth), known=known)
    joined, on_map = factory.joined_map(found)
    np.testing.assert_array_equal(on_map, known)
    assert joined.pixels.tolist() == [1200]


def test_arrays_of_a_block_hold_what_was_put_in():
    grid = WindowGrid.over((50, 60), (24, 20))
    pieces = random_pieces(np.random.default_rng(0), grid, 20)
    found = factory.found_of(pieces, grid, 1024)
    stored = found.pieces(0)
    assert packed(pieces, factory.CLASSES)["instance_bits"].nbytes < 20 * 25
    for i, piece in enumerate(pieces):
        np.testing.assert_array_equal(stored.masks[i], piece.mask)
        assert tuple(stored.box[i]) == piece.box
        assert tuple(stored.window[i]) == piece.window
