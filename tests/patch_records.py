"""Records of patches whose pixels say where they are, and an encoding that keeps their values."""

from __future__ import annotations

import jax
import numpy as np
import patch_factory as factory

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.nn import all_series
from pastis_jax.types import Batch, Sample


def image_record(semantic, *, dates=3):
    """A record whose channels all show `1000 + 100 date + 10 row + column`."""
    h, w = semantic.shape
    image = 1000 + 10 * np.arange(h)[:, None] + np.arange(w)
    series = image + 100 * np.arange(dates)[:, None, None, None]
    return {
        m: {
            "values": np.broadcast_to(series, (dates, c, h, w)).astype("i2"),
            "days": np.arange(dates, dtype=np.int32),
        }
        for m, c in factory.CHANNELS.items()
    } | {"semantic": semantic.astype(np.int32), "patch": 7, "number": 5}


def plain(size, *, classes=None, **arguments):
    """An encoding that leaves values as they are, by default with the classes of pixels."""
    classes = classes or ClassMapping.of(PASTIS_R.nomenclature)
    statistics = {m: (np.zeros(c, "f4"), np.ones(c, "f4")) for m, c in factory.CHANNELS.items()}
    lengths = dict.fromkeys(factory.CHANNELS, 4)
    return PatchEncoding(PASTIS_R, lengths, statistics, classes, size, **arguments)


def normalised(sample: Sample) -> Batch:
    """A sample, whose series are what a model takes of them; NumPy arrays."""
    batch = jax.tree.map(lambda x: x[None], sample.series)
    return sample.replace(series=jax.tree.map(lambda x: np.asarray(x)[0], all_series(batch)))
