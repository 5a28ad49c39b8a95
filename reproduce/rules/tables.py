"""Print the rows of the tables in README.md from the files beside this one."""

import json
from pathlib import Path

import numpy as np
import xarray as xr

from recredit import audit
from recredit.registry import resolve_rule
from recredit.rules import RTRL
from recredit.runs.files import read_dataset
from recredit.runs.sweep import read_sweep
from recredit.studies.claims import equivalence

FOLDER = Path(__file__).parent
RATE = "optimizer.learning_rate"
TASKS = ("add", "mimic", "flip_flop", "match_to_sample")


def read(*path: str) -> xr.Dataset:
    """A file beside this one, with the learning rate of each point."""
    data = read_dataset(FOLDER.joinpath(*path))
    if RATE in data.coords:
        return data
    rates = [run["optimizer"]["learning_rate"] for run in json.loads(data.attrs["runs"])]
    return data.assign_coords({RATE: ("point", rates)})


def at(data: xr.Dataset, **labels: str) -> xr.Dataset:
    """The points of these labels."""
    return data.isel(point=np.logical_and.reduce([(data[axis] == label).values for axis, label in labels.items()]))


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |")


def cell(sweep: xr.Dataset, candidates: xr.Dataset, **labels: str) -> str:
    """Mean and standard error of the final loss, the rate in brackets, * if it is an end of its range, diverged counted."""
    reported, tried = at(sweep, **labels), at(candidates, **labels)[RATE].values
    final, rate = reported.final_loss.values[0], reported[RATE].item()
    finite = final[np.isfinite(final)]
    end = "*" if rate in (tried.min(), tried.max()) else ""
    lost = f", {len(final) - len(finite)} diverged" if len(finite) < len(final) else ""
    if not len(finite):
        return f"all diverged ({rate:g}{end})"
    return f"{finite.mean():.3g} ± {finite.std(ddof=1) / len(finite) ** 0.5:.1g} ({rate:g}{end}{lost})"


def every_rule() -> None:
    """For each optimiser and rule, its losses on the tasks, and what it fails of the audit's criteria (?: to be judged)."""
    sweep, candidates = read("rules", "sweep.nc"), read("rules", "selection.nc")
    rules = {point.coordinates["rule"]: resolve_rule(point.run.rule) for point in read_sweep(FOLDER / "rules.toml").points}
    rules["rtrl"] = RTRL()  # what is judged is the plain program, not its fast path
    not_passed = {}
    for label, rule in rules.items():
        marks = {"fail": "", "judgement": "?"}
        cells = audit(rule).cells.items()
        found = [criterion + marks[cell.verdict] for criterion, cell in cells if cell.verdict in marks]
        not_passed[label] = ", ".join(found) or "none"
    for optimizer in ("sgd", "rmsprop"):
        for label in rules:
            cells = [cell(sweep, candidates, rule=label, task=task, optimizer=optimizer) for task in TASKS]
            row(optimizer, label, *cells, not_passed[label])


def free_credit(bits: int) -> None:
    """The immediate derivative beside RTRL, by optimiser, with numbers of so many bits."""
    sweep, candidates = read(f"free_credit_{bits}", "sweep.nc"), read("free_credit_32", "selection.nc")
    for optimizer in ("sgd", "rmsprop", "adam"):
        for task in TASKS:
            cells, final = [], []
            for rule in ("fixed_w", "rtrl", "immediate"):
                labels = {"rule": rule, "task": task, "optimizer": optimizer}
                cells.append(cell(sweep, candidates, **labels))
                final.append(at(sweep, **labels).final_loss.values[0])
            fixed, exact, immediate = final
            told = equivalence(immediate, exact, fixed)
            part = "–"
            if told["of the gap"] is not None:
                mean, low, high = np.multiply(100, told["of the gap"])
                part = f"{mean:z.1f} % ({low:z.1f} to {high:z.1f})"
            row(f"{bits}", optimizer, task, *cells, part, told["verdict"])


if __name__ == "__main__":
    every_rule()
    for bits in (32, 64):
        free_credit(bits)
