"""From folders, globs and files to the files that are looked into, the best of each scene."""

from __future__ import annotations

import collections
import dataclasses
import glob
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

from pastis_jax.data.regions.manifest import FILE, MASK
from pastis_jax.data.regions.sources import cubes, names, rasters
from pastis_jax.data.regions.sources.products import folder_of, product_of
from pastis_jax.errors import DataError

_IGNORED = {
    *(".xml", ".json", ".geojson", ".txt", ".csv", ".md", ".html", ".pdf", ".log", ".yaml", ".yml"),
    *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".kml", ".qml", ".qgz", ".qgs", ".py"),
    *(".tfw", ".j2w", ".wld", ".ovr", ".msk", ".prj", ".aux", ".gfs", ".xsd", ".ipynb", ".safe"),
    *(".gpkg", ".shp", ".dbf", ".shx", ".cpg", ".sbn", ".sbx", ".gml", ".parquet", ".geoparquet"),
    *(".npy", ".npz", ".partial", ".sha256", ".md5", ""),
}
"""What is no raster for certain."""
_PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp"}
_PACKED = {".zip", ".gz", ".tgz", ".tar", ".bz2", ".7z"}
_SOURCES = "give folders, files or patterns of rasters, NetCDF or Zarr, or a manifest"


@dataclasses.dataclass
class Files:
    """Files to be looked into.

    Attributes:
      paths: Rasters and cubes, in the order of their names within each source.
      manifests: Manifests.
      left_out: Path and reason of what is not looked into, but may be meant to be.
      notes: Numbers of files that others take the place of.
      pictures: Files that can only be looked at.
    """

    paths: list[str] = dataclasses.field(default_factory=list)
    manifests: list[str] = dataclasses.field(default_factory=list)
    left_out: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    pictures: list[str] = dataclasses.field(default_factory=list)


def files_of(sources: Iterable[str | os.PathLike[str]]) -> Files:
    """Finds the files of sources, each once.

    Raises:
      DataError: If a source is not there, or is a file of another kind.
    """
    files = Files()
    for source in sources:
        text = os.path.expanduser(os.fspath(source))
        found = [text] if os.path.lexists(text) else sorted(glob.glob(text, recursive=True))
        if not found:
            raise DataError("file not found", where=text, remedy=_SOURCES)
        for path in found:
            if os.path.isdir(path) and not cubes.is_zarr(path):
                _walk(path, files)
            elif found == [text] and path.lower().endswith(".csv"):
                files.manifests.append(path)
            elif not _add(path, files) and found == [text]:
                raise DataError("no raster, cube or manifest", where=path, remedy=_SOURCES)
    files.paths = [*dict.fromkeys(files.paths)]
    return files


def _walk(root: str, files: Files) -> None:
    seen = {os.path.realpath(root)}
    for folder, folders, here in os.walk(root, onerror=_unreadable, followlinks=True):
        folders.sort()
        # Links are followed, but none to a folder that was or will be looked into as well.
        for name in [*folders]:
            real = os.path.realpath(os.path.join(folder, name))
            if real in seen:
                folders.remove(name)
            seen.add(real)
        for name in [name for name in folders if cubes.is_zarr(os.path.join(folder, name))]:
            files.paths.append(os.path.abspath(os.path.join(folder, name)))
            folders.remove(name)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in sorted(here):
            if name == FILE:
                files.notes.append(f"{os.path.join(folder, name)} is not read: give it by itself")
            elif not name.startswith("."):
                _add(os.path.join(folder, name), files)


def _unreadable(error: OSError) -> None:
    fault = f"cannot be read ({error.strerror})"
    raise DataError(fault, where=error.filename, remedy="make the folder readable") from error


def _add(path: str, files: Files) -> bool:
    """Takes a file in if it can be a source; whether it is told of."""
    path = os.path.abspath(path)  # A manifest of relative paths could not be moved.
    suffix = pathlib.Path(path).suffix.lower()
    if os.path.isdir(path) or suffix in (*rasters.SUFFIXES, *cubes.SUFFIXES):
        files.paths.append(path)
    elif suffix == ".csv" and os.path.basename(path) == FILE:
        files.manifests.append(path)
    elif suffix in _PACKED:
        files.left_out.append((path, "packed: unpack it first"))
    elif suffix not in _IGNORED:
        files.left_out.append((path, f"{suffix} is no suffix of a raster that is read"))
    else:
        files.pictures += [path] * (suffix in _PICTURES)
        return False
    return True


