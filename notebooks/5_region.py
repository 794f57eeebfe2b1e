# %% [markdown]
# # 5. Your own region to QGIS
#
# From a folder of scenes and a file of parcels to a crop map that opens in QGIS: simulate (in place
# of your own files), ingest, train, predict. Each step is one call here and one command in a
# terminal. About ten minutes on two CPU cores.

# %%
# Only in Colab: installs the library from the archive that you have uploaded there, or from
# whatever else pip can install. notebooks/README.md says how to make the archive.
import subprocess
import sys

SOURCE = "pastis_jax.zip"

if "google.colab" in sys.modules:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", SOURCE], check=True)

# %%
# Only in Colab: the extra for files of rasters and vectors.
if "google.colab" in sys.modules:
    extra = f"{SOURCE}[geo]"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", extra], check=True)

# %%
import pathlib

import geopandas
import matplotlib.pyplot as plt
import numpy as np
import rasterio
from matplotlib.patches import Patch

from pastis_jax import open_run, viz
from pastis_jax.cli import config, train
from pastis_jax.data.regions import Region, ingest
from pastis_jax.data.simulate import simulate_region

# %% tags=["parameters"]
SIZE = 512  # pixels of 10 m on a side, to simulate
DATES = 24  # of each modality
EPOCHS = 20
FOLDER = pathlib.Path("runs/own-region")

# %% [markdown]
# ## What you have
#
# A folder of dated scenes, here of Sentinel-2 with masks of clouds and of Sentinel-1 from two
# orbits, and a vector file of parcels with a column of codes, here those of the French register of
# parcels. With files of your own, leave this cell out and name them in the next one.

# %%
demo = FOLDER / "demo"
if not demo.exists():
    simulate_region(demo, size=SIZE, dates=DATES, progress=False)
scenes = sorted(path.name for path in (demo / "scenes").rglob("*.tif"))
print(f"{len(scenes)} files, {scenes[0]} the first")
geopandas.read_file(demo / "parcels.gpkg").head()

# %% [markdown]
# ## Ingest
#
# Scenes are brought to one grid, one unit and one calendar; parcels are numbered on it and dealt to
# folds. What is odd is told. In a terminal, `pastis-jax ingest`.

# %%
if not (FOLDER / "region").exists():
    ingest(
        demo / "scenes",
        FOLDER / "region",
        season_start="2023-09-01",
        parcels=demo / "parcels.gpkg",
        label="CODE_CULTU",
        parcel_id="ID_PARCEL",
        classes="rpg",
    )
region = Region(FOLDER / "region")
rows, columns = slice(0, min(512, region.grid.height)), slice(0, min(512, region.grid.width))
optical = region.dataset["S2"]

figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
for axis, date in zip(axes, np.linspace(0, len(region.days("S2")) - 1, 3).astype(int), strict=True):
    scene = region.read("S2", rows, columns, [date])[0].transpose(1, 2, 0)
    axis.imshow(viz.picture(scene.astype(np.float32), optical))
    axis.set_title(f"{region.dataset.date(region.days('S2')[date]):%d %B %Y}", fontsize=9)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## Train
#
# Late fusion of Sentinel-2 and both orbits of Sentinel-1 on the parcels of three folds; a fourth
# selects the best epoch, the fifth is tested. In a terminal: `pastis-jax train parcel`.

# %%
arguments = config.configure(
    "parcel",
    fusion="late",
    data=FOLDER / "region",
    epochs=EPOCHS,
    out=FOLDER / "run",
    overwrite=True,
)
result = train.run(arguments)

# %% [markdown]
# ## Predict
#
# All parcels of the Region are mapped, also those that have no label. `out` gets rasters and
# vectors, styles for QGIS, and `report.html`, a page that works without a network.
# In a terminal: `pastis-jax predict --run run --data region --out map`.

# %%
run = open_run(FOLDER / "run")
out = FOLDER / "map"
if not out.exists():
    run.predict_region(FOLDER / "region", out)
for path in sorted(out.rglob("*")):
    if path.is_file():
        print(f"{path.stat().st_size / 1e3:10,.1f} kB  {path.relative_to(out)}")

# %%
with rasterio.open(out / "crop.tif") as file:
    crop = file.read(1)
    print(file.crs, file.transform, sep="\n")
with rasterio.open(out / "confidence.tif") as file:
    confidence = np.where(file.read(1) == file.nodata, np.nan, file.read(1))

names, colours = run.classes.names, np.array(run.classes.colours) / 255
shown = np.ones((256, 3))  # 255: no parcel, or nothing known
shown[: len(colours)], shown[254] = colours, 0.5
figure, axes = plt.subplots(1, 2, figsize=(12, 5.6), layout="constrained")
axes[0].imshow(shown[crop])
axes[0].set_title("crop.tif")
picture = axes[1].imshow(confidence, vmin=0, vmax=100)
axes[1].set_title("confidence.tif, percent")
figure.colorbar(picture, shrink=0.7)
for axis in axes:
    axis.axis("off")
present = [number for number in np.unique(crop) if number < len(names)]
patches = [Patch(color=colours[number], label=names[number]) for number in present]
figure.legend(handles=patches, loc="outside lower center", ncols=5, fontsize=8)
plt.show()

# %% [markdown]
# The parcels as a table. Confidence says how often such a parcel is right: it was calibrated on the
# validation fold.

# %%
parcels = geopandas.read_parquet(out / "parcels.parquet")
parcels.drop(columns="geometry").sort_values("confidence").head(10)

# %% [markdown]
# ## Open it in QGIS
#
# Drag `crop.tif` and `parcels.gpkg` into QGIS: colours and names come with them. In Colab, pack the
# folder and download it: `!zip -r map.zip runs/own-region/map`.
