"""Models that read time first: properties, and encoders that a run of parcels brings."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import patch_factory
import pixel_set_factory
import pytest
from refusal import refused_in_a_line
from tiers import all_but

import pastis_jax
from pastis_jax.cli import train
from pastis_jax.cli.config import configure
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.models import PixelEncoder, PixelSetEncoder
from pastis_jax.nn import pixel_features
from pastis_jax.runs.from_parcels import start_from
from pastis_jax.types import Series

SMALL = {
    **{"encoder": "time-first", "encoder_widths": (8, 8), "decoder_widths": (8, 8)},
    **{"heads": 2, "model_features": 8, "head_widths": (8,), "modalities": ("S2", "S1A")},
}
VALID = np.array([[1, 1, 0, 1, 1], [1, 0, 0, 1, 0]], bool)


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch):
    """Cuts the 5 x 7 pixels in chunks that do not divide them."""
    monkeypatch.setattr(pixel_features, "pixels_per_chunk", lambda dates, pixels: 8)


def task_of(fusion, **options):
    options = {**SMALL, **options}
    if fusion == "single":
        options["modalities"] = ("S2",)
    config = train.for_data(configure("semantic", fusion=fusion, **options))
    return train.make_task(config, PASTIS_R, ClassMapping.of(PASTIS_R.nomenclature))


def series_of(task, valid=VALID, seed=0):
    b, t = valid.shape
    rng = np.random.default_rng(seed)
    return {
        name: Series(
            values=rng.normal(size=(b, t, 5, 7, len(PASTIS_R[name].channels))).astype(np.float32),
            days=np.sort(rng.integers(0, 360, (b, t))).astype(np.int32),
            valid=valid,
        )
        for name in task.spec.modalities
    }


class Built:
    """A model with its weights, compiled."""

    def __init__(self, fusion, **options):
        self.task = task_of(fusion, **options)
        self.series = series_of(self.task)
        keys = {name: jax.random.key(1) for name in ("params", "dropout")}
        self.variables = jax.jit(partial(self.task.model().init, train=True))(keys, self.series)

    def __call__(self, series, **capacity):
        model = self.task.model(capacity)
        return np.asarray(jax.jit(model.apply)(self.variables, series).output)

    def gradient(self, series, **capacity):
        model = self.task.model(capacity)

        @jax.jit
        def gradient(params, series):
            def objective(params):
                variables = {**self.variables, "params": params}
                rngs = {"dropout": jax.random.key(2)}
                prediction, updated = model.apply(
                    variables, series, train=True, rngs=rngs, mutable=["batch_stats"]
                )
                return jnp.square(prediction.output).mean(), updated

            return jax.grad(objective, has_aux=True)(params)

        return gradient(self.variables["params"], series)


@pytest.fixture(scope="module")
def built():
    kept = {}

    def give(fusion):
        if fusion not in kept:
            kept[fusion] = Built(fusion)
        return kept[fusion]

    return give


def changed(series, change):
    return {name: change(one) for name, one in series.items()}


@pytest.mark.parametrize("fusion", all_but(2, ("mid", "late", "early", "single", "decision")))
def test_masked_dates_are_absent_dates(built, fusion):
    model = built(fusion)

    def spoiled(one):
        where = one.valid[:, :, None, None, None]
        return one.replace(values=np.where(where, one.values, np.nan))

    def turned(one):
        return one.replace(**{x: getattr(one, x)[:, ::-1] for x in ("values", "days", "valid")})

    plain = model(model.series)
    np.testing.assert_allclose(model(changed(model.series, spoiled)), plain, atol=1e-5)
    np.testing.assert_allclose(model(changed(model.series, turned)), plain, atol=1e-5)
    frames = dict.fromkeys(model.series, 6)  # the valid ones
    np.testing.assert_allclose(model(changed(model.series, spoiled), **frames), plain, atol=1e-5)


@pytest.mark.parametrize("fusion", all_but(1, ("mid", "early")))
def test_packing_changes_neither_gradient_nor_statistics(built, fusion):
    model = built(fusion)
    plain, packed = (
        model.gradient(model.series),
        model.gradient(model.series, **dict.fromkeys(model.series, 6)),
    )
    chex.assert_trees_all_close(packed, plain, atol=1e-5, rtol=1e-3)
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(plain[0])) > 0


def test_a_sample_does_not_feel_its_batch(built):
    model = built("late")
    alone = changed(model.series, lambda one: jax.tree.map(lambda x: x[:1], one))
    np.testing.assert_allclose(model(alone), model(model.series)[:1], atol=1e-5)


def test_a_pixel_is_read_by_itself(built):
    """What the encoders give of a pixel is the same whatever stands beside it."""
    model = built("late").task.model()
    variables, series = built("late").variables, built("late").series

    def embedding(bound, series):
        return bound.temporal["S2"](bound.spatial["S2"](series["S2"])).values

    read = partial(model.apply, variables, method=embedding)
    other = series["S2"].replace(values=series["S2"].values.copy())
    other.values[:, :, 2, 3] += 1
    difference = np.abs(read(series) - read({**series, "S2": other})).max((0, 3))
    assert difference[2, 3] > 1e-3
    difference[2, 3] = 0
    assert difference.max() == 0


def test_features_are_those_of_pixel_sets_of_one_pixel():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(2, 5, 5, 7, 4)).astype(np.float32)
    days = np.zeros((2, 5), np.int32)
    images = Series(values=values, days=days, valid=VALID)
    sets = Series(
        values=values.transpose(0, 2, 3, 1, 4).reshape(70, 5, 1, 4),
        days=np.repeat(days, 35, 0),
        valid=np.repeat(VALID, 35, 0),
        pixels=np.ones((70, 1), bool),
    )
    encoder, of_sets = PixelEncoder(features=8), PixelSetEncoder(features=8)
    variables = of_sets.init(jax.random.key(0), sets)
    chex.assert_trees_all_equal_shapes(variables, encoder.init(jax.random.key(0), images))
    for train_mode in (False, True):
        options = {"mutable": ["batch_stats"], "train": train_mode}
        expected, statistics = of_sets.apply(variables, sets, **options)
        given, own = encoder.apply(variables, images, **options)
        made = jax.vmap(given.values.of)(given.values.chunks())
        made = jnp.moveaxis(made, 0, 2).reshape(2, 5, -1, 8)[:, :, :35]
        expected = np.moveaxis(np.asarray(expected.values).reshape(2, 35, 5, 8), 1, 2)
        where = VALID[:, :, None, None]
        np.testing.assert_allclose(
            np.where(where, made, 0), np.where(where, expected, 0), atol=1e-4
        )
        chex.assert_trees_all_close(own, statistics, atol=1e-4)


def test_without_a_valid_date_all_is_finite(built):
    model = built("mid")
    none = changed(model.series, lambda one: one.replace(valid=np.zeros_like(VALID)))
    assert np.isfinite(model(none)).all()
    gradient, _ = model.gradient(none)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_half_precision_is_close(built):
    model, half = built("late"), task_of("late", bf16=True)
    rounded = jax.jit(half.model().apply)(model.variables, model.series).output
    plain = model(model.series)
    assert np.abs(rounded - plain).mean() < 0.05 * np.abs(plain).mean()
    assert np.abs(rounded - plain).max() > 0


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"aggregation": "mean"}, "`aggregation`"),
        ({"encoder_norm": "batch"}, "`encoder_norm`"),
        ({"encoder": "utae", "freeze": True}, "`freeze`"),
        ({"freeze": True}, "`freeze`"),
        ({"decoder_widths": (6, 6)}, "`decoder_widths`"),
        ({"decoder_widths": (8,)}, "`decoder_widths`"),
    ],
    ids=str,
)
def test_what_has_no_meaning_is_refused(options, argument):
    refused_in_a_line(lambda: task_of("late", **options), argument)


# From a run of parcels


@pytest.fixture(scope="module")
def parcel_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parcels")
    data = pixel_set_factory.make_pixel_set(folder / "set", labels=(1, 3, 8))
    names = {"data": data, "cache_dir": folder / "cache", "out": folder / "run"}
    options = {"fusion": "mid", "modalities": ("S2", "S1A"), "epochs": 1, "batch_size": 8}
    train.run(configure("parcel", **options, **names))
    return folder / "run"


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    return {"data": patch_factory.make_patches(folder / "set"), "cache_dir": folder / "cache"}


@pytest.mark.long
def test_frozen_encoders_stay_as_the_run_of_parcels_had_them(parcel_run, patches, tmp_path):
    sizes = {"decoder_widths": (8, 8), "encoder_widths": (8, 128), "head_widths": (8,)}
    config = configure(
        "semantic",
        **{"init_from": parcel_run, "freeze": True, "epochs": 1, "batch_size": 2},
        **{"optimizer": "adamw", "weight_decay": 0.5},
        **{**sizes, **patches, "out": tmp_path / "run"},
    )
    assert (config.model.encoder, config.model.fusion) == ("time-first", "mid")
    assert config.model.modalities == ("S2", "S1A")
    train.run(config)
    run, parcels = pastis_jax.open_run(tmp_path / "run"), pastis_jax.open_run(parcel_run)
    expected = start_from(parcels, run.saved.learned.statistics).variables
    for kind in ("params", "batch_stats"):
        own = {name: run.variables[kind][name] for name in expected[kind]}
        chex.assert_trees_all_equal(own, expected[kind])
    assert {*expected["params"]} == {"spatial_S2", "spatial_S1A", "temporal"}


def test_the_same_stored_values_give_the_same_features(parcel_run):
    run = pastis_jax.open_run(parcel_run)
    rng = np.random.default_rng(0)
    other = {
        name: (mean + rng.normal(size=mean.shape), deviation * rng.uniform(0.5, 2, mean.shape))
        for name, (mean, deviation) in run.saved.learned.statistics.items()
    }
    moved = start_from(run, other).variables
    stored = rng.uniform(200, 4000, (1, 3, 2, 2, 10)).astype(np.float32)

    def features(variables, moments):
        mean, deviation = moments["S2"]
        values = ((stored - mean) / deviation).astype(np.float32)
        series = Series(values, np.zeros((1, 3), np.int32), np.ones((1, 3), bool))
        own = {kind: variables[kind]["spatial_S2"] for kind in ("params", "batch_stats")}
        given = PixelEncoder().apply(own, series).values
        return jax.vmap(given.of)(given.chunks())[..., :4, :]  # the others fill the chunk

    expected = features(run.variables, run.saved.learned.statistics)
    np.testing.assert_allclose(features(moved, other), expected, rtol=1e-3, atol=1e-3)


def test_what_cannot_be_carried_over_is_refused(parcel_run, patches, tmp_path):
    for options, argument in (
        ({"fusion": "late"}, "`fusion`"),
        ({"modalities": ("S2",)}, "`modalities`"),
        ({"encoder": "utae"}, "`encoder`"),
        ({"encoder_widths": (16, 64)}, "`encoder_widths`"),
        ({"epochs": 0}, "`epochs`"),
    ):
        given = {"init_from": parcel_run, **patches, **options}
        refused_in_a_line(lambda given=given: configure("semantic", **given), argument)
