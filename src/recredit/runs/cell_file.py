"""The file of one cell: netCDF as xarray writes it, then a record that says what it is and how to tell that it is whole.

    netCDF bytes
    the record, one line of JSON: identity, when, where and how it was made, what it came to, size and checksum of the netCDF
    the last line, of always the same length: what this is, the record's size and checksum

HDF5 reads a file by its beginning and minds nothing behind its end, so that whatever opens netCDF opens a cell; and a list of
many cells reads their ends only.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import xarray as xr

from recredit.errors import real_file
from recredit.runs.identity import Cell, file_name

FORMAT = 1
_LAST = re.compile(rb"\nrecredit cell (\d{4}), record of (\d{8}), sha256 ([0-9a-f]{64})\n")
DIMS = {
    "loss": ("seed", "step"),
    "loss_at_start": ("seed",),
    "diverged_at": ("seed",),
    "seconds": ("seed",),
    "W": ("seed", "unit", "source"),
    "W_out": ("seed", "output", "unit"),
    "b_out": ("seed", "output"),
}
OBSERVED = {
    **dict.fromkeys(("cosine", "norm_ratio", "compared", "not_finite"), ("seed", "observer", "step")),
    "not_finite_at": ("seed", "observer"),
}


class DamagedError(ValueError):
    """A file in a cell's place is not that cell, whole; the message is why, as a clause."""


def encoded(data: xr.Dataset) -> Iterator[bytes]:
    """Each seed's part of a dataset (seed first, wherever it is) as netCDF."""
    first = bytes(data.isel(seed=[0]).to_netcdf(engine="h5netcdf"))
    yield first
    for i in range(1, data.sizes["seed"]):
        buffer = io.BytesIO(first)  # the same file with other numbers: 1 ms, where xarray takes 30
        with h5py.File(buffer, "r+") as file:
            for name, values in seeded(data).items():
                file[name][...] = values[i : i + 1]  # pyright: ignore[reportIndexIssue]
        yield buffer.getvalue()


def sealed(netcdf: bytes, record: Mapping[str, Any]) -> bytes:
    """The content of a cell's file."""
    told = {"size": len(netcdf), "sha256": hashlib.sha256(netcdf).hexdigest(), **record}
    line = json.dumps(told, allow_nan=False).encode()
    return netcdf + line + _last_line(line)


def _last_line(record: bytes) -> bytes:
    told = FORMAT, len(record), hashlib.sha256(record).hexdigest().encode()
    return b"\nrecredit cell %04d, record of %08d, sha256 %s\n" % told


LAST = len(_last_line(b""))


def read_record(path: Path) -> dict[str, Any]:
    """What a cell's file says of itself; of the rest, only the size is looked at.

    Raises DamagedError if it is no cell's file, or not of the name that it should have; OSError if it cannot be read.
    """
    with _opened(path) as file:
        return _record(file, path)


def read_netcdf(path: Path) -> tuple[dict[str, Any], bytes]:
    """The record of a cell's file and its netCDF, whose checksum is right. Raises as `read_record` does."""
    with _opened(path) as file:
        record = _record(file, path)
        file.seek(0)
        netcdf = file.read(record["size"])
    if hashlib.sha256(netcdf).hexdigest() != record["sha256"]:
        raise DamagedError("its checksum is wrong")
    return record, netcdf


def _opened(path: Path) -> BinaryIO:
    try:
        return open(real_file(path), "rb", buffering=0)
    except IsADirectoryError:
        raise DamagedError("it is a folder") from None
    except OSError as error:
        if path.exists() and not path.is_file():
            raise DamagedError(str(error.strerror)) from None
        raise


def _record(file: BinaryIO, path: Path) -> dict[str, Any]:
    end = file.seek(0, io.SEEK_END)
    start = file.seek(max(0, end - 4096))
    tail = file.read(end - start)
    if not (last := _LAST.fullmatch(tail[-LAST:])):
        raise DamagedError("it is cut short, or no file of recredit's")
    if int(last[1]) != FORMAT:
        raise DamagedError(f"it has the format {int(last[1])} of cells, where this recredit knows {FORMAT}")
    size = int(last[2])
    if size + LAST > len(tail):
        file.seek(max(0, end - size - LAST))
        tail = file.read(size + LAST)
    line = tail[-size - LAST : -LAST]
    if hashlib.sha256(line).hexdigest().encode() != last[3]:
        raise DamagedError("the checksum of its record is wrong")
    record = json.loads(line)
    if record["size"] + size + LAST != end:
        raise DamagedError(f"it has {end:,} bytes where {record['size'] + size + LAST:,} belong")
    if file_name(record["identity"]) != path.name:
        raise DamagedError("it holds another cell than its name says")
    return record


def opened(cell: Cell, netcdf: bytes) -> xr.Dataset:
    """A cell's netCDF as a dataset in memory.

    Raises DamagedError for what xarray cannot read, and for what has not the variables and sizes that its run says.
    """
    try:
        data = xr.load_dataset(io.BytesIO(netcdf), engine="h5netcdf")
    except Exception as error:  # whatever a library says to bytes like these
        raise DamagedError(f"it cannot be read as netCDF ({error})") from None
    run = cell.run
    for name, dims in (DIMS | OBSERVED if run.observers else DIMS).items():
        if name not in data or data[name].dims != dims:
            raise DamagedError(f"it has no {name} ({', '.join(dims)})")
    ends = [min(first + run.bin, run.steps) for first in range(0, run.steps, run.bin)]
    for name, values in {"seed": [cell.seed], "step": ends, "unit": list(range(run.network["n"]))}.items():
        if data[name].values.tolist() != values:
            raise DamagedError(f"its {name} is not what its run says")
    if sorted(run.observers) != sorted(data.coords.get("observer", xr.DataArray([])).values.tolist()):
        raise DamagedError("its observers are not those of its run")
    return data


def seeded(data: xr.Dataset) -> dict[str, np.ndarray]:
    """The arrays of a dataset that belong to its seeds."""
    return {str(name): variable.values for name, variable in data.variables.items() if "seed" in variable.dims}


def seeded_like(first: xr.Dataset, cell: Cell, netcdf: bytes) -> dict[str, np.ndarray]:
    """The same of the netCDF of a cell that differs from the `first` in its seed: in 1 ms, where xarray takes 25.

    Raises DamagedError for what h5py cannot read, and for what differs from the first in more.
    """
    try:
        with h5py.File(io.BytesIO(netcdf)) as file:
            variables: dict[str, Any] = {str(name): file[str(name)] for name in first.variables}
            arrays = {k: v.asstr()[()] if h5py.check_string_dtype(v.dtype) else v[()] for k, v in variables.items()}
    except Exception as error:
        raise DamagedError(f"it cannot be read as netCDF ({error})") from None
    for name, variable in first.variables.items():
        array = arrays[str(name)]
        same = array.shape == variable.shape if "seed" in variable.dims else np.array_equal(array, variable.values)
        if not same:
            raise DamagedError(f"its {name} is not like that of the run's other seeds")
    if arrays["seed"].tolist() != [cell.seed]:
        raise DamagedError("its seed is not what its run says")
    return {name: arrays[name].astype(values.dtype) for name, values in seeded(first).items()}
