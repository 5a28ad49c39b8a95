"""The choice that a sweep declares: of each group of points that differ along one axis, the one with the least loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recredit.runs.axes import told
from recredit.runs.sweep import Select, Sweep

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Choice:
    """What was chosen."""

    points: tuple[int, ...]
    """The numbers of the points that are reported: one of each of the sweep's groups."""
    notes: tuple[str, ...]
    """A sentence on each choice that is not clear."""


def choose(sweep: Sweep, final: xr.DataArray) -> Choice:
    """Of each group of points the one whose mean final loss over the selection seeds is least.

    `final` (point, seed): the loss at the end, nan for a seed that diverged; by the numbers of the sweep's candidates, and the
    seeds. A seed that diverged counts as infinite. Where all points have such a seed, the one with the fewest is taken; of
    points that are equally good, the one written first. Both are noted, and so is a choice at the end of an axis of numbers.

    Raises ValueError if a candidate or a seed is missing.
    """
    if sweep.select is None:
        return Choice(tuple(range(len(sweep.points))), ())
    for what, wanted in {"point": sweep.candidates, "seed": sweep.select.seeds}.items():
        if missing := sorted({*wanted} - {*final[what].values.tolist()}):
            raise ValueError(f"nothing can be chosen yet: the result of {what} {missing[0]} is missing.")
    chosen, notes = [], []
    for group in sweep.groups:
        if len(group) == 1:
            chosen.append(group[0])
            continue
        losses = final.sel(point=list(group), seed=list(sweep.select.seeds)).transpose("point", "seed").values
        diverged = np.isnan(losses).sum(axis=1)
        mean = np.where(np.isnan(losses), np.inf, losses).mean(axis=1)
        best = int(np.lexsort((diverged, mean))[0])  # a stable sort: the first of those that are equal
        chosen.append(group[best])
        notes += _notes(sweep, sweep.select, group, best, mean, diverged)
    return Choice(tuple(chosen), tuple(notes))


def _notes(
    sweep: Sweep, select: Select, group: tuple[int, ...], best: int, mean: np.ndarray, diverged: np.ndarray
) -> Iterator[str]:
    """What should be known about the choice within a group, of which number `best` was chosen."""
    labels = [sweep.points[number].coordinates[select.axis] for number in group]
    others = {k: v for k, v in sweep.points[group[best]].coordinates.items() if k not in select.along}
    where, taken = told(others), f"{select.axis}={labels[best]}"
    equal = int(((mean == mean[best]) & (diverged == diverged[best])).sum())
    at_end = labels[best] in (min(labels), max(labels)) if all(isinstance(label, int | float) for label in labels) else False
    if np.isinf(mean[best]):
        also = f", as at {equal - 1} more" if equal > 1 else ""
        yield (
            f"{where}: at every {select.axis} a selection seed diverged; {taken} is chosen, the first with the fewest, "
            f"{diverged[best]} of {len(select.seeds)}{also}."
        )
    elif equal > 1:
        yield f"{where}: {equal} values of {select.axis} are equally good; {taken} is chosen, the first of them."
    elif at_end and len(labels) > 2:
        end = "lowest" if labels[best] == min(labels) else "highest"
        yield f"{where}: {taken} is chosen, the {end} that was tried, so a better one may lie beyond it."
