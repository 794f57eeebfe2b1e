"""Work of a worker without a model: what workers of a cluster can be given in a test."""

from __future__ import annotations

import dataclasses
import os
import signal
import time

import numpy as np

from pastis_jax.errors import DataError
from pastis_jax.mapping.blocks import write_block
from pastis_jax.mapping.mapper import Work


@dataclasses.dataclass(frozen=True)
class Dying(Work):
    """Writes a block, but for some of them.

    Attributes:
      deadly: Name of the block that ends its process.
      times: How often it does.
      wrong: Name of the block that is refused.
      seconds: That a block takes.
    """

    deadly: str = ""
    times: int = 100
    wrong: str = ""
    seconds: float = 0.0

    def __call__(self, block):
        time.sleep(self.seconds)
        if block.name == self.wrong:
            raise DataError("cannot be read", where=self.region, remedy="bring it back")
        if block.name == self.deadly:
            died = self.out / f"died{time.time_ns()}"
            if len([*self.out.glob("died*")]) < self.times:
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        write_block(self.out, block, {"by": np.array([os.getpid()])})


def make(root, kind=Dying, **settings):
    """What `worker.check` looks for, and work in it."""
    from pastis_jax.mapping.options import MapOptions

    run, region, blocks = root / "run", root / "region", root / ".map.predicting" / "blocks"
    for folder in (run, region, blocks):
        folder.mkdir(parents=True)
    for name in ("run.json", "dataset.json", "weights.npz"):
        (run / name).write_text(name)
    for name in ("region.json", "dataset.json"):
        (region / name).write_text(name)
    (blocks.parent / "key.json").write_text("{}")
    return kind(run, region, MapOptions(), blocks, **settings)
