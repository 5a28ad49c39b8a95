"""What a sweep came to: the loss at the end of each point, the points that were chosen, the curves of those reported."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recredit.runs.contents import bin_ends
from recredit.runs.final_loss import final_accuracy, shown
from recredit.runs.identity import Cell, versions
from recredit.runs.record import read_record
from recredit.runs.store import read_cells, read_losses
from recredit.runs.sweep import Sweep

if TYPE_CHECKING:
    import xarray as xr


def label(sweep: Sweep, number: int, without: Collection[str] = ()) -> str:
    """What a point is called: "add rflo learning_rate=0.001"; `without`: axes that are told elsewhere."""
    words = []
    for path, value in sweep.points[number].coordinates.items():
        if path not in without:
            words.append(str(value) if path in ("task", "rule") else f"{path.rsplit('.', 1)[-1]}={value}")
    return " ".join(words) or sweep.name


def final_losses(sweep: Sweep, folder: Path, numbers: Sequence[int], seeds: Sequence[int]) -> xr.DataArray:
    """The loss at the end (point, seed) of points that have been computed, as their files' records say; nan: diverged.

    Raises ValueError for a cell that is gone meanwhile or damaged.
    """
    found: dict[str, list[float]] = {}
    for text, run in sweep.runs(numbers).items():
        records = []
        for seed in seeds:
            file = folder / "cells" / Cell(run, seed).file
            try:
                records.append(read_record(file))
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", error)
                raise ValueError(f"{file} cannot be read ({why}); run the same command to compute it again.") from None
        found[text] = [np.nan if record["final_loss"] is None else record["final_loss"] for record in records]
    losses = [found[sweep.points[number].run.text()] for number in numbers]
    import xarray as xr

    data = xr.DataArray(
        losses, dims=("point", "seed"), coords={**sweep.coordinates(numbers), "seed": list(seeds)}, name="final_loss"
    )
    data.attrs = {"long_name": "loss at the end of a run; nan: it diverged"}
    return data


def selection(sweep: Sweep, folder: Path) -> xr.Dataset:
    """What decides: `final_loss` (point, seed) of the candidates, and `untrained` (point), the loss of the untrained network.

    The latter is the mean over seeds; nan where the first steps have no label.
    """
    assert sweep.select
    data = final_losses(sweep, folder, sweep.candidates, sweep.select.seeds).to_dataset()
    starts: dict[str, float] = {}  # the same for all points of the same task and network
    column = []
    for number in sweep.candidates:
        run = sweep.points[number].run
        key = json.dumps([run.task, run.network, run.sources])
        if key not in starts:
            start = read_cells(folder, run, sweep.select.seeds).loss_at_start.mean().item()
            starts[key] = shown(start, run.build_task()) or np.nan
        column.append(starts[key])
    data["untrained"] = ("point", column, {"long_name": "loss of the untrained network, mean over seeds and the first steps"})
    return data


def reported(sweep: Sweep, folder: Path, numbers: Sequence[int]) -> xr.Dataset:
    """The points that are reported: `final_loss` (point, seed), and `loss` (point, seed, step) if all have the same bins; where
    labels are classes, `final_accuracy` (point, seed) too."""
    data = final_losses(sweep, folder, numbers, sweep.seeds).to_dataset()
    data["label"] = ("point", [label(sweep, number) for number in numbers])
    runs = [sweep.points[number].run for number in numbers]
    tasks = [run.build_task() for run in runs]
    if any(task.classes for task in tasks):
        shares = [
            final_accuracy(read_cells(folder, run, sweep.seeds)).values if task.classes else np.full(len(sweep.seeds), np.nan)
            for run, task in zip(runs, tasks, strict=True)
        ]
        told = "accuracy over the steps of `final_loss`; nan where labels are no classes"
        data["final_accuracy"] = (("point", "seed"), np.array(shares), {"long_name": told})
    if len({(run.steps, run.bin) for run in runs}) == 1:
        values = [shown(read_losses(folder, run, sweep.seeds), task) for run, task in zip(runs, tasks, strict=True)]
        data["loss"] = (("point", "seed", "step"), np.array(values), {"long_name": "loss, mean of each bin over its steps"})
        data = data.assign_coords(step=bin_ends(runs[0].model_dump()))
    data.attrs = {
        "title": f"The sweep {sweep.name}, computed by recredit",
        "versions": json.dumps(versions()),
        "runs": json.dumps([run.model_dump() for run in runs]),
    }
    return data
