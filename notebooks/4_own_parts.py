# %% [markdown]
# # 4. Write a fusion scheme, or an encoder, of your own
#
# A model has three parts: S encodes every acquisition by itself, T reduces the dates to one
# embedding, D turns that into logits. A scheme combines them. All are linen modules with one
# signature each (`SpatialEncoder`, `TemporalEncoder`, `Decoder` in `pastis_jax/types.py`), and go
# with each other freely. Here: a scheme that weighs the modalities of each parcel, an encoder
# that only takes the mean of the pixels, the checks that both must pass, and training. A few
# minutes on two CPU cores.

# %%
# Only in Colab: installs the library from the archive that you have uploaded there, or from
# whatever else pip can install. notebooks/README.md says how to make the archive.
import subprocess
import sys

SOURCE = "pastis_jax.zip"

if "google.colab" in sys.modules:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", SOURCE], check=True)

# %%
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import linen as nn

from pastis_jax import Embedding, Prediction, Series, fusion, training
from pastis_jax.data import ClassMapping, evaluation_batches, simulate, training_batches
from pastis_jax.data.pixel_sets import PixelSetEncoding, prepare_pixel_sets
from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
from pastis_jax.nn import masked_mean, masked_softmax
from pastis_jax.tasks import ParcelModel, ParcelTask
from pastis_jax.temporal_dropout import temporal_dropout

# %% tags=["parameters"]
DATA = None  # the pixel-set folder of PASTIS-R; None: a simulated one, made once
EPOCHS = 6
REMOVED = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)

# %% [markdown]
# ## Data
#
# What a folder of parcels holds is its `dataset`. A task knows the loss and the scores for its
# classes; the models will be our own.

# %%
BATCH = 32
MODALITIES = ("S2", "S1D")

root = DATA or simulate.default_pixel_sets(None)
prepared = prepare_pixel_sets(root, modalities=MODALITIES)
dataset = prepared.dataset
classes = ClassMapping.crops(dataset.nomenclature)
task = ParcelTask(ParcelModel(modalities=MODALITIES), dataset, classes)

folds = dataset.split(1)
sources = {split: prepared.source(ids) for split, ids in folds.items()}
encode = PixelSetEncoding(
    dataset=dataset,
    lengths=prepared.lengths,
    statistics=prepared.statistics(folds["train"]),
    classes=classes,
    pixels=16,
)
batch = next(evaluation_batches(sources["val"], encode, batch_size=BATCH))
print({m: part.values.shape for m, part in batch.series.items()})

# %% [markdown]
# ## A scheme: gated late fusion
#
# Late fusion joins the embeddings of the modalities as they are. This one takes their weighted
# mean. Each parcel has weights of its own, made of the embeddings and the number of dates behind
# each: a modality can count less where it saw little.
#
#     D . sum_m g_m T_m . S_m(X_m),    g = softmax over the modalities that have a valid date
#
# `sow` keeps the weights for whoever asks for them.


# %%
class GatedFusion(nn.Module):
    """Embeddings meet in a mean, weighted for each sample."""

    spatial: Mapping[str, nn.Module]
    temporal: Mapping[str, nn.Module]
    decoder: nn.Module

    @nn.compact
    def __call__(self, series: Mapping[str, Series], *, train: bool = False, **given) -> Prediction:
        embeddings = [
            self.temporal[m](self.spatial[m](series[m], train=train), train=train)
            for m in self.spatial
        ]
        values = jnp.stack([embedding.values for embedding in embeddings])  # m b d
        valid = jnp.stack([embedding.valid for embedding in embeddings])  # m b
        dates = jnp.stack([series[m].valid.sum(1) for m in self.spatial])[..., None]  # m b 1
        seen = jnp.concatenate([values, jnp.log1p(dates)], -1)
        trust = [nn.Dense(1, name=f"trust_{m}")(x) for m, x in zip(self.spatial, seen, strict=True)]
        gate = masked_softmax(jnp.stack(trust)[..., 0], valid, axis=0)  # m b
        self.sow("intermediates", "gate", gate)
        joined = Embedding(values=(gate[..., None] * values).sum(0), valid=valid.any(0))
        return Prediction(output=self.decoder(joined, train=train, **given), valid=joined.valid)


# %% [markdown]
# ## An encoder: the mean pixel
#
# The pixel-set encoder takes each pixel through an MLP, and then the mean and the deviation over
# pixels. Is that worth it? This one takes the mean first. Two masks count: `valid`, dates `b t`,
# and `pixels`, the pixels of a parcel that are not padding, `b s`.


# %%
class MeanPixelEncoder(nn.Module):
    """Mean over the pixels, then one layer: ``b t s c`` to ``b t d``."""

    features: int = 128

    @nn.compact
    def __call__(self, series: Series, *, train: bool = False) -> Series:
        mean = masked_mean(series.values, series.pixels[:, None, :, None], axis=(2,))[:, :, 0]
        # Whatever stands at a masked date must not reach the weights.
        mean = jnp.where(series.valid[..., None], mean, 0)
        return series.replace(values=nn.relu(nn.Dense(self.features)(mean)), pixels=None)


# %% [markdown]
# Parts go with each other: three models from the same pieces.


# %%
def each(part):
    return {m: part() for m in MODALITIES}


decoder = MLPDecoder(classes=len(classes.names))
models = {
    "late fusion": fusion.late(each(PixelSetEncoder), each(LTAE), decoder),
    "gated fusion": GatedFusion(each(PixelSetEncoder), each(LTAE), decoder),
    "gated fusion, mean pixel": GatedFusion(each(MeanPixelEncoder), each(LTAE), decoder),
}

# %% [markdown]
# ## First weights

