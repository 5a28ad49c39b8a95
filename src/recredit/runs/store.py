"""Results on disk, one file a cell: which are there, what they say of themselves, and what they hold.

DIR/cells/WHAT-MADE_BY.nc   a cell; WHAT: digest of run and seed; MADE_BY: digest of precision and program
DIR/damaged/                what lay in a cell's place and was not that cell, whole
DIR/lock                    who computes in the folder
"""

import contextlib
import itertools
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from recredit.runs.cell_file import DamagedError, encoded, opened, read_netcdf, read_record, sealed, seeded_like
from recredit.runs.files import write_whole
from recredit.runs.final_loss import diverged, final_loss, shown
from recredit.runs.identity import Cell, precision, program, versions
from recredit.runs.settings import Run

Say = Callable[[str], object]


def missing(folder: Path, runs: Mapping[str, Run], seeds: Sequence[int], say: Say) -> dict[str, list[int]]:
    """The seeds of each run, by its label, that a folder has not whole and made by this program in this precision.

    What lies damaged in the place of a cell is set aside, and that is said, as is what other programs made of those missing.
    Only for the process that holds the folder's lock.
    """
    names = {entry.name for entry in _entries(folder)}
    left: dict[str, list[int]] = {}
    wanted: list[str] = []
    damaged: list[str] = []
    for label, cell in ((label, Cell(run, seed)) for label, run in runs.items() for seed in seeds):
        file = cell.file
        try:
            if file in names:
                read_netcdf(folder / "cells" / file)
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
        say(f"Damaged in {folder / 'cells'}: {damaged[0]}{more}; {now} {folder / 'damaged'}, and computed anew.")
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
            why = difference(read_record(folder / "cells" / found[0])["identity"])
            what, were, they = ("cell", "was", "it is") if len(found) == 1 else ("cells", "were", "they are")
            say(f"{len(found)} {what} in {folder} {were} made by another version ({why}): {they} kept, not used.")


def difference(identity: Mapping[str, Any]) -> str:
    """In what the program and the precision that made a cell differ from this process's."""
    theirs, ours = ({**made["program"], "precision": made["precision"]} for made in (identity, _made_by()))
    told = [f"{key} {theirs.get(key)}, now {ours[key]}" for key in ours if theirs.get(key) != ours[key] and key != "source"]
    return "; ".join(told) or "another source of recredit"


def write_cells(folder: Path, run: Run, data: xr.Dataset, made: Mapping[str, Any]) -> None:
    """Write each seed of a run's dataset, as `train` gives it, as a cell.

    `made`: how they were made, as JSON can say it: "begun" and "ended" (UTC), "seconds" of each, "device".

    Raises ValueError if one cannot be written; those before it stay.
    """
    data = data.assign_attrs(run=run.text(), versions=json.dumps(versions()), device=str(made["device"]))
    task = run.build_task()
    losses = shown(final_loss(data, task.floors().values()), task).values
    lost = diverged(data, task.floors().values()).values
    for seed, netcdf, loss, gone in zip(data.seed.values.tolist(), encoded(data), losses, lost, strict=True):
        cell = Cell(run, seed)
        outcome = {"diverged": bool(gone), "final_loss": None if gone else float(loss)}
        record = {"identity": cell.identity(), **made, "host": socket.gethostname(), "versions": versions(), **outcome}
        write_whole(folder / "cells" / cell.file, sealed(netcdf, record))


def read_cells(folder: Path, run: Run, seeds: Sequence[int]) -> xr.Dataset:
    """These seeds of a run, which have been computed, as one dataset: what each cell holds, along `seed`.

    Raises ValueError if one is gone meanwhile, or is damaged, and is then set aside.
    """
    parts: list[dict[str, np.ndarray]] = []
    made_with: list[dict[str, Any]] = []
    first = xr.Dataset()
    for cell in (Cell(run, seed) for seed in seeds):
        try:
            record, netcdf = read_netcdf(folder / "cells" / cell.file)
            if not parts:
                first = opened(cell, netcdf)
            parts.append(seeded_like(first, cell, netcdf))
            made_with.append(record)
        except FileNotFoundError:
            raise ValueError(
                f"{folder / 'cells'} has changed meanwhile: seed {cell.seed} is gone; the same command computes it again."
            ) from None
        except DamagedError as error:
            _set_aside(folder, cell.file)
            raise ValueError(
                f"{folder / 'cells' / cell.file} is damaged: {error}; it is now in {folder / 'damaged'}, and the same command "
                "computes the cell again."
            ) from None
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    variables = {
        name: xr.Variable(variable.dims, arrays.get(str(name), variable.values), variable.attrs)
        for name, variable in first.variables.items()
    }
    data = xr.Dataset(variables, attrs=first.attrs).set_coords(list(first.coords))
    told = {key: _all([record["versions"][key] for record in made_with]) for key in versions()}
    return data.assign_attrs(versions=json.dumps(told), device=_all([record["device"] for record in made_with]))


def _all(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))


def records(folder: Path) -> Iterator[tuple[Path, dict[str, Any] | str]]:
    """Every file in a folder's `cells` with what it says of itself, or why it is no cell; of each, only the end is read."""
    for entry in sorted(_entries(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        try:
            yield path, read_record(path)
        except DamagedError as error:
            yield path, str(error)
        except FileNotFoundError:  # since it was listed
            pass


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder / "cells") as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []


def _set_aside(folder: Path, name: str) -> None:
    """Move what lies in a cell's place to `damaged`, beside what lies there of the same name."""
    (folder / "damaged").mkdir(exist_ok=True)
    places = (folder / "damaged" / f"{name}{ending}" for ending in itertools.chain([""], (f".{i}" for i in itertools.count(1))))
    os.replace(folder / "cells" / name, next(place for place in places if not os.path.lexists(place)))


def _made_by() -> dict[str, Any]:
    return {"precision": precision(), "program": program()}
