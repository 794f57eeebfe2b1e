"""Parcel classification with PSE + L-TAE (paper, section 4.3, Table 1).

    python -m experiments.parcel --fusion mid            # simulated data, minutes on a CPU
    python -m experiments.parcel --fusion late --temporal-dropout --auxiliary --data FOLDER

Simulated set, two CPU cores, mid fusion: test mIoU about 0.8 in three minutes, and half a minute to
simulate the first time. Paper, five folds, mIoU base / with both enhancements: S2 73.9, S1D 64.5,
S1A 63.3, early 74.9 (76.5 with temporal dropout), mid 75.1 / 76.5, late 73.0 / 77.2,
decision 72.5 / 75.8.
"""

from __future__ import annotations

import functools

from pastis_jax.cli import train

main = functools.partial(train.main, "parcel", prog="python -m experiments.parcel")

if __name__ == "__main__":
    main()
