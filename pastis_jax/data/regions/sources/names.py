"""What names of files and of bands say: dates, sensors, passes, orbits, steps of a series."""

from __future__ import annotations

import dataclasses
import datetime
import re

from pastis_jax.data.regions import sensors
from pastis_jax.data.regions.sources.headers import direction_of

_DATE = re.compile(r"(?<![0-9])((?:19[89]|20[0-9])[0-9])([-_.]?)([01][0-9])\2([0-3][0-9])(?![0-9])")
_DAY_OF_YEAR = re.compile(r"(?<![0-9])(20[0-9]{2})([0-3][0-9]{2})(?![0-9])")
_ESA = re.compile(
    r"S2[A-D]_MSI(L1C|L2A)_([0-9]{8})T[0-9]{6}_N([0-9]{4})_R([0-9]{3})_T([0-9]{2}[A-Z]{3})"
)
_GRANULE = re.compile(
    r"(?:L2A_)?T([0-9]{2}[A-Z]{3})_([0-9]{8})T[0-9]{6}_([A-Z0-9]{2,3})(?:_([126]0)m)?"
)
_THEIA = re.compile(
    r"SENTINEL2[A-D]_([0-9]{8})-[0-9]{6}-[0-9]{3}_L2A_T([0-9]{2}[A-Z]{3})_[A-Z]_V[0-9-]+_"
    r"(FRE_B[0-9A]+|SRE_B[0-9A]+|CLM_R[12]|[A-Z0-9]+.*)"
)
_SITS = re.compile(r"SENTINEL-2[A-Z]?_MSI_[A-Za-z0-9]+_CLOUD_[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SATELLITE = re.compile(r"S1([A-D])_(IW|EW|SM|WV)_")
_PASS = re.compile(r"(?<![A-Za-z0-9])(ascending|descending|asc|desc?)(?![A-Za-z0-9])", re.I)
_OWN_PASS = re.compile(r"(?<![A-Za-z0-9])S1_([AD])(?![A-Za-z0-9])")
"""S1A and S1D without the line are satellites, whichever way they flew."""
_ORBIT = re.compile(r"(?<![A-Za-z0-9])(?:R|orbit[-_]?|ASC_|DES_)([0-9]{1,3})(?![A-Za-z0-9])")
_LEVEL = re.compile(r"(?<![A-Za-z0-9])(?:MSI)?(L1C|L2A|L3A|sigma0|gamma0|beta0)(?![a-z0-9])", re.I)
_STATISTIC = re.compile(r"_(mean|median)(?![A-Za-z0-9])", re.I)
_DECIBEL = re.compile(r"(?<![A-Za-z0-9])dB(?![A-Za-z0-9])", re.I)
_PICTURE = re.compile(
    r"(?<![a-z])(tci|pvi|preview|quicklook|qkl|thumbnail|browse|visual|rgb|true_?color)(?![a-z])",
    re.I,
)
_POSITIONAL = re.compile(r"(?:band|layer|channel)?[ _-]?([0-9]+)|b([0-9]+)|__xarray.*", re.I)
_PARTS = re.compile(r"[^A-Za-z0-9]+")


@dataclasses.dataclass(frozen=True)
class Named:
    """What a file's name says.

    Attributes:
      dates: The dates in it, in its order, each once.
      channels: What its words say that it shows, each once.
      orbit: Relative orbit of three figures, or nothing.
      direction: ``ascending``, ``descending`` or nothing.
      radar: Whether it says Sentinel-1.
      level: ``L2A``, ``sigma0`` and the like, or nothing.
      decibel: Whether it says dB.
      picture: Whether it says that it is a picture to look at.
      ordinal: Whether the date is a year and the day of it.
      form: The known form, ``granule``, ``theia``, ``sits``, or nothing.
      metres: Pixel size of a granule's band; 0 if it does not say.
    """

    dates: tuple[datetime.date, ...]
    channels: tuple[sensors.Meaning, ...]
    orbit: str = ""
    direction: str = ""
    radar: bool = False
    level: str = ""
    decibel: bool = False
    picture: bool = False
    ordinal: bool = False
    form: str = ""
    metres: int = 0


@dataclasses.dataclass(frozen=True)
class BandName:
    """What a band's name says.

    Attributes:
      meaning: What it shows.
      step: Its place in a series, ``B2_3`` say; None if it has none.
      date: Its date, if its name has one.
      decibel: Whether it says dB.
      direction: ``ascending``, ``descending`` or nothing.
    """

    meaning: sensors.Meaning
    step: int | None = None
    date: datetime.date | None = None
    decibel: bool = False
    direction: str = ""


def dates(text: str) -> tuple[datetime.date, ...]:
    """The dates in a text, each once: YYYYMMDD, YYYY-MM-DD, YYYY_MM_DD, YYYY.MM.DD."""
    found = []
    for year, _, month, day in _DATE.findall(text):
        try:
            date = datetime.date(int(year), int(month), int(day))
        except ValueError:
            continue
        found += [date] * (date not in found)
    return tuple(found)


def of_file(name: str) -> Named:
    """What a name without its folders and its suffix says."""
    if esa := _GRANULE.fullmatch(name):
        return Named(
            dates=dates(esa[2]),
            channels=_of_product(esa[3]),
            form="granule",
            metres=int(esa[4] or 0),
        )
    if theia := _THEIA.fullmatch(name):
        shown = theia[3] if theia[3].startswith(("FRE", "SRE", "CLM")) else ""
        shown = shown.partition("_")[2] if shown[:1] in ("F", "S") else shown.partition("_")[0]
        return Named(dates(theia[1]), _of_product(shown), level="L2A", form="theia")
    found, ordinal = dates(name), False
    if product := _ESA.search(name):
        found = dates(product[2])
    if not found and len(days := _DAY_OF_YEAR.findall(name)) == 1:
        year, day = map(int, days[0])
        date = datetime.date(year, 1, 1) + datetime.timedelta(day - 1)
        found, ordinal = ((date,), True) if date.year == year else ((), False)
    own = None if _SATELLITE.search(name) else _OWN_PASS.search(name)
    orbits = {f"{int(text):03d}" for text in _ORBIT.findall(name)} or (
        {product[4]} if product else set()
    )
    return Named(
        dates=found,
        channels=_words(name),
        orbit=orbits.pop() if len(orbits) == 1 else "",
        direction=_direction(name) or (direction_of(own[1]) if own else ""),
        radar=bool(re.search(r"(?<![A-Za-z0-9])(S1|sentinel-?1)(?![0-9])", name, re.I)),
        level=level(name),
        decibel=bool(_DECIBEL.search(name)),
        picture=bool(_PICTURE.search(name)),
        ordinal=ordinal,
        form="sits" if _SITS.fullmatch(name) else "",
    )


def _of_product(band: str) -> tuple[sensors.Meaning, ...]:
    """What a band of a product of Sentinel-2 shows; nothing if it is not read."""
    known = sensors.meaning(band)
    if known is None or known.modality in (sensors.STATIC, sensors.DERIVED):
        return ()
    return (dataclasses.replace(known, modality=sensors.OPTICAL),)


def level(name: str) -> str:
    """The processing level that a name says, ``L2A`` or ``sigma0`` say, or nothing."""
    found = _LEVEL.search(name)
    text = found[1].lower() if found else ""
    return text.upper() if text.startswith("l") else text


def _direction(name: str) -> str:
    found = {direction_of(text) for text in _PASS.findall(name)}
    return found.pop() if len(found) == 1 else ""


def _words(name: str) -> tuple[sensors.Meaning, ...]:
    """Bands among the words of a file's name, each once and in its order."""
    found: list[sensors.Meaning] = []
    for word in _PARTS.split(_DATE.sub("_", name)):
        known = sensors.meaning(word)
        if known is not None and known.modality not in (sensors.STATIC, sensors.DERIVED):
            found += [known] * (known not in found)
    return tuple(found)


def of_band(name: str) -> BandName | None:
    """What a band's name says, in a series of Earth Engine too; None if it is no name of one.

    Args:
      name: ``B02``, ``B2_3``, ``0_B2``, ``S2-L2A-B02``, ``20230914T104629_T31TFJ_B2`` and the like.
    """
    if known := sensors.meaning(name):
        return BandName(known)
    decibel = bool(_DECIBEL.search(name))
    found = dates(name)
    text = _DATE.sub("_", name) if found else name
    step, bare = None, _STATISTIC.sub("", _PASS.sub("", _DECIBEL.sub("", text))).strip(" _-.")
    if last := re.fullmatch(r"(.+?)_([0-9]{1,4})", bare):
        bare, step = last[1], int(last[2])
    elif first := re.fullmatch(r"([0-9]{1,4})_(.+)", bare):
        bare, step = first[2], int(first[1])
    known = sensors.meaning(bare)
    if known is None:
        # The words of a longer name; one alone may be of a band.
        words = [meaning for word in _PARTS.split(bare) if (meaning := sensors.meaning(word))]
        measured = [m for m in words if m.modality not in (sensors.STATIC, sensors.DERIVED)]
        # Of words that only happen to hold one, "probability of red" say, nothing is known.
        sensor = re.match(r"(s[12]|sentinel|l[12][ac]|t[0-9]{2}[a-z]{3}|[0-9]|_)", bare, re.I)
        if not (sensor or found or decibel) or len(measured) != 1 or len(words) != 1:
            return None
        known = measured[0]
    return BandName(known, step, found[0] if found else None, decibel, _direction(name))


def positional(names: list[str]) -> bool:
    """Whether names of bands only count them, as those do that writers make up."""
    if not any(names):
        return True
    places = [_POSITIONAL.fullmatch(name) for name in names]
    if not all(places):
        return False
    numbers = [int(place[1] or place[2] or 0) for place in places]
    return numbers in ([*range(1, len(names) + 1)], [*range(len(names))], [0] * len(names))
