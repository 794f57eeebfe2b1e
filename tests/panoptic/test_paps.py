"""PaPs as a decoder: any pyramid and scheme, any number of parcels, no sample sees another."""

from __future__ import annotations

from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pastis_jax import fusion, training
from pastis_jax.metrics import Mean
from pastis_jax.models import LTAE, ConvDecoder, FrameEncoder, PaPs, TemporalUNet
from pastis_jax.panoptic import PanopticLoss, panoptic_map, paps_loss
from pastis_jax.training import count_parameters
from pastis_jax.types import Batch, Embedding, PanopticPrediction, PanopticTarget, Series

B, H, W, SLOTS = 2, 20, 18, 3
PARCELS = {
    "none": [],
    "one": [(4, 4, 9, 12, 3)],
    "border": [(0, 12, 6, W, 3), (17, 0, H, W, 18)],
    "void": [(4, 4, 9, 12, 19), (10, 2, 19, 9, 19)],
    "full": [(1, 1, 6, 8, 2), (1, 9, 18, 17, 7), (8, 1, 19, 8, 19)],
    "too_many": [(0, 0, 4, 4, 1), (0, 8, 6, 16, 2), (9, 2, 14, 9, 3), (15, 9, 20, 18, 4)],
}


def make_target(*images):
    """Targets of images with rectangular parcels: top, left, bottom, right, label."""
    shape = (len(images), H, W)
    heatmap, instances = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    zones = np.zeros(shape, np.int32)
    size, real = np.zeros((len(images), SLOTS, 2), np.float32), np.zeros((len(images), SLOTS), bool)
    label = np.zeros((len(images), SLOTS), np.int32)
    rows, columns = np.mgrid[:H, :W]
    for b, parcels in enumerate(images):
        for i, (top, left, bottom, right, kind) in enumerate(parcels):
            y, x = (top + bottom - 1) // 2, (left + right - 1) // 2
            bump = np.exp(-((rows - y) ** 2) / (bottom - top) - (columns - x) ** 2 / (right - left))
            zones[b][(bump > heatmap[b]) | (zones[b] == 0)] = i + 1
            heatmap[b] = np.maximum(heatmap[b], bump)
            instances[b, top:bottom, left:right] = i + 1
            if i < SLOTS:
                size[b, i], label[b, i], real[b, i] = (bottom - top, right - left), kind, True
    return PanopticTarget(heatmap, instances, zones, size, label, real)


def make_maps(seed, b=B):
    """A pyramid of three levels, of odd sides, coarsest first."""
    rng = np.random.default_rng(seed)
    sides = [(5, 5), (10, 9), (20, 18)]
    maps = (rng.normal(size=(b, *side, 8)).astype(np.float32) for side in sides)
    return Embedding(values=tuple(maps), valid=np.ones(b, bool))


decoder = PaPs(max_instances=12, shape_size=4)


@cache
def variables():
    return jax.jit(partial(decoder.init, train=True))(jax.random.key(0), make_maps(0))


@jax.jit
def learn(params, maps, target, counted):
    def objective(params):
        given = {**variables(), "params": params}
        prediction, updated = decoder.apply(
            given, maps, train=True, target=target, mutable=["batch_stats"]
        )
        losses = paps_loss(prediction, target, counted)
        return losses.total(), (losses, prediction, updated["batch_stats"])

    return jax.value_and_grad(objective, has_aux=True)(params)


@jax.jit
def infer(maps, target=None):
    prediction = decoder.apply(variables(), maps, target=target)
    return prediction, panoptic_map(prediction, min_confidence=0.3)


@pytest.mark.parametrize("kind", PARCELS)
def test_any_number_of_parcels(kind):
    """Alone and beside a full image: finite losses, gradients and statistics; one program."""
    for target in (
        make_target(PARCELS[kind], PARCELS[kind]),
        make_target(PARCELS[kind], PARCELS["full"]),
    ):
        (value, (losses, prediction, stats)), gradient = learn(
            variables()["params"], make_maps(1), target, np.ones(B, bool)
        )
        assert np.isfinite(value)
        assert value > 0
        assert all(np.isfinite(x).all() for x in jax.tree.leaves((gradient, stats)))
        one = prediction.instances
        np.testing.assert_array_equal(one.found, target.real)
        # Each centre is in the zone of its parcel.
        for b, i in np.argwhere(one.found):
            assert target.zones[b][tuple(one.centre[b, i])] == i + 1
        parcels = target.real.sum()
        assert losses.size.count == parcels
        assert losses.label.count == (target.real & (target.label != 19)).sum()
        assert (losses.shape.count > 0) == (parcels > 0)
        felt = np.any(gradient["shape_1"]["kernel"]), np.any(gradient["mask_2"]["kernel"])
        assert felt == ((parcels > 0),) * 2
    assert learn._cache_size() == 1


