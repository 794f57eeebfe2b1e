"""What is known of Sentinel-1 and Sentinel-2: spellings of their bands, and how they are stored."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection

from pastis_jax.data.modality import Modality, Picture, Unit

MASK = "mask"
"""The channel of layers that say which pixels of a modality are clear."""
OPTICAL = "S2"
RADAR = "S1"
"""Sentinel-1 of a pass that is not known."""
ASCENDING, DESCENDING = "S1A", "S1D"
WEATHER = "weather"
STATIC = "static"
"""What does not change with time: it is no modality, and is left out by name."""
DERIVED = "derived"
"""What follows from other channels, or is no measurement: left out by name."""

PASSES = {"ascending": ASCENDING, "descending": DESCENDING}
RADARS = (RADAR, ASCENDING, DESCENDING)
SCALED: Unit = "reflectance x 10000"
WORLDCEREAL = "worldcereal"
WORLDCEREAL_NODATA = 65535

BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
"""Of Sentinel-2, in the order of the numbers that products' metadata give them."""
CHANNELS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
"""Those that look at the ground, in the order in which they are stored."""
ATMOSPHERE = ("B1", "B9", "B10")
FINEST = {band: 20 for band in BANDS} | dict.fromkeys(("B2", "B3", "B4", "B8"), 10)
FINEST |= dict.fromkeys(ATMOSPHERE, 60)
"""Metres of the pixels that a band truly has."""
NEAR_INFRARED = "B8"
"""In which green plants are bright."""
_POLARISATIONS = ("VV", "VH", "HH", "HV")
_DIFFERENCE = "VV-VH"

_WORDS = {
    **dict.fromkeys(("coastal", "aerosol", "coastalaerosol"), "B1"),
    **{"blue": "B2", "green": "B3", "red": "B4", "nir": "B8"},
    **{name + "1": "B5" for name in ("rededge", "re", "vre")},
    **{name + "2": "B6" for name in ("rededge", "re", "vre")},
    **{name + "3": "B7" for name in ("rededge", "re", "vre")},
    **dict.fromkeys(("nir08", "nira", "narrownir", "nirnarrow", "rededge4"), "B8A"),
    **dict.fromkeys(("nir09", "watervapour", "watervapor"), "B9"),
    **{"cirrus": "B10"},
    **dict.fromkeys(("swir1", "swir16"), "B11"),
    **dict.fromkeys(("swir2", "swir22"), "B12"),
}
"""Names of bands in words, without what separates these."""

_MASKS = {
    **dict.fromkeys(("scl", "sceneclassification", "sceneclassificationlayer"), "scl"),
    **dict.fromkeys(
        ("clp", "cld", "cldprb", "mskcldprb", "cloudprobability", "cloudprob"),
        "cloud probability",
    ),
    **dict.fromkeys(("clm", "qa60", "cloud", "clouds", "cloudmask"), "cloud"),
    **dict.fromkeys(("datamask", "isdata", "isvalid", "valid", "validmask", "validity"), "valid"),
}
"""Units of masks, by their names without what separates their words."""

_STATIC = ("elevation", "slope", "aspect", "dem", "dsm", "dtm", "altitude")
_DERIVED = ("angle", "lia", "aot", "wvp", "tci", "visual", "ndvi", "evi", "ratio", "snw")

_WEATHER_PREFIX = re.compile(r"(agera5|era5|era5land|meteo)[-_].+", re.I)
_WEATHER = {
    *("temperature2m", "totalprecipitation", "totalprecipitationsum", "dewpointtemperature2m"),
    *("precipitation", "temperaturemean", "temperaturemin", "temperaturemax", "tmean", "tmin"),
    *("tmax", "solarradiationflux", "vapourpressure", "windspeed", "surfacepressure"),
    *("surfacesolarradiationdownwardssum", "potentialevaporationsum", "temperature2mmin"),
    *("temperature2mmax", "ucomponentofwind10m", "vcomponentofwind10m"),
}

