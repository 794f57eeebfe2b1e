"""From values in a stored unit to the inputs of a model: what is missing, mean and deviation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Statistics = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Mean and standard deviation per channel, (c,) float32 each in the stored unit, by modality."""


def fill_missing(values: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replaces missing pixels of a date, channel by channel, by the mean of its observed ones.

    Differs from the reference, where nodata passes for a reflectance.

    Args:
      values: ``t c s``.
      missing: ``t c s``; pixels that are not real count as missing.

    Returns:
      Filled values, and for each date whether every channel of it was observed (``t``).
    """
    count = (~missing).sum(-1, keepdims=True)
    mean = np.where(missing, 0, values).sum(-1, keepdims=True) / np.maximum(count, 1)
    filled = np.where(missing, mean.astype(np.float32), values)
    return filled.astype(np.float32, copy=False), (count > 0).all((1, 2))
