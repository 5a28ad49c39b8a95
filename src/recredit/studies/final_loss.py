"""What studies share: the unit in which a task's loss is shown, and the loss at the end of a run."""

from typing import Any

import numpy as np
import xarray as xr

from recredit.tasks import AbstractTask


def shown(loss: xr.DataArray, task: AbstractTask) -> tuple[xr.DataArray, str]:
    """A task's loss as people plot it, and its unit: of a squared error, the mean over outputs (rules descend the sum)."""
    return (loss, "cross-entropy (nats)") if task.head == "softmax" else (loss / task.n_out, "½ mean squared error")


def final_loss(data: xr.Dataset) -> xr.DataArray:
    """The loss at the end: the mean of the last tenth of the bins (task, rule, seed); nan for a seed that diverged."""
    last = data.loss.isel(step=slice(-max(1, data.sizes["step"] // 10), None)).mean("step")
    return last.where((data.diverged_at < 0) & np.isfinite(last))


def summary(final: xr.DataArray) -> dict[str, dict[str, dict[str, Any]]]:
    """Mean, standard error and number of seeds that did not diverge, of each task and rule; None where undefined."""
    seeds = final.count("seed")
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
