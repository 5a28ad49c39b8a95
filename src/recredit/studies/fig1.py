"""Fig. 1 of Marschall et al. 2019: six rules on Add and Mimic, in two variants.

`written`: the paper's equations, alpha everywhere, exact feedback, no frozen copy of A, lags 3 and 5.
`published`: what the published program did: no alpha in the immediate influence of BPTT and RTRL (twice the effective learning
rate at alpha = 0.5), random feedback in DNI(b), A's frozen copy refreshed every 5 steps, lags 2 and 4.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recredit.runs.final_loss import loss_levels, loss_unit, shown
from recredit.runs.settings import Run
from recredit.runs.store import read_cells
from recredit.studies.variants import Variant
from recredit.tasks import AbstractTask, Add
from recredit.training.described import MEANING, describe_variables

if TYPE_CHECKING:
    import xarray as xr

SCALES: dict[str, dict[str, int]] = {"paper": {"seeds": 20, "steps": 1_000_000}, "quick": {"seeds": 4, "steps": 50_000}}


def runs(variant: Variant, steps: int) -> dict[str, Run]:
    """The twelve runs of the figure, by cell "Task: rule". Raises ValueError for a stream too short for the lags."""
    published = variant == "published"
    slip: dict[str, Any] = {"published_alpha_bug": published}
    refresh = 5 if published else 1
    rules: dict[str, dict[str, Any]] = {
        "fixed-W": {"name": "fixed_w"},
        # W_rec itself carries the backward product: the same numbers as with a stored Jacobian, at a third of the time.
        "BPTT": {"name": "f_bptt", "window": 10, "jacobian": "through_weights", **slip},
        "RTRL": {"name": "rtrl_block", **slip},
        "RFLO": {"name": "rflo"},
        "DNI": {"name": "dni", "refresh": refresh},
        "DNI(b)": {"name": "dni_b", "refresh": refresh, "feedback": "random" if published else "exact"},
    }
    t1, t2 = (2, 4) if published else (3, 5)
    tasks: dict[str, dict[str, Any]] = {"Add": {"name": "add", "t1": t1, "t2": t2}, "Mimic": {"name": "mimic"}}
    return {
        f"{task}: {rule}": Run.create({"rule": rules[rule], "task": tasks[task], "steps": steps})
        for task in tasks
        for rule in rules
    }


def curves(folder: Path, variant: Variant, cells: dict[str, Run], seeds: Sequence[int]) -> xr.Dataset:
    """The finished cells as one dataset: `loss` and `diverged_at` (task, rule, seed[, step]), settings and versions attached.

    `loss` is averaged in bins: the cross-entropy of Add, and half the mean squared error of Mimic (over outputs, where the
    rules descend the sum).
    """
    import xarray as xr

    parts, made_with, tasks = [], {}, {}
    for cell, run in cells.items():
        data = read_cells(folder, run, seeds)
        task, rule = cell.split(": ")
        tasks[task] = run.build_task()
        part = data[["loss", "loss_at_start", "diverged_at"]].drop_attrs()
        part = part.assign({name: shown(part[name], tasks[task]) for name in ("loss", "loss_at_start")})
        parts.append(part.expand_dims(task=[task], rule=[rule]))
        made_with[cell] = {name: data.attrs[name] for name in ("versions", "device", "precision")}
    together: Any = xr.combine_by_coords(parts, join="exact").sel(task=list(tasks), rule=_rules(cells))
    together = together.assign_coords(unit=("task", [loss_unit(task) for task in tasks.values()]))
    together.attrs = {
        "title": "Fig. 1 of Marschall, Cho & Savin 2019, computed by recredit",
        "variant": variant,
        "titles": json.dumps({name: _title(name, task) for name, task in tasks.items()}),
        "floors": json.dumps({name: loss_levels(task) for name, task in tasks.items()}),
        "runs": json.dumps({cell: run.model_dump() for cell, run in cells.items()}),
        "made_with": json.dumps(made_with),
    }
    describe(together)
    return together


def describe(data: xr.Dataset) -> None:
    """Give every variable of the curves its meaning and unit."""
    own = {
        "loss": ("loss, mean of each bin over its steps", "see the coordinate unit"),
        "loss_at_start": ("loss of the untrained network, mean over the first steps", "see the coordinate unit"),
        "task": ("task", ""),
        "rule": ("learning rule", ""),
        "unit": ("unit of the task's loss", ""),
    }
    describe_variables(data, MEANING | own)


def _title(name: str, task: AbstractTask) -> str:
    return f"{name}, lags {task.t1} and {task.t2}" if isinstance(task, Add) else name


def _rules(cells: dict[str, Run]) -> list[str]:
    return list(dict.fromkeys(cell.split(": ")[1] for cell in cells))
