"""Write claims.json from the files beside this one, and print the rows of the tables in README.md."""

import json
from pathlib import Path

import numpy as np
import xarray as xr

from recredit.runs.files import read_dataset
from recredit.studies.claims import compare, judge

FOLDER = Path(__file__).parent
RULES = {"fixed_w": "fixed-W", "f_bptt": "BPTT", "rtrl_block": "RTRL", "rflo": "RFLO", "dni": "DNI", "dni_b": "DNI(b)"}
TASKS = {"add": "Add", "mimic": "Mimic"}
RATE = "optimizer.learning_rate"


def gridded(points: xr.DataArray) -> xr.DataArray:
    """A variable of reported points along `task` and `rule`, by the names of the paper."""
    grid = points.set_index(point=["task", "rule"]).unstack("point").sel(task=list(TASKS), rule=list(RULES))
    return grid.assign_coords(task=list(TASKS.values()), rule=list(RULES.values()))


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |")


def verdicts(judged: dict) -> dict[tuple[str, str], str]:
    return {(each["claim"], each["task"]): each["verdict"] for each in judged["claims"]}


sweep, candidates = read_dataset(FOLDER / "sweep.nc"), read_dataset(FOLDER / "selection.nc")
final = gridded(sweep.final_loss)
judged = judge(final)
if __name__ == "__main__":
    (FOLDER / "claims.json").write_text(json.dumps(judged, indent=1) + "\n")

lost = candidates.final_loss.isnull().any("seed")
print(f"{lost.sum().item()} of {lost.size} points")

for (
    task,
    shown,
) in TASKS.items():  # the chosen rate and the next best, by the mean over the seeds that decide, and by the median
    for rule, name in RULES.items():
        own = candidates.final_loss[(candidates.task == task).values & (candidates.rule == rule).values]
        losses = own.fillna(np.inf)
        mean, rates = losses.mean("seed").values, own[RATE].values
        best, second = np.argsort(mean)[:2]
        by_median = rates[losses.median("seed").values.argmin()]
        row(shown, name, *(f"{rates[k]:g}: {mean[k]:.5g}" for k in (best, second)), f"{by_median:g}")

for rule in RULES.values():  # the chosen rate, the mean and the median of the final losses of the seeds that are reported
    cells = []
    for task in TASKS.values():
        own, told = final.sel(task=task, rule=rule), judged["final_loss"][task][rule]
        cells += [f"{own[RATE].item():g}", f"{told['mean']:.4g} ± {told['sem']:.2g}", f"{own.median().item():.4g}"]
    row(rule, *cells)

equal = json.loads((FOLDER.parent / "fig1-written" / "claims.json").read_text())  # every rule at 1e-4
without = judge(final.sel(seed=final.seed != 19))
last = judge(gridded(sweep.loss.isel(step=-1)))
for claim, task in verdicts(judged):
    row(claim, task, *(verdicts(each)[claim, task] for each in (equal, judged, without, last)))

more = {"BPTT - RTRL": ("BPTT", "RTRL"), "DNI - RFLO": ("DNI", "RFLO")}  # of which the paper says nothing
tests: dict[str, dict] = {}
for task in TASKS.values():
    tests[task] = {
        name: told for each in judged["claims"] if each["task"] == task for name, told in each["comparisons"].items()
    }
    losses = final.sel(task=task)
    tests[task] |= {name: compare((losses.sel(rule=a) - losses.sel(rule=b)).values) for name, (a, b) in more.items()}
for name in tests["Add"]:  # of the reported seeds
    cells = []
    for told in (tests[task][name] for task in TASKS.values()):
        low, high = told["interval"]
        cells += [f"{told['difference']:.3g} ({low:.3g} to {high:.3g})", f"{told['p']:.1g}"]
    row(name, *cells)

bptt = sweep.loss[(sweep.task == "add").values & (sweep.rule == "f_bptt").values].sel(seed=19)[0, :8]
print("BPTT on Add, seed 19:", ", ".join(f"{loss:.3f}" for loss in bptt.values))
print(*(f"{rule} {final.sel(task='Add', rule=rule, seed=19).item():.3f}" for rule in ("BPTT", "RTRL")), sep=", ")
