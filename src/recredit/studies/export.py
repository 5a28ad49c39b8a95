"""Many cells in one file: netCDF with all that they hold, or a table with a row for each step of each curve."""

import contextlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from recredit.errors import nearest
from recredit.runs.contents import Seeds
from recredit.runs.files import check_writable, write_whole
from recredit.runs.listing import Listed, as_rows, by_run, differing
from recredit.runs.record import DamagedError, read_netcdf

Stacks = list[tuple[list[Listed], xr.Dataset]]
"""Cells of one shape, and what they hold along `seed`."""


def export(cells: Sequence[Listed], file: Path, say: Callable[[str], object]) -> int:
    """Write cells to a file whose extension says its format, and return how many they were.

    Those that are damaged are left out, and that is said.

    Raises ValueError for another ending, if there is nothing to write, and if it cannot be written.
    """
    if file.suffix not in WRITTEN:
        raise ValueError(f"{file} must end in {', '.join(WRITTEN)}, which says what to write.{nearest(file.suffix, WRITTEN)}")
    if file.suffix == ".parquet" and not find_spec("pyarrow"):
        raise ValueError('writing Parquet needs pyarrow: pip install "recredit[parquet]", or export to .csv or .nc.')
    check_writable(file)
    stacks: list[tuple[list[Listed], Seeds]] = []
    damaged: list[str] = []
    for cell in (cell for _, seeds in by_run(cells) for cell in seeds):
        try:
            _stack(stacks, cell)
        except DamagedError as error:
            damaged.append(f"{cell.path}: {error}")
    if damaged:
        say(f"Damaged, and left out: {damaged[0]}{f', and {len(damaged) - 1} more' * (len(damaged) > 1)}.")
    if not stacks:
        raise ValueError(f"there is nothing to write to {file}: no cell matches.")
    write_whole(file, WRITTEN[file.suffix]([(whole, together.dataset()) for whole, together in stacks]))
    return sum(len(whole) for whole, _ in stacks)


def _stack(stacks: list[tuple[list[Listed], Seeds]], cell: Listed) -> None:
    """Add a cell to those before, or as the first of another shape. Raises DamagedError."""
    record, netcdf = read_netcdf(cell.path)
    if stacks:
        with contextlib.suppress(DamagedError):  # it may be of another shape
            stacks[-1][1].add(record, netcdf)
            stacks[-1][0].append(cell)
            return
    together = Seeds()
    together.add(record, netcdf)
    stacks.append(([cell], together))


def as_dataset(stacks: Stacks) -> xr.Dataset:
    """All cells along the dimension `cell`, with whatever is said of each as coordinates.

    What a run has not (later steps, further units) is nan there.
    """
    parts = [data.reset_index("seed").rename_dims(seed="cell").reset_coords("seed", drop=True) for _, data in stacks]
    rows = as_rows([cell for cells, _ in stacks for cell in cells])
    if len({part.sizes["source"] for part in parts}) > 1:
        parts = [part.drop_vars("kind") for part in parts]  # as the names of the sources say
    together = xr.concat(
        parts, "cell", join="outer", data_vars="all", coords="minimal", compat="override", combine_attrs="drop_conflicts"
    )
    told = {key: ("cell", _column([row.get(key) for row in rows])) for key in dict.fromkeys(k for row in rows for k in row)}
    together.attrs.pop("run", None)  # which says the seed's run where there is only one
    return together.assign_coords(told).assign_attrs(title=f"{len(rows)} cells computed by recredit")


def _column(values: list[Any]) -> np.ndarray:
    """Values as netCDF holds them: numbers if all are, words otherwise."""
    if all(type(value) in (int, float) for value in values):
        return np.array(values)
    if all(value is None or type(value) in (int, float) for value in values):
        return np.array([np.nan if value is None else value for value in values], float)
    return np.array(["" if value is None else str(value) for value in values], object)


def as_table(stacks: Stacks) -> pd.DataFrame:
    """A row for each step at which a cell's curves have a point: what the cell is, in columns, and the curves' values there.

    Of the settings, those in which the runs differ have a column; `file` finds the others.
    """
    keys = [
        "rule",
        "task",
        *differing([run for run, _ in by_run(cell for cells, _ in stacks for cell in cells)]),
        "seed",
        "precision",
        "state",
    ]
    tables = []
    for cells, data in stacks:
        count, steps = len(cells), data.sizes["step"]
        columns: dict[str, Any] = {"file": np.repeat([cell.path.name for cell in cells], steps)}
        for key in dict.fromkeys(keys):
            columns[key] = np.repeat(np.array([cell.settings.get(key) for cell in cells], object), steps)
        for key in ("final_loss", "diverged"):
            columns[key] = np.repeat(np.array([cell.record[key] for cell in cells]), steps)
        columns["step"] = np.tile(data.step.values, count)
        for name, variable in data.data_vars.items():
            if variable.dims == ("seed", "step"):
                columns[str(name)] = variable.values.ravel()
            elif variable.dims == ("seed", "observer", "step"):
                for observer in data.observer.values:
                    columns[f"{name}.{observer}"] = variable.sel(observer=observer).values.ravel()
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True).infer_objects()


WRITTEN: dict[str, Callable[[Stacks], bytes]] = {
    ".nc": lambda stacks: bytes(as_dataset(stacks).to_netcdf(engine="h5netcdf")),
    ".parquet": lambda stacks: as_table(stacks).to_parquet(index=False),
    ".csv": lambda stacks: as_table(stacks).to_csv(index=False).encode(),
}
"""What a file of each ending holds."""
