"""Results on disk: netCDF through xarray, written whole or not at all, each file saying what it is."""

import errno
import hashlib
import os
import platform
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray as xr

from recredit import __version__
from recredit.errors import real_file
from recredit.runs.ending import WRITING


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    packages = ("jax", "jaxlib", "equinox", "optax", "numpy")
    return {"python": platform.python_version(), "recredit": __version__} | {name: version(name) for name in packages}


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
        raise ValueError(f"{file} is a folder, where a file is to be written.")
    try:
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to the folder {file.parent}: {error.strerror}.") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it first, which is then put in place in one move.

    Raises ValueError, with the system's reason, if that fails; nothing half-written is left behind.
    """
    name = None
    try:
        with WRITING:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ValueError(f"no space left in {path.parent} to write {path.name}.") from None
        raise ValueError(f"cannot write {path}: {error.strerror or error}.") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_dataset(path: Path, data: xr.Dataset) -> None:
    """Write a dataset as netCDF 4, whole or not at all."""
    # In memory first: on a full disk, HDF5 prints tracebacks of its own, and ends the process later.
    write_whole(path, bytes(data.to_netcdf(engine="h5netcdf")))


def read_dataset(path: str | Path) -> xr.Dataset:
    """Read a dataset into memory. Raises ValueError if the file is missing or is not netCDF."""
    try:
        with xr.open_dataset(
            real_file(Path(path)).absolute(), engine="h5netcdf"
        ) as data:  # a relative one may look like an address
            return data.load()
    except Exception as error:
        raise ValueError(f"{path} cannot be read as netCDF: {error}") from None


def cell_path(folder: Path, run: str, seeds: Iterable[int]) -> Path:
    """Where the results of a run (its text) for some seeds belong."""
    seeds = sorted(seeds)
    digest = hashlib.sha256(f"{run} {seeds}".encode()).hexdigest()[:16]
    return folder / "cells" / f"{digest}.nc"


def read_cell(folder: Path, run: str) -> xr.Dataset | None:
    """All finished seeds of a run (its text) in a folder, in order; None if there are none."""
    found = []
    for path in sorted((folder / "cells").glob("[!.]*.nc")):  # a leading dot: half-written
        try:
            data = read_dataset(path)
        except ValueError:
            continue  # not ours, or broken by hand: it is computed anew
        if data.attrs.get("run") == run:
            found.append(data)
    if not found:
        return None
    together = xr.concat(found, "seed", combine_attrs="drop_conflicts").sortby("seed")
    return together.isel(seed=np.unique(together.seed, return_index=True)[1])


def read_seeds(folder: Path, run: str, seeds: Iterable[int]) -> xr.Dataset:
    """These seeds of a run (its text), which have been computed. Raises ValueError if one of them is gone meanwhile."""
    data = read_cell(folder, run)
    missing = sorted({*seeds} - {*(data.seed.values.tolist() if data is not None else ())})
    if data is None or missing:
        raise ValueError(
            f"{folder / 'cells'} has changed meanwhile: seed {missing[0]} is gone; the same command computes it again."
        )
    return data.sel(seed=list(seeds))