def best(files: Files) -> None:
    """Leaves out files that others take the place of, in `files`: each is counted or named.

    Of the bands of a granule the finest that there is, of a granule that was processed twice the
    later, of THEIA's reflectances those that are corrected for slopes, in place.

    Raises:
      DataError: If metadata of a product cannot be read.
    """
    named = {path: names.of_file(pathlib.Path(path).stem) for path in files.paths}
    others = [path for path, name in named.items() if _beside(path, name)]
    if others:
        text = (
            f"not read, neither the ground nor clouds: {counted(len(others), 'file')} of products"
        )
        files.notes.append(f"{text}, {others[0]} say")
    for path in others:
        del named[path]
    groups = collections.defaultdict(list)
    for path, name in named.items():
        if name.form in ("granule", "theia") and name.channels:
            groups[_place(path, name)].append(path)
    dropped: dict[str, str] = {}
    for group in groups.values():
        group.sort(key=lambda path: _rank(path, named[path]))
        for path in group[1:]:
            dropped[path] = _reason(path, group[0])
    versions = collections.defaultdict(dict)
    for path, name in named.items():
        if name.form == "granule":
            product = product_of(path)
            granule = re.match(r"(?:L2A_)?(T.{5}_[0-9]{8}T[0-9]{6})", os.path.basename(path))[1]
            versions[granule].setdefault((product.level, product.baseline), []).append(path)
    for granule, of_version in versions.items():
        newest = max(of_version)
        for version, paths in of_version.items():
            if version != newest:
                was, now = (f"baseline {v[1] or '?'} {v[0]}".strip() for v in (version, newest))
                reason = f"{granule} is there in {now} too: {was} is not taken"
                files.left_out.append((os.path.commonpath(paths), reason))
                dropped.update(dict.fromkeys(paths, ""))
    for reason, number in collections.Counter(filter(None, dropped.values())).items():
        files.notes.append(f"not read, {reason}: {counted(number, 'file')}")
    files.paths = [path for path in named if path not in dropped]


def _beside(path: str, name: names.Named) -> bool:
    """Whether a file of a product is neither a band nor a mask that is read.

    Raises:
      DataError: If it is of Sentinel-1 as it is delivered.
    """
    folder = folder_of(pathlib.Path(path).parent)
    if folder is not None and re.match(r"S1[A-D]_", folder.name):
        fault = "a product of Sentinel-1 as it is delivered, not on the ground yet"
        remedy = "correct it for terrain first, by SNAP, S1Tiling or HyP3 say"
        raise DataError(fault, where=folder, remedy=remedy)
    if name.form in ("granule", "theia"):
        return not name.channels
    return folder is not None


def _place(path: str, name: names.Named) -> tuple[str, ...]:
    """What files of one band of one scene have in common."""
    folder, base = os.path.split(path)
    if re.fullmatch(r"R[126]0m", os.path.basename(folder)) or name.channels[0].channel == MASK:
        folder = os.path.dirname(folder)
    scene = re.split(r"_(?:[SF]RE_B|CLM)", base)[0] if name.form == "theia" else base[:22]
    return folder, scene, name.channels[0].channel


def _rank(path: str, name: names.Named) -> tuple[object, ...]:
    return (name.metres or 10, "_SRE_" in path, path)


def _reason(path: str, taken: str) -> str:
    if "_SRE_" in path and "_FRE_" in taken:
        return "SRE, where FRE, corrected for slopes, is there"
    return "the same bands are there in smaller pixels"


def counted(number: int, thing: str) -> str:
    """A number of things, for a line: ``1 file`` or ``2 files``."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def scanned(paths: Sequence[str]) -> str:
    """The first of several files, for a line, and how many there are."""
    return f"{paths[0]} and {counted(len(paths) - 1, 'other')}" if paths[1:] else paths[0]
