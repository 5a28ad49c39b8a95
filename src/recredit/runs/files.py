"""Files written whole or not at all, and still there after a power cut; netCDF through xarray."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from recredit.errors import real_file
from recredit.runs.ending import WRITING

if TYPE_CHECKING:
    import xarray as xr

LEFT_BEHIND = ".recredit-"
"""What the name of a file begins with that is not yet whole."""


def writable_folder(folder: Path, files: Iterable[str] = ()) -> Path:
    """Make a folder and its `cells`, and make sure that these files can be written. Raises ValueError if not."""
    for each, names in {folder: files, folder / "cells": ("a cell",)}.items():
        try:
            each.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            broken = "it is a link that leads nowhere" if each.is_symlink() and not each.exists() else "it is a file"
            why = broken if isinstance(error, FileExistsError) else error.strerror
            raise ValueError(f"cannot write to the folder {each}: {why}.") from None
        for name in names:
            check_writable(each / name)
    return folder


def check_writable(file: Path) -> None:
    """Raise ValueError unless a file of this name can be written; nothing is made, its folder neither."""
    if file.is_dir():
        raise ValueError(f"{file} is a folder, but a file must be written there.")
    try:
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to the folder {file.parent}: {error.strerror}.") from None


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to be written, which is there, whole, when the block ends, or not at all: a temporary file beside it comes first,
    and one move puts it in place.

    Raises ValueError, with the system's reason, if that fails; nothing half-written is left behind.
    """
    name = None
    try:
        with WRITING:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=LEFT_BEHIND, suffix=path.suffix)
            with os.fdopen(handle, "w+b") as file:
                yield file
                file.flush()
                os.fsync(handle)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
            name = None
            _sync(path.parent)
    except OSError as error:
        raise unwritten(path, error) from None
    finally:
        if name:
            with contextlib.suppress(OSError):
                os.unlink(name)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises as `whole` does."""
    with whole(path) as file:
        file.write(content)


def reserve(file: BinaryIO, size: int) -> None:
    """Have a file of so many bytes, for which there is room on the disk. Raises OSError if there is none."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:  # macOS and Windows: what is written later may find the disk full
        file.truncate(size)


def unwritten(path: Path, error: OSError) -> ValueError:
    """What to raise if the system, with this error, does not have a file or a folder written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ValueError(f"no space left in {path.parent} to write {path.name}.")
    if not path.parent.exists():
        return ValueError(f"cannot write {path}: the folder {path.parent} is gone.")
    return ValueError(f"cannot write {path}: {error.strerror or error}.")


def make_folder(folder: Path) -> Path:
    """Make a folder in one that is there, unless it is there, too. Raises ValueError, with the system's reason, if not."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise unwritten(folder, error) from None
    return folder


def tidy(folder: Path) -> None:
    """Remove what processes that were ended while they wrote left behind, here and one folder below, and folders that are only
    needed meanwhile, if they are empty. Only if nobody writes."""
    for file in (*folder.glob(f"{LEFT_BEHIND}*"), *folder.glob(f"*/{LEFT_BEHIND}*")):
        with contextlib.suppress(OSError):  # it is in nobody's way
            file.unlink()
    for passing in ("running", "checkpoints", "recorded"):
        with contextlib.suppress(OSError):  # there is none, or it is not empty
            (folder / passing).rmdir()


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    if os.name == "nt":
        return  # where no folder can be opened
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that syncs no folders
            raise
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Large(NamedTuple):
    """A variable of a dataset that is written in parts, since it may be larger than the memory."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    """The shape of the pieces of the file that are read as one."""
    attrs: Mapping[str, Any]
    parts: Callable[[], Iterator[tuple[Any, np.ndarray]]]
    """Where each part belongs, and the part."""

    def size(self) -> int:
        """Bytes in the file, at most."""
        pieces = math.prod(-(-length // chunk) for length, chunk in zip(self.shape, self.chunks, strict=True))
        return pieces * (math.prod(self.chunks) * self.dtype.itemsize + 200)


def write_dataset(path: Path, data: xr.Dataset, large: Mapping[str, Large] | None = None) -> None:
    """Write a dataset as netCDF 4, whole or not at all; with further variables that are `large`, by their names."""
    # In memory first: on a full disk, HDF5 prints tracebacks of its own, and ends the process later.
    content = bytes(data.to_netcdf(engine="h5netcdf"))
    with whole(path) as file:
        file.write(content)
        if large:
            reserve(file, len(content) + 1_000_000 + sum(each.size() for each in large.values()))  # so it is never full
            _add(file, large)


def _add(file: BinaryIO, large: Mapping[str, Large]) -> None:
    import h5netcdf

    with h5netcdf.File(file, "a") as netcdf:
        for name, each in large.items():
            for dim, length in zip(each.dims, each.shape, strict=True):
                if dim not in netcdf.dimensions:
                    netcdf.dimensions[dim] = length
            fill = np.nan if each.dtype.kind == "f" else None
            variable = netcdf.create_variable(name, each.dims, each.dtype, chunks=each.chunks, fillvalue=fill)
            variable.attrs.update(each.attrs)
            for place, part in each.parts():
                variable[place] = part


def read_dataset(path: str | Path) -> xr.Dataset:
    """Read a dataset into memory, but for what is recorded, which may be too large for it. Raises ValueError if the file is
    missing or is not netCDF."""
    import xarray as xr

    try:
        file = real_file(Path(path)).absolute()  # a relative one may look like an address
        with xr.open_dataset(file, engine="h5netcdf") as data:
            return data.drop_vars([name for name in data.variables if str(name).startswith(("recorded_", "step_"))]).load()
    except Exception as error:
        raise ValueError(f"{path} cannot be read as netCDF: {error}") from None
