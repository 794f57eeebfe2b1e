"""What must hold for every fusion scheme, whatever the numbers: a masked date is an absent date."""

from __future__ import annotations

from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import all_but

from pastis_jax import fusion
from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
from pastis_jax.types import Series

MODALITIES = {"S2": 10, "S1A": 3, "S1D": 3}
SCHEMES = ("single", "early", "mid", "late", "decision", "early hold", "early mask")
B, T, S, REMOVED = 3, 7, 4, 2
TOLERANCE = 1e-5

spatial = partial(PixelSetEncoder, widths=(8, 16), features=32)
temporal = partial(
    LTAE, features=32, model_features=32, heads=4, dropout=0.0, attention_dropout=0.0
)
decoder = partial(MLPDecoder, 5, widths=(16,))


def build(scheme, *, auxiliary=False, names=tuple(MODALITIES)):
    def each(part):
        return {m: part() for m in names}

    heads = each(decoder) if auxiliary else None
    match scheme:
        case "single":
            return fusion.single(names[0], spatial(), temporal(), decoder())
        case "early" | "early hold" | "early mask":
            outside = scheme.partition(" ")[2] or "extrapolate"
            return fusion.early(names, spatial(), temporal(), decoder(), outside=outside)
        case "mid":
            return fusion.mid(each(spatial), temporal(), decoder(), auxiliary=heads)
        case "late":
            return fusion.late(each(spatial), each(temporal), decoder(), auxiliary=heads)
        case "decision":
            return fusion.decision(
                each(spatial), each(temporal), each(decoder), auxiliary=auxiliary
            )


def make_series(seed, *, all_valid=True):
    """Random series: distinct days in no order, at least two of them valid."""
    rng = np.random.default_rng(seed)
    pixels = np.arange(S) < rng.integers(1, S + 1, (B, 1))
    series = {}
    for name, channels in MODALITIES.items():
        valid = np.ones((B, T), bool) if all_valid else rng.random((B, T)) < 0.6
        valid[:, :2] = True
        series[name] = Series(
            values=rng.normal(size=(B, T, S, channels)).astype(np.float32),
            days=np.stack([rng.permutation(400)[:T] for _ in range(B)]).astype(np.int32),
            valid=valid,
            pixels=pixels,
        )
    return series


@cache
def compiled(scheme, train):
    """The scheme as a function of variables and series: logits and updated statistics."""
    model = build(scheme)

    @jax.jit
    def apply(variables, series):
        prediction, updated = model.apply(variables, series, train=train, mutable=["batch_stats"])
        return prediction.output, updated

    return apply


@cache
def variables(scheme):
    model = build(scheme)
    drawn = jax.jit(partial(model.init, train=True))(jax.random.key(0), make_series(0))
    # Away from the defaults, so that every statistic and offset matters.
    leaves, tree = jax.tree.flatten(drawn)
    rng = np.random.default_rng(1)
    return jax.tree.unflatten(
        tree, [np.abs(x + 0.3 * rng.normal(size=x.shape)).astype(np.float32) for x in leaves]
    )


def same(scheme, train, one, other):
    """Compares in float32; in float64 when training, where a batch of three amplifies rounding."""
    given_variables = variables(scheme)
    with jax.enable_x64(train):
        if train:
            one, other, given_variables = map(doubled, (one, other, given_variables))
        ours, theirs = (compiled(scheme, train)(given_variables, s) for s in (one, other))
        chex.assert_trees_all_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


def doubled(tree):
    return jax.tree.map(lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, tree)


def change(series, f):
    """Applies `f(rng, series)` to each modality with a random generator of its own."""
    return {m: f(np.random.default_rng(i), one) for i, (m, one) in enumerate(series.items())}


def take(one, index):
    """Keeps the dates ``b u`` of `index`, in its order."""
    rows = np.arange(B)[:, None]
    return one.replace(
        values=one.values[rows, index], days=one.days[rows, index], valid=one.valid[rows, index]
    )


seeds = given(seed=st.integers(0, 2**31))
few = settings(max_examples=8, deadline=None, derandomize=True)
modes = pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
schemes = pytest.mark.parametrize("scheme", all_but(5, SCHEMES))


