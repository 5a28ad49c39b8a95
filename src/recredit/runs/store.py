"""Results on disk: netCDF through xarray, written whole or not at all, each file saying what it is."""

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray as xr


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    packages = ("recredit", "jax", "jaxlib", "equinox", "optax", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def writable_folder(folder: str | Path) -> Path:
    """Make a folder, and make sure that files can be written there. Raises ValueError if not."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to the folder {folder}: {error.strerror}.") from None
    return folder


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one move."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    os.close(handle)
    try:
        write(Path(name))
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_dataset(path: Path, data: xr.Dataset) -> None:
    """Write a dataset as netCDF 4, whole or not at all."""
    write_whole(path, lambda temporary: data.to_netcdf(temporary, engine="h5netcdf"))


def read_dataset(path: str | Path) -> xr.Dataset:
    """Read a dataset into memory. Raises ValueError if the file is missing or is not netCDF."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as data:
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
