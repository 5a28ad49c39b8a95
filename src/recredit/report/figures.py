"""Learning curves as pictures, drawn on figures of their own: without pyplot, no backend of the user's matters or changes."""

import io
import itertools
import json
import textwrap
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from recredit.audit.measurement import slope
from recredit.audit.verdicts import Audit
from recredit.runs.files import write_whole
from recredit.runs.final_loss import DIVERGED_MEANS, bin_steps, diverged, loss_levels, loss_unit, shown
from recredit.runs.settings import Run

Look = dict[str, Any]  # of a line: its colour and style
# Okabe & Ito's colours, told apart by every kind of sight; grey for the baseline that does not learn.
COLOURS = ["#7f7f7f", "#000000", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9"]
STYLES = ["-", "-", (0, (4, 1.5)), "-", "-", "-", "-", "-"]  # BPTT and RTRL often lie on each other
LOOKS = [{"color": color, "linestyle": style} for color, style in zip(COLOURS, STYLES, strict=True)]
# Of rules that someone chose: no colour stands for a baseline.
CHOSEN = [
    {"color": color, "linestyle": style} for style in ("-", (0, (4, 1.5)), (0, (1, 1))) for color in [*COLOURS[2:], COLOURS[1]]
]
LETTERS = "abcdefgh"


def _draw_line(axes: Axes, values: xr.DataArray, look: Look, label: str) -> None:
    """Mean and standard error over seeds of (seed, step), each bin as it is, in its middle; nan: a seed without a value."""
    count = values.notnull().sum("seed")
    middle = (values.step - bin_steps(values.step) / 2).values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # bins in which one seed or none has a value
        mean, error = values.mean("seed").values, (values.std("seed", ddof=1) / np.sqrt(count)).fillna(0).values
    if len(middle) == 1:  # no line can be drawn
        axes.errorbar(middle, mean, error if error.any() else None, color=look["color"], fmt="o", capsize=3, label=label)
        return
    axes.fill_between(middle, mean - error, mean + error, color=look["color"], alpha=0.25, linewidth=0)
    axes.plot(middle, mean, **look, linewidth=1.6, label=label)


def draw_losses(axes: Axes, loss: xr.DataArray, lost: xr.DataArray, floors: dict[str, float], looks: Iterable[Look]) -> None:
    """The loss of each rule (rule, seed, step) over the seeds that are not `lost`, and the known levels as lines."""
    loss, lost = loss.transpose("rule", "seed", "step"), lost.transpose("rule", "seed")
    for values, gone, look in zip(loss, lost.values, looks, strict=False):
        if gone.all():
            axes.plot([], [], **look, label=str(values.rule.values))
        else:
            _draw_line(axes, values[~gone], look, str(values.rule.values))
    _finish(axes, loss.step)
    note = [f"{gone.rule.item()}: {gone.values.sum()} of {gone.size} seeds diverged" for gone in lost if gone.any()]
    axes.set_xlabel("\n".join(["network steps", *note]))
    if lost.all():
        words = textwrap.fill(f"Every seed diverged: {DIVERGED_MEANS}.", 50)
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="0.4")
        axes.set_yticks([])
        return
    drawn = loss.where(~lost).mean("seed")
    heights = [float(drawn.min()), float(drawn.max()), *floors.values()]
    if max(heights) > 5 * min(heights) > 0:
        axes.set_yscale("log")
    draw_levels(axes, floors)