_BAND = re.compile(r"b0?([1-9]|1[0-2])|b0?8a", re.I)


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What a band shows.

    Attributes:
      modality: `OPTICAL`, `RADAR`, `WEATHER`, `STATIC` or `DERIVED`; nothing for a mask of a
        modality that its name does not tell.
      channel: The channel as it is stored, or `MASK`.
      unit: What a mask's numbers mean; nothing for what is no mask.
    """

    modality: str
    channel: str
    unit: str = ""


def meaning(name: str) -> Meaning | None:
    """What a band of this name shows; None if it is no name of a band.

    Args:
      name: One name in any usual spelling: B02, b2, blue, VV, SCL, AGERA5-PRECIP.
    """
    if _BAND.fullmatch(name):
        return Meaning(OPTICAL, "B" + name[1:].upper().lstrip("0"))
    if _WEATHER_PREFIX.fullmatch(name):
        return Meaning(WEATHER, name)
    short = re.sub(r"[^a-z0-9]", "", name.lower())
    if short in _WORDS:
        return Meaning(OPTICAL, _WORDS[short])
    if short.upper() in _POLARISATIONS:
        return Meaning(RADAR, short.upper())
    if name.upper() == _DIFFERENCE or short in _DERIVED:
        return Meaning(DERIVED, name)
    if short in _MASKS:
        return Meaning("", MASK, _MASKS[short])
    if short in _WEATHER:
        return Meaning(WEATHER, name)
    return Meaning(STATIC, name) if short in _STATIC else None


def vegetation_bands(channels: Collection[str]) -> tuple[str, str] | None:
    """Near infrared and red among channels, which tell of green leaves; None without both."""
    pair = NEAR_INFRARED, _WORDS["red"]
    return pair if set(pair) <= set(channels) else None


def fault_of_channel(modality: str, channel: str) -> str | None:
    """What is wrong with a channel of a modality; None if nothing is, or nothing is known of it.

    Args:
      modality: Its name.
      channel: As it is stored, or `MASK`.
    """
    known = BANDS if modality == OPTICAL else _POLARISATIONS if modality in RADARS else ()
    if not known or channel in (*known, MASK):
        return None
    return f"is none of {modality}, which has {', '.join(known)}"


def masked_by_default() -> str:
    """The modality of a mask that does not say whose it is: only clouds are masked."""
    return OPTICAL


def offset_of_baseline(baseline: str) -> float | None:
    """What is added to reflectances of a Sen2Cor product for them to start at 0.

    Args:
      baseline: As in its name, ``0509`` say.

    Returns:
      -1000 since 04.00 of 25 January 2022, 0 before; None for what no ground segment made.
    """
    if not re.fullmatch(r"[0-9]{4}", baseline) or int(baseline) >= 9000:
        return None
    return -1000.0 if int(baseline) >= 400 else 0.0


def worldcereal(name: str, dtype: str) -> bool:
    """Whether a variable is one of WorldCereal's cubes: integers of its own for backscatter.

    Args:
      name: Of the variable.
      dtype: Of its numbers.
    """
    known = re.fullmatch(r"(S1-SIGMA0-(VV|VH|HH|HV)|S2-L2A-B[0-9A]{2}|AGERA5-.+)", name)
    return bool(known) and dtype == "uint16"


def ordered(modality: str, channels: Collection[str]) -> tuple[str, ...]:
    """Channels as they are stored: in the sensor's order, and the difference that is derived.

    Args:
      modality: Name of the modality.
      channels: Those that the files have, in any order.
    """
    if modality == OPTICAL:
        order = CHANNELS
    elif modality in RADARS:
        both = {"VV", "VH"} <= set(channels)
        channels = {*channels, _DIFFERENCE} if both else set(channels) - {_DIFFERENCE}
        order = (*_POLARISATIONS, _DIFFERENCE)
    else:
        order = ()
    return (*(c for c in order if c in channels), *sorted(set(channels) - {*order}))


def stored(modality: str, channels: Collection[str], unit: str = "none") -> Modality:
    """How a modality of a Region is stored, checked, shown and dropped.

    Args:
      modality: Its name.
      channels: Those that the files have.
      unit: Of the files; of Sentinel-1 and Sentinel-2 it does not matter.
    """
    names = ordered(modality, channels)
    if modality == OPTICAL:
        picture = _picture(names, ("B4", "B3", "B2"), None)
        return Modality(
            modality, names, "int16", SCALED, nodata=-10000, drop_rate=0.4, picture=picture
        )
    if modality in RADARS:
        picture = _picture(names, ("VV", "VH", _DIFFERENCE), ((-18, -4), (-25, -11), (0, 14)))
        return Modality(modality, names, "float16", "dB", drop_rate=0.2, picture=picture)
    unit = "dB" if unit == WORLDCEREAL else unit
    return Modality(modality, names, "float32", unit, nodata=float("nan"))


def _picture(names, shown, ranges) -> Picture | None:
    return Picture(shown, ranges) if set(shown) <= set(names) else None
