"""A sweep's results as a table and as a figure."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from recredit.report.figures import CHOSEN
from recredit.runs.files import write_whole

MOST = 60  # rows of a table


def mean_and_error(losses: np.ndarray) -> tuple[float, float, int]:
    """Mean and standard error over the seeds that did not diverge, and how many did; nan where undefined."""
    whole = losses[np.isfinite(losses)]
    mean = float(whole.mean()) if whole.size else np.nan
    return mean, float(whole.std(ddof=1) / whole.size**0.5) if whole.size > 1 else np.nan, losses.size - whole.size


def sweep_table(final: xr.DataArray, axes: Sequence[str]) -> Table:
    """The loss at the end of each point, beside its place on the axes; the first ones of a long list."""
    short = {path: path.rsplit(".", 1)[-1] if path.count(".") else path for path in axes}
    table = Table(*short.values(), "final loss", "± s.e.m.", "seeds", "diverged", title="Mean loss at the end")
    for column in table.columns:
        column.no_wrap = True
    for point in final[:MOST]:
        mean, error, lost = mean_and_error(point.values)
        place = [Text(_told(point[path].item())) for path in axes]
        table.add_row(*place, _number(mean), _number(error), str(point.sizes["seed"]), str(lost) if lost else "")
    for column in table.columns[len(axes) :]:
        column.justify = "right"
    if len(final) > MOST:
        table.caption = f"{len(final) - MOST:,} more points are in sweep.nc."
    return table


def _told(value: object) -> str:
    return (
        ""
        if value == "" or (isinstance(value, float) and np.isnan(value))
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.4g}"


def draw_selection(final: xr.DataArray, axis: str, chosen: Sequence[int], path: Path) -> None:
    """The loss at the end against the axis along which was chosen (point, seed), a panel a task and a line a rule.

    `chosen`: the numbers of the chosen points, which are marked.
    """
    tasks = list(dict.fromkeys(final.task.values.tolist())) if "task" in final.coords else [""]
    rules = list(dict.fromkeys(final.rule.values.tolist())) if "rule" in final.coords else [""]
    figure = Figure(figsize=(4.4 * len(tasks), 3.4), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for panel, task in zip(panels, tasks, strict=True):
        own = final[final.task.values == task] if task else final
        for rule, look in zip(rules, _repeated(CHOSEN, len(rules)), strict=True):
            line = own[own.rule.values == rule] if rule else own
            _draw(panel, line, axis, look, rule, chosen)
        panel.set_title(task)
        panel.set_xlabel(axis.rsplit(".", 1)[-1].replace("_", " "))
    panels[0].set_ylabel("loss at the end")
    panels[-1].legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())


def _repeated(looks: Sequence[Mapping], count: int) -> list[Mapping]:
    return [looks[k % len(looks)] for k in range(count)]


def _draw(panel: Axes, line: xr.DataArray, axis: str, look: Mapping, rule: str, chosen: Sequence[int]) -> None:
    """One line; where several points share a place on the axis, each has a point of its own."""
    if not line.size:
        return
    line = line.sortby(axis)
    numbers = line[axis].values
    if np.issubdtype(numbers.dtype, np.number) and (numbers > 0).all() and numbers.max() > 20 * numbers.min():
        panel.set_xscale("log")
    told = [mean_and_error(losses) for losses in line.values]
    mean, error = np.array([each[0] for each in told]), np.nan_to_num([each[1] for each in told])
    panel.errorbar(numbers, mean, error, **look, linewidth=1.4, marker=".", capsize=2, label=rule)
    best = np.isin(line.point.values, chosen)
    panel.plot(numbers[best], mean[best], "o", markersize=9, markerfacecolor="none", color=look["color"])
