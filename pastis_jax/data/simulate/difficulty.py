"""How hard the simulated crops are to tell apart: every knob that moves a score, in one place."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Difficulty:
    """Strength of the signals that separate crops, and of the nuisances that blur them.

    A stronger signal improves the modality named in its line. A stronger nuisance worsens it.

    Attributes:
      imbalance: Class shares are proportional to the real parcel counts to this power: 1 is the
        real imbalance, 0 none. Below 1, rare crops have enough parcels to be measured.
      least_per_fold: Parcels that each crop has at least in each fold, where there are enough.
      clustering: Share of the parcels that grow what a parcel beside them grows, on top of chance.
        Does not change how many grow what; makes parcels harder to tell apart, not crops.
      region_shift: Standard deviation of the growing season's shift between tiles, days.
      scene_shift: Standard deviation of that shift between scenes of a tile, days.
      parcel_shift: Standard deviation of that shift between parcels of a scene, days. Blurs all
        that timing tells, in optical and radar series alike.
      vigour: Relative standard deviation of a parcel's green cover.
      pigment: Relative standard deviation of a parcel's canopy reflectance, band group by band
        group. Hides constant spectral differences between crops (optical).
      soil: Relative standard deviation of a parcel's soil brightness (optical).
      event: Scale of the short optical events (flowering, heading, ...), the signal that needs a
        dense cloud-free series (optical).
      event_width: Scale of their duration. Shorter is harder, most of all when dates are missing.
      spectrum: Scale of the lasting spectral differences between crops (optical).
      image_gain: Relative standard deviation of an image's residual calibration error (optical).
      pixel_noise: Standard deviation of a pixel's reflectance (optical).
      clouds: Share of the optical images that are at least partly covered.
      radar: Scale of the crops' differences in radar structure (radar).
      radar_offset: Standard deviation of a parcel's constant offset, common to VV and VH, dB.
      radar_channel: The same, drawn for VV and VH apart, dB.
      radar_drift: Standard deviation of a parcel's slow random change in one orbit, dB.
      looks: Equivalent number of looks of the speckle.
    """

    imbalance: float = 0.65
    least_per_fold: int = 4
    clustering: float = 0.0
    region_shift: float = 4.0
    scene_shift: float = 2.0
    parcel_shift: float = 3.0
    vigour: float = 0.12
    pigment: float = 0.05
    soil: float = 0.15
    event: float = 2.4
    event_width: float = 1.0
    spectrum: float = 1.2
    image_gain: float = 0.03
    pixel_noise: float = 0.008
    clouds: float = 0.28
    radar: float = 1.4
    radar_offset: float = 0.5
    radar_channel: float = 0.25
    radar_drift: float = 0.8
    looks: float = 4.5


DEFAULT = Difficulty()
