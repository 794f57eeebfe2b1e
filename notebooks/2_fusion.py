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
# Clouds hide the ground from Sentinel-2, not from radar. We train all five on the same parcels,
# then test them with more and more optical dates removed. About five minutes on two CPU cores.

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

from experiments import common, parcel
from pastis_jax.data.nomenclature import split_folds
from pastis_jax.data.pipeline import PixelSetEncoding, training_batches
from pastis_jax.data.prepare import prepare_pixel_set
from pastis_jax.temporal_dropout import temporal_dropout

# %% tags=["parameters"]
DATA = None  # pathlib.Path of the pixel-set folder of PASTIS-R; None: a simulated one, kept
SCHEMES = ("single", "early", "mid", "late", "decision")
EPOCHS = 6
REMOVED = (0.3, 0.6, 0.9)
FOLDER = pathlib.Path("runs/fusion")

# %% [markdown]
# ## A removed date is a masked date
#
# A batch maps each modality to a `Series`: `values`, `days`, and `valid`, which says what is a
# real acquisition. Parcels have different numbers of dates, so batches are padded; what is padded
# is not valid. Temporal dropout, and the clouds of this notebook, turn more of `valid` off. No
# model can tell a masked date from one that was never there.

# %%
prepared = prepare_pixel_set(DATA or common.simulated_pixel_set(None), modalities=("S2", "S1D"))
train = split_folds(1)["train"]
encode = PixelSetEncoding(
    lengths=prepared.lengths, statistics=prepared.statistics(train), pixels=16
)
batch = next(training_batches(prepared.source(train), encode, batch_size=16, seed=0))
for name, one in batch.series.items():
    print(name, "values b t s c:", one.values.shape, " valid b t:", one.valid.shape)

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
plt.show()

# %% [markdown]
# ## Train every scheme
#
# With temporal dropout (40 % of S2, 20 % of radar), which the paper recommends. `removed_optical`
# tests the trained model again with these shares of the S2 dates removed at random.

# %%
results = {}
for scheme in SCHEMES:
    config = parcel.Config(
        fusion=scheme,
        modalities=("S2",) if scheme == "single" else ("S2", "S1D"),
        temporal_dropout=True,
        data=DATA,
        epochs=EPOCHS,
        batch_size=32,
        learning_rate=3e-3,
        schedule="cosine",
        pixels=16,
        removed_optical=REMOVED,
        out=FOLDER / scheme,
        overwrite=True,
    )
    with capture_output():
        results[scheme] = result = parcel.run(config)
    print(f"{scheme:9} test mIoU {result['test']['mIoU']:.3f}, {result['parameters']:,} parameters")

# %% [markdown]
# ## Clouds
#
# Where the curve of S2 alone falls, radar takes over: the later the modalities meet, or the more
# freely attention chooses among dates, the less is lost. Early fusion has only the optical dates
# to put radar on, so it loses radar with them. A few epochs and one seed leave points of chance
# in every curve: [docs/simulated_parcels.md](../docs/simulated_parcels.md) has three seeds and
# more epochs.

# %%
figure, axis = plt.subplots(figsize=(7, 4.2))
for scheme, result in results.items():
    scores = [result["test"], *result["test_removed_optical"].values()]
    label = "S2 alone" if scheme == "single" else scheme
    style = "k--" if scheme == "single" else "-"
    axis.plot((0, *REMOVED), [s["mIoU"] for s in scores], style, marker="o", label=label)
axis.set_xlabel("share of the S2 dates removed")
axis.set_ylabel("test mIoU")
axis.set_ylim(0, 1)
axis.grid(alpha=0.3)
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## What is lost where
#
# IoU of each crop with all optical dates, minus that with the largest share removed.

# %%
names = np.array(parcel.NAMES)


def per_class(scores):
    return np.array([np.nan if v is None else v for v in scores["iou"].values()], float)


figure, axis = plt.subplots(figsize=(7, 5))
worst = str(REMOVED[-1])
lost = np.stack(
    [per_class(r["test"]) - per_class(r["test_removed_optical"][worst]) for r in results.values()]
)
picture = axis.imshow(lost.T, cmap="Reds", vmin=0, vmax=1, aspect="auto")
axis.set_xticks(range(len(results)), results)
axis.set_yticks(range(len(names)), names)
figure.colorbar(picture, label=f"IoU lost with {REMOVED[-1]:.0%} of the S2 dates removed")
plt.show()
