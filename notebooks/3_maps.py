# %% [markdown]
# # 3. Maps: semantic and panoptic segmentation
#
# A patch is a series of images. Semantic segmentation names the crop of every pixel, panoptic
# segmentation also tells one parcel from its neighbours. Both encode every image with the first
# half of U-TAE, join the dates in its second half, and differ in the decoder: two convolutions,
# or PaPs, which finds the centre of each parcel and cuts out a mask there. About five minutes on
# two CPU cores, and one to simulate the patches the first time.

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

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display
from matplotlib.collections import LineCollection
from matplotlib.patches import Patch

from pastis_jax import open_run, viz
from pastis_jax.cli import config, train
from pastis_jax.data import ClassMapping, simulate
from pastis_jax.data.patches import PatchFolder
from pastis_jax.panoptic import connected_components

# %% tags=["parameters"]
DATA = None  # pathlib.Path of the patch folder of PASTIS-R; None: a simulated one, kept
SEMANTIC = {"epochs": 3}  # and other arguments of `pastis-jax train semantic`
PANOPTIC = {"epochs": 4, "mask_conv": False}  # no refined masks: faster; and other arguments
FOLDER = pathlib.Path("runs/maps")

# %% [markdown]
# ## What the satellites see
#
# `PatchFolder` opens the official layout; a series is read only where it is sliced. Below, one
# patch on six dates: Sentinel-2 in true colours, some of it under clouds, and Sentinel-1 as VV,
# VH and their difference in red, green and blue, with speckle but without clouds.

# %%
folder = PatchFolder(DATA or simulate.default_patches(None))
dataset = folder.dataset
patch = next(iter(folder.patches.values()))
series = folder.series(patch)

figure, axes = plt.subplots(2, 6, figsize=(12, 4.4), layout="constrained")
for row, name in enumerate(("S2", "S1D")):
    values, days = series[name]
    for axis, i in zip(axes[row], np.linspace(0, len(days) - 1, 6).astype(int), strict=True):
        axis.imshow(viz.picture(values[i].transpose(1, 2, 0), dataset[name]))
        axis.set_title(f"{name}, {dataset.date(days[i]):%d %b %Y}", fontsize=8)
for axis in axes.flat:
    axis.axis("off")
plt.show()

# %% [markdown]
# The median over the dates has neither clouds nor speckle. Beside it the truth: the crop of every
# pixel, and the outlines of the parcels. Many neighbours grow the same crop.

# %%
semantics, instances = folder.annotations(patch).semantic, folder.instances(patch).instances
every, colours = dataset.nomenclature.classes, ClassMapping.of(dataset.nomenclature).colours
medians = {
    name: np.median(series[name][0], axis=0).transpose(1, 2, 0).astype(np.float32)
    for name in ("S2", "S1D")
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4.8), layout="constrained")
for axis, (name, median) in zip(axes[:2], medians.items(), strict=True):
    axis.imshow(viz.picture(median, dataset[name]))
axes[2].imshow(viz.class_map(semantics, colours))
axes[2].add_collection(LineCollection(viz.outlines(instances), colors="black", linewidths=1))
for axis, title in zip(axes, ("S2, median", "S1D, median", "crops and parcels"), strict=True):
    axis.set_title(title)
    axis.axis("off")
figure.legend(
    [
        Patch(facecolor=np.array(every[i].colour) / 255, edgecolor="black")
        for i in np.unique(semantics)
    ],
    [every[i].name for i in np.unique(semantics)],
    loc="outside lower center",
    ncols=6,
    frameon=False,
)
plt.show()

# %% [markdown]
# ## Semantic segmentation
#
# Early fusion of all three modalities, on random squares of 16 x 16 pixels; validation and test
# are on whole patches. The picture shows four patches of the test fold.

# %%
result = train.run(
    config.configure(
        "semantic",
        fusion="early",
        temporal_dropout=True,
        components=True,
        data=DATA,
        out=FOLDER / "semantic",
        overwrite=True,
        **SEMANTIC,
    )
)
display(Image(FOLDER / "semantic" / "panel.png", width=900))

# %% [markdown]
# ## Parcels from a semantic map
#
# The simplest parcels are the connected pixels of one class, where they are not too few. The last
# line of the table above scores them, as panoptic models are scored: panoptic quality (PQ) is the
# product of SQ, how well the found parcels fit, and RQ, how many are found with the right crop.
# Neighbours that grow the same crop become one parcel: hence panoptic models.
#
# `open_run` opens a finished run, and `open_data` its records.

# %%
opened = open_run(FOLDER / "semantic").open_data()
batch = next(opened.splits.evaluation("test"))
predicted = np.asarray(opened.predict(batch))
least_area = result["test_components"]["least_area"]


def draw(axis, classes, instances, title):
    """Parcels in the colours of their crops."""
    axis.imshow(viz.class_map(np.where(instances > 0, classes, 0), colours))
    axis.add_collection(LineCollection(viz.outlines(instances), colors="black", linewidths=1))
    axis.set_title(f"patch {title}", fontsize=9)
    axis.axis("off")


figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for axis in axes:  # of fewer than two patches some stay empty
    axis.axis("off")
for i, pair in enumerate(axes.reshape(2, 2)[: batch.real.sum()]):
    name = opened.splits.sources["test"].identifier(batch.number[i])
    components = connected_components(predicted[i], least_area=least_area)
    draw(pair[0], predicted[i], components, f"{name}: {components.max()} components")
    truth = folder.instances(folder.patches[name]).instances
    draw(pair[1], batch.label[i], truth, f"{name}: {truth.max()} parcels")
plt.show()

# %% [markdown]
# ## Panoptic segmentation
#
# PaPs learns where centres are: its target is the centerness, 1 at the centre of a parcel. At each
# centre that it finds it predicts a box, a mask in it, and a class. The same encoders, on squares
# of 32 x 32 pixels.

# %%
targets = folder.instances(patch)
figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
axes[0].imshow(targets.heatmap)
axes[0].set_title("target: centerness")
draw(axes[1], semantics, instances, f"{patch.id}: {instances.max()} parcels")
axes[0].axis("off")
plt.show()

# %%
result = train.run(
    config.configure(
        "panoptic",
        fusion="early",
        temporal_dropout=True,
        data=DATA,
        out=FOLDER / "panoptic",
        overwrite=True,
        **PANOPTIC,
    )
)
display(Image(FOLDER / "panoptic" / "panel.png", width=900))

# %% [markdown]
# This is a beginning: PaPs learns slowly, and first where the borders are. The command
# `pastis-jax train panoptic --fusion early` trains for 20 epochs, refines the masks by
# convolutions, and reaches a PQ of about 0.3 in under 12 minutes, more than the components above
# ([picture](../docs/images/panoptic_panel.png)).
