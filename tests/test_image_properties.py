"""The properties of the parcel models hold for images: the combinators and masks are the same."""

from __future__ import annotations

from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pastis_jax import fusion
from pastis_jax.models import LTAE, ConvDecoder, FrameEncoder, TemporalUNet
from pastis_jax.models.utae import aggregate
from pastis_jax.nn import packing
from pastis_jax.types import Series

MODALITIES = {"S2": 10, "S1A": 3}
SCHEMES = ("single", "early", "mid", "late", "decision")
B, T, H, W = 2, 5, 4, 4
WIDTHS = (8, 16)
TOLERANCE = 1e-5

temporal = partial(
    TemporalUNet,
    WIDTHS,
    ltae=partial(LTAE, model_features=16, heads=4, dropout=0.0, attention_dropout=0.0),
)
decoder = partial(ConvDecoder, 5, (8,))


def build(scheme, **encoder):
    names = tuple(MODALITIES)
    spatial = partial(FrameEncoder, WIDTHS, **encoder)

    def each(part):
        return {m: part() for m in names}

    match scheme:
        case "single":
            return fusion.single("S2", spatial(), temporal(), decoder())
        case "early":
            return fusion.early(names, spatial(), temporal(), decoder())
        case "mid":
            return fusion.mid(each(spatial), temporal(), decoder())
        case "late":
            return fusion.late(each(spatial), each(temporal), decoder())
        case "decision":
            return fusion.decision(each(spatial), each(temporal), each(decoder))


def make_series(seed):
    rng = np.random.default_rng(seed)
    return {
        name: Series(
            values=rng.normal(size=(B, T, H, W, c)).astype(np.float32),
            days=np.stack([rng.permutation(300)[:T] for _ in range(B)]).astype(np.int32),
            valid=np.arange(T) < np.array([[T], [3]]),
        )
        for name, c in MODALITIES.items()
    }


@cache
def variables(scheme):
    names = ("params", "dropout")
    init = jax.jit(partial(build(scheme).init, train=True))
    return init({n: jax.random.key(0) for n in names}, make_series(0))


