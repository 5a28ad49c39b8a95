"""Learning curves as pictures, drawn on figures of their own: without pyplot, so that the user's backend is left alone."""

import csv
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
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from recredit.audit.measurement import slope
from recredit.audit.verdicts import Audit
from recredit.report.styles import DOUBLE, SMALLEST, letters, size_of, styled
from recredit.report.tables import counted
from recredit.runs.files import write_whole
from recredit.runs.final_loss import DIVERGED_MEANS, bin_steps, diverged, loss_levels, loss_unit, shown
from recredit.runs.settings import Run
from recredit.studies.variants import Style

Look = dict[str, Any]  # of a line: its colour, style and marker
# Okabe & Ito's colours, told apart by every kind of sight; grey for the baseline that does not learn. Each has a marker of its
# own, so that lines are told apart without colour too.
COLOURS = ["#7f7f7f", "#000000", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9"]
MARKERS = ["", "s", "D", "v", "P", "p", ">", "<"]
DASHED, DOTTED = (0, (4, 1.5)), (0, (1, 1))
LOOKS: list[Look] = [
    {"color": color, "linestyle": "-", "marker": marker} for color, marker in zip(COLOURS, MARKERS, strict=True)
]
LOOKS[2]["linestyle"] = DASHED  # BPTT and RTRL often lie on each other
# Of rules that someone chose: no colour stands for a baseline.
CHOSEN: list[Look] = [
    {"color": COLOURS[k], "linestyle": style, "marker": MARKERS[k]}
    for style in ("-", DASHED, DOTTED)
    for k in (2, 3, 4, 5, 6, 7, 1)
]


def _draw_line(axes: Axes, values: xr.DataArray, look: Look, label: str) -> None:
    """Mean and standard error over seeds of (seed, step), each bin as it is, in its middle; nan: a seed without a value."""
    count = values.notnull().sum("seed")
    middle = (values.step - bin_steps(values.step) / 2).values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # bins in which one seed or none has a value
        mean, error = values.mean("seed").values, (values.std("seed", ddof=1) / np.sqrt(count)).fillna(0).values
    if len(middle) == 1:  # no line can be drawn
        shape: Look = {"color": look["color"], "fmt": look["marker"] or "o", "capsize": 3}
        axes.errorbar(middle, mean, error if error.any() else None, **shape, label=label)
        return
    axes.fill_between(middle, mean - error, mean + error, color=look["color"], alpha=0.25, linewidth=0)
    every = -(-len(middle) // 6)
    first = every * (2 + MARKERS.index(look["marker"])) // 10  # markers of two lines that lie on each other stand apart
    axes.plot(middle, mean, **look, markevery=slice(first, None, every), label=label)


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
        axes.axhline(level, color="0.6", linewidth=size_of("lines.linewidth") / 2, linestyle=":", zorder=0)
    scale = np.log if axes.get_yscale() == "log" else float
    low, high = map(scale, axes.get_ylim())
    place = -1.0
    for what, level in sorted(floors.items(), key=lambda item: item[1]):
        place = max((scale(level) - low) / (high - low), place + 0.045)  # of the axes' height: a line of this size
        axes.annotate(what, (1.01, place), xycoords="axes fraction", ha="left", va="center", fontsize=SMALLEST, color="0.4")


def _finish(axes: Axes, step: xr.DataArray) -> None:
    axes.set_xlim(0, float(step[-1]))
    axes.set_xlabel("network steps")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines["left"].set_position(("outward", 4))  # off the curves' steep beginning


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
        f"in bins of {counted(int(sizes[0]), 'step')}",
        "not smoothed",
    ]


def draw_fig1(data: xr.Dataset, paths: Sequence[Path], style: Style = "screen") -> None:
    """Fig. 1 to these files: one panel a task."""
    floors, titles = json.loads(data.attrs["floors"]), json.loads(data.attrs["titles"])
    told = [f"{data.attrs['variant']} variant", *what_is_drawn(data)]
    with styled(style) as on_paper:
        figure = Figure(figsize=(DOUBLE, 2.5) if on_paper else (9.6, 3.9), layout="constrained")
        panels = figure.subplots(1, data.sizes["task"])
        for letter, axes, task in zip("ab", np.atleast_1d(panels), data.task.values, strict=False):
            of_task = data.sel(task=task)
            draw_losses(axes, of_task.loss, diverged(of_task, floors[task].values()), floors[task], LOOKS)
            axes.set_ylabel(str(data.unit.sel(task=task).values))
            axes.set_title(f"{letter})  {titles[task]}", loc="left")
        title: dict[str, Any] = {} if on_paper else {"title": ",\n".join(told), "title_fontsize": 8}
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False, alignment="left", **title)
        save(figure, paths, f"{data.attrs['title']}: {', '.join(told)}.")


def save(figure: Figure, paths: Sequence[Path], caption: str = "") -> None:
    """Write a figure to files, in the formats that their names end in; files of the same figure are the same.

    Text stays text in SVG and PDF. `caption`: what each file says of itself in its metadata.
    """
    keys = {".png": "Description", ".svg": "Description", ".pdf": "Subject"}
    undated = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    for path in paths:
        content, told = io.BytesIO(), {keys[path.suffix]: caption} if caption else {}
        # The salt names an SVG's parts, which are drawn at random otherwise; 42 is TrueType, which can be edited.
        with rc_context({"svg.hashsalt": "recredit", "svg.fonttype": "none", "pdf.fonttype": 42}):
            figure.savefig(content, format=path.suffix[1:], metadata=undated[path.suffix] | told)
        write_whole(path, content.getvalue())


