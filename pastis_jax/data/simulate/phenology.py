"""What grows when: seasonal curves of the 18 crops and of the land between them.

A crop's green cover is a sum of growth cycles, each a double logistic

    g(t) = peak * (1 / (1 + exp(-(t - start) / rise)) - 1 / (1 + exp(-(t - end) / fall)))

cut back where the crop is mown. Short events tint the canopy (optical) and echoes change its
structure (radar). Days count from 2018-09-01: 122 is 1 January 2019, 212 April, 242 May, 273 June,
303 July, 334 August, 365 September, 395 October, 426 November.

Crops come in groups that look alike: within a group some are told apart by when something short
happens (optical) and some by structure alone (radar).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import expit

from pastis_jax.data.simulate.difficulty import Difficulty


@dataclasses.dataclass(frozen=True)
class Cycle:
    """One growth cycle: mid-days of green-up and senescence, and for how long it stands dry."""

    start: float
    end: float
    peak: float = 1.0
    rise: float = 9.0
    fall: float = 5.0
    dry: float = 0.0


@dataclasses.dataclass(frozen=True)
class Event:
    """A short change of colour: day, half-width (days), kind (see `optical.TINTS`), strength."""

    day: float
    kind: str
    strength: float = 1.0
    width: float = 7.0


@dataclasses.dataclass(frozen=True)
class Echo:
    """A change of radar structure: day, half-width (days), change of VV and VH (dB)."""

    day: float
    width: float
    vv: float
    vh: float


@dataclasses.dataclass(frozen=True)
class Profile:
    """All that tells one land cover from another.

    Attributes:
      cycles: Growth cycles.
      events: Short optical events.
      echoes: Radar changes.
      cuts: Days on which it is mown, each missing at random with probability 0.2.
      cut_jitter: Standard deviation of those days in a parcel.
      base: Green cover all year round.
      bare: Share of the ground between the rows that stays bare.
      chlorophyll: Relative pigment content: darkens visible and red-edge bands.
      nir: Relative near-infrared reflectance (leaf layers).
      water: Relative canopy water: darkens the short-wave infrared.
      vv: Volume scattering of a closed canopy in VV, dB.
      vh: The same in VH.
      depth: Optical depth of a closed canopy at C band: hides the soil.
      spread: Multiplier of the parcel-to-parcel shift.
    """

    cycles: tuple[Cycle, ...] = ()
    events: tuple[Event, ...] = ()
    echoes: tuple[Echo, ...] = ()
    cuts: tuple[float, ...] = ()
    cut_jitter: float = 6.0
    base: float = 0.0
    bare: float = 0.0
    chlorophyll: float = 1.0
    nir: float = 1.0
    water: float = 1.0
    vv: float = -11.5
    vh: float = -17.5
    depth: float = 1.0
    spread: float = 1.0


def _cereal(lag: float, *, ear: float, strength: float = 1.0, **changes) -> Profile:
    # Tillering before winter, stem elongation in spring, and ears for a few days in late spring.
    return Profile(
        cycles=(Cycle(75, 295 + lag, 0.4, 16, 5), Cycle(205 + lag, 295 + lag, 0.6, 11, 5, 18)),
        events=(Event(ear, "ears", strength),),
        **changes,
    )


def _summer(start: float, end: float, *, events=(), dry: float = 12.0, **changes) -> Profile:
    return Profile(cycles=(Cycle(start, end, 1.0, 7, 6, dry),), events=events, **changes)


# Structure of the three wheat-like cereals; between them almost only radar decides.
_WHEAT = {"vv": -13.0, "vh": -19.0, "depth": 1.3}

CROPS: dict[int, Profile] = {
    # Perennial green: told apart by the rhythm of mowing and by flowers.
    1: Profile(
        cycles=(Cycle(190, 440, 0.25, 18, 20),), base=0.6, cuts=(275, 345), cut_jitter=12.0,
        events=(Event(255, "white", 0.35),), vv=-12.2, vh=-18.8, depth=0.9,
    ),
    14: Profile(
        cycles=(Cycle(195, 430, 0.4, 12, 15),), base=0.5, cuts=(258, 293, 328, 368), cut_jitter=4.0,
        events=(Event(250, "violet"), Event(287, "violet"), Event(322, "violet", 0.8)),
        vv=-10.6, vh=-16.8, depth=1.0, chlorophyll=1.05,
        echoes=(Echo(300, 40, 0.0, 1.0),),
    ),
    # Winter cereals and rapeseed.
    2: _cereal(0, ear=267, echoes=(Echo(262, 22, -1.2, -0.6),), **_WHEAT),
    11: _cereal(-9, ear=252, strength=1.1, echoes=(Echo(255, 28, 1.2, -1.5),), **_WHEAT),
    10: _cereal(-1, ear=265, echoes=(Echo(255, 35, -0.5, 2.2),), **_WHEAT),
    17: _cereal(7, ear=284, chlorophyll=0.92, vv=-12.2, vh=-17.8, depth=1.1),
    4: _cereal(-18, ear=238, strength=1.2, vv=-12.5, vh=-18.0, depth=1.2),
    5: Profile(
        cycles=(Cycle(45, 140, 0.55, 9, 22), Cycle(185, 285, 0.9, 10, 6, 14)),
        events=(Event(222, "yellow", 1.3, 9),), echoes=(Echo(265, 20, 0.0, 1.5),),
        vv=-10.5, vh=-15.5, depth=1.4, water=1.1,
    ),
    6: Profile(
        cycles=(Cycle(228, 300, 1.0, 8, 5, 14),), events=(Event(270, "ears", 1.2),),
        vv=-12.8, vh=-18.5, depth=1.1,
    ),
    # Summer crops: similar green seasons.
    3: _summer(288, 392, events=(Event(325, "ears", 0.9),), vv=-10.2, vh=-15.6, depth=1.5),
    18: _summer(300, 390, events=(Event(347, "rust"),), vv=-10.4, vh=-15.4, depth=1.4,
                echoes=(Echo(345, 30, 0.3, 1.0),)),
    15: _summer(297, 380, events=(Event(347, "rust", 0.8),), vv=-12.0, vh=-18.2, depth=0.9,
                echoes=(Echo(345, 30, -0.5, -1.0),)),
    7: _summer(273, 354, events=(Event(317, "yellow"),), dry=22, vv=-9.6, vh=-15.8, depth=1.3),
    13: _summer(279, 370, events=(Event(305, "white", 0.8),), dry=4, vv=-9.2, vh=-16.8, depth=0.9,
                echoes=(Echo(250, 18, 2.0, 0.5),)),
    9: _summer(282, 396, events=(Event(308, "white", 0.5),), dry=0, vv=-11.2, vh=-15.6, depth=1.3),
    12: Profile(
        cycles=(Cycle(225, 275, 0.75, 6), Cycle(300, 345, 0.8, 6), Cycle(372, 425, 0.6, 6, 8)),
        events=(Event(258, "white", 0.7), Event(330, "white", 0.7)), spread=2.5,
        vv=-10.8, vh=-17.2, depth=0.9, bare=0.15,
    ),
    # Woody rows.
    8: Profile(
        cycles=(Cycle(258, 412, 0.6, 9, 8),), base=0.08, bare=0.45,
        events=(Event(402, "rust", 0.8, 8),), vv=-9.0, vh=-18.0, depth=0.8,
    ),
    16: Profile(
        cycles=(Cycle(240, 425, 0.5, 9, 9),), base=0.3, bare=0.2,
        events=(Event(220, "white"),), vv=-10.6, vh=-15.2, depth=1.2,
    ),
}  # fmt: skip
"""Profile of each crop by official label."""

COVERS: dict[str, Profile] = {
    "grass": Profile(cycles=(Cycle(200, 430, 0.3, 15, 15),), base=0.45, cuts=(290,)),
    "hedge": Profile(cycles=(Cycle(235, 425, 0.5, 9, 12),), base=0.4, vv=-9.0, vh=-14.5),
    "forest": Profile(
        cycles=(Cycle(235, 420, 0.5, 8, 10),), base=0.5, nir=0.9, chlorophyll=1.2, water=1.3,
        vv=-8.5, vh=-13.8, depth=2.0,
    ),
    "fallow": Profile(cycles=(Cycle(215, 330, 0.5, 15, 15, 30),), base=0.15),
    "urban": Profile(base=0.2),
    "water": Profile(),
}  # fmt: skip
"""Profile of each background cover by name."""


@dataclasses.dataclass(frozen=True)
class Traits:
    """What makes one region (a parcel or a piece of background) itself. Drawn once, then shared
    by all sensors.

    Attributes:
      profile: Its land cover.
      shift: Delay of its season, days.
      vigour: Multiplier of its green cover.
      cuts: Days on which it was mown.
      tilled: Days on which its soil was worked.
      pigment: Multipliers of visible, near-infrared and short-wave reflectance, `(3,)`.
      soil: Multiplier of its soil brightness.
      azimuth: Direction of its rows, radians.
      offset: Radar offsets of VV and VH, dB, `(2,)`.
    """

    profile: Profile
    shift: float
    vigour: float
    cuts: tuple[float, ...]
    tilled: tuple[float, ...]
    pigment: np.ndarray
    soil: float
    azimuth: float
    offset: np.ndarray


def draw(
    rng: np.random.Generator, profile: Profile, *, season: float, azimuth: float, knobs: Difficulty
) -> Traits:
    """Draws the traits of one region.

    Args:
      rng: Source of randomness.
      profile: Its land cover.
      season: Shift of the season in this scene, days.
      azimuth: Main direction of the fields in this scene, radians.
      knobs: How much regions differ.
    """
    shift = season + knobs.parcel_shift * profile.spread * rng.standard_normal()
    jitter = profile.cut_jitter * rng.standard_normal(len(profile.cuts))
    mown = rng.random(len(profile.cuts)) > 0.2
    cuts = tuple(np.add(profile.cuts, shift + jitter)[mown]) if profile.cuts else ()
    worked = []
    if profile.base < 0.3:
        worked = [c.start - 35 + 6 * rng.standard_normal() for c in profile.cycles]
        worked += [c.end + c.dry + 12 + abs(15 * rng.standard_normal()) for c in profile.cycles]
    common = knobs.radar_offset * rng.standard_normal()
    return Traits(
        profile=profile,
        shift=shift,
        vigour=float(np.clip(1 + knobs.vigour * rng.standard_normal(), 0.5, 1.4)),
        cuts=cuts,
        tilled=tuple(shift + day for day in worked),
        pigment=np.exp(knobs.pigment * rng.standard_normal(3)),
        soil=float(np.exp(knobs.soil * rng.standard_normal())),
        azimuth=azimuth + (np.pi / 2) * rng.integers(2) + 0.15 * rng.standard_normal(),
        offset=common + knobs.radar_channel * rng.standard_normal(2),
    )


def growth(traits: Traits, days: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grows one region.

    Args:
      traits: The region.
      days: Days since 2018-09-01, `(t,)`.

    Returns:
      Green cover (about 0 to 1), dry standing cover and roughness of freshly worked soil, each
      `(t,)`.
    """
    profile, when = traits.profile, days - traits.shift
    green = np.full(len(days), profile.base)
    dry = np.zeros(len(days))
    for cycle in profile.cycles:
        fading = expit((when - cycle.end) / cycle.fall)
        green += cycle.peak * (expit((when - cycle.start) / cycle.rise) - fading)
        if cycle.dry:
            dry += cycle.peak * (fading - expit((when - cycle.end - cycle.dry) / 1.5))
    for cut in traits.cuts:
        # Mown to a third, and grown again after about a month.
        since = days - cut
        green *= 1 - 0.65 * expit(since / 1.0) * np.exp(-np.maximum(since, 0) / 18)
    rough = np.zeros(len(days))
    for day in traits.tilled:
        since = days - day
        rough = np.maximum(rough, expit(since / 1.0) * np.exp(-np.maximum(since, 0) / 25))
    return np.clip(green, 0, None) * traits.vigour, np.clip(dry, 0, None), rough


def bump(days: np.ndarray, day: float, width: float) -> np.ndarray:
    """Returns a Gaussian in time, 1 at `day`, with standard deviation `width` (days); `(t,)`."""
    return np.exp(-0.5 * np.square((days - day) / width))
