"""A map whose blocks are all there: what its files are made of."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Iterator

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.regions.store import Region
from pastis_jax.mapping.blocks import Block, Content, read_block
from pastis_jax.mapping.mapper import Mapper
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.season import Season
from pastis_jax.runs import Run


@dataclasses.dataclass(frozen=True, eq=False)
class Made:
    """A map whose blocks are all there.

    Attributes:
      mapper: What they were predicted with.
      blocks: All, row by row.
      folder: Where they are kept.
      key: Digests of what the map is made of, by what it is.
    """

    mapper: Mapper
    blocks: tuple[Block, ...]
    folder: pathlib.Path
    key: dict[str, str]

    @property
    def run(self) -> Run:
        """The run."""
        return self.mapper.run

    @property
    def region(self) -> Region:
        """The Region."""
        return self.mapper.region

    @property
    def season(self) -> Season:
        """The acquisitions that it is made of."""
        return self.mapper.season

    @property
    def options(self) -> MapOptions:
        """What else it is made by."""
        return self.mapper.options

    @property
    def classes(self) -> ClassMapping:
        """The classes of the map."""
        return self.run.classes

    @property
    def last_day(self) -> datetime.date:
        """That of the last acquisition."""
        days = [one.days.max() for one in self.season.acquired.values() if len(one.days)]
        return self.season.date(max(days))

    def read(self, *names: str) -> Iterator[tuple[Block, Content]]:
        """Reads all blocks, one after the other; of these, what is named."""
        for block in self.blocks:
            yield block, read_block(self.folder, block, *names)
