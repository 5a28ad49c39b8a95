"""What a run came to: the unit in which a task's loss is shown, the loss at the end, and when a run has diverged."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from recredit.tasks import AbstractTask

if TYPE_CHECKING:
    import xarray as xr

DIVERGED = 10  # times the untrained network's loss and the task's known levels: beyond it a loss counts as divergence
DIVERGED_MEANS = (
    f"a loss that is not finite, or a final loss more than {DIVERGED} times that of the untrained network "
    "and of every known level"
)


def shown(loss: Any, task: AbstractTask) -> Any:
    """A task's loss, or a level of it, as people plot it: of a squared error the mean over outputs (rules descend the sum)."""
    return loss if task.head == "softmax" else loss / task.n_out


def loss_unit(task: AbstractTask) -> str:
    """The unit of a task's loss as shown."""
    return "cross-entropy (nats)" if task.head == "softmax" else "½ mean squared error"


def loss_levels(task: AbstractTask) -> dict[str, float]:
    """The task's known levels of the loss, as shown."""
    return {what: shown(level, task) for what, level in task.floors().items()}


def final_loss(data: xr.Dataset, levels: Iterable[float] = ()) -> xr.DataArray:
    """The loss at the end, over the steps that `averaged` names (..., seed); nan for a seed that `diverged`."""
    return _end(data).where(~diverged(data, levels))


def diverged(data: xr.Dataset, levels: Iterable[float] = ()) -> xr.DataArray:
    """Which seeds diverged, as `DIVERGED_MEANS` says; `levels`: the task's known ones, in the unit of the data's loss."""
    end, start = _end(data), data.loss_at_start
    usual = start.fillna(0).clip(min=max(levels, default=0))  # nan where nothing is scored so early
    is_scored = data.scored.sum("step") > 0 if "scored" in data else True
    lost = (end > DIVERGED * usual) & (start != 0) & (usual > 0)
    return (data.diverged_at >= 0) | (~np.isfinite(end) & is_scored) | lost


def averaged(step: xr.DataArray) -> str:
    """The steps that the loss at the end is a mean over, in words; `step`: the last step of each bin."""
    count, total = int(bin_steps(step)[_end_bins(step)].sum()), int(step[-1])
    return f"all {total:,} steps" if count == total else f"the last {count:,} of {total:,} steps"


def bin_steps(step: xr.DataArray) -> xr.DataArray:
    """The number of steps in each bin, from the last step of each."""
    return step.copy(data=np.diff(step.values, prepend=0))


def _end_bins(step: xr.DataArray) -> slice:
    """The bins that lie in the last tenth of the run, at least the last one."""
    late = int(((step - bin_steps(step)) * 10 >= step[-1] * 9).sum())
    return slice(-max(1, late), None)


def final_accuracy(data: xr.Dataset) -> xr.DataArray:
    """The accuracy at the end, over the same steps as the loss (..., seed)."""
    return _end(data, "accuracy")


def _end(data: xr.Dataset, name: str = "loss") -> xr.DataArray:
    """The mean of a score over the last bins, by what is scored in each; of a seed with nothing scored in these, over its last
    bin that has something; nan if none has."""
    if "scored" in data:
        bins = data.step.copy(data=np.arange(data.sizes["step"]))
        is_end = bins >= np.minimum(bins[_end_bins(data.step)].min(), bins.where(data.scored > 0).max("step"))
        scored = data.scored.where(is_end, 0)
        total = scored.sum("step")
        return (data[name].where(scored > 0, 0) * scored).sum("step", skipna=False) / total.where(total > 0)
    values = data[name].isel(step=_end_bins(data.step))
    weight = bin_steps(data.step)[_end_bins(data.step)]
    return (values * (weight / weight.max())).mean("step", skipna=False) / (weight / weight.max()).mean()


def summary(final: xr.DataArray) -> dict[str, dict[str, dict[str, Any]]]:
    """Mean, standard error and number of seeds that did not diverge, of each task and rule; None where undefined."""
    seeds = final.count("seed")
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # a mean of no seed, a spread of one
        mean, error = final.mean("seed"), final.std("seed", ddof=1) / np.sqrt(seeds)

    def number(value: xr.DataArray) -> float | None:
        return float(value) if np.isfinite(value) else None

    return {
        str(task): {
            str(rule): {
                "mean": number(mean.sel(task=task, rule=rule)),
                "sem": number(error.sel(task=task, rule=rule)),
                "seeds": int(seeds.sel(task=task, rule=rule)),
            }
            for rule in final.rule.values
        }
        for task in final.task.values
    }


def bin_means(loss: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard error in each bin of a loss (seed, bin) over the seeds that have one there, and how many these are;
    nan for the mean of none, 0 for the error of one."""
    known = np.isfinite(loss)
    count = known.sum(0)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # a mean of no seed, a spread of one
        values = np.where(known, loss, np.nan)
        return np.nanmean(values, 0), np.nan_to_num(np.nanstd(values, 0, ddof=1) / np.sqrt(count)), count
