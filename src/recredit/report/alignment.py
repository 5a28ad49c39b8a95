"""How well the gradients of rules align, as a heat map and as tables."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from rich.table import Table
from rich.text import Text

from recredit.report.figures import draw_caption, draw_title, save, settings_text
from recredit.report.styles import DOUBLE, size_of, styled
from recredit.report.tables import counted
from recredit.runs.settings import Run
from recredit.studies.variants import Style

MISSING = "0.85"  # a grey
MOST_WRITTEN = 14  # rules, up to which every cell of the map has its number
FIELD = 12  # points: the least width of a cell that has it


def draw_alignment(summary: xr.Dataset, driver: str, run: Run, paths: Sequence[Path], style: Style = "screen") -> None:
    """The mean cosine of each pair of rules, and below it the ratio of their norms, for each part of W.

    `summary`: of `studies.alignment.alignment`. What was never compared is grey and has no number.
    """
    labels, parts = summary.gradient.values.tolist(), summary.part.values.tolist()
    mean = summary.sel(estimate="mean")
    ratios = mean.norm_ratio.values[np.isfinite(mean.norm_ratio.values)]
    most = float(np.exp(np.abs(np.log(ratios[ratios > 0])).max(initial=np.log(2))))
    rows: list[tuple[str, str, Any, Any]] = [
        ("mean_cosine", "cosine", "RdBu_r", Normalize(-1, 1)),
        ("norm_ratio", "norm: row over column", "PuOr_r", LogNorm(1 / most, most)),
    ]
    title, caption = f"{settings_text(run.task)}, {driver} drives", _caption(summary, driver, run)
    with styled(style) as on_paper:
        side = (DOUBLE - 1.2) / len(parts) if on_paper else max(2.6, 0.36 * len(labels) + 0.9)
        figure = Figure(figsize=(side * len(parts) + 1.2, 2 * side + 1.6), layout=ConstrainedLayoutEngine(h_pad=0.12))
        written = 72 * (side - 0.3) / len(labels) > FIELD and len(labels) <= MOST_WRITTEN
        for panels, (name, what, colours, norm) in zip(figure.subplots(2, len(parts), squeeze=False), rows, strict=True):
            for axes, part in zip(panels, parts, strict=True):
                values = mean[name].sel(part=part).values
                image = axes.imshow(values, cmap=colormaps[colours].with_extremes(bad=MISSING), norm=norm)
                axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=size_of("figure.labelsize"))
                axes.set_yticks(range(len(labels)), labels if part == parts[0] else [], fontsize=size_of("figure.labelsize"))
                axes.spines[:].set_visible(False)
                if name == "mean_cosine":
                    axes.set_title(part, loc="left")
                if written:
                    _write(axes, values, norm)
            figure.colorbar(image, ax=panels, label=what, shrink=0.8, pad=0.01)
        if not on_paper:
            draw_title(figure, title)
            draw_caption(figure, caption)
        save(figure, paths, f"{title}. {caption}")


def _write(axes: Axes, values: np.ndarray, norm: Any) -> None:
    """Each cell's number."""
    for i, j in np.ndindex(values.shape):
        if np.isfinite(values[i, j]):
            dark = abs(2 * float(norm(values[i, j])) - 1) > 0.7
            look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 5, "color": "w" if dark else "k"}
            axes.text(j, i, short(float(values[i, j])), **look)


def _caption(summary: xr.Dataset, driver: str, run: Run) -> str:
    """What is averaged over, and all settings but the task's."""
    rules = {driver: run.rule, **run.observers}
    settings = [label + settings_text(rule).removeprefix(rule["name"]) for label, rule in rules.items()]
    settings += [settings_text(run.network), f"optimizer {settings_text(run.optimizer)}"]
    return f"Mean over {run.steps:,} steps and {counted(summary.seeds.item(), 'seed')}. {'; '.join(settings)}."


def short(value: float) -> str:
    """A number in few characters: .98, -.1, 12, 3e4."""
    text = f"{value:z.2f}" if abs(value) < 9.995 else f"{value:.0f}" if abs(value) < 999.5 else f"{value:.0e}"
    return text.replace("e+0", "e").replace("0.", ".").replace("1.00", "1")


def cosines_table(summary: xr.Dataset) -> Table:
    """The mean cosine of each pair of rules, for all of W."""
    labels, values = summary.gradient.values.tolist(), summary.mean_cosine.sel(part="W")
    table = Table("", *labels, title="Cosine of the gradients for W")
    for column in table.columns:
        column.no_wrap = True
    for label in labels:
        row = values.sel(gradient=label, estimate="mean").values
        table.add_row(Text(label), *(f"{value:z.2f}" if np.isfinite(value) else "–" for value in row))
    for column in table.columns[1:]:
        column.justify = "right"
    half = (values.sel(estimate="high") - values.sel(estimate="mean")).max().item()
    if np.isfinite(half):
        table.caption = f"95 % intervals over {summary.seeds.item()} seeds are at most ±{half:.2g}."
    return table


def beside_table(summary: xr.Dataset, beside: str, exact: bool) -> Table:
    """Every rule's gradient beside one rule's; with bias and variance if that one is `exact`."""
    own = summary.sel(beside=beside)
    parts = summary.part.values.tolist()
    columns = [*(f"cosine {part}" for part in parts), "norm ratio", *(["bias²", "variance"] if exact else [])]
    table = Table("rule", *columns, title=f"Beside {beside}'s gradient")
    for label in summary.gradient.values.tolist():
        if label != beside:
            of = own.sel(gradient=label)
            told = [of.mean_cosine.sel(part=part) for part in parts] + [of.norm_ratio.sel(part="W")]
            told += [of.relative_squared_bias.sel(part="W"), of.relative_variance.sel(part="W")] if exact else []
            table.add_row(Text(label), *map(_with_interval, told))
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    table.caption = "Mean over seeds ± half of its 95 % interval; norm ratio, bias² and variance are for all of W."
    if exact:
        table.caption += f" The last two are divided by the mean squared norm of {beside}'s gradient;"
        table.caption += " an estimate of bias² may be below 0."
    return table


def _with_interval(of: xr.DataArray) -> str:
    mean, high = (float(of.sel(estimate=name)) for name in ("mean", "high"))
    if not np.isfinite(mean):
        return "–"
    return f"{mean:.3g} ± {high - mean:.2g}" if np.isfinite(high) else f"{mean:.3g}"


def remarks(data: xr.Dataset) -> Iterator[str]:
    """What could not be compared, in sentences; `data`: of one run (seed, gradient, beside, part, step)."""
    whole = data.sel(part="W")
    compared, lost = (whole[name].sum(("seed", "step")) for name in ("compared", "not_finite"))
    labels = data.gradient.values.tolist()
    silent = [label for label in labels if not compared.sel(gradient=label, beside=label)]
    for label in labels:
        own, gone = (int(each.sel(gradient=label, beside=label)) for each in (compared, lost))
        if gone:
            first = whole.not_finite_at.sel(gradient=label, beside=label)
            told = f"{gone:,} of its {own + gone:,} gradients are left out because they are not finite"
            yield f"{label}: {told}, from step {int(first.where(first >= 0).min()):,} on."
        elif not own:
            yield f"{label}: its gradient is 0 at every step, so there is nothing to compare."
    apart = [
        f"{a} and {b}"
        for i, a in enumerate(labels)
        for b in labels[i + 1 :]
        if not {a, b} & {*silent} and not compared.sel(gradient=a, beside=b) and not lost.sel(gradient=a, beside=b)
    ]
    if apart:
        yield f"No step has gradients of both {', '.join(apart)}."
