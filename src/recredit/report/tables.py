"""The tables at the end of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from recredit.rule import AbstractRule
from recredit.runs.final_loss import DIVERGED_MEANS

if TYPE_CHECKING:
    import xarray as xr


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def counted(number: int, what: str) -> str:
    """A number of things: "1 point", "1,200 points"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def alignment_line(data: xr.Dataset, driver: str, observer: str, rules: tuple[AbstractRule, AbstractRule] | None = None) -> str:
    """How an observer's gradients aligned with the driver's over a run, in words. `data` is of these two alone, (seed, step),
    and so are the `rules`, which say whether there could be anything to compare."""
    compared, lost = int(data.compared.sum()), int(data.not_finite.sum())
    mean = {name: float((data[name] * data.compared).sum()) / max(compared, 1) for name in ("cosine", "norm_ratio")}
    found = f"mean cosine {mean['cosine']:.3f}, norm {mean['norm_ratio']:.3g} times as large"
    if not compared:
        found = "no step has a gradient of both to compare"
        if rules and (rules[0].delay - rules[1].delay) % math.gcd(rules[0].period, rules[1].period):
            sizes = " and ".join(str(rule.period) for rule in rules)
            found = f"their sums, over {sizes} steps, never end at the same step, so none can be compared"
    if lost:
        first = int(data.not_finite_at.where(data.not_finite_at >= 0).min())
        left = f"{lost:,} of {compared + lost:,} comparisons are left out"
        found += f"; {left}, because one of the two was not finite, from step {first:,} on"
    return f"{observer}'s gradient beside {driver}'s: {found}"


def losses_table(
    final: dict[str, dict[str, dict[str, Any]]], seeds: int, steps: str, accuracy: Mapping[str, float] | None = None
) -> Table:
    """The loss at the end of each task and rule (`summary`), over `steps` (in words), and how many of the seeds diverged; with
    the mean `accuracy` of each rule, if it was measured."""
    columns = "task", "rule", "final loss", "± s.e.m.", *(["accuracy"] if accuracy else []), "seeds", "diverged"
    table = Table(*columns, title=f"Mean loss over {steps}")
    for column in table.columns:
        column.no_wrap = True
    for task, rules in final.items():
        for rule, loss in rules.items():
            lost = seeds - loss["seeds"]
            right = [percent(accuracy[rule])] if accuracy else []
            numbers = _number(loss["mean"]), _number(loss["sem"]), *right, str(seeds), str(lost) if lost else ""
            table.add_row(Text(task), Text(rule), *numbers)
        table.add_section()
    for column in table.columns[2:]:
        column.justify = "right"
    if any(loss["seeds"] < seeds for rules in final.values() for loss in rules.values()):
        table.caption = f"Diverged, and left out of the mean: {DIVERGED_MEANS}."
    return table


def tested_table(test: xr.Dataset, trained: xr.Dataset, steps: int) -> Table:
    """Of each rule, the mean over seeds of the loss, and of the accuracy if it was measured, in a test of so many steps, beside
    the same at the end of training; both datasets hold these (rule, seed)."""
    columns = "rule", "loss", "± s.e.m.", "at the end of training"
    table = Table(*columns, title=f"Loss on fresh data over {steps:,} steps")
    if has_accuracy := "accuracy" in test:
        table.add_column("accuracy")
        table.add_column("at the end")
    table.add_column("seeds")
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for rule in test.rule.values.tolist():
        loss, before = test.sel(rule=rule), trained.sel(rule=rule)
        seeds = int(loss.loss.count())
        error = float(loss.loss.std(ddof=1)) / math.sqrt(seeds) if seeds > 1 else None
        row = [_number(_mean(loss.loss)), _number(error), _number(_mean(before.loss))]
        if has_accuracy:
            row += [percent(_mean(loss.accuracy)), percent(_mean(before.accuracy)) if "accuracy" in before else "–"]
        table.add_row(Text(rule), *row, str(seeds))
    return table


def _mean(values: xr.DataArray) -> float | None:
    """Over the seeds that have one."""
    return float(values.mean()) if values.count() else None


def percent(share: float | None) -> str:
    """A share as a percentage; a dash for none."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.1f} %"


STYLE = {"supported": "green", "contradicted": "red", "inconclusive": "yellow"}
FEWEST = 6  # seeds: of five that all agree the two-sided Wilcoxon p is 0.0625


def claims_table(claims: list[dict]) -> Table:
    """The paper's claims and their verdicts; where too few seeds are left for any, how many they are."""
    table = Table("claim", title="The paper's claims, tested over paired seeds")
    tasks = list(dict.fromkeys(entry["task"] for entry in claims))
    for task in tasks:
        table.add_column(task, no_wrap=True)
    cells = {(entry["claim"], entry["task"]): _verdict(entry) for entry in claims}
    for claim in dict.fromkeys(entry["claim"] for entry in claims):
        table.add_row(claim, *(cells[claim, task] for task in tasks))
    if any("too few" in cell for cell in cells.values()):
        table.caption = f"With fewer than {FEWEST} seeds no p can be below 0.05, so no claim can be supported."
    return table


def _verdict(entry: dict[str, Any]) -> Text:
    seeds = min(result["seeds"] for result in entry["comparisons"].values())
    few = entry["verdict"] == "inconclusive" and seeds < FEWEST
    return Text(f"{seeds} seed{'s' * (seeds != 1)}: too few" if few else entry["verdict"], STYLE[entry["verdict"]])


def fits_table(fits: Mapping[str, Mapping[str, str | None]]) -> Table:
    """Which rules work on which units; below it, why the others do not."""
    units = list(next(iter(fits.values())))
    table = Table(
        "rule", *units, title="Which rules work on which units, with default settings", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "center"
    for rule, of in fits.items():
        table.add_row(rule, *("yes" if of[each] is None else "–" for each in units))
    reasons = [next(filter(None, of.values())) for of in fits.values() if any(of.values())]
    if reasons:
        table.caption = f"For example: {'; '.join(why.rstrip('.') for why in reasons)}."
    return table
