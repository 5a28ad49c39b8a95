"""What is recorded of runs, on the disk: a NumPy file for each quantity of each seed, written in place as training goes.

DIR/recorded/CELL/r.npy   (row, ...): as many rows as the whole run has
"""

import functools
import hashlib
import itertools
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from recredit.contract import example_key
from recredit.errors import real_file
from recredit.runs.files import Large, make_folder, reserve, unwritten
from recredit.runs.identity import Cell
from recredit.runs.record import DamagedError
from recredit.runs.settings import Run, Start
from recredit.runs.start import source_of
from recredit.training.recording import ENDS, Recording, missing

PART = 1_000_000  # bytes that are read or written at once, roughly, and of a piece of a netCDF file


def recording_of(run: Run) -> Recording:
    """What is recorded of a run."""
    task, network = run.build_task(), run.build_network()
    net = jax.eval_shape(functools.partial(network.create, task.n_in, task.n_out, task.head), example_key())
    return Recording(run.every, run.steps, run.bin, run.streams, net, task.epochs)


@dataclass(frozen=True)
class Rows:
    """The rows of a NumPy file, a part of which is read or written at a time."""

    path: Path
    shape: tuple[int, ...]
    """Of all rows."""
    dtype: np.dtype[Any]
    begin: int
    """Where in the file they begin."""

    @classmethod
    def create(cls, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> "Rows":
        """A file with room for all rows. Raises ValueError if there is none."""
        try:
            with open(path, "wb") as file:
                header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                reserve(file, file.tell() + math.prod(shape) * dtype.itemsize)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise unwritten(path, error) from None
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "Rows":
        """The rows of a file that is there. Raises DamagedError for what is no such file, or not whole."""
        try:
            with open(real_file(path), "rb") as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                begin, size = file.tell(), file.seek(0, 2)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise DamagedError(f"{path.parent.name}/{path.name} cannot be read ({why})") from None
        if size != begin + math.prod(shape) * dtype.itemsize:
            raise DamagedError(f"{path.parent.name}/{path.name} is cut short")
        return cls(path, shape, dtype, begin)

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def at_once(self) -> int:
        """How many rows are read at once."""
        return min(len(self), max(1, PART // (math.prod(self.shape[1:]) * self.dtype.itemsize)))

    def __len__(self) -> int:
        return self.shape[0]

    def write(self, first: int, rows: np.ndarray) -> None:
        """Write rows in their place, from the row `first` on. Raises ValueError if the system does not have them written."""
        try:
            with open(self.path, "r+b") as file:
                file.seek(self.begin + first * math.prod(self.shape[1:]) * self.dtype.itemsize)
                file.write(np.ascontiguousarray(rows, self.dtype).data)
        except OSError as error:
            raise unwritten(self.path, error) from None

    def parts(self) -> Iterator[tuple[int, np.ndarray]]:
        """All rows, a part at a time, each with the number of its first row."""
        with open(self.path, "rb") as file:
            file.seek(self.begin)
            for first in range(0, len(self), self.at_once):
                shape = (min(self.at_once, len(self) - first), *self.shape[1:])
                yield first, np.fromfile(file, self.dtype, math.prod(shape)).reshape(shape)

    def clear(self, first: int) -> None:
        """Make all rows from the row `first` on missing."""
        for at, part in self.nothing(first, len(self)):
            self.write(at, part)

    def nothing(self, first: int, end: int) -> Iterator[tuple[int, np.ndarray]]:
        """Missing rows for those from `first` to `end`, a part at a time, each with the number of its first row."""
        for at in range(first, end, self.at_once):
            yield at, np.full((min(self.at_once, end - at), *self.shape[1:]), missing(self.dtype), self.dtype)

    def sync(self) -> None:
        """Have what is written on the disk. Raises ValueError if the system does not."""
        try:
            with open(self.path, "r+b") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritten(self.path, error) from None

    def digest(self) -> str:
        """The fingerprint of the whole file."""
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class Recorder:
    """Writes what is recorded of cells that are trained together."""

    def __init__(self, folder: Path, cells: Sequence[Cell]):
        self.folder, self.cells = folder, cells
        self.rows: dict[str, list[Rows]] = {}

    @functools.cached_property
    def recording(self) -> Recording:
        return recording_of(self.cells[0].run)

    def is_begun(self) -> bool:
        """Whether the files of all cells are there, whole."""
        try:
            for cell in self.cells if self.cells[0].run.record else ():
                open_all(self.folder, cell.file, self.recording)
        except DamagedError:
            return False
        return True

    def keep(self, name: str, first: int, rows: np.ndarray) -> None:
        """Write rows (cell, row, ...) of a quantity, from the row `first` on. Raises ValueError if that fails."""
        if name not in self.rows:
            self.rows[name] = [self._begun(cell, name, rows.dtype) for cell in self.cells]
        for each, own in zip(self.rows[name], rows, strict=True):
            each.write(first, own)

    def _begun(self, cell: Cell, name: str, dtype: np.dtype[Any]) -> Rows:
        """The file of a quantity of a cell: the one that is gone on with, or a new one."""
        path = path_of(self.folder, cell.file, name)
        if path.exists():
            return Rows.open(path)
        make_folder(make_folder(path.parent.parent) / path.parent.name)
        rows = Rows.create(path, self.recording.shape(name), dtype)
        if (start := cell.run.start) and start.steps:
            for first, part in _before(start, cell, name, start.steps // cell.run.every[name], rows):
                rows.write(first, part)
        return rows

    def sync(self) -> None:
        """Have all that is written on the disk."""
        for rows in itertools.chain.from_iterable(self.rows.values()):
            rows.sync()

    def discard(self) -> None:
        """Remove all that was recorded. Raises ValueError, with the system's reason, if that fails."""
        for folder in (path_of(self.folder, cell.file, "").parent for cell in self.cells):
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise unwritten(folder, error) from None

    def end(self, diverged_at: Sequence[int]) -> None:
        """Make the rows of each cell missing that come after it has diverged (-1: it has not)."""
        for cell, at in zip(self.cells, diverged_at, strict=True) if self.cells[0].run.record else ():
            for name, rows in open_all(self.folder, cell.file, self.recording).items():
                rows.clear(self.recording.lost_from(name, at))
                rows.sync()


def _before(start: Start, cell: Cell, name: str, count: int, like: Rows) -> Iterator[tuple[int, np.ndarray]]:
    """The first `count` rows of a run that is continued: what the other recorded, if it did so likewise; else missing."""
    source = source_of(start)
    if source.run.every.get(name) != cell.run.every[name]:
        yield from like.nothing(0, count)
        return
    try:
        parts = Rows.open(path_of(source.folder, source.cell(cell.seed), name)).parts()
    except DamagedError as error:
        raise ValueError(f"{source.folder} cannot be continued: {error}.") from None
    yield from ((first, part[: count - first]) for first, part in parts if first < count)


def path_of(folder: Path, cell: str, name: str) -> Path:
    """The file of a quantity of a cell, by the name of the cell's file."""
    return folder / "recorded" / Path(cell).stem / f"{name}.npy"


def open_all(folder: Path, cell: str, recording: Recording) -> dict[str, Rows]:
    """All that is recorded of a cell. Raises DamagedError unless it is there, whole, and of the right size."""
    found = {name: Rows.open(path_of(folder, cell, name)) for name in recording.record}
    for name, rows in found.items():
        if rows.shape != (shape := recording.shape(name)):
            raise DamagedError(f"{rows.name} has the shape {rows.shape} where {shape} belongs")
    return found


def digests(folder: Path, cell: str, record: Iterable[str]) -> dict[str, str]:
    """The fingerprints of all that is recorded of a cell."""
    return {name: Rows.open(path_of(folder, cell, name)).digest() for name in record}


def stacked(recording: Recording, cells: Sequence[Sequence[Mapping[str, Rows]]]) -> dict[str, Large]:
    """What is recorded of cells, by rule and seed, as variables (rule, seed, row, ...) of one dataset, and their axes."""
    return {axis: _axis(recording, axis, name) for axis, name in recording.axes().items()} | {
        f"recorded_{name}": _stacked(recording, name, [[each[name] for each in rule] for rule in cells])
        for name in recording.record
    }


def _axis(recording: Recording, axis: str, name: str) -> Large:
    count = recording.shape(name)[0]

    def parts() -> Iterator[tuple[Any, np.ndarray]]:
        for first in range(0, count, PART):
            end = min(first + PART, count)
            yield slice(first, end), recording.ends(name, first, end)

    return Large((axis,), (count,), np.dtype(np.int64), (min(count, PART),), ENDS, parts)


def _stacked(recording: Recording, name: str, rows: Sequence[Sequence[Rows]]) -> Large:
    first = rows[0][0]

    def parts() -> Iterator[tuple[Any, np.ndarray]]:
        for i, j in np.ndindex(len(rows), len(rows[0])):
            for at, part in rows[i][j].parts():
                yield (i, j, slice(at, at + len(part))), part

    shape, chunks = (len(rows), len(rows[0]), *first.shape), (1, 1, first.at_once, *first.shape[1:])
    return Large(("rule", "seed", *recording.dims(name)), shape, first.dtype, chunks, recording.attributes(name), parts)
