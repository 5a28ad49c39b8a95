"""Print the rows of the tables in README.md, from the files beside this one."""

from pathlib import Path

import numpy as np
import scipy.special
import xarray as xr

from recredit.runs.files import read_dataset

FOLDER = Path(__file__).parent
RUNS = ("add-0.5", "add-1", "mimic-0.5", "mimic-1")
NAMES = {
    "rtrl": "RTRL",
    "f_bptt": "F-BPTT",
    "e_bptt": "E-BPTT",
    "uoro": "UORO",
    "kf_rtrl": "KF-RTRL",
    "r_kf": "R-KF",
    "kernl": "KeRNL",
    "rflo": "RFLO",
    "dni": "DNI",
    "dni_b": "DNI(b)",
}
PAIRS = [("e_bptt", "f_bptt"), ("kernl", "rflo"), ("uoro", "kf_rtrl"), ("uoro", "r_kf"), ("dni", "f_bptt"), ("dni_b", "f_bptt")]


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |")


def interval(of: xr.DataArray, digits: str = ".3f") -> str:
    """A mean with half of its interval; a dash for what is missing."""
    mean, high = (of.sel(estimate=end).item() for end in ("mean", "high"))
    return f"{mean:{digits}} ± {high - mean:.2g}" if np.isfinite(mean) else "–"


def over_seeds(values: xr.DataArray) -> str:
    """Mean and half of Student's 95 % interval."""
    count = values.count().item()
    half = scipy.special.stdtrit(count - 1, 0.975) * values.std(ddof=1).item() / count**0.5
    return f"{values.mean().item():.2f} ± {half:.2g}"


lag = read_dataset(FOLDER / "lag.nc")
for observer in lag.observer.values.tolist():  # F-BPTT's cosine with RTRL's gradient
    of = lag.sel(observer=observer)
    whole = (of.cosine * of.compared).sum("step") / of.compared.sum("step")
    row(observer, *(over_seeds(whole.sel(setting=run)) for run in RUNS))

runs = {name: read_dataset(FOLDER / name / "run.nc") for name in RUNS}
for rule in [*NAMES][1:]:  # the cosine with RTRL's gradient, all of W
    row(NAMES[rule], *(interval(runs[run].mean_cosine.sel(gradient=rule, beside="rtrl", part="W")) for run in RUNS))

for one, other in PAIRS:
    cosines = (interval(runs[run].mean_cosine.sel(gradient=one, beside=other, part="W")) for run in RUNS)
    row(f"{NAMES[one]}, {NAMES[other]}", *cosines)

for rule in [*NAMES][1:]:  # the norm over RTRL's
    row(NAMES[rule], *(interval(runs[run].norm_ratio.sel(gradient=rule, beside="rtrl", part="W"), ".3g") for run in RUNS))

for rule in ("uoro", "kf_rtrl", "r_kf", "kernl", "rflo"):  # squared bias, and variance, over RTRL's mean square
    cells = []
    for run in RUNS:
        of = runs[run].sel(gradient=rule, beside="rtrl", part="W")
        cells += [interval(of.relative_squared_bias, ".3g"), interval(of.relative_variance, ".3g")]
    row(NAMES[rule], *cells)

learning = read_dataset(FOLDER / "learning" / "sweep.nc")
final = learning.final_loss.set_index(point=["task", "rule"]).unstack("point")
for rule in NAMES:  # how much of the way from the network whose W stands still to RTRL's loss
    loss = [final.sel(task=run) for run in RUNS]
    gained = [(of.sel(rule="fixed_w") - of.sel(rule=rule)) / (of.sel(rule="fixed_w") - of.sel(rule="rtrl")) for of in loss]
    row(NAMES[rule], *(over_seeds(each) for each in gained))
print(*(f"{run}: {final.sel(task=run, rule='fixed_w').mean().item():.4g}" for run in RUNS), sep=", ")