def test_images_that_do_not_count():
    """A sample that only fills the batch, or has no valid date, changes nothing."""
    maps, target = make_maps(2), make_target(PARCELS["full"], PARCELS["border"])
    maps = maps.replace(valid=np.array([True, False]))
    other = maps.replace(values=tuple(np.concatenate([x[:1], 9 - 7 * x[1:]]) for x in maps.values))
    counted = np.array([True, False])
    results = [learn(variables()["params"], one, target, counted) for one in (maps, other)]
    ((value, (losses, prediction, stats)), gradient) = results[0]
    chex.assert_trees_all_close(results[1][1], gradient, atol=1e-5)
    chex.assert_trees_all_close(results[1][0][1][2], stats, atol=1e-6)
    np.testing.assert_allclose(results[1][0][0], value, rtol=1e-6)
    assert losses.size.count == 3
    assert not prediction.instances.found[1].any()
    assert not infer(maps)[1].instances[1].any()


def test_each_image_by_itself():
    """Predictions do not depend on what else is in the batch; masks agree with the map."""
    maps = make_maps(3)
    prediction, found = jax.device_get(infer(maps))
    for b in range(B):
        alone = jax.tree.map(lambda x, b=b: x[b : b + 1], maps)
        chex.assert_trees_all_close(
            infer(alone)[1], jax.tree.map(lambda x, b=b: x[b : b + 1], found), atol=1e-5
        )
        one = jax.tree.map(lambda x, b=b: x[b], prediction.instances)
        assert one.found.sum() == 12
        assert one.dropped > 0
        assert len(np.unique(found.instances[b])) > 3
        for i in np.flatnonzero(found.kept[b]):
            top, left, bottom, right = one.box[i]
            pixels = np.argwhere(found.instances[b] == i + 1)
            assert len(pixels)
            assert (pixels >= [top, left]).all()
            assert (pixels < [bottom, right]).all()
            assert one.masks[i][tuple(pixels.T)].all()


def test_agreement_at_inference():
    """Every local maximum is compared with the parcel whose zone it is in."""
    target = make_target(PARCELS["full"], PARCELS["none"])
    prediction, _ = infer(make_maps(3), target)
    one = prediction.instances
    assert not one.fit.instance[1].any()
    for i in np.flatnonzero(one.found[0]):
        matched = target.zones[0][tuple(one.centre[0, i])]
        assert one.fit.instance[0, i] == matched > 0
        true, mask = target.instances[0] == matched, one.masks[0, i]
        np.testing.assert_allclose(one.fit.iou[0, i], (true & mask).sum() / (true | mask).sum())
    assert np.any(one.fit.iou > 0.1)


def test_warm_up_is_the_heatmap_alone():
    """Same parameters, of which those of the rest get no gradient."""
    maps, target = make_maps(4), make_target(PARCELS["full"], PARCELS["one"])
    warm = decoder.clone(heatmap_only=True)
    drawn = jax.eval_shape(partial(warm.init, train=True), jax.random.key(0), maps)
    chex.assert_trees_all_equal_shapes(drawn, variables())

    @jax.jit
    def objective(params):
        prediction, updated = warm.apply(
            {**variables(), "params": params}, maps, train=True, mutable=["batch_stats"]
        )
        return paps_loss(prediction, target, np.ones(B, bool)).total(), updated["batch_stats"]

    gradient, stats = jax.grad(objective, has_aux=True)(variables()["params"])
    chex.assert_trees_all_equal_shapes(stats, variables()["batch_stats"])
    assert all(np.any(x) for name, x in gradient.items() if name == "heatmap_1")
    rest = {name: x for name, x in gradient.items() if not name.startswith("heatmap")}
    assert not any(np.any(x) for x in jax.tree.leaves(rest))
    (_, (losses, _, _)), _ = learn(variables()["params"], maps, target, np.ones(B, bool))
    np.testing.assert_allclose(objective(variables()["params"])[0], losses.parts()["center"], 1e-5)


def test_losses_merge_as_one_batch():
    """(sum, count): two batches of one image give what one batch of two gives."""
    maps, target = make_maps(5), make_target(PARCELS["full"], PARCELS["one"])
    prediction = jax.device_get(infer(maps, target)[0])
    loss = jax.jit(paps_loss)
    whole = loss(prediction, target, np.ones(B, bool))
    merged = PanopticLoss.empty()
    for b in range(B):
        one, other = (jax.tree.map(lambda x, b=b: x[b : b + 1], x) for x in (prediction, target))
        merged = merged.merge(loss(one, other, np.ones(1, bool)))
    chex.assert_trees_all_close(merged.parts(), whole.parts(), rtol=1e-5)
    twice = whole.total({"size": 2.0}) - whole.total()
    np.testing.assert_allclose(twice, whole.parts()["size"], rtol=1e-3)


MODALITIES = {"S2": 10, "S1A": 3}
WIDTHS = (4, 8)
temporal = partial(TemporalUNet, WIDTHS, ltae=partial(LTAE, model_features=8, heads=2))


def build(scheme):
    spatial = {m: FrameEncoder(WIDTHS) for m in MODALITIES}
    match scheme:
        case "single":
            return fusion.single("S2", spatial["S2"], temporal(), decoder.clone())
        case "early":
            return fusion.early(tuple(MODALITIES), spatial["S2"], temporal(), decoder.clone())
        case "mid":
            auxiliary = {m: decoder.clone() for m in MODALITIES}
            return fusion.mid(spatial, temporal(), decoder.clone(), auxiliary=auxiliary)
        case "late":
            return fusion.late(spatial, {m: temporal() for m in spatial}, decoder.clone())


