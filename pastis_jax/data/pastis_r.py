"""PASTIS-R as a dataset: what a folder without a `dataset.json` is taken for."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Collection, Mapping

from pastis_jax.data.dataset import CropClass, Dataset, Nomenclature
from pastis_jax.data.dataset_file import FILE, read
from pastis_jax.data.metadata import Identifier, Patch
from pastis_jax.data.modality import Modality, Picture
from pastis_jax.data.reading import is_own
from pastis_jax.errors import DataError

_CLASSES = (
    ("Background", (0, 0, 0), 0),
    ("Meadow", (174, 199, 232), 31292),
    ("Soft winter wheat", (255, 127, 14), 8206),
    ("Corn", (255, 187, 120), 13123),
    ("Winter barley", (44, 160, 44), 2766),
    ("Winter rapeseed", (152, 223, 138), 1769),
    ("Spring barley", (214, 39, 40), 908),
    ("Sunflower", (255, 152, 150), 1355),
    ("Grapevine", (148, 103, 189), 10640),
    ("Beet", (197, 176, 213), 871),
    ("Winter triticale", (140, 86, 75), 1208),
    ("Winter durum wheat", (196, 156, 148), 1704),
    ("Fruits, vegetables, flowers", (227, 119, 194), 2619),
    ("Potatoes", (247, 182, 210), 551),
    ("Leguminous fodder", (127, 127, 127), 3174),
    ("Soybeans", (199, 199, 199), 1212),
    ("Orchard", (188, 189, 34), 2998),
    ("Mixed cereal", (219, 219, 141), 848),
    ("Sorghum", (23, 190, 207), 707),
    ("Void", (255, 255, 255), 35924),
)
"""Official name, colour and number of parcels of codes 0 to 19."""

PARCELS = {name: parcels for name, _, parcels in _CLASSES if parcels}
"""Number of parcels of each class, void among them."""

_BACKSCATTER = Picture(("VV", "VH", "VV-VH"), ((-18, -4), (-25, -11), (0, 14)))


def _sentinel1(name: str) -> Modality:
    channels = ("VV", "VH", "VV-VH")
    return Modality(name, channels, "float16", "dB", drop_rate=0.2, picture=_BACKSCATTER)


PASTIS_R = Dataset(
    name="PASTIS-R",
    modalities=(
        Modality(
            name="S2",
            channels=("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"),
            dtype="int16",
            unit="reflectance x 10000",
            nodata=-10000,
            drop_rate=0.4,
            picture=Picture(("B4", "B3", "B2")),
        ),
        _sentinel1("S1A"),
        _sentinel1("S1D"),
    ),
    nomenclature=Nomenclature(
        classes=tuple(
            CropClass(code, name, colour) for code, (name, colour, _) in enumerate(_CLASSES)
        ),
        background=0,
        void=19,
    ),
    season_start=datetime.date(2018, 9, 1),
    folds=(1, 2, 3, 4, 5),
)
"""Sentinel-2 and both orbits of Sentinel-1 over France, 18 crops, September 2018 to 2019. Drop
rates are those of the paper's section 4.2."""


def published_nomenclature() -> Nomenclature:
    """The 18 crops, background and void that the published weights tell apart."""
    return PASTIS_R.nomenclature


TILES = ("t30uxv", "t31tfj", "t31tfm", "t32ulu")
"""Tiles of Sentinel-2 that its patches were cut from."""

_PATCHES = range(10000, 50000)
"""Identifiers of its patches: the first figure is that of the tile."""

_DESCRIBE = f"describe its sensors and classes in {FILE}; docs/data.md has an example, and says how"


def check_official(root: pathlib.Path, patches: Mapping[Identifier, Patch]) -> None:
    """Refuses a folder without `dataset.json` that is not of PASTIS-R by its metadata.

    Raises:
      DataError: If a patch is of another tile, or without a tile of another number.
    """
    if (root / FILE).exists():
        return
    for patch in patches.values():
        known = patch.tile.lower() in TILES if patch.tile else patch.id in _PATCHES
        if not known:
            whose = f"patch {patch.id}" + f" of tile {patch.tile}" * bool(patch.tile)
            fault = f"no {FILE}, and {whose} is none of {PASTIS_R.name}: classes are unknown"
            raise DataError(fault, where=root, remedy=_DESCRIBE)


def check_labels(root: pathlib.Path, dataset: Dataset, numbers: Collection[int]) -> None:
    """Refuses a folder without `dataset.json` whose labels seem to be of another list of classes.

    That is, labels that count from 1 and stop early. Those of a part of PASTIS-R leave gaps.

    Args:
      root: The folder.
      dataset: What it is taken for.
      numbers: Numbers of the classes that occur, background and void among them.

    Raises:
      DataError: If they are 1 to k and nothing else, with k of 2 to one less than there are.
    """
    nomenclature, crops = PASTIS_R.nomenclature, len(PASTIS_R.nomenclature.crops)
    if (root / FILE).exists() or dataset.nomenclature != nomenclature:
        return
    outside = {nomenclature.background_number, nomenclature.void_number}
    occurring = sorted({*numbers} - outside)
    if 2 <= len(occurring) < crops and occurring == [*range(1, len(occurring) + 1)]:
        first, last = (nomenclature.classes[occurring[i]].name for i in (0, -1))
        fault = (
            f"no {FILE}, and labels are 1 to {len(occurring)} alone: {first} to {last} of "
            f"{dataset.name}, or classes of one's own?"
        )
        raise DataError(fault, where=root, remedy=_DESCRIBE)


def describe(
    root: pathlib.Path, *, remedy: str = "give a folder in the official layout, or a Region"
) -> Dataset:
    """Returns what a folder holds: its `dataset.json` says so; without one it is PASTIS-R.

    Raises:
      DataError: If `root` is no folder, or its `dataset.json` is wrong.
    """
    if not root.is_dir():
        fault = "not a folder" if root.exists() else "folder not found"
        raise DataError(fault, where=root, remedy=remedy)
    return read(root / FILE) if is_own(root) else PASTIS_R
