"""How modalities of sensors are stored."""

from __future__ import annotations

import numpy as np

from pastis_jax.data.regions import sensors


def test_how_modalities_are_stored():
    s2 = sensors.stored("S2", {"B12", "B2", "B4", "B3"})
    assert (s2.channels, s2.dtype, s2.nodata) == (("B2", "B3", "B4", "B12"), "int16", -10000)
    assert s2.picture.channels == ("B4", "B3", "B2")
    s1 = sensors.stored("S1D", ["VH", "VV"])
    assert (s1.channels, s1.dtype, s1.unit) == (("VV", "VH", "VV-VH"), "float16", "dB")
    assert sensors.stored("S1", ["VV"]).channels == ("VV",)
    weather = sensors.stored("weather", ["tmean", "precip"])
    assert (weather.channels, weather.unit, weather.dtype) == (
        ("precip", "tmean"),
        "none",
        "float32",
    )
    assert np.isnan(weather.nodata)
