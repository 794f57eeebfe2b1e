"""Blocks of a panoptic map, and what is made of them: a run with drawn weights, and the truth."""

from __future__ import annotations

import dataclasses
import types

import instance_factory as factory
import jax
import numpy as np
import pytest
from map_factory import make_run
from region_factory import GRID, make_region
from scipy import ndimage

from pastis_jax.data.regions.store import Region
from pastis_jax.mapping import MapOptions, blocks, instances
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, write_block
from pastis_jax.mapping.instance_results import matching
from pastis_jax.mapping.joining import joined
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.mapper import Mapper
from pastis_jax.mapping.pieces import pieces_of
from pastis_jax.mapping.windows import WindowGrid
from pastis_jax.nn import all_series

SHAPE, SLOTS = (72, 96), 99
pytest.importorskip("rasterio")


def model_of(mapper):
    """In place of a model: squares where the mean of the series exceeds what is usual.

    What it finds depends on the window that it sees, as with a model.
    """
    number = len(mapper.run.classes.names)

    def answer(series):
        (one,) = jax.device_get(all_series(series)).values()
        mean = np.einsum("bthwc,bt->bhw", one.values, one.valid.astype(np.float64))
        mean = ndimage.gaussian_filter(mean - mean.mean((1, 2), keepdims=True), (0, 2, 2))
        found = [ndimage.label(image > 0) for image in mean]
        rng = np.random.default_rng(0)
        confidence = rng.uniform(0.3, 1, SLOTS)
        probability = rng.dirichlet(np.full(number, 0.3), SLOTS)
        probability[:, 0] /= 4
        probability /= probability.sum(1, keepdims=True)
        b = len(found)
        on_map = np.stack([labels for labels, _ in found]).astype(np.int32)
        return on_map, np.tile(confidence, (b, 1)), np.tile(probability, (b, 1, 1))

    return answer


@pytest.fixture(scope="module")
def mapper(tmp_path_factory):
    """A run for a Region whose left third is seen on one date of three."""
    folder = tmp_path_factory.mktemp("instances")
    grid = dataclasses.replace(GRID, height=SHAPE[0], width=SHAPE[1])
    make_region(folder / "region", grid=grid, days={"S1A": (5, 100, 210)}, masked=())
    run = make_run(folder / "run", "panoptic", folder / "region", fusion="single")
    return Mapper(run, Region(folder / "region"), MapOptions(batch_size=4))


def test_what_a_model_answers(mapper):
    """Of a whole batch, one of whose windows has no valid date."""
    places = [(0, 0), (0, 1), (2, 3)]
    frames = [mapper.inputs.read(*mapper.grid.window(place)) for place in places]
    series = mapper.inputs.stack(frames, 4, mapper.grid.size)
    on_map, confidence, probability = instances.answer_of(mapper)(series)
    assert on_map.shape == (4, 32, 32)
    assert probability.shape == (*confidence.shape, len(mapper.run.classes.names))
    np.testing.assert_allclose(probability[:3].sum(-1), 1, rtol=1e-5)
    assert on_map[:3].max((1, 2)).min() > 0
    assert not on_map[3].any()
    assert (np.diff(confidence[0][np.unique(on_map[0])[1:] - 1]) <= 0).all()


def make(mapper, folder, monkeypatch, size):
    """The map of a mapper in blocks of a size."""
    monkeypatch.setattr(blocks, "SHARD", size)
    folder.mkdir()
    every = tuple(blocks.blocks_of(mapper.region.grid))
    for block in every:
        write_block(folder, block, mapper(block))
    return Made(mapper, every, folder, {"run": "", "Region": "", "options": ""})


def whole(parts, name, dtype=np.int64):
    """One array of all blocks."""
    out = np.zeros(SHAPE, dtype)
    for block, content in parts:
        out[block.rows, block.columns] = content[name]
    return out


