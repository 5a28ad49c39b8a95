"""What the file of a cell says of itself, behind the netCDF that it holds.

    netCDF bytes
    the record, one line of JSON: identity, when, where and how it was made, what it came to, size and checksum of the netCDF
    the last line, of always the same length: what this is, the record's size and checksum

HDF5 reads a file by its beginning and minds nothing behind its end, so that whatever opens netCDF opens a cell; and a list of
many cells reads their ends only.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from recredit.errors import real_file
from recredit.runs.identity import file_name

FORMAT = 1
_LAST = re.compile(rb"\nrecredit cell (\d{4}), record of (\d{8}), sha256 ([0-9a-f]{64})\n")


class DamagedError(ValueError):
    """A file in a cell's place is not that cell, whole; the message is why, as a clause."""


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
        raise DamagedError("it is cut short, or not a file of recredit")
    if int(last[1]) != FORMAT:
        raise DamagedError(f"its cell format is {int(last[1])}, and this version of recredit reads {FORMAT}")
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
        raise DamagedError("it holds a different cell than its name says")
    return record


def records(folder: Path) -> Iterator[tuple[Path, dict[str, Any] | str]]:
    """Every file in a folder's `cells` with what it says of itself, or why it is no cell; of each, only the end is read."""
    for entry in sorted(entries(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        try:
            yield path, read_record(path)
        except DamagedError as error:
            yield path, str(error)
        except FileNotFoundError:  # since it was listed
            pass


def entries(folder: Path) -> list[os.DirEntry]:
    """The files in a folder's `cells`, but for what is being written."""
    try:
        with os.scandir(folder / "cells") as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