# %%
key = jax.random.key(0)
steps = max(1, len(sources["train"]) // BATCH)
schedule = training.make_schedule("cosine", 3e-3, steps=EPOCHS * steps)
optimizer = training.make_optimizer("adam", schedule)
states = {
    name: training.create_state(model, optimizer, batch, key) for name, model in models.items()
}
for name, state in states.items():
    print(f"{training.count_parameters(state.params):7,} parameters of {name}")

# %% [markdown]
# ## Check: a masked date is an absent date
#
# Everything here rests on that rule, so check it before training: what is masked may as well not
# be there, or hold anything, and the order of the dates does not matter.


# %%
def check(model, variables):
    """Logits must be the same, however the same dates are stored."""
    apply = jax.jit(lambda series: model.apply(variables, series).output)

    def masked(s):
        return s.replace(valid=s.valid & (np.arange(s.valid.shape[1]) % 3 > 0))

    def absent(s):
        kept = np.arange(s.valid.shape[1]) % 3 > 0
        return s.replace(values=s.values[:, kept], days=s.days[:, kept], valid=s.valid[:, kept])

    def garbage(s):
        s = masked(s)
        values = np.where(s.valid[:, :, None, None], s.values, np.float32(np.nan))
        return s.replace(values=values, days=np.where(s.valid, s.days, -999))

    def backwards(s):
        s = masked(s)
        return s.replace(values=s.values[:, ::-1], days=s.days[:, ::-1], valid=s.valid[:, ::-1])

    expected = apply({m: masked(s) for m, s in batch.series.items()})
    assert not np.allclose(expected, apply(batch.series))
    for stored in (absent, garbage, backwards):
        logits = apply({m: stored(s) for m, s in batch.series.items()})
        np.testing.assert_allclose(logits, expected, atol=1e-4)


for name in ("gated fusion", "gated fusion, mean pixel"):
    check(models[name], states[name].variables)
    print("a masked date is an absent date for", name)

# %% [markdown]
# ## Train
#
# `make_train_step` takes any model, loss and metric, and anything that changes the series under a
# key: here, every second parcel has a cloudy year, with a tenth of its optical dates. Metrics are
# states that stay on the device; they are read once an epoch. (`training.fit` adds checkpoints, the
# choice of the best epoch and continuation after a stop: [docs/training.md](../docs/training.md).)

# %%
placement = training.Placement()


def empty():
    return training.EpochMetrics.empty(task.empty(), BATCH)


def cloudy_years(key, series):
    """Leaves one date of S2 in ten to half of the parcels."""
    optical, few = series["S2"], temporal_dropout(key, series, {"S2": 0.9})["S2"]
    cloudy = jax.random.bernoulli(key, shape=(len(optical.valid), 1))
    return {**series, "S2": optical.replace(valid=jnp.where(cloudy, few.valid, optical.valid))}


def train(model, state):
    """Returns the last state."""
    step = training.make_train_step(
        model=model,
        loss=task.loss,
        metric=task.metric,
        optimizer=optimizer,
        key=key,
        placement=placement,
        augment=cloudy_years,
    )
    batches = training_batches(sources["train"], encode, batch_size=BATCH, seed=0)
    state = placement.whole(state)
    for epoch in range(1, EPOCHS + 1):
        metrics = placement.whole(empty())
        for _ in range(steps):
            state, metrics = step(state, metrics, placement.batch(next(batches)))
        print(f"epoch {epoch}: {jax.device_get(metrics).task.compute()['mIoU']:.3f}", end="  ")
    return state


def test(model, state, removed):
    """mIoU of the test fold with a share of the S2 dates removed."""
    step = training.make_evaluation_step(
        model=model,
        loss=task.loss,
        metric=task.metric,
        placement=placement,
        augment=partial(temporal_dropout, rates={"S2": removed}),
        key=key,
    )
    batches = evaluation_batches(sources["test"], encode, batch_size=BATCH)
    outcome = training.evaluate(state, batches, step=step, empty=empty, placement=placement)
    return outcome.scores["mIoU"]


for name, model in models.items():
    print(f"{name}, training mIoU")
    states[name] = train(model, states[name])
    clear, cloudy = (test(model, states[name], removed) for removed in (0.0, 0.9))
    print(f"\ntest mIoU {clear:.3f}, with 90 % of the S2 dates removed {cloudy:.3f}\n", flush=True)

# %% [markdown]
# ## Whom does the gate trust?
#
# The weight of S2, for parcels of the test fold, as more and more of its dates are removed.

# %%
model, state = models["gated fusion"], states["gated fusion"]
batch = next(evaluation_batches(sources["test"], encode, batch_size=256))


@jax.jit
def gate(series):
    _, kept = model.apply(state.variables, series, mutable=["intermediates"])
    return kept["intermediates"]["gate"][0][0]  # of the first modality, b


weights = [gate(temporal_dropout(key, batch.series, {"S2": share})) for share in REMOVED]
weights = np.stack(weights)[:, batch.real]
figure, axis = plt.subplots(figsize=(7, 4))
axis.plot(REMOVED, weights.mean(1), "o-", color="tab:green", label="mean over parcels")
low, high = np.quantile(weights, (0.1, 0.9), axis=1)
axis.fill_between(REMOVED, low, high, color="tab:green", alpha=0.2, label="8 of 10 parcels")
axis.set_xlabel("share of the S2 dates removed (one is always kept)")
axis.set_ylabel("weight of S2")
axis.set_ylim(0, 1)
axis.grid(alpha=0.3)
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Further
#
# - Registered under a name in a module of yours, a scheme or an encoder trains from the command
#   line, `pastis-jax train parcel --plugin MODULE --fusion NAME`, with checkpoints, selection and
#   tests: [docs/extending.md](../docs/extending.md).