@pytest.fixture(scope="module")
def made(mapper, tmp_path_factory):
    """The map in one block, and in six."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, "answer_of", model_of)
        folder = tmp_path_factory.mktemp("blocks")
        yield [make(mapper, folder / str(size), patch, size) for size in (1024, 40)]


def test_a_map_does_not_depend_on_its_blocks(made):
    one, several = made
    assert (len(one.blocks), len(several.blocks)) == (1, 6)
    for name in ("crop", "confidence", "margin"):
        first, second = (whole(instances.painted(of), name) for of in made)
        np.testing.assert_array_equal(first, second)
    numbers = [whole(instances.numbered(of), "instances") for of in made]
    np.testing.assert_array_equal(*numbers)
    assert numbers[0].max() > 5
    for name in ("dates", "known"):
        first, second = (
            whole(((b, {name: c[name]}) for b, c in of.read(name)), name) for of in made
        )
        np.testing.assert_array_equal(first, second)
    first, second = map(instances.results, made)
    for field in dataclasses.fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))
    assert [*instances.notes(one)] == [*instances.notes(several)]


def test_the_table_of_instances_is_that_of_the_raster(made):
    """Outlines, areas, dates and truth, found again from the numbers of pixels."""
    from rasterio import features

    one, region = made[1], made[1].region
    results = instances.results(one)
    numbers = whole(instances.numbered(one), "instances", np.uint32)
    dates = whole(one.read("dates"), "dates")
    assert results.id.tolist() == [str(n) for n in range(1, len(results) + 1)]
    np.testing.assert_array_equal(np.bincount(numbers.ravel())[1:], results.pixels)
    np.testing.assert_array_equal(results.hectares, results.pixels / 100)
    shapes = zip(results.geometry, range(1, len(results) + 1), strict=True)
    transform = _affine(region.grid)
    drawn = features.rasterize(shapes, SHAPE, transform=transform, dtype=np.uint32)
    np.testing.assert_array_equal(drawn, numbers)
    assert [shape.area for shape in results.geometry] == (results.pixels * 100).tolist()
    assert all(shape.is_valid for shape in results.geometry)
    parcels = region.numbers(slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    for number in range(1, len(results) + 1):
        pixels = numbers == number
        ordered = np.sort(dates[pixels])
        assert results.dates[number - 1] == ordered[(len(ordered) - 1) // 2]
        fits = [
            parcel
            for parcel in np.unique(parcels[pixels & (parcels > 0)])
            if (pixels & (parcels == parcel)).sum() > 0.5 * (pixels | (parcels == parcel)).sum()
        ]
        wanted = -1
        if fits:
            wanted = one.classes.lookup[region.parcels.label[fits[0] - 1]]
        assert results.truth[number - 1] == wanted


def _affine(grid):
    from affine import Affine

    return Affine(*grid.transform)


def test_a_raster_tells_the_class_of_the_instance(made):
    one = made[0]
    numbers, results = whole(instances.numbered(one), "instances"), instances.results(one)
    layers = {n: whole(instances.painted(one), n) for n in ("crop", "confidence", "margin")}
    known = whole(one.read("known"), "known", bool)
    assert known.all()
    assert set(np.unique(layers["crop"][numbers == 0])) == {0}
    for name in ("confidence", "margin"):
        assert set(np.unique(layers[name][numbers == 0])) == {NODATA}
    ordered = np.sort(results.probability, 1)
    expected = {
        "crop": results.probability.argmax(1),
        "confidence": np.rint(100 * ordered[:, -1]),
        "margin": np.rint(100 * (ordered[:, -1] - ordered[:, -2])),
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(layers[name][numbers > 0], values[numbers[numbers > 0] - 1])
    assert (results.label == expected["crop"]).all()


def test_what_is_not_confident_is_unclassified(made):
    one = made[0]
    best = np.sort(instances.results(one).probability.max(1))
    bound = float(best[len(best) // 2])
    options = MapOptions(reject=bound)
    mapper = types.SimpleNamespace(**(vars(one.mapper) | {"options": options}))
    rejecting = dataclasses.replace(one, mapper=mapper)
    label = instances.results(rejecting).label
    assert (label == UNCLASSIFIED).sum() == (best < np.float32(bound)).sum() > 0
    crop = whole(instances.painted(rejecting), "crop")
    numbers = whole(instances.numbered(rejecting), "instances")
    np.testing.assert_array_equal(crop[numbers > 0], label[numbers[numbers > 0] - 1])


def test_instances_are_joined_once_for_all_files(made):
    assert joined(made[0]) is joined(made[0])


@pytest.mark.parametrize(
    ("numbers", "row"),
    [([1, 1, 1, 2, 0], 0), ([2, 2, 2, 2, 2, 1], 1), ([1, 1, 0, 0, 0], -1), ([0, -1], -1)],
)
def test_an_instance_has_the_truth_of_the_parcel_that_it_fits(numbers, row):
    assert matching(np.array(numbers), np.array([3, 4])) == row


# What windows keep


def kept(grid, truth):
    """What each window keeps of the truth, with the number of its parcel."""
    find = factory.sees(truth)
    for i in range(len(grid.rows.starts)):
        for j in range(len(grid.columns.starts)):
            for piece in pieces_of(grid, (i, j), *find(*grid.window((i, j)))):
                rows, columns = slice(*piece.box[::2]), slice(*piece.box[1::2])
                yield piece, truth[rows, columns][piece.mask][0]


@pytest.mark.parametrize("stride", [None, 11, 25])
def test_what_a_window_sees_whole_one_window_keeps_whole(stride):
    truth = factory.draw_parcels(np.random.default_rng(3), (100, 90), 60)
    grid = WindowGrid.over(truth.shape, (32, 30), stride)
    boxes = {n: (r.start, c.start, r.stop, c.stop) for n, (r, c) in _boxes(truth)}
    owners, whole = dict.fromkeys(boxes, 0), dict.fromkeys(boxes, False)
    for piece, number in kept(grid, truth):
        owners[number] += piece.central and piece.box == boxes[number] and not any(piece.cut)
        whole[number] |= piece.central and piece.box == boxes[number]
    seen = [n for n, box in boxes.items() if _seen_whole(grid, box)]
    assert len(seen) > 20
    assert all(whole[number] for number in seen)
    # A parcel that ends where the window does may go on beyond: others keep it beside.
    assert {*owners.values()} == {0, 1}


def _boxes(truth):
    return enumerate(ndimage.find_objects(truth), 1)


def _seen_whole(grid, box):
    """Whether a window sees all of a parcel."""
    return all(
        ((along.starts <= box[axis]) & (box[axis + 2] <= along.starts + along.size)).any()
        for axis, along in enumerate((grid.rows, grid.columns))
    )


def test_the_edge_of_the_region_cuts_nothing():
    truth = np.ones((32, 48), np.int64)
    grid = WindowGrid.over(truth.shape, (32, 32))
    cut = {piece.window: piece.cut for piece, _ in kept(grid, truth)}
    assert cut == {(0, 0): (False, False, False, True), (0, 1): (False, True, False, False)}
