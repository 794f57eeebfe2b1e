"""From the header and the name of one file to its layers."""

from __future__ import annotations

import dataclasses
import datetime
import math
import pathlib
import re
from collections.abc import Sequence

from pastis_jax.data.regions import sensors
from pastis_jax.data.regions.manifest import MASK, UNDATED, Layer
from pastis_jax.data.regions.sources import names
from pastis_jax.data.regions.sources.given import Given
from pastis_jax.data.regions.sources.headers import Band, Header
from pastis_jax.data.regions.sources.products import Product, product_of
from pastis_jax.errors import DataError

_LONGEST_PERIOD = 100
"""Days between two dates of a name that may be a period of a composite."""
_NAME = "give files names with YYYYMMDD in them, or list their dates in a manifest"
ATMOSPHERE = "looks at the atmosphere, not at the ground"
_UNDATED = (
    "give files names with YYYYMMDD in them, or the date of one scene by `dates`, or fill in the "
    "manifest that `dry_run` writes"
)
_UNNAMED = "name them, by `channels` say"


@dataclasses.dataclass(frozen=True)
class Scene:
    """What one file holds.

    Attributes:
      layers: Its layers; their unit and offset may not be known.
      left_out: Names of bands and why they are none, each once.
      notes: What was read out of its name that need not be so, without the name.
      levels: Modalities, and levels of their processing, ``L2A`` or ``sigma0`` say.
      undated: Whether its dates are those that are given.
    """

    layers: tuple[Layer, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    levels: frozenset[tuple[str, str]] = frozenset()
    undated: bool = False


@dataclasses.dataclass(frozen=True)
class _Shown:
    band: Band
    meaning: sensors.Meaning
    step: int | None = None
    date: datetime.date | None = None
    decibel: bool = False
    direction: str = ""


class UndatedError(DataError):
    """A scene has no date in its name.

    Args:
      paths: Such scenes.
    """

    def __init__(self, paths: Sequence[str]):
        fault = "has no date in its name"
        if paths[1:]:
            fault = f"{len(paths):,} scenes have no date in their names, this one is the first"
        super().__init__(fault, where=paths[0], remedy=_UNDATED)


def scene_of(header: Header, given: Given) -> Scene:
    """Reads the layers of a file out of its header and its name.

    Args:
      header: The header.
      given: What is taken where neither says it.

    Returns:
      What it holds; its layers have the date `UNDATED` where no name says one.

    Raises:
      DataError: If it is a scene of unclear dates or without names of its bands, or a picture of
        8 bits.
    """
    path = pathlib.Path(header.path)
    named = names.of_file(_stem(path))
    shown, left_out = _shown(header, named, given)
    product = product_of(header.path) if named.form == "granule" else Product()
    notes, layers, levels = [], [], set()
    dates, undated = _dates(shown, header, named, given, notes)
    for one, date in zip(shown, dates, strict=True):
        layers.append(_layer(one, date, header, named, product, given))
        level = product.level or names.level(one.band.name) or named.level
        if level and level.startswith("L") == (one.meaning.modality == sensors.OPTICAL):
            levels.add((layers[-1].modality, level))
    if layers and named.ordinal:
        notes.append("seven figures in the name are a year and the day of it")
    return Scene(tuple(layers), tuple(left_out), tuple(notes), frozenset(levels), undated)


def _stem(path: pathlib.Path) -> str:
    return re.sub(r"\.[A-Za-z][A-Za-z0-9]{1,4}$", "", path.name)


def _shown(
    header: Header, named: names.Named, given: Given
) -> tuple[list[_Shown], list[tuple[str, str]]]:
    """What each band shows, and which bands are left out, and why."""
    shown, left_out = [], []
    found = [_of_band(band, header, named, given) for band in header.bands]
    if not any(found) and (reason := _unnamed(header, named)):
        return [], [("", reason)]
    for band, one in zip(header.bands, found, strict=True):
        name = band.name or band.key
        if one is None:
            left_out.append((name, "no known name of a channel"))
        elif one.meaning.modality == sensors.STATIC:
            left_out.append((one.meaning.channel, "does not change with time"))
        elif one.meaning.modality == sensors.DERIVED:
            left_out.append((one.meaning.channel, "is no channel that was measured"))
        elif one.meaning.channel in sensors.ATMOSPHERE and one.meaning.modality == sensors.OPTICAL:
            left_out.append((one.meaning.channel, ATMOSPHERE))
        else:
            shown.append(one)
    return shown, [*dict.fromkeys(left_out)]


def _of_band(band: Band, header: Header, named: names.Named, given: Given) -> _Shown | None:
    if renamed := given.meaning(band.name, band.key):
        return _Shown(band, renamed)
    bands = header.bands
    counted = names.positional([other.name for other in bands])
    from_file = named.channels if len(named.channels) == len(bands) else ()
    if named.form in ("granule", "theia", "sits") or (counted and from_file):
        place = bands.index(band)
        if place >= len(named.channels):
            return None
        return _Shown(band, named.channels[place], decibel=named.decibel)
    said = None if counted else names.of_band(band.name)
    if said is None:
        return (
            _Shown(band, from_file[0], decibel=named.decibel)
            if len(bands) == 1 == len(from_file)
            else None
        )
    if len(bands) == 1 and from_file and from_file[0].channel != said.meaning.channel:
        fault = f"its name says {from_file[0].channel}, the name of its band {band.name}"
        raise DataError(fault, where=header.path, remedy="correct one of them")
    decibel = said.decibel or named.decibel
    return _Shown(band, said.meaning, said.step, said.date, decibel, said.direction)


def _unnamed(header: Header, named: names.Named) -> str:
    """Why a file of which no band is known is left out.

    Raises:
      DataError: If it is a scene all the same.
    """
    eight = all(band.dtype == "uint8" for band in header.bands)
    if named.picture:
        return "a picture to look at"
    if named.form:
        return "no channel of the product"
    if eight and (header.coloured or len(header.bands) in (3, 4)):
        fault = "a picture of 8 bits: its values were stretched to be looked at"
        raise DataError(fault, where=header.path, remedy="give the reflectances, of 16 bits")
    counted = names.positional([band.name for band in header.bands])
    if counted and named.dates and (len(header.bands) > 1 or named.channels):
        fault = f"its {len(header.bands)} bands have no names"
        raise DataError(fault, where=header.path, remedy=_UNNAMED)
    first = header.bands[0].name
    return "its bands have no names" if counted else f"no known channel, but {first}"


def _dates(shown, header, named, given, notes) -> tuple[list[datetime.date], bool]:
    """The date of each band, and whether they are given; `notes` get what need not be so."""
    if all(one.band.date or one.date for one in shown):
        return [one.band.date or one.date for one in shown], False
    where, known = header.path, named.dates
    places = [re.search(r"\[([0-9]+)\]$", one.band.key) for one in shown]
    steps = [int(found[1]) for found in places if found]
    if not steps and len({one.step for one in shown}) > 1:
        steps = [one.step or 0 for one in shown]
        if None in {one.step for one in shown} and 0 in {one.step for one in shown}:
            raise DataError("numbers of its dates are not clear", where=where, remedy=_NAME)
        steps = [step - min(steps) for step in steps]
    if len(steps) == len(shown) and steps:
        return _series(steps, header, known, given, notes), bool(given.dates)
    if not known:
        known = names.dates(pathlib.Path(where).parent.name)
        notes += ["dated by the folder"] * (len(known) == 1)
    undated = not known and len(given.dates) == 1
    if undated:
        known = given.dates
    if not known:
        return [UNDATED] * len(shown), True
    if len(known) > 1:
        if len(known) > 2 or not 0 <= (known[1] - known[0]).days <= _LONGEST_PERIOD:
            fault = f"a scene with several dates in its name, {known[0]} and {known[1]} say"
            raise DataError(fault, where=where, remedy=_NAME)
        notes.append("composites are dated by their first day")
    return [known[0]] * len(shown), undated


def _series(steps, header, known, given, notes) -> list[datetime.date]:
    number = max(steps) + 1
    if given.dates:
        if len(given.dates) != number:
            fault = f"a series of {number} dates, where `dates` names {len(given.dates)}"
            raise DataError(fault, where=header.path, remedy="give a date for each")
        return [given.dates[step] for step in steps]
    if len(known) != 2 or known[0] >= known[1]:
        fault = f"a series of {number} dates, but which ones is not said"
        raise DataError(fault, where=header.path, remedy="give them by `dates`")
    every = (known[1] - known[0]) / number
    notes.append(
        f"{number} dates from {known[0]}, a date every {every / datetime.timedelta(1):g} days up "
        f"to {known[1]} as the name says"
    )
    return [known[0] + datetime.timedelta((every * step).days) for step in steps]


def _layer(one, date, header, named, product, given) -> Layer:
    modality = one.meaning.modality or (
        sensors.RADAR if named.radar else sensors.masked_by_default()
    )
    if modality == sensors.RADAR:
        said = one.band.direction or one.direction or named.direction or header.tags.get("pass", "")
        modality = sensors.PASSES.get(said or given.direction, modality)
    unit, offset, nodata = _numbers(one, modality, named, product, given)
    return Layer(
        path=header.path,
        band=one.band.key,
        modality=modality,
        channel=one.meaning.channel,
        date=date,
        orbit=one.band.orbit or product.orbit or named.orbit,
        unit=unit,
        offset=offset,
        nodata=nodata,
    )


def _numbers(one, modality, named, product, given) -> tuple[str, float | None, float | None]:
    """Unit, offset and mark of a band's numbers, as far as they are known."""
    band, meaning = one.band, one.meaning
    # What a mask of the file hides is read as NaN.
    own = math.nan if band.masked and band.nodata is None else band.nodata
    nodata = given.of("nodata", modality) if own is None else own
    if meaning.channel == MASK:
        return ("scl" if named.form == "sits" else meaning.unit), 0.0, band.nodata
    worldcereal = sensors.worldcereal(band.name, band.dtype)
    if worldcereal and nodata is None:
        nodata = float(sensors.WORLDCEREAL_NODATA)
    told = given.of("unit", modality) or ""
    if modality in sensors.RADARS:
        said = {"db": "dB", "linear power": "linear power"}.get(band.units.lower(), told)
        return (sensors.WORLDCEREAL if worldcereal else "dB" if one.decibel else said), 0.0, nodata
    if modality != sensors.OPTICAL:
        return told or "none", given.of("offset", modality) or 0.0, nodata
    if named.form == "theia":
        return sensors.SCALED, 0.0, -10000.0 if nodata is None else nodata
    offset = given.of("offset", modality)
    if named.form == "granule":
        known = product.offset(meaning.channel)
        mark = 0.0 if nodata is None else nodata
        return sensors.SCALED, offset if known is None else known, mark
    if abs(band.scale - 1e-4) < 1e-10 and told in ("", sensors.SCALED):
        return sensors.SCALED, float(round(band.offset / band.scale)), nodata
    integers = band.dtype in ("int16", "uint16", "int32", "uint32") and band.scale == 1
    return told or (sensors.SCALED if integers else ""), offset, nodata
