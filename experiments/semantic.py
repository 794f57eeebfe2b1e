"""Semantic segmentation with U-TAE (paper, section 4.4, Table 2).

    python -m experiments.semantic --fusion late         # simulated data, minutes on a CPU
    python -m experiments.semantic --fusion early --temporal-dropout --data FOLDER

Simulated set, two CPU cores, late fusion: test mIoU about 0.5 in four minutes, and one more to
simulate the first time. Paper, five folds, mIoU base / temporal dropout / auxiliary too: S2 63.1 /
63.6 / -, S1D 54.9 / 54.7 / -, S1A 53.8 / 53.3 / -, early 64.9 / 65.8 / -, late - / 65.8 / 66.3,
decision - / 64.7 / 64.3. Without temporal dropout, late and decision fusion did not fit in 32 GB;
--remat needs 13 (docs/performance.md).
"""

from __future__ import annotations

import functools

from pastis_jax.cli import train

main = functools.partial(train.main, "semantic", prog="python -m experiments.semantic")

if __name__ == "__main__":
    main()
