"""A sweep's results as a table."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from rich.table import Table
from rich.text import Text

from recredit.report.tables import percent

MOST = 60  # rows of a table


def mean_and_error(losses: np.ndarray) -> tuple[float, float, int]:
    """Mean and standard error over the seeds that did not diverge, and how many did; nan where undefined."""
    whole = losses[np.isfinite(losses)]
    mean = float(whole.mean()) if whole.size else np.nan
    return mean, float(whole.std(ddof=1) / whole.size**0.5) if whole.size > 1 else np.nan, losses.size - whole.size


def sweep_table(data: xr.Dataset, axes: Sequence[str]) -> Table:
    """The loss at the end of each point, and the accuracy if it was measured, beside its place on the axes; the first ones of a
    long list."""
    final, accuracy = data.final_loss, data.get("final_accuracy")
    short = {path: path.rsplit(".", 1)[-1] if path.count(".") else path for path in axes}
    seeds = final.sizes["seed"]
    title = f"Mean final loss of {seeds} seeds" if seeds > 1 else "Final loss of one seed"
    diverged = ["diverged"] if final.isnull().any() else []
    right = [] if accuracy is None else ["accuracy"]
    table = Table(*short.values(), "final loss", "± s.e.m.", *right, *diverged, title=title)
    for column in table.columns:
        column.no_wrap = True
    for number, point in enumerate(final[:MOST]):
        mean, error, lost = mean_and_error(point.values)
        place = [Text(_told(point[path].item())) for path in axes]
        shares = [] if accuracy is None else [percent(mean_and_error(accuracy[number].values)[0])]
        table.add_row(*place, _number(mean, 4), _number(error, 2), *shares, *[str(lost) if lost else "" for _ in diverged])
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


def _number(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}g}"
