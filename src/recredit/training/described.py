"""How a run's dataset describes itself: the meaning and unit of each variable, the names of the rows and columns of W."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from recredit.network import RNN
from recredit.training.untrained import AT_START

if TYPE_CHECKING:
    import xarray as xr

LOSS = {"softmax": ("cross-entropy", "nat"), "linear": ("half the summed squared error", "1")}
PAIRED = "both of the step, or summed over the steps, that they belong to"
MEANING = {
    "cosine": (f"cosine of the observer's gradient with the driver's, {PAIRED}, mean of each bin", "1"),
    "norm_ratio": (f"mean norm of the observer's gradient over that of the driver's, {PAIRED}, in each bin", "1"),
    "compared": ("how often the two gradients were compared in each bin: both finite, neither 0", "1"),
    "not_finite": ("how often, in each bin, the two were not compared since one of them was not finite", "1"),
    "not_finite_at": ("first step, counted from 0, at which one of the two gradients is not finite; -1: none", "network step"),
    "diverged_at": ("first step, counted from 0, whose loss is not finite; -1: none", "network step"),
    "norm": ("mean norm of the gradient, where it is compared with the one beside it, in each bin", "1"),
    "difference": (
        "squared norm of the difference of what both gradients are on average over their randomness, mean of each bin: of a "
        "rule beside an exact one the squared norm of its bias; an unbiased estimate, which may fall below 0",
        "1",
    ),
    "differences": ("over how many gradients of each bin difference and square are means", "1"),
    "square": ("squared norm of the gradient, where its difference from the one beside it is known, mean of each bin", "1"),
    "variance": ("variance of the gradient over the rule's randomness, the trace of its covariance, mean of each bin", "1"),
    "gradients": ("over how many gradients of each bin the variance is a mean", "1"),
    "gradient": ("rule whose gradient it is", ""),
    "beside": ("rule beside whose gradient it is", ""),
    "part": ("part of W", ""),
    "W": ("weights onto the recurrent units after the last step", "1"),
    "W_out": ("weights of the read-out after the last step", "1"),
    "b_out": ("biases of the read-out after the last step", "1"),
    "seed": ("seed of the initial weights, the data and the rule's own randomness", "1"),
    "step": ("network steps done at the end of the bin", "network step"),
    "observer": ("rule that sees the same steps and changes nothing", ""),
    "unit": ("recurrent unit", "1"),
    "voltage": ("recurrent unit, and which of its voltages", ""),
    "reading": ("recurrent unit, and which of the quantities that the read-out gets of it", ""),
    "scored": ("weight of all scored steps in each bin, mean over streams; 0: no loss there", "1"),
    "accuracy": ("share of the scored steps whose largest output is the label's, by their weights, in each bin", "1"),
    "output": ("output of the network", "1"),
    "source": ("where the weight comes from", ""),
    "kind": ("kind of source: recurrent, input or bias", ""),
}


def described(data: xr.Dataset, net: RNN) -> xr.Dataset:
    """The dataset of a run with coordinates for every axis of its weights, and the meaning and unit of every variable.

    `net`: such a network, or its shapes.
    """
    n, units = net.n, net.units
    source = [f"unit {i}" for i in range(n)] + [f"input {i}" for i in range(net.n_in)] + ["bias"]
    kind = ["recurrent"] * n + ["input"] * net.n_in + ["bias"]
    data = data.assign_coords(output=np.arange(net.n_out), source=source, kind=("source", kind))
    if units.is_simple:
        data = data.assign_coords(unit=np.arange(n))
    else:
        voltage = [f"unit {i}: {name}" for name in units.voltages for i in range(n)]
        reading = [f"unit {i}" + (f": {k}" if units.outputs > 1 else "") for k in range(units.outputs) for i in range(n)]
        data = data.assign_coords(voltage=voltage, reading=reading)
    what, unit = LOSS[net.head]
    meaning = MEANING | {
        "loss": (f"{what}, mean of each bin over its steps and all streams, by their weights", unit),
        "loss_at_start": (f"{what} of the untrained network, mean over the first {AT_START:,} steps", unit),
    }
    if "part" in data.dims:
        meaning["cosine"] = f"cosine of the two gradients, {PAIRED}, mean of each bin", "1"
    describe_variables(data, meaning)
    data.attrs["precision"], data.attrs["head"] = str(jnp.zeros(()).dtype), net.head
    return data


def describe_variables(data: xr.Dataset, meaning: Mapping[str, tuple[str, str]]) -> None:
    """Give each variable its `long_name` and `units` (none if ""), in place of what it said before."""
    for name, variable in data.variables.items():
        long_name, units = meaning[str(name)]
        variable.attrs = {"long_name": long_name} | ({"units": units} if units else {})
