"""What the report's charts draw, as the page's script reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from recredit.audit.account.symbolic import Sizes, value
from recredit.audit.verdicts import Audit
from recredit.report import charts
from recredit.report.gathered import Curve, Gathered
from recredit.report.sweeps import mean_and_error
from recredit.runs.final_loss import bin_means

MOST = 120_000  # numbers of single seeds in a page: beyond it, the means alone
UNITS = (8, 16, 32, 64, 128, 256, 512, 1024)


def names(gathered: Gathered) -> list[str]:
    """What the lines of all panels are called, each once."""
    return list(dict.fromkeys(curve.name for panel in gathered.panels for curve in panel.curves))


def looks(gathered: Gathered, audits: Sequence[Audit] = ()) -> dict[str, Any]:
    """The line style of every name, those of rules that are audited alone last."""
    every = list(dict.fromkeys([*names(gathered), *(audit.rule for audit in audits)]))
    return charts.styles(every, gathered.claims is not None)


def has_seeds(gathered: Gathered) -> bool:
    """Whether each seed's curve is in the page."""
    return sum(curve.loss.size for panel in gathered.panels for curve in panel.curves) <= MOST


def charted(gathered: Gathered, audits: Sequence[Audit], sizes: Sizes | None, live: bool = False) -> str:
    """Specifications and data of all charts as JSON that may stand in a page. `sizes`: (n, n_in, n_out) of the first run."""
    steps: list[list[int]] = []
    with_seeds = has_seeds(gathered)
    panels = [
        {
            "unit": panel.unit,
            "isLoss": panel.is_loss,
            "levels": _levels(panel.levels),
            "curves": [_curve(curve, steps, with_seeds, live) for curve in panel.curves],
        }
        for panel in gathered.panels
    ]
    told = {
        "live": live,
        "styles": looks(gathered, audits),
        "specs": {each.__name__: each() for each in (charts.curves, charts.finals, charts.costs, charts.heat)},
        "steps": steps,
        "panels": panels,
        "costs": _costs(audits, sizes) if sizes else [],
        "heat": _heat(gathered),
    }
    return json.dumps(told, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _levels(levels: Mapping[str, float]) -> list[dict[str, Any]]:
    """Known levels, those that cannot be told apart on one line."""
    found: dict[str, list[str]] = {}
    for what, level in levels.items():
        found.setdefault(f"{level:.3g}", []).append(what)
    return [{"what": ", ".join(whats), "value": levels[whats[0]]} for whats in found.values()]


def _curve(curve: Curve, steps: list[list[int]], with_seeds: bool, live: bool) -> dict[str, Any]:
    ends = [int(step) for step in curve.step]
    if ends not in steps:
        steps.append(ends)
    mean, error, count = bin_means(curve.loss[~curve.lost])
    if live:  # where some seeds are ahead of others, their mean is not that of all
        mean = np.where(count == count.max(initial=0), mean, np.nan)
    end, spread, _ = mean_and_error(curve.final)
    return {
        "name": curve.name,
        "step": steps.index(ends),
        "mean": _numbers(mean),
        "error": _numbers(error),
        "count": count.tolist(),
        "seeds": list(curve.seeds),
        "values": [_numbers(values) for values in curve.loss] if with_seeds else None,
        "final": _numbers(curve.final),
        "end": _numbers([end, spread if np.isfinite(spread) else 0.0]),
    }


def _numbers(values: Iterable[float]) -> list[float | None]:
    """Numbers to five digits; None for what is not finite."""
    return [float(f"{each:.5g}") if np.isfinite(each) else None for each in values]


def _costs(audits: Sequence[Audit], sizes: Sizes) -> list[dict[str, Any]]:
    """Two charts: what each rule keeps, and what it multiplies at each step."""
    _, n_in, n_out = sizes
    found = []
    for unit, formulas in {
        "numbers kept": {audit.rule: audit.memory for audit in audits},
        "multiplications per step": {audit.rule: audit.multiplications for audit in audits},
    }.items():
        rows: list[Mapping[str, Any]] = []
        for rule, formula in formulas.items():
            values = [(n, value(formula, (n, n_in, n_out))) for n in UNITS]
            rows += [{"name": rule, "n": n, "value": each, "formula": formula} for n, each in values if each]
        found.append({"unit": unit, "rows": rows})
    return found


def _heat(gathered: Gathered) -> list[dict[str, Any]]:
    """A heat map for each measure and each part of the weights."""
    data = gathered.alignment
    if data is None:
        return []
    found = []
    for measure in ("mean_cosine", "norm_ratio"):
        largest = np.nanmax(np.abs(np.log(data.norm_ratio.sel(estimate="mean").values)), initial=1e-9)
        for part in data.part.values.tolist():
            rows = []
            for row in data.gradient.values.tolist():
                for column in data.beside.values.tolist():
                    at = data[measure].sel(gradient=row, beside=column, part=part)
                    mean, low, high = _numbers(at.sel(estimate=["mean", "low", "high"]).values)
                    colour = mean if measure == "mean_cosine" or not mean else float(np.log(mean) / largest)
                    text = "–" if mean is None else f"{mean:z.2f}" if measure == "mean_cosine" else f"{mean:.2g}"
                    told = {"row": row, "column": column, "value": mean, "low": low, "high": high}
                    rows.append(told | {"colour": colour, "text": text})
            found.append({"measure": measure, "part": part, "rows": rows})
    return found
