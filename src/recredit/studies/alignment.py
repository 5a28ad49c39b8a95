"""How well the gradients of rules align: one drives, the others watch the same steps, every pair is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.special

from recredit.blocks.feedback import ExactFeedback
from recredit.blocks.jacobian import LearnedJacobian
from recredit.errors import check_instance
from recredit.kinds import RULE
from recredit.registry import find, make
from recredit.rule import AbstractRule
from recredit.rules import RTRL, RULES, RTRLBlock
from recredit.runs.final_loss import diverged
from recredit.runs.request import PARTS, Request, asked, check_labels, seeds_and_out
from recredit.runs.settings import Run
from recredit.studies.fits import unfit

if TYPE_CHECKING:
    import xarray as xr

PAPER = ("f_bptt", "e_bptt", "rtrl", "uoro", "kf_rtrl", "r_kf", "kernl", "rflo", "dni", "dni_b")
"""The paper's rules that have a gradient."""
BASE: dict[str, Any] = {"rule": list(PAPER), "driver": "rtrl", "draws": 16}
LEVEL = 0.95  # of the intervals
RUN = "over the whole run, mean over seeds and its 95 % interval"
MEANING = {
    "mean_cosine": f"cosine of the two gradients {RUN}",
    "norm_ratio": f"mean norm of the gradient divided by that of the one beside it, {RUN}",
    "relative_squared_bias": f"squared norm of the gradient's bias relative to the one beside it, divided by that one's, {RUN}",
    "relative_variance": f"variance of the gradient divided by the mean squared norm of the one beside it, {RUN}",
    "seeds": "number of seeds that did not diverge",
    "estimate": "mean over seeds, and the ends of its 95 % interval",
}


def alignment_request(config: Path | None, options: Mapping[str, Any], settings: Sequence[str]) -> tuple[Request, list[str]]:
    """What is asked for as `request` has it, with a "driver" and "draws" as further parts: one run, by its driver's label; and
    why rules that nobody named are left out, a sentence each.

    Raises ValueError, one sentence, as `request` does.
    """
    parts = [part for part in PARTS if part != "observers"]
    table = asked(config, options, settings, BASE, [*parts, "driver", "draws"])
    rules, driver = table.pop("rule"), table.pop("driver")
    table.pop("observers")
    check_labels("rule", rules)
    left_out: list[str] = []
    if {*rules} == {*PAPER} and not options.get("rule"):
        reasons = {label: reason for label, rule in rules.items() if (reason := _unfit(rule, table.get("network")))}
        left_out = [f"{label} is left out: {reason}" for label, reason in reasons.items() if label != driver]
        rules = {label: rule for label, rule in rules.items() if label == driver or label not in reasons}
    seeds, at_once, out = seeds_and_out(table)
    watching = {label: rule for label, rule in rules.items() if label != driver}
    run = Run.create(table | {"rule": rules[driver], "observers": watching, "pairs": "all"})
    out = out or Path("results") / f"alignment-{run.task['name']}-{driver}"
    return Request({driver: run}, seeds, at_once, out), left_out


def exact_label(rules: Mapping[str, AbstractRule]) -> str | None:
    """The first label of a rule whose gradient is exact, step by step, beside which bias and variance of the others are given.

    RTRL is, with the network's own Jacobian and W_out as feedback.
    """
    for label, rule in rules.items():
        learned = isinstance(getattr(rule, "jacobian", None), LearnedJacobian)
        if type(rule) in (RTRL, RTRLBlock) and isinstance(getattr(rule, "feedback", None), ExactFeedback) and not learned:
            return label
    return None


def _unfit(rule: Mapping[str, Any], network: Any) -> str | None:
    """Why a rule, of a name, is not for a network; None: it is."""
    return unfit(make(RULES, {"name": find(RULE, rule["name"])[0]}), network)


def alignment(data: xr.Dataset) -> xr.Dataset:
    """How well the gradients of each pair of rules align over a whole run, mean over seeds with 95 % intervals.

    `data`: what `train` returned with pairs="all", or the `run.nc` that `recredit alignment` wrote.

    Returns, each (estimate, gradient, beside, part) with the estimates "mean", "low" and "high": `mean_cosine`, over all steps
    at which the two were compared; `norm_ratio`, of the mean norms there; `relative_squared_bias`, the squared norm of the
    difference between the two, each averaged over its randomness, as `recredit.training.comparison` estimates it, over the
    mean squared norm of the one beside it (1 means: as large); and `relative_variance`, divided by the same. Each is worked out
    for every seed over its whole run, then over seeds: the mean, and Student's t interval, nan for one seed. What was never
    compared is nan. Seeds that diverged are left out; `seeds` counts the others.

    Raises TypeError for what is not a dataset, ValueError for one without every pair.
    """
    import xarray as xr

    check_instance("alignment's data", data, xr.Dataset)
    if "beside" not in data.dims:
        raise ValueError('the dataset has no pairs of rules; train with pairs="all".')
    data = data.squeeze("rule") if "rule" in data.dims else data
    data = data.isel(seed=np.flatnonzero(~diverged(data).values))
    turned = {"gradient": "beside", "beside": "gradient"}
    norm = _over_time(data.norm, data.compared)
    square = _over_time(data["square"], data.differences).rename(turned)
    own = square.where(data.gradient == data.beside).max("gradient")  # of each rule beside itself
    found = {
        "mean_cosine": _over_time(data.cosine, data.compared),
        "norm_ratio": norm / norm.rename(turned),
        "relative_squared_bias": _over_time(data.difference, data.differences) / square.where(square > 0),
        "relative_variance": _over_time(data.variance, data.gradients) / own.where(own > 0),
    }
    result = xr.Dataset({name: _estimated(values) for name, values in found.items()} | {"seeds": data.sizes["seed"]})
    result = result.assign_coords(estimate=["mean", "low", "high"]).transpose("estimate", "gradient", "beside", "part")
    for name, what in MEANING.items():
        result[name].attrs = {"long_name": what} | ({} if name == "estimate" else {"units": "1"})
    return result


def _over_time(values: xr.DataArray, counts: xr.DataArray) -> xr.DataArray:
    """The mean over all that was counted in all bins; nan if nothing was."""
    total = counts.sum("step")
    return (values * counts).sum("step") / total.where(total > 0)


def _estimated(values: xr.DataArray) -> xr.DataArray:
    """The mean over the seeds, and the ends of its interval."""
    import xarray as xr

    count = values.count("seed")
    mean, error = values.mean("seed"), values.std("seed", ddof=1) / np.sqrt(count)
    half = error * scipy.special.stdtrit(count.clip(min=2) - 1, (1 + LEVEL) / 2)
    return xr.concat([mean, mean - half, mean + half], "estimate")