@schemes
@modes
@few
@seeds
def test_padding_changes_nothing(scheme, train, seed):
    def pad(rng, one):
        garbage = rng.normal(size=(B, REMOVED, *one.values.shape[2:])).astype(np.float32) * 50
        garbage[0] = np.nan
        return one.replace(
            values=np.concatenate([one.values, garbage], 1),
            days=np.concatenate([one.days, rng.integers(-900, 900, (B, REMOVED), np.int32)], 1),
            valid=np.concatenate([one.valid, np.zeros((B, REMOVED), bool)], 1),
        )

    kept = np.tile(np.arange(T - REMOVED), (B, 1))
    series = {m: take(one, kept) for m, one in make_series(seed).items()}
    same(scheme, train, series, change(series, pad))


@schemes
@modes
@few
@seeds
def test_order_of_dates_does_not_matter(scheme, train, seed):
    def permute(rng, one):
        return take(one, np.stack([rng.permutation(T) for _ in range(B)]))

    series = make_series(seed, all_valid=False)
    same(scheme, train, series, change(series, permute))


@schemes
@modes
@few
@seeds
def test_masked_date_is_absent_date(scheme, train, seed):
    series = make_series(seed)
    kept = change(
        series,
        lambda rng, _: np.sort(rng.permuted(np.tile(np.arange(T), (B, 1)), axis=1)[:, REMOVED:]),
    )
    removed = {m: take(series[m], kept[m]) for m in series}
    masked = {
        m: one.replace(valid=(np.arange(T) == kept[m][:, :, None]).any(1))
        for m, one in series.items()
    }
    same(scheme, train, masked, removed)


@cache
def compiled_gradient(scheme):
    """Gradient of a training objective with respect to the parameters and the values."""
    model = build(scheme)

    def objective(params, values, series):
        changed = {m: series[m].replace(values=v) for m, v in values.items()}
        prediction, updated = model.apply(
            {**variables(scheme), "params": params}, changed, train=True, mutable=["batch_stats"]
        )
        return jnp.sum(jnp.square(prediction.output[:, 0])), updated

    return jax.jit(jax.value_and_grad(objective, argnums=(0, 1), has_aux=True))


def gradient(scheme, series):
    values = {m: one.values for m, one in series.items()}
    return compiled_gradient(scheme)(variables(scheme)["params"], values, series)


@schemes
@few
@seeds
def test_masked_dates_and_pixels_have_no_gradient(scheme, seed):
    series = make_series(seed, all_valid=False)
    _, (_, of_values) = gradient(scheme, series)
    for m, one in series.items():
        alive = one.valid[:, :, None] & one.pixels[:, None, :]
        assert not np.any(np.asarray(of_values[m])[~alive])
    assert np.any(np.asarray(of_values["S2"]))


@schemes
def test_sample_does_not_feel_its_batch(scheme):
    series, others = make_series(1), make_series(2)
    mixed = {
        m: jax.tree.map(lambda a, b: np.concatenate([a[:1], b[1:]]), series[m], others[m])
        for m in series
    }
    apply = compiled(scheme, False)
    ours, theirs = (apply(variables(scheme), one)[0][0] for one in (series, mixed))
    chex.assert_trees_all_close(ours, theirs, atol=TOLERANCE)


@schemes
def test_no_valid_date_stays_finite(scheme):
    """One sample of the batch, then all, lack every date: logits, statistics, gradients."""
    series = make_series(3)
    for empty in (np.array([True, False, False]), np.ones(B, bool)):
        gone = {m: one.replace(valid=one.valid & ~empty[:, None]) for m, one in series.items()}
        chex.assert_tree_all_finite(gradient(scheme, gone))
        chex.assert_tree_all_finite(compiled(scheme, False)(variables(scheme), gone))


def test_single_modality_is_the_case_of_one_branch():
    """The parts after each other, `single`, `late` of one branch, `decision` of one branch."""
    given_variables = variables("single")
    series = make_series(4, all_valid=False)

    def part(name):
        return {c: tree[name] for c, tree in given_variables.items() if name in tree}

    encoded = jax.jit(spatial().apply)(part("spatial_S2"), series["S2"])
    embedding = jax.jit(temporal().apply)(part("temporal_S2"), encoded)
    expected = jax.jit(decoder().apply)(part("decoder"), embedding)
    renamed = {
        c: {k.replace("decoder", "decoder_S2"): v for k, v in tree.items()}
        for c, tree in given_variables.items()
    }
    for scheme, tree in (
        ("single", given_variables),
        ("late", given_variables),
        ("decision", renamed),
    ):
        actual = jax.jit(build(scheme, names=("S2",)).apply)(tree, series).output
        if scheme == "decision":
            actual, expected = jax.nn.softmax(actual), jax.nn.softmax(expected)
        chex.assert_trees_all_close(actual, expected, atol=1e-6)


