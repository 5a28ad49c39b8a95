"""A sweep's results as figures: the loss against the axis along which was chosen, and the curves of what is reported."""

import itertools
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy

from recredit.report.figures import (
    CHOSEN,
    Look,
    draw_caption,
    draw_legend,
    draw_levels,
    draw_losses,
    save,
    set_height,
    what_is_drawn,
)
from recredit.report.styles import DOUBLE, size_of, styled
from recredit.report.sweeps import mean_and_error
from recredit.runs.final_loss import loss_levels, loss_unit
from recredit.runs.sweep import Sweep
from recredit.studies.sweeps import label
from recredit.studies.variants import Style
from recredit.tasks import AbstractTask

Groups = dict[str, tuple[int, ...]]  # the numbers of some points, by what they are called
MOST_PANELS, MOST_LINES = 12, len(CHOSEN)  # of a figure, and of a panel: the first ones of a long list
LOST, ABOVE = "a seed diverged", "above the untrained network"
MARKS = {LOST: "x", ABOVE: "^"}
RING: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "linestyle": "none"}
ROW = 7  # typographic points, from the marks of one line at a panel's upper edge to those of the next


@dataclass(frozen=True)
class _Line:
    """Points of a sweep that differ along one axis."""

    look: Look
    place: np.ndarray
    """Where each point lies on the axis."""
    mean: np.ndarray
    """Its mean loss; nan if a seed diverged."""
    error: np.ndarray
    """The standard error, 0 of one seed."""
    untrained: np.ndarray
    """The untrained network's loss; nan: not known."""
    chosen: np.ndarray
    """Whether it was chosen."""


def draw_selection(
    sweep: Sweep, data: xr.Dataset, chosen: Sequence[int], paths: Sequence[Path], style: Style = "screen"
) -> None:
    """The loss at the end against the axis along which was chosen, a panel a task, a line for each choice.

    `data`: of the candidates, as `selection` gives it; `chosen`: the numbers of the chosen points. Points above the untrained
    network's loss, or of which a seed diverged, are marked at the upper edge.
    """
    assert sweep.select
    panels, left_out = _panels(sweep, [group for group in sweep.groups if len(group) > 1], sweep.select.along)
    looks = dict(zip(dict.fromkeys(itertools.chain(*panels.values())), itertools.cycle(CHOSEN)))
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    seeds = sweep.select.seeds
    who = f"mean ± s.e.m. of the selection seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"selection seed {seeds[0]}"
    caption = f"Final loss, the mean over the last tenth of the run: {who}.{left_out}"
    with styled(style) as on_paper:
        figure = Figure(layout="constrained")
        axes, marks = figure.subplots(rows, columns, squeeze=False).flatten(), []
        for panel, (task, groups) in zip(axes, panels.items()):
            built = _task(sweep, groups)
            levels = loss_levels(built) if task else {}
            place = _place(panel, sweep, sweep.select.axis, itertools.chain(*groups.values()))
            lines = [
                _line(data, sorted(group, key=place.__getitem__), place, looks[name], chosen) for name, group in groups.items()
            ]
            marks.append(_draw_lines(figure, panel, lines, levels))
            panel.set_ylabel(f"final loss: {loss_unit(built)}" if task else "final loss")
        head = max(map(len, marks))
        for panel, task in zip(axes, panels):
            panel.set_title(task or " ", loc="left", pad=6 + ROW * head)
        for panel in axes[len(panels) :]:
            panel.set_axis_off()
        keys = _keys(looks, set(itertools.chain(*itertools.chain(*marks))))
        figure.legend(handles=keys, loc="outside right center", frameon=False, fontsize=size_of("figure.labelsize"))
        width, height = (DOUBLE, 2.3) if on_paper else (4.2 * columns + 1.8, 3.8)
        figure.set_size_inches(width, max((height + 0.1 * head) * rows, 0.2 * len(keys) + 0.6))
        if not on_paper:
            draw_caption(figure, caption)
        save(figure, paths, caption)


def _keys(looks: Mapping[str, Look], marked: Collection[str]) -> list[Line2D]:
    """What the legend explains: each line, the ring, and the marks that are in the figure."""
    keys = [Line2D([], [], **look, label=textwrap.fill(name, 40)) for name, look in looks.items()]
    keys.append(Line2D([], [], **RING, markersize=2 * size_of("lines.markersize"), color="0.3", label="chosen"))
    grey: dict[str, Any] = {"linestyle": "none", "color": "0.3"}
    return keys + [Line2D([], [], marker=MARKS[what], **grey, label=what) for what in MARKS if what in marked]


def draw_curves(sweep: Sweep, data: xr.Dataset, paths: Sequence[Path], style: Style = "screen") -> None:
    """The loss (point, seed, step) of the points that are reported, a panel a task, a line a point."""
    panels, left_out = _panels(sweep, [(number,) for number in data.point.values.tolist()], frozenset())
    caption = f"{', '.join(what_is_drawn(data)).capitalize()}.{left_out}"
    with styled(style) as on_paper:
        figure = Figure(layout="constrained")
        lines = 0
        for axes, (task, groups) in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items()):
            own = data[["loss", "final_loss"]].sel(point=list(itertools.chain(*groups.values()))).reset_coords(drop=True)
            own = own.rename(point="rule").assign_coords(rule=list(groups))
            built = _task(sweep, groups)
            draw_losses(axes, own.loss, own.final_loss.isnull(), loss_levels(built), itertools.cycle(CHOSEN))
            axes.set_ylabel(loss_unit(built))
            lines += draw_legend(axes, task)
        if not on_paper:
            lines += draw_caption(figure, caption)
        set_height(figure, len(panels), lines)
        save(figure, paths, caption)


