"""Panoptic segmentation with U-TAE and PaPs (paper, section 4.5, Table 3).

    python -m experiments.panoptic --fusion early        # simulated data, minutes on a CPU
    python -m experiments.panoptic --fusion late --temporal-dropout --data FOLDER

Paper, five folds, SQ / RQ / PQ: S2 81.3 / 49.2 / 40.4, S1D 77.0 / 39.3 / 30.9, S1A 77.4 / 38.8 /
30.6, early 82.2 / 50.6 / 42.0, late 81.6 / 50.5 / 41.6. They predate a correction of the rule for
void parcels; --legacy-void scores by the earlier rule.
"""

from __future__ import annotations

import functools

from pastis_jax.cli import train

main = functools.partial(train.main, "panoptic", prog="python -m experiments.panoptic")

if __name__ == "__main__":
    main()
