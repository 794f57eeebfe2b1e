"""The weights of a run, weights.npz: what its headers say is compared before any array is made."""

from __future__ import annotations

import hashlib
import pathlib
import zipfile
from collections.abc import Mapping
from typing import BinaryIO

import jax
import numpy as np
from flax import traverse_util
from jaxtyping import Array, PyTree

from pastis_jax.errors import UserError
from pastis_jax.training import write_arrays

WEIGHTS = "weights.npz"
REMEDY = "copy the run again, or train it anew"


def write(folder: pathlib.Path, variables: PyTree[Array]) -> str:
    """Writes the weights of a run; returns the SHA-256 of their file."""
    flat = traverse_util.flatten_dict(jax.device_get(variables), sep="/")
    write_arrays(folder / WEIGHTS, flat)
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(
    folder: pathlib.Path, shapes: PyTree[jax.ShapeDtypeStruct], digest: str | None = None
) -> PyTree[np.ndarray]:
    """Reads the weights of a run.

    Args:
      folder: Of the run.
      shapes: What the model takes.
      digest: SHA-256 of the file; None for a run of a version that wrote none down.

    Raises:
      UserError: If the file is damaged, or not of this model.
    """
    file = folder / WEIGHTS
    wanted = traverse_util.flatten_dict(shapes, sep="/")
    try:
        if file.exists() and not file.is_file():
            raise ValueError("it is no file")
        # NumPy leaves a damaged file open that it has opened itself.
        with file.open("rb") as opened:
            _check(opened, wanted)
            opened.seek(0)
            if digest is not None and hashlib.file_digest(opened, "sha256").hexdigest() != digest:
                raise ValueError("its content is not what was written: the checksum differs")
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as content:
                weights = {name: content[name] for name in wanted}
    except FileNotFoundError:
        raise UserError("file not found", where=file, remedy=REMEDY) from None
    except Exception as error:  # Of damage, NumPy and zipfile tell by almost any class.
        fault = f"cannot be read ({type(error).__name__}: {error})"
        raise UserError(fault, where=file, remedy=REMEDY) from error
    return traverse_util.unflatten_dict(weights, sep="/")


def _check(file: BinaryIO, wanted: Mapping[str, jax.ShapeDtypeStruct]) -> None:
    """Compares names, shapes and types of an .npz file with those wanted, by its headers alone.

    Raises:
      ValueError: Naming the first array that differs.
    """
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        names = {name.removesuffix(".npy") for name in members}
        if differing := sorted(names ^ wanted.keys()):
            raise ValueError(f"{differing[0]} is of the file or of the model alone")
        for name, like in wanted.items():
            member = members[f"{name}.npy"]
            # As it is written; what is compressed may be a thousand times larger than the file.
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} is compressed")
            with archive.open(member) as array:
                version = np.lib.format.read_magic(array)
                read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
                    version, np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(array)
            if dtype.hasobject:
                raise ValueError(f"{name} holds objects, which only a pickle makes")
            if shape != like.shape:
                raise ValueError(f"{name} has shape {shape}, not {like.shape}")
            if dtype != like.dtype:
                raise ValueError(f"{name} is of type {dtype}, not {like.dtype}")