def make_batch(seed, *parcels):
    rng = np.random.default_rng(seed)
    series = {
        m: Series(
            values=rng.normal(size=(B, 3, H, W, c)).astype(np.float32),
            days=np.sort(rng.integers(0, 300, (B, 3)), 1).astype(np.int32),
            valid=np.ones((B, 3), bool),
        )
        for m, c in MODALITIES.items()
    }
    label = np.zeros((B, H, W), np.int32)
    return Batch(series, label, np.ones(B, bool), np.arange(B), make_target(*parcels))


@pytest.mark.parametrize("scheme", ["single", "early", "mid", "late"])
def test_every_scheme_takes_it(scheme):
    batch = make_batch(0, PARCELS["full"], PARCELS["none"])
    init = partial(build(scheme).init, train=True)
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
    drawn = jax.eval_shape(init, rngs, batch.series, **batch.given)
    stacked = drawn["params"]["decoder"]["size_0"]["kernel"].shape[0]
    assert stacked == sum(WIDTHS) * (2 if scheme == "late" else 1)
    apply = partial(build(scheme).apply, train=True, mutable=["batch_stats"])
    prediction, _ = jax.eval_shape(
        apply, drawn, batch.series, rngs={"dropout": jax.random.key(0)}, **batch.given
    )
    assert prediction.output.instances.logits.shape == (B, SLOTS, 20)
    assert len(prediction.auxiliary) == (2 if scheme == "mid" else 0)
    for one in prediction.auxiliary.values():
        assert one.output.instances.fit.iou.shape == (B, SLOTS)


def test_training_step():
    """The step hands the target to the decoder; one program, whatever the parcels."""
    model, optimizer, key = build("single"), optax.adam(1e-2), jax.random.key(0)
    placement = training.Placement()

    def loss(prediction, batch):
        total = paps_loss(prediction.output, batch.panoptic, batch.real).total()
        return jnp.full(B, total), batch.real.astype(jnp.float32)

    def metric(prediction, batch):
        one = prediction.output.instances
        return Mean.from_batch(one.fit.iou.reshape(-1), one.found.reshape(-1))

    step = training.make_train_step(
        model=model, loss=loss, metric=metric, optimizer=optimizer, key=key, placement=placement
    )
    batches = [
        make_batch(0, PARCELS["full"], PARCELS["border"]),
        make_batch(1, PARCELS["none"], PARCELS["none"]),
    ]
    state = training.create_state(model, optimizer, batches[0], key)
    metrics = training.EpochMetrics.empty(Mean.empty(), B)
    state, metrics = placement.whole((state, metrics))
    for batch in batches:
        state, metrics = step(state, metrics, placement.batch(batch))
    assert step._cache_size() == 1
    assert metrics.failed_step == -1
    assert metrics.task.count == 5
    assert np.isfinite(metrics.loss.compute())


def test_published_parameter_count():
    """Full size, by shape alone. Published: with the U-TAE's own head, which PaPs never runs."""
    series = Series(
        values=jnp.zeros((4, 45, 128, 128, 10)),
        days=jnp.zeros((4, 45), int),
        valid=jnp.ones((4, 45), bool),
    )
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}

    def count(decoder):
        model = fusion.single("S2", FrameEncoder(), TemporalUNet(), decoder)
        shapes = jax.eval_shape(partial(model.init, train=True), rngs, {"S2": series})
        return count_parameters(shapes["params"]), count_parameters(shapes["params"]["decoder"])

    (panoptic, own), (_, head) = count(PaPs()), count(ConvDecoder(20))
    assert own == 172_413
    assert panoptic == 1_244_541
    assert panoptic + head == 1_259_673


def test_a_new_model_expects_few_centres_and_boxes_of_some_pixels():
    apply = jax.jit(partial(decoder.apply, train=True, mutable=["batch_stats"]))
    target = make_target(*[PARCELS["full"]] * 8)
    prediction, _ = apply(variables(), make_maps(1, 8), target=target)
    assert 0.01 < np.median(prediction.heatmap) < 0.04
    size = prediction.instances.size[prediction.instances.found]
    assert 6 < np.median(size) < 10


def test_saturated_heatmap():
    """Certain and wrong is finite, and what the published loss makes of it."""
    target = make_target(PARCELS["one"])
    logits = jnp.where(target.heatmap == 1, -200.0, 200.0)

    @jax.jit
    def objective(logits):
        prediction = PanopticPrediction(jax.nn.sigmoid(logits))
        return paps_loss(prediction, target, np.ones(1, bool)).total()

    value, gradient = jax.value_and_grad(objective)(logits)
    wrong = 1 + np.sum((1 - target.heatmap) ** 4)
    np.testing.assert_allclose(value, -wrong * np.log(1e-8), rtol=1e-5)
    assert np.isfinite(gradient).all()
