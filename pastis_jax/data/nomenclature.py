"""What PASTIS-R contains: crop classes, modalities, folds and its calendar."""

from __future__ import annotations

import dataclasses
import datetime

REFERENCE_DATE = datetime.date(2018, 9, 1)
"""Day 0 of every `days` array."""

FOLDS = (1, 2, 3, 4, 5)

BACKGROUND, VOID = 0, 19

GEOMETRIC_FEATURES = ("GF_perimeter", "GF_pixels", "GF_cover", "GF_ratio")


@dataclasses.dataclass(frozen=True)
class Crop:
    """One class of the nomenclature.

    Attributes:
      label: Official id, 0 (background) to 19 (void).
      name: Official English name.
      colour: Official RGB colour, 0 to 255.
      parcels: Number of parcels of the class in PASTIS-R (0 for background).
    """

    label: int
    name: str
    colour: tuple[int, int, int]
    parcels: int


CLASSES = (
    Crop(0, "Background", (0, 0, 0), 0),
    Crop(1, "Meadow", (174, 199, 232), 31292),
    Crop(2, "Soft winter wheat", (255, 127, 14), 8206),
    Crop(3, "Corn", (255, 187, 120), 13123),
    Crop(4, "Winter barley", (44, 160, 44), 2766),
    Crop(5, "Winter rapeseed", (152, 223, 138), 1769),
    Crop(6, "Spring barley", (214, 39, 40), 908),
    Crop(7, "Sunflower", (255, 152, 150), 1355),
    Crop(8, "Grapevine", (148, 103, 189), 10640),
    Crop(9, "Beet", (197, 176, 213), 871),
    Crop(10, "Winter triticale", (140, 86, 75), 1208),
    Crop(11, "Winter durum wheat", (196, 156, 148), 1704),
    Crop(12, "Fruits, vegetables, flowers", (227, 119, 194), 2619),
    Crop(13, "Potatoes", (247, 182, 210), 551),
    Crop(14, "Leguminous fodder", (127, 127, 127), 3174),
    Crop(15, "Soybeans", (199, 199, 199), 1212),
    Crop(16, "Orchard", (188, 189, 34), 2998),
    Crop(17, "Mixed cereal", (219, 219, 141), 848),
    Crop(18, "Sorghum", (23, 190, 207), 707),
    Crop(19, "Void", (255, 255, 255), 35924),
)

CROPS = CLASSES[1:19]
"""The 18 classes of parcel classification: label - 1 is the class index."""


@dataclasses.dataclass(frozen=True)
class Modality:
    """One sensor (and orbit) of PASTIS-R.

    Attributes:
      name: Folder suffix, as in ``DATA_S2``.
      channels: Channel names in file order.
      dtype: Name of the NumPy dtype on disk.
      unit: What a stored value means.
      nodata: Value that marks a missing observation, or None.
    """

    name: str
    channels: tuple[str, ...]
    dtype: str
    unit: str
    nodata: int | None


_S2_BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
_S1_CHANNELS = ("VV", "VH", "VV-VH")
MODALITIES = {
    "S2": Modality("S2", _S2_BANDS, "int16", "surface reflectance x 10000", -10000),
    "S1A": Modality("S1A", _S1_CHANNELS, "float16", "sigma0 backscatter in dB", None),
    "S1D": Modality("S1D", _S1_CHANNELS, "float16", "sigma0 backscatter in dB", None),
}


def split_folds(fold: int) -> dict[str, tuple[int, ...]]:
    """Returns the official folds of run `fold` (1 to 5): three to train, one each for val and test.

    Raises:
      ValueError: If `fold` is not 1 to 5.
    """
    if fold not in FOLDS:
        raise ValueError(f"fold must be one of {FOLDS}, got {fold}")
    order = [(fold - 1 + i) % 5 + 1 for i in range(5)]
    return {"train": tuple(order[:3]), "val": (order[3],), "test": (order[4],)}
