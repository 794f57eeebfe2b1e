"""Files: regular ones alone are read, and they are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pathlib
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

import filelock

from pastis_jax.errors import ArgumentError, UserError

LEFT = f"*.{'[0-9a-f]' * 8}.partial"
"""Names of what a process leaves behind that is killed while it writes, as a pattern."""
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(file: str | os.PathLike[str]) -> io.FileIO:
    """Opens a regular file to be read; another, a pipe say, is refused and never waited for.

    Raises:
      OSError: If it cannot be opened or is no regular file.
    """
    return io.FileIO(regular_descriptor(file)[0], "rb")


def regular_descriptor(file: str | os.PathLike[str]) -> tuple[int, os.stat_result]:
    """Opens a file as `open_regular` does: its descriptor, to be closed, and its state."""
    descriptor = os.open(file, _FLAGS)
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        kind = "a directory, " if stat.S_ISDIR(state.st_mode) else ""
        raise OSError(None, f"{kind}not a regular file", os.fspath(file))
    return descriptor, state


def read_regular(file: str | os.PathLike[str], most: int) -> bytes:
    """Reads a regular file; a damaged one may pretend any size.

    Args:
      file: The file.
      most: Bytes that it may have.

    Raises:
      OSError: If it cannot be opened or is no regular file.
      ValueError: If it is larger.
    """
    with open_regular(file) as stream:
        if (size := os.fstat(stream.fileno()).st_size) > most:
            raise ValueError(f"{size:,} bytes long, more than {most:,}")
        return stream.readall()


@contextlib.contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a file to be written, which takes its name when all of it is written.

    Until then the content lies beside it in a file of its own, `NAME.TOKEN.partial`, which is made
    anew and so follows no link. If anything fails, that file is removed and one that was there
    under `path` stays as it was; a link there is replaced, and what it leads to is left alone.

    Args:
      path: The file; its folder is made.

    Raises:
      UserError: If there is something else than a file, such as a folder or a device.
      OSError: If it cannot be written, naming `path`, with what to do as a note.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise UserError("not a file", where=path, remedy="give another name")
    with naming(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name[:40]}.{secrets.token_hex(4)}.partial")
    with naming(path, instead_of=scratch):
        file = scratch.open("xb")
        try:
            with file:
                yield file
            scratch.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                scratch.unlink()
            raise


def remove_left(folder: pathlib.Path) -> None:
    """Removes what processes left anywhere in a folder that were killed while they wrote.

    Only for who holds the folder: others may be writing just now.

    Raises:
      OSError: If something cannot be removed.
    """
    for file in folder.rglob(LEFT):
        file.unlink()


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file as `whole` does; text as UTF-8."""
    with whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def naming(
    path: str | os.PathLike[str], *, instead_of: str | os.PathLike[str] | None = None
) -> Iterator[None]:
    """Lets an OSError that names no file, such as that of a full disk, name `path`.

    Args:
      path: The file or folder that is written.
      instead_of: A name that is nobody's business: an error with it names `path` as well.

    Raises:
      OSError: With what to do as a note.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and error.filename != (instead_of and os.fspath(instead_of)):
            raise
        fault = error.strerror or str(error)
        named = OSError(error.errno or errno.EIO, fault, os.fspath(path))
        named.add_note("make room there, or write elsewhere")
        raise named from error


@contextlib.contextmanager
def whole_folder(out: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a folder beside `out` to write in, and makes it `out` once everything is there.

    Args:
      out: The folder to make.

    Raises:
      UserError: If it exists and is not empty, or cannot be made or written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        remedy = "give a new or empty folder, or remove this one first"
        raise UserError("not an empty folder", where=out, remedy=remedy)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    except OSError as error:
        remedy = "give a folder that can be written"
        raise UserError(error.strerror or str(error), where=out, remedy=remedy) from None
    try:
        yield folder
        folder.chmod(0o755)
        try:
            folder.rename(out)  # takes the place of an empty folder
        except OSError as error:
            remedy = "another process made it meanwhile: use that, or give a new folder"
            raise UserError("not an empty folder", where=out, remedy=remedy) from error
    except OSError as error:  # a full disk, say
        shutil.rmtree(folder, ignore_errors=True)
        remedy = "give a folder that can be written, with room enough"
        raise UserError(error.strerror or str(error), where=out, remedy=remedy) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def check_new(out: pathlib.Path) -> None:
    """Refuses a folder to be made that is there and not empty, or cannot be.

    Raises:
      ArgumentError: Naming the folder.
    """
    try:
        full = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        fault, remedy = f"{out} cannot be read ({error.strerror})", "give a new folder"
        raise ArgumentError(fault, argument="out", remedy=remedy) from error
    if full:
        raise ArgumentError(f"{out} exists already", argument="out", remedy="give a new folder")


@contextlib.contextmanager
def held(folder: pathlib.Path, out: pathlib.Path, stays: Callable[[], bool]) -> Iterator[None]:
    """Makes the folder in which `out` is made, for this process alone.

    Args:
      folder: To make, if it is not there.
      out: What is made in it.
      stays: Whether it is left at the end; else it is removed.

    Raises:
      ArgumentError: If another process has it.
      OSError: If it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        fault, remedy = f"another process is making {out}", "wait for it"
        raise ArgumentError(fault, argument="out", remedy=remedy) from None
    try:
        yield
    finally:
        # Before it is unlocked, so that nobody takes it over meanwhile.
        if folder.exists() and not stays():
            shutil.rmtree(folder)
        lock.release()
