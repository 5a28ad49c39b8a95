"""Results on disk, one file a cell: which are there, what they say of themselves, and what they hold.

DIR/cells/WHAT-MADE_BY.nc   a cell; WHAT: digest of run and seed; MADE_BY: digest of precision and program
DIR/recorded/               what is recorded of each seed on the way (`recredit.runs.recorded`)
DIR/states/                 what each seed's learner carried at the end (`recredit.runs.states`)
DIR/damaged/                what lay in a cell's place and was not that cell, whole
DIR/lock                    who computes in the folder
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from recredit.runs.contents import Seeds, encoded, loss_in
from recredit.runs.files import Large, make_folder, unwritten, write_whole
from recredit.runs.final_loss import diverged, final_loss, shown
from recredit.runs.identity import Cell, difference, file_name, precision, program, versions
from recredit.runs.record import DamagedError, entries, read_netcdf, read_record, sealed
from recredit.runs.recorded import Rows, digests, open_all, recording_of, stacked
from recredit.runs.settings import Run

if TYPE_CHECKING:
    import xarray as xr

Say = Callable[[str], object]
T = TypeVar("T")


def missing(folder: Path, runs: Mapping[str, Run], seeds: Sequence[int], say: Say) -> dict[str, list[int]]:
    """The seeds of each run, by its label, that a folder has not whole and made by this program in this precision.

    A damaged file in the place of a cell is set aside, and that is said, as is what other programs made of those missing.
    Only for the process that holds the folder's lock.
    """
    names = {entry.name for entry in entries(folder)}
    recordings = {label: recording_of(run) for label, run in runs.items() if run.record}
    left: dict[str, list[int]] = {}
    wanted: list[str] = []
    damaged: list[str] = []
    for label, cell in ((label, Cell(run, seed)) for label, run in runs.items() for seed in seeds):
        file = cell.file
        try:
            if file in names:
                read_netcdf(folder / "cells" / file)
                if label in recordings:
                    open_all(folder, file, recordings[label])
                continue
        except DamagedError as error:
            _set_aside(folder, file)
            damaged.append(f"{file}: {error}")
        except FileNotFoundError:  # since it was listed
            pass
        left.setdefault(label, []).append(cell.seed)
        wanted.append(file)
    if damaged:
        one, more = len(damaged) == 1, f", and {len(damaged) - 1} more" * (len(damaged) > 1)
        now = "it is now in" if one else "they are now in"
        say(f"Damaged in {folder / 'cells'}: {damaged[0]}{more}; {now} {folder / 'damaged'}, and will be computed again.")
    _say_others(folder, names, wanted, say)
    return left


def _say_others(folder: Path, names: Iterable[str], wanted: Iterable[str], say: Say) -> None:
    """Say which files would do if another program had not made them, or in another precision."""
    parts = [file.partition("-") for file in wanted]
    runs, mine = {part[0] for part in parts}, {part[2] for part in parts}
    others: dict[str, list[str]] = {}
    for name in sorted(names):
        of, _, made_by = name.partition("-")
        if of in runs and made_by not in mine:
            others.setdefault(made_by, []).append(name)
    for found in others.values():
        with contextlib.suppress(DamagedError, FileNotFoundError):
            other = read_record(folder / "cells" / found[0])["identity"]
            theirs = {**other["program"], "precision": other["precision"]}
            why = difference(theirs, {**program(), "precision": precision()})
            what, were, they = ("cell", "was", "it is") if len(found) == 1 else ("cells", "were", "they are")
            say(f"{len(found)} {what} in {folder} {were} made by another version ({why}): {they} kept, not used.")


def write_cells(folder: Path, run: Run, data: xr.Dataset, made: Mapping[str, Any]) -> None:
    """Write each seed of a run's dataset, as `train` gives it, as a cell, if it is not there.

    `made`: how they were made, as JSON can say it: "begun" and "ended" (UTC), "seconds" of each, "device".

    Raises ValueError if nothing was scored, and if one cannot be written; those before it stay.
    """
    data = data.assign_attrs(run=run.text(), versions=json.dumps(versions()), device=str(made["device"]))
    task = run.build_task()
    losses = shown(final_loss(data, task.floors().values()), task).values
    lost = diverged(data, task.floors().values()).values
    if not (np.isfinite(losses) | lost).all():
        raise ValueError(f"nothing was scored: the task {run.task['name']} gave each of {run.steps:,} steps the weight 0.")
    for seed, netcdf, loss, gone in zip(data.seed.values.tolist(), encoded(data), losses, lost, strict=True):
        cell = Cell(run, seed)
        outcome = {"diverged": bool(gone), "final_loss": None if gone else float(loss)}
        record = {"identity": cell.identity(), **made, "host": socket.gethostname(), "versions": versions(), **outcome}
        if run.record:
            record["recorded"] = digests(folder, cell.file, run.record)
        if not cell.path(folder).exists():
            write_whole(cell.path(folder), sealed(netcdf, record))


def read_cells(folder: Path, run: Run, seeds: Sequence[int]) -> xr.Dataset:
    """These seeds of a run, which have been computed, as one dataset: what each cell holds, along `seed`.

    Raises ValueError if one is gone meanwhile, or is damaged, and is then set aside.
    """
    together = Seeds()
    _read(folder, run, seeds, together.add)
    return together.dataset()


def read_losses(folder: Path, run: Run, seeds: Sequence[int]) -> np.ndarray:
    """The loss (seed, bin) of these seeds of a run, as `read_cells` has it, but sooner. Raises as it does."""
    return np.array(_read(folder, run, seeds, loss_in))


def read_recorded(folder: Path, runs: Mapping[str, Run], seeds: Sequence[int]) -> tuple[dict[str, Any], dict[str, Large]]:
    """The coordinates and variables (rule, seed, row, ...) of what is recorded of runs that differ in their rules alone.

    Raises as `read_cells` does, if something of it is gone or damaged too.
    """
    any_run = next(iter(runs.values()))
    if not any_run.record:
        return {}, {}
    recording = recording_of(any_run)

    def opened(record: Mapping[str, Any], _: bytes) -> dict[str, Rows]:
        found = open_all(folder, file_name(record["identity"]), recording)
        for name, rows in found.items():
            if rows.digest() != record["recorded"][name]:
                raise DamagedError(f"the checksum of {rows.name} is wrong")
        return found

    return recording.coordinates(), stacked(recording, [_read(folder, run, seeds, opened) for run in runs.values()])


def _read(folder: Path, run: Run, seeds: Sequence[int], use: Callable[[Mapping[str, Any], bytes], T]) -> list[T]:
    """What `use` gives for the record and the netCDF of each of these cells."""
    found: list[T] = []
    for cell in (Cell(run, seed) for seed in seeds):
        path = folder / "cells" / cell.file
        try:
            found.append(use(*read_netcdf(path)))
        except FileNotFoundError:
            raise ValueError(
                f"{path.parent} has changed meanwhile: seed {cell.seed} is gone; run the same command to compute it again."
            ) from None
        except DamagedError as error:
            _set_aside(folder, cell.file)
            raise ValueError(
                f"{path} is damaged: {error}; it is now in {folder / 'damaged'}; run the same command to compute it again."
            ) from None
    return found


def _set_aside(folder: Path, name: str) -> None:
    """Move what lies in a cell's place to `damaged`, beside what lies there of the same name."""
    damaged = make_folder(folder / "damaged")
    places = (damaged / f"{name}{ending}" for ending in itertools.chain([""], (f".{i}" for i in itertools.count(1))))
    place = next(place for place in places if not os.path.lexists(place))
    try:
        os.replace(folder / "cells" / name, place)
    except OSError as error:
        raise unwritten(place, error) from None