@cache
def compiled(scheme):
    """Gradient of the logits' sum of squares with respect to the values, and the logits."""
    model, given = build(scheme), variables(scheme)

    def objective(values, series):
        changed = {m: series[m].replace(values=v) for m, v in values.items()}
        logits = model.apply(given, changed).output
        return jnp.sum(jnp.square(logits)), logits

    gradient = jax.jit(jax.grad(objective, has_aux=True))
    return lambda series: gradient({m: one.values for m, one in series.items()}, series)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_masked_dates_are_absent(scheme):
    """In any order, whatever they hold, whatever else is in the batch; and without gradient."""
    rng = np.random.default_rng(0)
    series = make_series(1)
    order = rng.permutation(T)

    def disturb(one):
        hidden = ~one.valid[:, :, None, None, None]
        garbage = rng.choice([77.0, np.nan], size=one.values.shape)
        one = one.replace(values=np.where(hidden, garbage, one.values).astype(np.float32))
        return jax.tree.map(lambda x: x[:, order], one)

    gradient, logits = compiled(scheme)(series)
    _, disturbed = compiled(scheme)({m: disturb(one) for m, one in series.items()})
    chex.assert_trees_all_close(disturbed, logits, atol=TOLERANCE, rtol=TOLERANCE)
    for m, one in series.items():
        if m == "S2" or scheme != "single":
            assert not np.any(np.asarray(gradient[m])[~one.valid])
            felt = np.any(np.asarray(gradient[m]) != 0, axis=(2, 3, 4))[one.valid]
            # Early fusion interpolates: a radar date may lie next to no optical one.
            assert felt.any() if (m, scheme) == ("S1A", "early") else felt.all()

    # The second sample with its three dates alone, and in the company of another one.
    bare = {m: jax.tree.map(lambda x: x[1:, :3], one) for m, one in series.items()}
    alone = jax.jit(build(scheme).apply)(variables(scheme), bare).output
    chex.assert_trees_all_close(alone[0], logits[1], atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("scheme", ["mid", "late", "decision"])
def test_absent_modality_is_a_masked_one(scheme):
    """Whatever stands in it, with maps of its own as well; and without gradient."""
    series, lacks = make_series(2), np.array([False, True])
    one = series["S1A"]
    masked = one.replace(valid=one.valid & ~lacks[:, None])
    hidden = lacks[:, None, None, None, None]
    absent = masked.replace(values=np.where(hidden, np.float32(np.nan), one.values))
    gradient, logits = compiled(scheme)({**series, "S1A": masked})
    _, same = compiled(scheme)({**series, "S1A": absent})
    chex.assert_tree_all_finite((gradient, logits))
    chex.assert_trees_all_close(same, logits, atol=TOLERANCE, rtol=TOLERANCE)
    assert not np.any(np.asarray(gradient["S1A"])[1])
    assert np.any(np.asarray(gradient["S2"])[1])


@pytest.mark.parametrize(("norm", "remat"), [("group", True), ("batch", False), ("batch", True)])
def test_gathering_and_chunks_of_frames_change_nothing(norm, remat):
    """With room for the 8 valid frames of 10, 3 at a time: maps, statistics and gradients."""
    series = make_series(2)["S2"]
    whole = FrameEncoder(WIDTHS, norm=norm)
    packed = FrameEncoder(WIDTHS, norm=norm, capacity=8, remat=remat, chunk=3 * H * W)
    drawn = jax.jit(partial(whole.init, train=True))(jax.random.key(0), series)

    def objective(model, params):
        encoded, updated = model.apply(
            {**drawn, "params": params}, series, train=True, mutable=["batch_stats"]
        )
        levels = encoded.values
        if encoded.frames is not None:
            levels = [packing.unpack(level, encoded.frames, (B, T)) for level in levels]
        where = series.valid[:, :, None, None, None]
        levels = [jnp.where(where, level, 0) for level in levels]
        return sum(jnp.mean(jnp.square(level)) for level in levels), (levels, updated)

    def evaluate(model):
        return jax.jit(jax.value_and_grad(partial(objective, model), has_aux=True))(drawn["params"])

    chex.assert_trees_all_close(evaluate(packed), evaluate(whole), atol=1e-5, rtol=1e-4)


def test_frames_beyond_the_capacity_are_masked():
    series = make_series(3)["S2"]
    encoder = FrameEncoder(WIDTHS, capacity=6)
    encoded, _ = jax.jit(encoder.init_with_output)(jax.random.key(0), series)
    np.testing.assert_array_equal(encoded.valid.sum(1), [5, 1])


@pytest.mark.parametrize(("scheme", "h", "w"), [("mid", 5, 4), ("late", 7, 9)])
def test_any_height_and_width(scheme, h, w):
    """Logits of the image's own size; no pixel's place is lost at the border that was added."""
    series = {
        m: one.replace(values=np.resize(one.values, (B, T, h, w, one.values.shape[-1])))
        for m, one in make_series(5).items()
    }

    def objective(series):
        logits = build(scheme).apply(variables(scheme), series).output
        return jnp.mean(jnp.square(logits)), logits

    (values, logits), gradient = jax.jit(
        jax.value_and_grad(objective, has_aux=True, allow_int=True)
    )(series)
    assert np.isfinite(values)
    assert logits.shape == (B, h, w, 5)
    assert np.any(np.asarray(gradient["S2"].values)[:, :, -1, -1])


def test_images_too_small_for_the_stages_are_named():
    series = make_series(0)["S2"]
    narrow = series.replace(values=series.values[:, :, :2])
    with pytest.raises(ValueError, match="larger than 2 pixels, got 2 x 4"):
        FrameEncoder(WIDTHS).init(jax.random.key(0), narrow)


@pytest.mark.parametrize("how", ["att_group", "att_mean", "mean"])
def test_aggregating_constant_maps_gives_the_constant(how):
    """Attention sums to one over the valid dates, at every place and in every group."""
    rng = np.random.default_rng(0)
    valid = np.arange(4) < np.array([[4], [2]])
    attention = jax.nn.softmax(
        rng.normal(size=(2, 4, 3, 3, 2)), axis=1, where=valid[:, :, None, None, None]
    )
    x = np.where(valid[:, :, None, None, None], np.arange(6.0), 99.0) * np.ones((2, 4, 12, 12, 6))
    out = aggregate(jnp.asarray(x), attention, jnp.asarray(valid), how, 4)
    np.testing.assert_allclose(out, np.broadcast_to(np.arange(6.0), out.shape), atol=1e-5)


@pytest.mark.parametrize("how", ["att_group", "att_mean", "mean"])
def test_packed_dates_are_aggregated_as_they_are_without_packing(how):
    """With room left, and one date that there was no room for; maps and gradients."""
    rng = np.random.default_rng(0)
    x, attention = rng.normal(size=(2, 4, 6, 6, 4)), rng.random((2, 4, 3, 3, 2))
    valid = jnp.array([[True, True, False, True], [False, False, True, False]])

    def gradient(valid, frames=None):
        def objective(x, attention):
            x = x if frames is None else packing.pack(x, frames)
            maps = aggregate(x, attention, valid, how, 2, frames)
            return jnp.sum(jnp.square(maps)), maps

        return jax.grad(objective, (0, 1), has_aux=True)(x, attention)

    for room in (3, 6):
        frames = packing.valid_frames(valid, room)
        kept = packing.unpack(packing.pack(valid, frames), frames, (2, 4))
        assert kept.sum() == min(room, 4)
        chex.assert_trees_all_close(gradient(kept, frames), gradient(kept), atol=1e-5)


def test_packed_series_are_stacked_with_others():
    """Every date stays its own: that of a packed series, and that of one that is not."""
    rng = np.random.default_rng(0)

    def features(t, kept):
        valid = np.arange(t) < np.array([[kept], [t - 1]])
        values = np.where(valid[..., None], rng.random((2, t, 3)), 0)
        return Series(values=(values,), days=rng.integers(0, 9, (2, t)), valid=valid)

    parts = {"S2": features(4, 2), "S1A": features(3, 1)}
    expected, some = fusion.merge_dates(parts), parts["S2"]
    frames = packing.valid_frames(some.valid, 6)
    some = some.replace(values=(packing.pack(some.values[0], frames),), frames=frames)
    stacked = fusion.merge_dates({**parts, "S2": some})
    values = packing.unpack(stacked.values[0], stacked.frames, (2, 7))
    chex.assert_trees_all_equal(stacked.replace(values=(values,), frames=None), expected)


@pytest.mark.parametrize(("channels", "expected"), [(10, 1_087_260), (3, 1_083_228)])
def test_published_parameter_counts(channels, expected):
    """Full size, by shape alone."""
    model = fusion.single("S2", FrameEncoder(), TemporalUNet(), ConvDecoder(20))
    series = Series(
        values=jnp.zeros((4, 45, 128, 128, channels)),
        days=jnp.zeros((4, 45), int),
        valid=jnp.ones((4, 45), bool),
    )
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
    shapes = jax.eval_shape(partial(model.init, train=True), rngs, {"S2": series})
    assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == expected
    prediction = jax.eval_shape(model.apply, shapes, {"S2": series})
    assert prediction.output.shape == (4, 128, 128, 20)
