"""What the metadata of a Sen2Cor product say: its offsets, its orbit, its baseline."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
from xml.etree import ElementTree

from pastis_jax.data.reading import read_text
from pastis_jax.data.regions import sensors
from pastis_jax.errors import DataError

METADATA = {"L2A": "MTD_MSIL2A.xml", "L1C": "MTD_MSIL1C.xml"}
_OFFSETS = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
_QUANTIFICATIONS = ("BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE")
_NAME = re.compile(r"S2[A-D]_MSI(L1C|L2A)_[0-9]{8}T[0-9]{6}_N([0-9]{4})_R([0-9]{3})_.*")
_COPY = "copy the product again"


@dataclasses.dataclass(frozen=True)
class Product:
    """A Sen2Cor product.

    Attributes:
      level: ``L1C`` or ``L2A``; nothing if it is not known.
      baseline: Processing baseline, ``0509`` say, or nothing.
      orbit: Relative orbit of three figures, or nothing.
      offsets: What is added to the numbers of each band, by band; None if that is not known.
    """

    level: str = ""
    baseline: str = ""
    orbit: str = ""
    offsets: tuple[tuple[str, float], ...] | None = None

    def offset(self, channel: str) -> float | None:
        """What is added to the numbers of a channel; None if that is not known."""
        return dict(self.offsets or ()).get(channel)


@functools.lru_cache(maxsize=4096)
def folder_of(folder: pathlib.Path) -> pathlib.Path | None:
    """The folder of the product that a folder is part of; None if it is of none."""
    for parent in (folder, *folder.parents)[:6]:
        if parent.name.endswith(".SAFE") or any((parent / n).exists() for n in METADATA.values()):
            return parent
    return None


def product_of(file: str) -> Product:
    """What is known of the product that a granule's file lies in; nothing outside of one.

    Args:
      file: Of one band.

    Raises:
      DataError: If its metadata cannot be read, or scale reflectances otherwise.
    """
    folder = folder_of(pathlib.Path(file).absolute().parent)
    return Product() if folder is None else _product(folder)


@functools.lru_cache(maxsize=4096)
def _product(folder: pathlib.Path) -> Product:
    level = baseline = orbit = ""
    if name := _NAME.fullmatch(folder.name):
        level, baseline, orbit = name.groups()
    for known, metadata in METADATA.items():
        if (folder / metadata).exists() and level in ("", known):
            said = _metadata(folder / metadata)
            offsets = said.offsets
            if offsets is None:
                offsets = _everywhere(sensors.offset_of_baseline(said.baseline or baseline))
            return Product(known, said.baseline or baseline, said.orbit or orbit, offsets)
    return Product(level, baseline, orbit, _everywhere(sensors.offset_of_baseline(baseline)))


def _everywhere(offset: float | None) -> tuple[tuple[str, float], ...] | None:
    return None if offset is None else tuple((band, offset) for band in sensors.BANDS)


def _metadata(file: pathlib.Path) -> Product:
    text = read_text(file, kind="metadata of a product", remedy=_COPY)
    try:
        said = {}
        for element in ElementTree.fromstring(text).iter():
            said.setdefault(element.tag.rpartition("}")[2], []).append(element)
        baseline = "".join(re.findall("[0-9]", _first(said, "PROCESSING_BASELINE")))
        orbit = _first(said, "SENSING_ORBIT_NUMBER")
        scale = {float(e.text) for tag in _QUANTIFICATIONS for e in said.get(tag, ())}
        offsets = tuple(
            (sensors.BANDS[int(element.attrib["band_id"])], float(element.text))
            for tag in _OFFSETS
            for element in said.get(tag, ())
        )
        orbit = f"{int(orbit):03d}" if orbit else ""
    except (ElementTree.ParseError, ValueError, TypeError, KeyError, IndexError) as error:
        raise DataError(f"not metadata of a product ({error})", where=file, remedy=_COPY) from error
    if scale - {10000.0}:
        fault = f"reflectances are multiplied by {min(scale - {10000.0}):g} and not by 10000"
        raise DataError(fault, where=file, remedy="take such products out, or rescale them")
    return Product("", baseline, orbit, offsets or None)


def _first(said: dict[str, list], tag: str) -> str:
    elements = said.get(tag, ())
    return (elements[0].text or "").strip() if elements else ""
