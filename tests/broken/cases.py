"""Every fault in every file of every layout, and how one is tried."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import pathlib
from collections.abc import Iterator

from broken import faults
from broken.faults import ANEW, REFUSED, WORKS, Fault
from broken.layouts import LAYOUTS, Layout, linked
from pastis_jax.data.inspection import inspect_data
from pastis_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault in a file of a folder.

    Attributes:
      layout: Name of the folder's layout.
      what: What kind of file it is.
      name: Pattern of the file's name: the last of those that fit is damaged.
      fault: Name of the fault.
      does: The fault.
      inspected: Whether `pastis-jax inspect` goes on beyond it and lists it.
    """

    layout: str
    what: str
    name: str
    fault: str
    does: Fault
    inspected: bool = False

    def __str__(self) -> str:
        return f"{self.layout}, {self.name}, {self.fault}"


def _all() -> Iterator[Case]:
    for name, layout in LAYOUTS.items():
        for what, pattern, known, inspected in _files(layout):
            for fault, does in known.items():
                yield Case(name, what, pattern, fault, does, inspected)


def _files(layout: Layout) -> Iterator[tuple[str, str, dict[str, Fault], bool]]:
    """Kinds of files, their names, what can be wrong with them, and whether inspection goes on."""
    for modality in layout.modalities:
        folder = f"DATA_{modality}"
        known = faults.ARRAY | faults.SERIES
        yield "array of a series", f"{folder}/{modality}_*.npy", known, True
    modality = layout.modalities[0]
    strays = {
        text.format("<modality>"): _named(fault, modality) for text, fault in faults.STRAYS.items()
    }
    yield "stray beside arrays", f"DATA_{modality}", strays, False
    yield "metadata.geojson", "metadata.geojson", faults.TEXT | faults.PATCHES, False
    yield "NORM file", layout.norm.format(modality), faults.TEXT | faults.NORM, False
    if layout.own:
        yield "dataset.json", "dataset.json", faults.TEXT | faults.DATASET, False
    if not layout.patches:
        table = faults.TABLE | ({} if layout.own else faults.OUTLINES)
        yield "metadata_parcel.csv", "metadata_parcel.csv", table, False
        names = ("*/*/dataset_info.json", "*/*/features.json", "*/*/metadata.json")
        for pattern in (*names, "*/*/*.array_record-*"):
            yield "prepared set", f"cache:pixel_sets-*/{pattern}", faults.CACHE, False
        return
    yield "cache of a patch folder", "cache:patches-*.json", faults.CACHE, False
    yield "annotation", "ANNOTATIONS/TARGET_*.npy", faults.ARRAY, True
    optional = faults.ARRAY | {"missing": Fault(faults.ARRAY["missing"].damage, WORKS)}
    yield "annotation", "ANNOTATIONS/ParcelIDs_*.npy", optional, True
    if not layout.own:
        for word in ("INSTANCES", "ZONES", "HEATMAP"):
            yield "panoptic target", f"INSTANCE_ANNOTATIONS/{word}_*.npy", optional, True


def _named(fault: Fault, modality: str) -> Fault:
    """A fault of a folder, whose file is named after the modality."""

    def damage(folder: pathlib.Path) -> None:
        fault.damage(folder)
        for file in folder.iterdir():
            if "{}" in file.name:
                file.rename(file.with_name(file.name.format(modality)))

    return fault._replace(damage=damage)


CASES = tuple(_all())


@dataclasses.dataclass(frozen=True)
class Sound:
    """A sound folder, and what was prepared of it.

    Attributes:
      root: The folder.
      cache: Where it was prepared.
      fingerprint: As what it is known again.
    """

    root: pathlib.Path
    cache: pathlib.Path
    fingerprint: str


def make_sound(name: str, folder: pathlib.Path) -> Sound:
    """Makes the sound folder of a layout, and prepares it."""
    layout, root, cache = LAYOUTS[name], folder / name / "data", folder / name / "cache"
    layout.make(root)
    prepared = layout.prepare(root, cache=cache, progress=False)
    return Sound(root, cache, prepared.fingerprint.name)


def try_out(case: Case, sound: Sound, work: pathlib.Path) -> tuple[str, str]:
    """Damages a copy, and opens it.

    Returns:
      What became of it, and what was said.

    Raises:
      AssertionError: If something was left in the cache, or inspection does not list the fault.
    """
    layout, root, cache = LAYOUTS[case.layout], work / "data", work / "cache"
    pattern = case.name.removeprefix("cache:")
    of_cache = pattern != case.name
    linked(sound.root, root)
    linked(sound.cache, cache) if of_cache else cache.mkdir()
    file = sorted((cache if of_cache else root).glob(pattern))[-1]
    case.does.damage(file)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            prepared = layout.prepare(root, cache=cache, progress=False)
    except UserError as error:
        assert of_cache or not [*cache.iterdir()], "something was left in the cache"
        if case.inspected:
            _inspect(root, case)
        return REFUSED, str(error)
    text = said.getvalue().strip()
    if text:
        return ANEW, text
    if case.what.startswith("stray"):
        assert prepared.fingerprint.name == sound.fingerprint, "the stray file counts"
    return WORKS, text


def _inspect(root: pathlib.Path, case: Case) -> None:
    inspection = inspect_data(root, progress=False)
    damage = [finding.text for finding in inspection.findings if finding.damage]
    assert any(case.does.words in text for text in damage), "inspect does not list it"


def check(case: Case, sound: Sound, work: pathlib.Path) -> None:
    """Tries a case.

    Raises:
      AssertionError: If something else becomes of it than is promised.
    """
    outcome, text = try_out(case, sound, work)
    assert outcome == case.does.outcome, f"{outcome}: {text}"
    assert len(text.splitlines()) == (outcome != WORKS), text
    assert case.does.words in text, text
    if outcome == REFUSED:
        assert "; " in text, "no remedy"
        own = LAYOUTS[case.layout].own and os.path.lexists(work / "data" / "dataset.json")
        official = "archive" in text or "PASTIS-R" in text
        assert not (own and official), f"advice for official data: {text}"
