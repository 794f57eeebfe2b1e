"""The parcels of a new Region: read and refused first, written when its scenes are there."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from typing import Any, Literal

import numpy as np

from pastis_jax.data.dataset import Fold, Nomenclature
from pastis_jax.data.regions.findings import finding
from pastis_jax.data.regions.folds import FoldBlocks, ParcelFolds
from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.parcels.crops import read_crops, refuse_few, refuse_unknown
from pastis_jax.data.regions.parcels.dealing import make_folds, of_folds
from pastis_jax.data.regions.parcels.numbers import Tally, number_blocks
from pastis_jax.data.regions.parcels.parcel_file import write_parcels
from pastis_jax.data.regions.parcels.reading import ReadParcels, read_parcels
from pastis_jax.data.regions.table import FILE, ParcelTable
from pastis_jax.data.regions.writer import Writer
from pastis_jax.errors import refuse
from pastis_jax.text import named, word

PUBLISHED = "rpg"
"""The list of crops by default."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which parcels a user wants, and how.

    Attributes:
      file: A vector file; None for a Region without parcels.
      label: Column of the codes of crops.
      classes: A list of crops, as `read_crops` takes it.
      id: Column of identifiers; None for the numbers that the file gives them.
      layer: Layer of the file; None for its only one.
      crs: Coordinate system in place of what the file says.
      unknown: What is done about codes that are not in the list.
      unlabelled: What pixels of no parcel are.
      inner_buffer: Width of the rim of each parcel that is left out, metres.
      folds: How many.
      block: Side of the blocks that are dealt to folds, metres.
      gap: Width of the zone between blocks of different folds, metres.

    Raises:
      ArgumentError: If one cannot be.
    """

    file: str | os.PathLike[str] | None = None
    label: str | None = None
    classes: str | os.PathLike[str] = PUBLISHED
    id: str | None = None
    layer: str | None = None
    crs: str | None = None
    unknown: Literal["refuse", "void"] = "refuse"
    unlabelled: Literal["background", "void"] = "background"
    inner_buffer: float = 0.0
    folds: int = 5
    block: float = 5000.0
    gap: float = 1000.0

    def __post_init__(self) -> None:
        if self.file is not None:
            remedy = "name the column of the crops' codes"
            refuse("label", not self.label, "parcels need one", remedy)
        for name, known in (("unknown", "refuse"), ("unlabelled", "background")):
            value = getattr(self, name)
            refuse(name, value not in (known, "void"), f"got {value!r}", f"give {known} or void")
        rim = self.inner_buffer
        wrong = not 0 <= rim < math.inf
        refuse("inner_buffer", wrong, f"{rim:g} is no width", "give metres, 0 for no rim")


@dataclasses.dataclass(frozen=True)
class Outlines:
    """Parcels that were found fit to be written.

    Attributes:
      nomenclature: The classes.
      folds: Names of the folds.
      blocks: Where they lie; None without parcels.
      parcels: What was read; None without parcels.
      labels: Numbers of their classes, (n,) int32.
      inner_buffer: As in `Wanted`.
      findings: What was noticed so far.
    """

    nomenclature: Nomenclature
    folds: tuple[Fold, ...]
    blocks: FoldBlocks | None = None
    parcels: ReadParcels | None = None
    labels: np.ndarray | None = None
    inner_buffer: float = 0.0
    findings: tuple[dict[str, Any], ...] = ()

    def write(self, writer: Writer, root: pathlib.Path, grid: Grid) -> list[dict[str, Any]]:
        """Writes numbers block by block, and the table; twice gives the same.

        Args:
          writer: Of the Region.
          root: Its folder.
          grid: Its grid.

        Returns:
          All that was noticed about parcels.

        Raises:
          OSError: If it cannot be written.
        """
        if self.parcels is None or self.blocks is None:
            return list(self.findings)
        parcels = self.parcels
        tally, own = Tally(len(parcels)), ParcelFolds(self.blocks, len(parcels))
        blocks = number_blocks(
            parcels.geometries, grid, inner_buffer=self.inner_buffer, tally=tally
        )
        for rows, columns, numbers in blocks:
            writer.write_numbers(rows, columns, numbers)
            own.add(rows, columns, numbers)
        table = ParcelTable(
            id=parcels.ids,
            code=parcels.codes,
            label=self.labels,
            fold=own.positions,
            pixels=tally.pixels.astype(np.int32),
            area=parcels.areas,
        )
        write_parcels(
            table,
            parcels.geometries,
            root / FILE,
            crs=grid.crs,
            classes=[entry.name for entry in self.nomenclature.classes],
            folds=self.folds,
        )
        found = [*self.findings, *tally.findings(parcels.ids), *own.findings(parcels.ids)]
        return [*found, *_of_classes(table, self.nomenclature, self.folds)]


def read(wanted: Wanted, grid: Grid) -> Outlines:
    """Reads the parcels of a Region, and deals them to folds.

    Args:
      wanted: Which, and how.
      grid: Of the Region.

    Raises:
      UserError: In one line: no parcels there, no such column, unknown codes, too few folds.
    """
    names = tuple(range(1, wanted.folds + 1))
    refuse("folds", len(names) < 3, f"got {wanted.folds}", "give three or more")
    if wanted.file is None:
        nomenclature = read_crops(PUBLISHED).nomenclature
        if wanted.classes not in (PUBLISHED, "labels"):
            nomenclature = read_crops(wanted.classes).nomenclature
        return Outlines(nomenclature, names)
    parcels = read_parcels(
        wanted.file,
        label=wanted.label,
        grid=grid,
        id=wanted.id,
        layer=wanted.layer,
        crs=wanted.crs,
    )
    crops = read_crops(wanted.classes, parcels.codes)
    accept = wanted.unknown == "void"
    spec = wanted.classes
    refuse_unknown(crops, parcels.codes, wanted.file, accept_void=accept, spec=spec)
    refuse_few(crops, parcels.codes, wanted.file)
    nomenclature, labels = crops.nomenclature, crops.numbers(parcels.codes)
    some = ~nomenclature.is_void(labels)
    blocks = make_folds(
        grid,
        points=parcels.points[some],
        labels=labels[some],
        areas=parcels.areas[some],
        folds=wanted.folds,
        block=wanted.block,
        gap=wanted.gap,
    )
    findings = [*parcels.findings, of_folds(blocks, wanted.block, wanted.gap)]
    for kind, counted in (
        ("codes unknown", crops.unknown(parcels.codes)),
        ("codes void", crops.void(parcels.codes)),
    ):
        if counted:
            told = [f"{code or 'no code'} ({number:,})" for code, number in counted.items()]
            number = sum(counted.values())
            text = (
                f"{number:,} of {len(parcels):,} parcels {word(number, 'is', 'are')} void, which "
            )
            text += "are neither trained nor counted, as their codes are "
            text += f"{'not' if kind == 'codes unknown' else 'void'} in the list of crops: "
            findings.append(finding(kind, text + named(told, most=10), told))
    return Outlines(
        nomenclature=nomenclature,
        folds=names,
        blocks=blocks,
        parcels=parcels,
        labels=labels,
        inner_buffer=wanted.inner_buffer,
        findings=tuple(findings),
    )


def _of_classes(table: ParcelTable, nomenclature: Nomenclature, folds: tuple[Fold, ...]):
    """Tells which classes some fold has no parcel of."""
    used = (table.pixels > 0) & (table.fold >= 0) & ~nomenclature.is_void(table.label)
    told = []
    for number in np.unique(table.label[~nomenclature.is_void(table.label)]):
        present = set(table.fold[used & (table.label == number)].tolist())
        absent = [str(name) for place, name in enumerate(folds) if place not in present]
        if absent:
            where = f"{word(len(absent), 'fold', 'folds')} {', '.join(absent)}"
            told.append(f"{nomenclature.classes[number].name} ({where})")
    if told:
        yield finding("classes lack folds", f"no parcel of {named(told, most=10)}", told)
