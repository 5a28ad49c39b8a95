"""Learning curves as pictures, drawn on figures of their own: without pyplot, no backend of the user's matters or changes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from recredit.audit.continuity import slope
from recredit.audit.verdicts import Audit
from recredit.runs.store import write_whole

SMOOTH = 10  # bins
# Okabe & Ito's colours, told apart by every kind of sight; grey for the baseline that does not learn.
COLOURS = ["#7f7f7f", "#000000", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9"]
STYLES = ["-", "-", (0, (4, 1.5)), "-", "-", "-", "-", "-"]  # BPTT and RTRL often lie on each other
LETTERS = "abcdefgh"


def draw_curves(axes: Axes, loss: xr.DataArray, floors: dict[str, float]) -> None:
    """Mean and standard error over seeds of each rule's loss (rule, seed, step), smoothed, and the known levels as lines."""
    finite = loss.where(loss.notnull().all("step"))  # a seed that diverged is left out of the mean
    smooth = finite.rolling(step=SMOOTH, center=True, min_periods=1).mean()
    for k, rule in enumerate(loss.rule.values):
        i = k % len(COLOURS)
        values = smooth.sel(rule=rule).dropna("seed", how="all").values
        if not len(values):
            axes.plot([], [], color=COLOURS[i], label=f"{rule} (diverged)")
            continue
        mean, error = (
            values.mean(0),
            values.std(0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.zeros(values.shape[1]),
        )
        axes.fill_between(loss.step, mean - error, mean + error, color=COLOURS[i], alpha=0.25, linewidth=0)
        axes.plot(loss.step, mean, color=COLOURS[i], linestyle=STYLES[i], linewidth=1.6, label=str(rule))
    for what, level in floors.items():
        axes.axhline(level, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
        axes.annotate(what, (1.01, level), xycoords=("axes fraction", "data"), ha="left", va="center", fontsize=7, color="0.4")
    axes.set_xlim(0, float(loss.step[-1]))
    axes.set_xlabel("network steps")
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.spines[["top", "right"]].set_visible(False)


def _thousands(steps: float, _: int) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if steps >= size:
            return f"{steps / size:g} {unit}"
    return f"{steps:g}"


def draw_fig1(data: xr.Dataset, folder: Path) -> None:
    """Fig. 1 as `fig1.png` and `fig1.svg`: one panel a task."""
    floors, titles = json.loads(data.attrs["floors"]), json.loads(data.attrs["titles"])
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    panels = figure.subplots(1, data.sizes["task"])
    for letter, axes, task in zip(LETTERS, np.atleast_1d(panels), data.task.values, strict=False):
        loss, unit = data.loss.sel(task=task), str(data.unit.sel(task=task).values)
        draw_curves(axes, loss, floors[task])
        axes.set_ylabel(unit)
        if not floors[task]:
            axes.set_yscale("log")
        axes.set_title(f"{letter})  {titles[task]}", loc="left", fontsize=11)
    handles, labels = axes.get_legend_handles_labels()
    title = f"{data.attrs['variant']} variant\n{data.sizes['seed']} seeds,\nmean ± s.e.m."
    figure.legend(handles, labels, loc="outside right center", frameon=False, title=title, alignment="left")
    for kind in ("png", "svg"):
        write_whole(folder / f"fig1.{kind}", lambda path: figure.savefig(path, dpi=200))


def draw_run(loss: xr.DataArray, floors: dict[str, float], label: str, title: str, path: Path) -> None:
    """The loss of some rules (rule, seed, step) on one task as a picture."""
    figure = Figure(figsize=(6, 3.9), layout="constrained")
    axes = figure.subplots()
    draw_curves(axes, loss, floors)
    axes.set_ylabel(label)
    axes.set_title(title, loc="left", fontsize=11)
    if loss.sizes["rule"] > 1:
        figure.legend(loc="outside right center", frameon=False)
    write_whole(path, lambda temporary: figure.savefig(temporary, dpi=200))


def draw_slopes(audits: Sequence[Audit], path: Path) -> None:
    """How the largest relative change per step of each matrix shrinks with the time step alpha: one line a matrix."""
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    axes = figure.subplots()
    lines = [(audit.rule, name, curve) for audit in audits for name, curve in (audit.slopes or {}).items()]
    for k, (rule, name, curve) in enumerate(lines):
        value = slope(curve, "max")
        told = "diverges" if np.isnan(value) else "never changes" if np.isinf(value) else f"{value:.2f}"
        shown = [d or np.nan for d in curve["max"]]
        colour = colormaps["tab20"](k % 20)
        axes.plot(curve["alpha"], shown, "o-", color=colour, linewidth=1.4, markersize=4, label=f"{rule}: {name} ({told})")
    axes.set(yscale="log", xlabel="time step α", ylabel="largest relative change per step")
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title("slope 1: smooth, ½: diffusive, 0: jumps", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    if lines:
        axes.set_xticks(lines[0][2]["alpha"], [f"1/{1 / alpha:g}" for alpha in lines[0][2]["alpha"]])
        figure.legend(loc="outside right upper", frameon=False, title="matrix (slope)", alignment="left", fontsize=8)
    else:
        axes.text(0.5, 0.5, "no matrix in any state", transform=axes.transAxes, ha="center")
    write_whole(path, lambda temporary: figure.savefig(temporary, dpi=200))