def draw_levels(axes: Axes, floors: dict[str, float]) -> None:
    """Known levels as dotted lines, named at the right; names that would lie on each other are moved apart."""
    for level in floors.values():
        axes.axhline(level, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    scale = np.log if axes.get_yscale() == "log" else float
    low, high = map(scale, axes.get_ylim())
    place = -1.0
    for what, level in sorted(floors.items(), key=lambda item: item[1]):
        place = max((scale(level) - low) / (high - low), place + 0.045)  # of the axes' height: a line of this size
        axes.annotate(what, (1.01, place), xycoords="axes fraction", ha="left", va="center", fontsize=7, color="0.4")


def _finish(axes: Axes, step: xr.DataArray) -> None:
    axes.set_xlim(0, float(step[-1]))
    axes.set_xlabel("network steps")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.spines[["top", "right"]].set_visible(False)


def _thousands(steps: float, _: int) -> str:
    for letter, size in (("M", 1_000_000), ("k", 1_000)):
        if steps >= size:
            return f"{steps / size:g} {letter}"
    return f"{steps:g}"


def what_is_drawn(data: xr.Dataset) -> list[str]:
    """What a line and its shade are, for legend or caption."""
    seeds, sizes = data.sizes["seed"], bin_steps(data.step)
    return [
        "one seed" if seeds == 1 else f"mean ± s.e.m. of {seeds} seeds",
        f"in bins of {int(sizes[0]):,} steps",
        "not smoothed",
    ]


def draw_fig1(data: xr.Dataset, folder: Path) -> None:
    """Fig. 1 as `fig1.png` and `fig1.svg`: one panel a task."""
    floors, titles = json.loads(data.attrs["floors"]), json.loads(data.attrs["titles"])
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    panels = figure.subplots(1, data.sizes["task"])
    for letter, axes, task in zip(LETTERS, np.atleast_1d(panels), data.task.values, strict=False):
        of_task = data.sel(task=task)
        draw_losses(axes, of_task.loss, diverged(of_task, floors[task].values()), floors[task], LOOKS)
        axes.set_ylabel(str(data.unit.sel(task=task).values))
        axes.set_title(f"{letter})  {titles[task]}", loc="left", fontsize=11)
    handles, labels = axes.get_legend_handles_labels()
    title = ",\n".join([f"{data.attrs['variant']} variant", *what_is_drawn(data)])
    figure.legend(handles, labels, loc="outside right center", frameon=False, title=title, title_fontsize=8, alignment="left")
    for kind in ("png", "svg"):
        save(figure, folder / f"fig1.{kind}")


def save(figure: Figure, path: Path) -> None:
    """Write a figure, in the format that its name ends in; an SVG of the same figure is the same file."""
    content = io.BytesIO()
    with rc_context({"svg.hashsalt": "recredit"}):  # of the names of its parts, which are drawn at random otherwise
        figure.savefig(content, format=path.suffix[1:], dpi=200, metadata={"Date": None} if path.suffix == ".svg" else None)
    write_whole(path, content.getvalue())


def draw_runs(data: xr.Dataset, runs: Mapping[str, Run], path: Path) -> None:
    """The loss of one or more runs as a picture, and below it the observers' alignment with the rule that drives.

    `data`: what `train` returned for each run, along a dimension `rule` of their names; `runs`: those runs by these names,
    different in nothing but their rules.
    """
    run = next(iter(runs.values()))
    task, aligned = run.build_task(), "cosine" in data
    title, caption = textwrap.fill(settings_text(run.task), 90), textwrap.fill(_caption(data, runs), 125)
    figure = Figure(layout="constrained")
    panels = figure.subplots(2 if aligned else 1, 1, squeeze=False)[:, 0]
    lost = diverged(data, task.floors().values())
    draw_losses(panels[0], shown(data.loss, task), lost, loss_levels(task), itertools.cycle(CHOSEN))
    panels[0].set_ylabel(loss_unit(task))
    if aligned:
        _draw_alignment(panels[1], data.cosine, lost)
    lines = sum(draw_legend(axes) for axes in panels) + title.count("\n") + caption.count("\n")
    figure.set_size_inches(7.6, 3.6 * len(panels) + 0.2 * lines)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color="0.3")
    save(figure, path)


def draw_legend(axes: Axes, title: str | None = None) -> int:
    """A legend above the panel, in as many columns as its names leave room for; the number of its lines."""
    handles, names = axes.get_legend_handles_labels()
    names = [textwrap.fill(name, 80) for name in names]
    columns = max(1, min(4, 95 // (max(len(name) for name in names) + 8)))
    look = {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False, "fontsize": 9}
    axes.legend(handles, names, ncols=columns, title=title, alignment="left", **look)
    return -(-len(names) // columns) + sum(name.count("\n") for name in names) + (title is not None)


def _caption(data: xr.Dataset, runs: Mapping[str, Run]) -> str:
    """What is drawn, and the settings of all runs but for the task's."""
    run = next(iter(runs.values()))
    rules = [name + settings_text(run.rule).removeprefix(run.rule["name"]) for name, run in runs.items()]
    streams = [f"{run.streams} streams"] if run.streams > 1 else []
    settings = [*rules, settings_text(run.network), *streams, f"optimizer {settings_text(run.optimizer)}"]
    return f"{', '.join(what_is_drawn(data)).capitalize()}. {'; '.join(settings)}."


def _draw_alignment(axes: Axes, cosine: xr.DataArray, lost: xr.DataArray) -> None:
    """The cosine (rule, observer, seed, step) of each observer's gradient with that of the driver, of seeds not `lost`."""
    compared = cosine.notnull().any(("seed", "step"))
    cosine = cosine.where(~lost).transpose("rule", "observer", "seed", "step")
    looks = itertools.islice(itertools.cycle(CHOSEN), cosine.sizes["rule"], None)  # other colours than the losses have
    for values, look in zip([each for of_rule in cosine for each in of_rule], looks, strict=False):
        label = f"{values.observer.values} beside {values.rule.values}"
        if not values.notnull().any():
            ever = compared.sel(rule=values.rule, observer=values.observer)
            label += ": every seed that could be compared diverged" if ever else ": never comparable"
        _draw_line(axes, values, look, label)
    axes.axhline(0, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    axes.set_ylabel("cosine of the gradients")
    axes.set_ylim(min(-0.05, axes.get_ylim()[0]), 1.05)
    _finish(axes, cosine.step)


def settings_text(table: Mapping[str, Any]) -> str:
    """A part of a run as text: its name, if it has one, and its settings in brackets."""
    inner = [
        f"{key}={settings_text(value) if isinstance(value, Mapping) else f'{value:g}' if isinstance(value, float) else value}"
        for key, value in table.items()
        if key not in ("name", "digest") and value is not None
    ]
    return f"{table.get('name', '')} ({', '.join(inner)})".strip() if inner else table["name"]


def draw_slopes(audits: Sequence[Audit], path: Path) -> None:
    """How the largest relative change per step of each matrix shrinks with the time step alpha: one line a matrix."""
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    axes = figure.subplots()
    lines = [(audit.rule, name, curve) for audit in audits for name, curve in (audit.slopes or {}).items()]
    for k, (rule, name, curve) in enumerate(lines):
        value = slope(curve)
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
    save(figure, path)
