# %% [markdown]
# # 2. Where modalities meet, and what clouds do
#
# A model is `decoder . temporal . spatial`, D · T · S. A fusion scheme says where the modalities
# meet, and nothing else:
#
# | scheme | formula | what meets |
# |---|---|---|
# | `single` | D · T · S | nothing: one modality alone |
# | `early` | D · T · S · merge_C {resample(X_m)} | channels: radar is resampled to optical dates |
# | `mid` | D · T · merge_T {S_m(X_m)} | dates: one attention reads those of all satellites |
# | `late` | D · merge_C {T_m · S_m(X_m)} | embeddings of whole years |
# | `decision` | mean {D_m · T_m · S_m(X_m)} | class probabilities |
#
# Clouds hide the ground from Sentinel-2, not from radar. We train every scheme, and S2 and S1D
# alone, on the same parcels, then test them with more and more optical dates removed. About five
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
import pathlib

import jax
import matplotlib.pyplot as plt
import numpy as np
from IPython.utils.capture import capture_output

from pastis_jax import open_run
from pastis_jax.cli import config, train
from pastis_jax.data import ClassMapping, simulate, training_batches
from pastis_jax.data.pixel_sets import PixelSetEncoding, prepare_pixel_sets
from pastis_jax.temporal_dropout import temporal_dropout

# %% tags=["parameters"]
DATA = None  # pathlib.Path of the pixel-set folder of PASTIS-R; None: a simulated one, kept
MODALITIES = ("S2", "S1D")
MODELS = ("S2", "S1D", "early", "mid", "late", "decision")  # one alone, or a scheme for both
EPOCHS = 6
RATIOS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
FOLDER = pathlib.Path("runs/fusion")

# %% [markdown]
# ## A removed date is a masked date
#
# A batch maps each modality to a `Series`: `values`, `days`, and `valid`, which says what is a
# real acquisition. Parcels have different numbers of dates, so batches are padded; what is padded
# is not valid. Temporal dropout, and the clouds of this notebook, turn more of `valid` off. No
# model can tell a masked date from one that was never there.

# %%
root = DATA or simulate.default_pixel_sets(None)
prepared = prepare_pixel_sets(root, modalities=MODALITIES)
dataset = prepared.dataset
folds = dataset.split(1)["train"]
encode = PixelSetEncoding(
    dataset=dataset,
    lengths=prepared.lengths,
    statistics=prepared.statistics(folds),
    classes=ClassMapping.crops(dataset.nomenclature),
    pixels=16,
)
batch = next(training_batches(prepared.source(folds), encode, batch_size=16, seed=0))
for name, part in batch.series.items():
    print(name, "values b t s c:", part.values.shape, " valid b t:", part.valid.shape)

cloudy = temporal_dropout(jax.random.key(0), batch.series, rates={"S2": 0.6})
figure, axes = plt.subplots(1, 3, figsize=(11, 2.8), sharey=True)
for axis, (title, valid) in zip(
    axes,
    (
        ("S2", batch.series["S2"].valid),
        ("S2, 60 % of the dates removed", cloudy["S2"].valid),
        ("S1D", batch.series["S1D"].valid),
    ),
    strict=True,
):
    axis.imshow(valid, cmap="Blues", vmin=0, vmax=1.3, aspect="auto", interpolation="nearest")
    axis.set_title(title)
    axis.set_xlabel("date")
axes[0].set_ylabel("parcel of the batch")
axes[0].set_yticks([])
plt.show()

# %% [markdown]
# ## Train every model, and take its dates away
#
# All are trained with temporal dropout (40 % of S2, 20 % of radar), which the paper recommends.
# Then each is tested with shares of its optical dates removed: at random, as in the paper, or in
# spells of six dates, which is what clouds do. `open_run` opens a finished run, `open_data` its
# records; `evaluate` scores the batches that it is given, here those of the test fold with dates
# masked.

# %%
SPELLS = (1, 6)


def without_dates(batch, share, spell):
    """Masks a share of each parcel's S2 dates, in spells of so many that follow each other."""
    if "S2" not in batch.series or not share:
        return batch
    optical = batch.series["S2"]
    count = optical.valid.sum(1, keepdims=True)
    random = np.random.default_rng(int(batch.number[0]))  # the same for every model
    before = random.integers(spell, size=count.shape)  # dates that the first spell began earlier
    number = (before + np.cumsum(optical.valid, 1) - 1) // spell  # of the spell of each date
    drawn = np.take_along_axis(random.random(number.shape), number, 1)
    place = np.where(optical.valid, drawn, 2).argsort(1, kind="stable").argsort(1)
    left = optical.valid & (place >= np.rint(share * count))
    return batch.replace(series={**batch.series, "S2": optical.replace(valid=left)})


def curves(folder):
    """mIoU of a run on the test fold by the share of S2 dates removed, for each length of spell."""
    opened = open_run(folder).open_data()
    batches = list(opened.splits.evaluation("test"))

    def score(share, spell):
        outcome = opened.evaluate(without_dates(batch, share, spell) for batch in batches)
        return outcome.scores["mIoU"]

    return {spell: [score(share, spell) for share in RATIOS] for spell in SPELLS}


results, clouds = {}, {}
for name in MODELS:
    alone = name in MODALITIES
    arguments = config.configure(
        "parcel",
        fusion="single" if alone else name,
        modalities=(name,) if alone else MODALITIES,
        temporal_dropout=True,
        data=DATA,
        epochs=EPOCHS,
        batch_size=32,
        learning_rate=3e-3,
        schedule="cosine",
        pixels=16,
        out=FOLDER / name,
        overwrite=True,
    )
    with capture_output():
        results[name] = result = train.run(arguments)
        clouds[name] = curves(FOLDER / name)
    print(
        f"{name:9} test mIoU {result['test']['mIoU']:.3f}, {result['parameters']:7,} parameters, "
        f"{result['throughput']['train']:,.0f} parcels a second"
    )

# %% [markdown]
# ## Clouds
#
# Where S2 alone falls below radar alone, late fusion stands far above both: radar takes over.
# Early fusion puts radar on the optical dates, so it loses radar with them. With hardly any S2
# date left all models fall below radar alone; decision fusion keeps most, as its branch of radar
# never sees S2. A few epochs and one seed leave points of chance in every curve:
# [docs/simulated_results.md](../docs/simulated_results.md) has more of both.

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
for axis, spell in zip(axes, SPELLS, strict=True):
    for name, curve in clouds.items():
        alone = name in MODALITIES
        axis.plot(RATIOS, curve[spell], "s--" if alone else "o-", markersize=4, label=name)
    axis.set_title("random dates" if spell == 1 else f"spells of {spell} dates")
    axis.set_xlabel("share of the S2 dates removed")
    axis.grid(alpha=0.3)
axes[0].set_ylabel("test mIoU")
axes[0].set_ylim(bottom=0)
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
plt.show()

# %% [markdown]
# ## Crops
#
# IoU of each crop, with all dates; grey where a crop is neither there nor predicted.

# %%
crops = encode.classes.names
iou = np.array([list(result["test"]["iou"].values()) for result in results.values()], float)
figure, axis = plt.subplots(figsize=(7, 5))
axis.set_facecolor("grey")
picture = axis.imshow(iou.T, cmap="Greens", vmin=0, vmax=1, aspect="auto")
axis.set_xticks(range(len(results)), results)
axis.set_yticks(range(len(crops)), crops)
figure.colorbar(picture, label="test IoU")
plt.show()