@pytest.mark.parametrize("scheme", ["mid", "late", "decision"])
def test_auxiliary_predictions_train_only(scheme):
    """They exist while training, cost nothing at inference and change no prediction."""
    model, plain = build(scheme, auxiliary=True), build(scheme)
    series = make_series(5)
    drawn = jax.jit(partial(model.init, train=True))(jax.random.key(0), series)

    def train(model, variables):
        return model.apply(variables, series, train=True, mutable=["batch_stats"])

    def statistics(model, variables):
        @jax.jit
        def others(variables):
            updated = train(model, variables)[1]["batch_stats"]
            return {k: v for k, v in updated.items() if not k.startswith("auxiliary")}

        return others(variables)

    def infer(model, variables):
        compiled = jax.jit(model.apply).lower(variables, series).compile()
        return compiled(variables, series), compiled.cost_analysis()["flops"]

    prediction, _ = jax.eval_shape(partial(train, model), drawn)
    assert set(prediction.auxiliary) == set(MODALITIES)
    inference, flops = infer(model, drawn)
    assert not inference.auxiliary
    without = {
        collection: {k: v for k, v in tree.items() if not k.startswith("auxiliary")}
        for collection, tree in drawn.items()
    }
    plain_inference, plain_flops = infer(plain, without)
    chex.assert_trees_all_equal(inference, plain_inference)
    assert flops == plain_flops
    chex.assert_trees_all_equal(statistics(model, drawn), statistics(plain, without))


@pytest.mark.parametrize("scheme", ["mid", "late", "decision"])
def test_absent_modality_is_a_masked_one(scheme):
    """Whatever stands in it; and where no sample has it, nothing of its branch is learned."""
    series = make_series(7)
    lacks = np.array([False, True, False])
    one = series["S1A"]
    masked = one.replace(valid=one.valid & ~lacks[:, None])
    absent = masked.replace(
        values=np.where(lacks[:, None, None, None], np.float32(np.nan), one.values),
        days=np.where(lacks[:, None], 0, one.days),
    )
    for train in (False, True):
        same(scheme, train, {**series, "S1A": masked}, {**series, "S1A": absent})
    gone = {**series, "S1A": one.replace(valid=np.zeros_like(one.valid))}
    _, (of_parameters, of_values) = gradient(scheme, gone)
    assert not np.any(np.asarray(of_values["S1A"]))
    branch = {name: tree for name, tree in of_parameters.items() if name.endswith("_S1A")}
    assert len(branch) == {"mid": 1, "late": 2, "decision": 3}[scheme]
    assert not any(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(branch))
    chex.assert_tree_all_finite((of_parameters, compiled(scheme, False)(variables(scheme), gone)))


def test_decision_asks_only_modalities_with_dates():
    series = make_series(6)
    without_radar = {
        m: one.replace(valid=np.zeros_like(one.valid)) if m != "S2" else one
        for m, one in series.items()
    }
    tree = variables("decision")
    alone = {c: {k: v for k, v in t.items() if k.endswith("S2")} for c, t in tree.items()}
    expected = jax.jit(build("decision", names=("S2",)).apply)(alone, series).output
    actual, _ = compiled("decision", False)(tree, without_radar)
    chex.assert_trees_all_close(actual, expected, atol=1e-6)


def test_shared_module_shares_weights():
    shared = temporal()
    model = fusion.late(
        {m: spatial() for m in MODALITIES}, dict.fromkeys(MODALITIES, shared), decoder()
    )
    shapes = jax.eval_shape(partial(model.init, train=True), jax.random.key(0), make_series(0))
    assert sum(name.startswith("temporal") for name in shapes["params"]) == 1


def test_missing_modality_is_named():
    with pytest.raises(ValueError, match="S1D"):
        build("late").init(jax.random.key(0), {"S2": make_series(0)["S2"]})