def draw_runs(data: xr.Dataset, runs: Mapping[str, Run], paths: Sequence[Path], style: Style = "screen") -> None:
    """The loss of one or more runs as a picture, and below it the observers' alignment with the rule that drives.

    `data`: what `train` returned for each run, along a dimension `rule` of their names; `runs`: those runs by these names,
    different in nothing but their rules.
    """
    run = next(iter(runs.values()))
    task, aligned = run.build_task(), "cosine" in data
    title, caption = settings_text(run.task), _caption(data, runs)
    with styled(style) as on_paper:
        figure = Figure(layout="constrained")
        panels = figure.subplots(2 if aligned else 1, 1, squeeze=False)[:, 0]
        lost = diverged(data, task.floors().values())
        draw_losses(panels[0], shown(data.loss, task), lost, loss_levels(task), itertools.cycle(CHOSEN))
        panels[0].set_ylabel(loss_unit(task))
        if aligned:
            _draw_alignment(panels[1], data.cosine, lost)
        lines = sum(draw_legend(axes) for axes in panels)
        if not on_paper:
            lines += draw_title(figure, title) + draw_caption(figure, caption)
        set_height(figure, len(panels), lines)
        save(figure, paths, f"{title}. {caption}")


def draw_title(figure: Figure, title: str) -> int:
    """A title above a figure of the style's width; the number of its further lines."""
    text = textwrap.fill(title, letters(figure.get_figwidth(), size_of("figure.titlesize")))
    figure.suptitle(text, x=0.01, ha="left")
    return text.count("\n")


def draw_caption(figure: Figure, caption: str) -> int:
    """A caption below a figure, which has its width by now; the number of its further lines."""
    text = textwrap.fill(caption, letters(figure.get_figwidth(), size_of("figure.labelsize")))
    figure.supxlabel(text, x=0.01, ha="left", color="0.3")
    return text.count("\n")


def set_height(figure: Figure, panels: int, lines: int) -> None:
    """Give a figure room for so many panels below each other, and for so many lines of text."""
    width, height = rcParams["figure.figsize"]
    figure.set_size_inches(width, height * panels + 0.02 * rcParams["font.size"] * lines)


def draw_legend(axes: Axes, title: str | None = None) -> int:
    """A legend above the panel, in as many columns as its names leave room for; the number of its lines."""
    handles, names = axes.get_legend_handles_labels()
    room = letters(rcParams["figure.figsize"][0], size_of("legend.fontsize"))
    names = [textwrap.fill(name, room * 3 // 4) for name in names]
    columns = max(1, min(4, room * 6 // 7 // (max(len(name) for name in names) + 8)))
    look: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False}
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
    axes.axhline(0, color="0.6", linewidth=size_of("lines.linewidth") / 2, linestyle=":", zorder=0)
    axes.set_ylabel("cosine of the gradients")
    axes.set_ylim(min(-0.05, axes.get_ylim()[0]), 1.05)
    _finish(axes, cosine.step)


def settings_text(table: Mapping[str, Any]) -> str:
    """A part of a run as text: its name, if it has one, and its settings in brackets."""
    inner = [
        f"{key}={settings_text(value) if isinstance(value, Mapping) else value_text(value)}"
        for key, value in table.items()
        if key not in ("name", "digest") and value is not None
    ]
    return f"{table.get('name', '')} ({', '.join(inner)})".strip() if inner else table["name"]


def value_text(value: Any) -> str:
    """The value of a setting, as `--set` takes it."""
    words = {True: "true", False: "false", None: "none"}
    return (
        words[value] if value is None or isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def draw_slopes(audits: Sequence[Audit], path: Path) -> None:
    """How the largest relative change per step of each matrix shrinks with the time step alpha: one line a matrix.

    The numbers are written beside it, to a CSV file of the same name.
    """
    lines = [(audit.rule, name, curve) for audit in audits for name, curve in (audit.slopes or {}).items()]
    with styled("screen"):
        figure = Figure(figsize=(7.6, max(4.4, 0.19 * len(lines) + 0.5)), layout="constrained")
        axes = figure.subplots()
        styles = itertools.cycle(["-", DASHED, DOTTED])  # matrices of a rule often change alike
        for (rule, name, curve), look, style in zip(lines, itertools.cycle(CHOSEN), styles):
            value = slope(curve)
            told = "diverges" if np.isnan(value) else "never changes" if np.isinf(value) else f"{value:.2f}"
            shown = [d or np.nan for d in curve["max"]]
            axes.plot(curve["alpha"], shown, **{**look, "linestyle": style}, label=f"{rule}: {name} ({told})")
        axes.set(yscale="log", xlabel="time step α", ylabel="largest relative change per step")
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title("slope 1: smooth, ½: diffusive, 0: jumps", loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        if lines:
            axes.set_xticks(lines[0][2]["alpha"], [f"1/{1 / alpha:g}" for alpha in lines[0][2]["alpha"]])
            figure.legend(loc="outside right upper", frameon=False, title="matrix (slope)", alignment="left", fontsize=8)
        else:
            axes.text(0.5, 0.5, "no matrix in any state", transform=axes.transAxes, ha="center")
        save(figure, [path])
    head = ("rule", "matrix", "slope", "time_step", "largest_change", "mean_change")
    rows = [(rule, name, slope(c), *point) for rule, name, c in lines for point in zip(c["alpha"], c["max"], c["mean"])]
    write_whole(path.with_suffix(".csv"), as_csv(head, rows))


def as_csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table as CSV, in UTF-8."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue().encode()
