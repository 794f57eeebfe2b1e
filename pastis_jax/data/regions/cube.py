"""The arrays of a Region's cube: Zarr version 3, made here, read and written by TensorStore."""

from __future__ import annotations

import copy
import errno
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorstore

from pastis_jax.errors import DataError
from pastis_jax.files import naming, write_whole

FOLDER = "cube.zarr"
_ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}
_ARRAY: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "storage_transformers": [],
}
REMEDY = "ingest the Region again, or copy it again"


def make_group(folder: pathlib.Path, attributes: Mapping[str, Any] | None = None) -> None:
    """Writes the metadata of a Zarr group."""
    content = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes or {})}
    write_whole(folder / "zarr.json", json.dumps(content, indent=1))


def make_array(
    folder: pathlib.Path,
    shape: Sequence[int],
    dtype: str,
    *,
    names: Sequence[str],
    chunks: Sequence[int],
    shards: Sequence[int] | None = None,
    fill: float | int = 0,
    compress: bool = True,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Writes the metadata of a Zarr array.

    Args:
      folder: Of the array.
      shape: Its shape.
      dtype: Name of its NumPy type.
      names: Of its axes.
      chunks: Shape of what is compressed as one.
      shards: Shape of what is one file, in whole chunks; None makes each chunk one.
      fill: What is read where nothing was written.
      compress: Whether chunks are compressed: LZ4 of shuffled bits, which reads fastest.
      attributes: For other readers.
    """
    wide = np.dtype(dtype).itemsize
    codecs: list[dict[str, Any]] = [_ENDIAN if wide > 1 else {"name": "bytes"}]
    if compress:
        packed = {"cname": "lz4", "clevel": 1, "shuffle": "bitshuffle", "blocksize": 0}
        codecs += [{"name": "blosc", "configuration": packed | {"typesize": wide}}]
    if shards is not None:
        inner = {"chunk_shape": [*chunks], "codecs": codecs, "index_location": "end"}
        inner["index_codecs"] = [_ENDIAN, {"name": "crc32c"}]
        codecs = [{"name": "sharding_indexed", "configuration": inner}]
    content = copy.deepcopy(_ARRAY) | {
        "shape": [*shape],
        "data_type": np.dtype(dtype).name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*(shards or chunks)]}},
        "fill_value": "NaN" if fill != fill else fill,
        "codecs": codecs,
        "dimension_names": [*names],
        "attributes": dict(attributes or {}),
    }
    write_whole(folder / "zarr.json", json.dumps(content, indent=1))


def write_array(folder: pathlib.Path, values: np.ndarray, names: Sequence[str], **attributes: Any):
    """Writes a small array, as one chunk."""
    shape = [max(side, 1) for side in values.shape]
    make_array(
        folder, values.shape, values.dtype.name, names=names, chunks=shape, attributes=attributes
    )
    put(open_array(folder), (), values)


def open_array(folder: pathlib.Path) -> tensorstore.TensorStore:
    """Opens an array to be read or written.

    Raises:
      DataError: If it is missing, or no such array.
    """
    if not (folder / "zarr.json").is_file():
        raise DataError("there is no such array", where=folder, remedy=REMEDY)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder.resolve()}/"}}
    try:
        return tensorstore.open(spec, open=True).result()
    except (ValueError, OSError) as error:
        raise DataError(_fault(error), where=folder, remedy=REMEDY) from error


def get(array: tensorstore.TensorStore, where: Any, folder: pathlib.Path) -> np.ndarray:
    """Reads a part of an array.

    Args:
      array: What `open_array` gave.
      where: Index of the part.
      folder: For the message.

    Raises:
      DataError: If what is stored is damaged or cannot be read.
    """
    try:
        return array[where].read().result()
    except (ValueError, OSError) as error:
        raise DataError(_fault(error), where=folder, remedy=REMEDY) from error


def put(array: tensorstore.TensorStore, where: Any, values: np.ndarray) -> None:
    """Writes a part of an array; each file of it appears whole or not at all.

    Raises:
      OSError: If it cannot be written, when a disk is full say.
    """
    folder = pathlib.Path(array.kvstore.path)
    with naming(folder):
        try:
            (array[where] if where != () else array).write(values).result()
        except ValueError as error:  # TensorStore has no type of its own for what a disk refuses
            raise _refused(str(error)) from error


def _refused(text: str) -> OSError:
    """What the system refused: TensorStore has its words, and not its number."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM):
        if (said := os.strerror(number)) in text:
            return OSError(number, said)
    return OSError(None, _fault(text))


def _fault(error: Exception | str) -> str:
    """What TensorStore says, without the code's own places in it."""
    text = " ".join(str(error).split())
    return f"cannot be read or written ({text.partition(' [')[0]})"