def _panels(sweep: Sweep, groups: Sequence[tuple[int, ...]], along: frozenset[str]) -> tuple[dict[str, Groups], str]:
    """Groups of points by their task, "" if it differs within them, then by what they are called; how many are left out."""
    panels: dict[str, Groups] = {}
    for group in groups:
        task = "" if "task" in along else _called(sweep, group[0])
        panels.setdefault(task, {})[label(sweep, group[0], {"task", *along})] = group
    few = {task: dict(itertools.islice(panels[task].items(), MOST_LINES)) for task in itertools.islice(panels, MOST_PANELS)}
    missing = len(groups) - sum(map(len, few.values()))
    return few, f" {missing:,} of {len(groups):,} lines are not drawn." if missing else ""


def _called(sweep: Sweep, number: int) -> str:
    """What a point's task is called."""
    point = sweep.points[number]
    return str(point.coordinates.get("task", point.run.task["name"]))


def _task(sweep: Sweep, groups: Groups) -> AbstractTask:
    return sweep.points[next(iter(groups.values()))[0]].run.build_task()


def _place(panel: Axes, sweep: Sweep, axis: str, numbers: Iterable[int]) -> dict[int, float]:
    """Where each point lies on the panel's axis, which is made for them: numbers by their size, words in their order."""
    panel.set_xlabel(axis.rsplit(".", 1)[-1].replace("_", " "))
    labels, found = sweep.axes[axis], {number: sweep.points[number].coordinates[axis] for number in numbers}
    if any(isinstance(each, str | bool) for each in labels):
        panel.set_xticks(range(len(labels)), [textwrap.fill(str(each), 16) for each in labels])
        found = {number: labels.index(each) for number, each in found.items()}
    place = {number: float(each) for number, each in found.items()}
    least, most = min(place.values()), max(place.values())
    if most > 20 * least > 0:
        panel.set_xscale("log")
    panel.set_xlim(_with_margins(least, most, panel.get_xscale()))
    return place


def _with_margins(low: float, high: float, scale: str) -> tuple[float, float]:
    if scale == "log":
        factor = (high / low) ** 0.06
        return low / factor, high * factor
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _line(data: xr.Dataset, numbers: Sequence[int], place: Mapping[int, float], look: Look, chosen: Sequence[int]) -> _Line:
    own = data.sel(point=list(numbers))
    mean, error, lost = np.array([mean_and_error(each) for each in own.final_loss.values]).T
    where = np.array([place[number] for number in numbers])
    return _Line(
        look, where, np.where(lost > 0, np.nan, mean), np.nan_to_num(error), own.untrained.values, np.isin(numbers, chosen)
    )


def _draw_lines(figure: Figure, panel: Axes, lines: Sequence[_Line], levels: dict[str, float]) -> list[list[str]]:
    """The lines of a panel, which ends at the untrained network's loss at most; which marks each line with some has there."""
    starts = np.nan_to_num(np.concatenate([line.untrained for line in lines]), nan=np.inf)
    top = max([float(starts.max()), *levels.values()])
    marked = []
    for k, line in enumerate(lines):
        aside = (k + 0.5) / len(lines) - 0.5  # so that lines on each other are all to be seen
        beside = offset_copy(panel.transData, figure, x=7 * aside, units="points")
        color = line.look["color"]
        size = size_of("lines.markersize")
        ring = RING | {"markersize": 2 * size, "color": color}
        panel.errorbar(line.place, line.mean, line.error, **line.look, capsize=2, transform=beside)
        marks = {LOST: np.isnan(line.mean), ABOVE: line.mean > top}
        beyond = marks[LOST] | marks[ABOVE]
        panel.plot(line.place[line.chosen & ~beyond], line.mean[line.chosen & ~beyond], **ring, transform=beside)
        if beyond.any():
            row = offset_copy(panel.get_xaxis_transform(), figure, y=ROW * (len(marked) + 0.8), units="points")
            edge: dict[str, Any] = {"color": color, "transform": row, "clip_on": False, "in_layout": False}
            for what, where in marks.items():
                panel.plot(line.place[where], np.ones(where.sum()), MARKS[what], **edge)
            where = line.chosen & beyond
            panel.plot(line.place[where], np.ones(where.sum()), **ring | edge)
            marked.append([what for what, where in marks.items() if where.any()])
    mean, error = (np.concatenate(column) for column in zip(*((line.mean, line.error) for line in lines)))
    _end_at(panel, mean, error, top, levels)
    draw_levels(panel, levels)
    panel.spines[["top", "right"]].set_visible(False)
    return marked


def _end_at(panel: Axes, mean: np.ndarray, error: np.ndarray, top: float, levels: Mapping[str, float]) -> None:
    """Scale and limits of a panel's losses: bars as well, but on a logarithmic axis their lower ends may lie outside."""
    below = mean <= top
    drawn = [*mean[below], *levels.values()]
    if not drawn:
        panel.text(0.5, 0.5, "All points are marked above.", transform=panel.transAxes, ha="center", color="0.4")
        panel.set_yticks([])
        return
    low, high = min(drawn), top if (mean > top).any() else max([*drawn, *(mean + error)[below]])
    if high > 5 * low > 0:
        panel.set_yscale("log")
    else:
        low = min([low, *(mean - error)[below]])
    panel.set_ylim(_with_margins(low, min(high, top), panel.get_yscale()))
