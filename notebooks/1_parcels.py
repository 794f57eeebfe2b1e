# %% [markdown]
# # 1. Quick start: which crop grows on a parcel?
#
# A parcel is a set of pixels that two satellites saw again and again for a year: Sentinel-2
# (`S2`, optical, 10 bands, when there are no clouds) and Sentinel-1 (radar, from its ascending
# and its descending orbit, `S1A` and `S1D`, in any weather). This notebook looks at such series,
# trains a small model on them (PSE + L-TAE with mid fusion) and reads its scores. A few minutes
# on two CPU cores; the data are simulated, so nothing is downloaded.

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
from functools import partial

import jax
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display

from pastis_jax import open_run
from pastis_jax.cli import config, train
from pastis_jax.data import simulate
from pastis_jax.data.pixel_sets import prepare_pixel_sets

# %% tags=["parameters"]
DATA = None  # pathlib.Path of the pixel-set folder of PASTIS-R; None: a simulated one, kept
EPOCHS = 10
FOLDER = pathlib.Path("runs/quick-start")

# %% [markdown]
# ## Look at the data
#
# The official folder is checked and prepared once; what is prepared stands in the cache. Of the
# five folds, run 1 trains on 1, 2 and 3, validates on 4 and tests on 5.

# %%
prepared = prepare_pixel_sets(DATA or simulate.default_pixel_sets(None))
dataset = prepared.dataset
folds = dataset.split(1)
parcels = prepared.source(folds["train"])
print(f"{len(parcels):,} parcels to train on; dates at most: {dict(prepared.lengths)}")

# %% [markdown]
# Three parcels of different crops, median over their pixels. The vegetation index NDVI comes from
# the red and the near-infrared band; its outliers are clouds. VH is one of the two polarisations
# of the radar, noisier, but there on every date.

# %%
COLOURS = {"S2": "tab:green", "S1A": "tab:blue", "S1D": "tab:orange"}
optical, radar = (dataset[name].channels.index for name in ("S2", "S1A"))


def ndvi(values):
    """NDVI ``t s`` of reflectances ``t c s``."""
    red, infrared = (values[:, optical(band)].astype(float) for band in ("B4", "B8"))
    return (infrared - red) / np.maximum(infrared + red, 1)


labels = [parcels[i]["label"] for i in range(len(parcels))]
shown = [parcels[labels.index(label)] for label in (1, 5, 3) if label in labels]

figure, axes = plt.subplots(
    2, len(shown), figsize=(11, 5), sharex=True, sharey="row", squeeze=False
)
for (above, below), parcel in zip(axes.T, shown, strict=True):
    above.plot(
        parcel["S2"]["days"], np.median(ndvi(parcel["S2"]["values"]), -1), "o-", color=COLOURS["S2"]
    )
    for name in ("S1A", "S1D"):
        vh = np.median(parcel[name]["values"][:, radar("VH")], -1)
        below.plot(parcel[name]["days"], vh, ".-", label=name, color=COLOURS[name])
    above.set_title(dataset.nomenclature.classes[parcel["label"]].name)
    below.set_xlabel("days since 1 September 2018")
axes[0, 0].set_ylabel("NDVI")
axes[1, 0].set_ylabel("VH (dB)")
axes[1, 0].legend()
plt.show()

# %% [markdown]
# ## Train, select, test
#
# What the command line does with `pastis-jax train parcel --fusion mid`; `pastis-jax train parcel
# --help` lists every argument. After each epoch the model is validated; the best state is tested.

# %%
arguments = config.configure(
    "parcel", fusion="mid", data=DATA, epochs=EPOCHS, batch_size=32, out=FOLDER, overwrite=True
)
result = train.run(arguments)

# %% [markdown]
# `FOLDER` now holds the configuration, a line of scores per epoch, checkpoints and these
# pictures. The mean of the IoUs over all 18 classes, mIoU, is the score of the paper: rare crops
# count as much as meadows.

# %%
for name in ("learning_curves", "iou_per_class", "confusion_matrix"):
    display(Image(FOLDER / f"{name}.png", width=800))

# %% [markdown]
# `result` is what `result.json` holds, and `open_run` opens what else a finished run carries: its
# model, the best state, the classes. Which crops are taken for which?

# %%
run = open_run(FOLDER)
crops, confusion = run.classes.names, np.array(result["confusion"])
mistakes = confusion * ~np.eye(len(confusion), dtype=bool)
for index in np.argsort(mistakes, axis=None)[:-6:-1]:
    true, predicted = np.unravel_index(index, mistakes.shape)
    print(
        f"{mistakes[true, predicted]:3} of {confusion[true].sum():4} parcels of "
        f"{crops[true]} taken for {crops[predicted]}"
    )

# %% [markdown]
# ## Which dates did it look at?
#
# `open_data` opens the records of a run for it. L-TAE keeps its attention for whoever asks for
# `intermediates`: over the dates of all three modalities, for each of its heads. Below, its mean
# over the heads for three parcels of the test fold.

# %%
opened = run.open_data()
batch = next(opened.splits.evaluation("test"))
predict = jax.jit(partial(opened.model.apply, mutable=["intermediates"]))
prediction, kept = predict(opened.state.variables, batch.series)
attention = kept["intermediates"]["temporal"]["attention"][0].mean(-1)  # b t, of all modalities
predicted = prediction.output.argmax(-1)

figure, axes = plt.subplots(1, 3, figsize=(12, 3), sharex=True, sharey=True, layout="constrained")
for axis, i in zip(axes, np.unique(batch.label, return_index=True)[1][:3], strict=False):
    first = 0
    for name in run.modalities:  # in this order mid fusion stacks them
        days, valid = batch.series[name].days[i], batch.series[name].valid[i]
        weight = attention[i, first : first + len(days)]
        axis.vlines(days[valid], 0, weight[valid], label=name, color=COLOURS[name])
        first += len(days)
    axis.set_title(f"{crops[batch.label[i]]}, taken for {crops[predicted[i]]}", fontsize=9)
    axis.set_xlabel("days since 1 September 2018")
axes[0].set_ylabel("attention, mean over heads")
axes[0].legend()
plt.show()

# %% [markdown]
# ## Further
#
# - Other schemes and what clouds do to them: [2_fusion.ipynb](2_fusion.ipynb).
# - With PASTIS-R: set `DATA` to the pixel-set folder (zenodo 5745151), leave out `epochs` and
#   `batch_size` and the paper's protocol runs: 100 epochs of 128 parcels a step.
# - Add `temporal_dropout=True` and `auxiliary=True`: what the paper recommends.
