"""What can be recorded during a run: activity, gradients and weights, each after every so many network steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recredit.errors import brief, check_count, nearest
from recredit.network import RNN
from recredit.tasks.task import Sample

if TYPE_CHECKING:
    import xarray as xr

Keep = Callable[[str, int, np.ndarray], object]
"""What is given the rows (lane, row, ...) of a quantity, by its name, from which row on they are."""
Every = dict[str, int]
"""After how many network steps each quantity is recorded, again and again, and at the end."""


class Seen(NamedTuple):
    """One step, as what is recorded of it is made."""

    net: RNN
    """The network that made it."""
    s: Any
    """The units' state after it."""
    sample: Sample
    """Its data; these and the state have a first axis for the streams if there are more than one."""
    G: Any
    """The driving rule's gradient."""
    after: RNN
    """The network with the weights after its update."""


class Quantity(NamedTuple):
    """Something that can be recorded."""

    what: str
    """What it is."""
    unit: str
    """Its unit."""
    dims: tuple[str, ...]
    """Its axes: "stream" where there are several, and "row" and "column" of W and W_out as the network names them."""
    of: Callable[[Seen], Any]
    """Its value at one step."""

    def shape(self, net: RNN, streams: int) -> tuple[int, ...]:
        """Of one row; without "stream" if there is one alone."""
        sizes = {"stream": streams, "input": net.n_in, "output": net.n_out, "unit": net.n, "state": net.n_state}
        sizes |= {"row": net.W.shape[0], "source": net.W.shape[1], "column": net.W_out.shape[1]}
        return tuple(sizes[dim] for dim in self.dims if dim != "stream" or streams > 1)


def _over_streams(function: Callable[[Any], Any], s: Any) -> Any:
    return function(s) if s.ndim == 1 else jax.vmap(function)(s)


RECORDED = {
    "x": Quantity("inputs", "1", ("stream", "input"), lambda seen: seen.sample.x),
    "target": Quantity("labels", "1", ("stream", "output"), lambda seen: seen.sample.target),
    "weight": Quantity("weight of the step in the loss", "1", ("stream",), lambda seen: seen.sample.weight),
    "start": Quantity("1 where a trial starts, 0 elsewhere", "1", ("stream",), lambda seen: _short(seen.sample.start)),
    "epoch": Quantity(
        "part of the trial, by its place in the task's epochs", "1", ("stream",), lambda seen: _short(seen.sample.epoch)
    ),
    "r": Quantity("firing rates", "1", ("stream", "unit"), lambda seen: _over_streams(seen.net.rates, seen.s)),
    "s": Quantity("the units' state variables", "1", ("stream", "state"), lambda seen: seen.s),
    "z": Quantity("outputs of the read-out", "1", ("stream", "output"), lambda seen: _over_streams(seen.net.readout, seen.s)),
    "G": Quantity("gradient that the rule gives at the step, mean over streams", "1", ("row", "source"), lambda seen: seen.G),
    "W": Quantity("weights onto the recurrent units after the step", "1", ("row", "source"), lambda seen: seen.after.W),
    "W_out": Quantity("weights of the read-out after the step", "1", ("output", "column"), lambda seen: seen.after.W_out),
    "b_out": Quantity("biases of the read-out after the step", "1", ("output",), lambda seen: seen.after.b_out),
}
"""Everything that can be recorded, by its name in the equations."""


ENDS = {"long_name": "network steps done", "units": "network step"}
"""What the coordinates along rows say of themselves."""


def _short(a: Any) -> Any:
    return None if a is None else a.astype(jnp.int16)  # netCDF has no truth values, and -1 is for what is missing


def check_record(given: Any) -> dict[str, int | str]:
    """What is to be recorded, in order, from a table such as {"r": 100, "W": "bin"}: after every so many steps, or every bin.

    Raises ValueError, one sentence, for anything else.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f'record must be a table such as {{"r": 100, "W": "bin"}}, not {brief(given)}.')
    for name in given:
        if name not in RECORDED:
            raise ValueError(f"{brief(name)} cannot be recorded; what can: {', '.join(RECORDED)}.{nearest(name, RECORDED)}")
    return {name: _interval(name, given[name]) for name in RECORDED if name in given}


def _interval(name: str, every: Any) -> int | str:
    if every != "bin" and isinstance(every, str):
        raise ValueError(f'{name} is recorded after every so many steps, or every "bin", not {brief(every)}.')
    return every if isinstance(every, str) else check_count(f"the number of steps after which {name} is recorded", every)


def intervals(record: Mapping[str, int | str], bin: int) -> Every:
    """After how many steps each quantity is recorded, in a run of such bins."""
    return {name: bin if isinstance(every, str) else every for name, every in record.items()}


def check_there(record: Every, sample: Sample) -> None:
    """Raise ValueError for what the task does not give."""
    for name in ("weight", "start", "epoch"):
        if name in record and getattr(sample, name) is None:
            has = {"weight": "weighs all steps alike", "start": "has no trials that start", "epoch": "names no epochs"}[name]
            raise ValueError(f"{name} cannot be recorded: the task {has}.")


def rows_of(every: int, first: Any, length: int) -> int:
    """How many rows hold `length` steps from `first` on, of a quantity that is recorded after every so many steps."""
    return (first + length - 1) // every - first // every + 1


def most_rows(every: int, length: int) -> int:
    """The most rows that `length` steps may need."""
    return (length + every - 2) // every + 1


def missing(dtype: Any) -> Any:
    """What stands where nothing was recorded: nan, or -1 of whole numbers."""
    return np.nan if np.issubdtype(dtype, np.floating) else -1


def tape(record: Every, values: Mapping[str, Any], length: int) -> dict[str, Any]:
    """Where the rows of `length` steps are written; `values`: shapes of one row each."""
    return {
        name: jnp.zeros((most_rows(every, length), *values[name].shape), values[name].dtype) for name, every in record.items()
    }


def put_rows(record: Every, rows: Mapping[str, Any], values: Mapping[str, Any], first: Any, t: Any) -> dict[str, Any]:
    """The rows with one more step. Each step is written to its row, so that a row holds the last of its steps."""
    return {
        name: jax.lax.dynamic_update_index_in_dim(rows[name], values[name], t // every - first // every, 0)
        for name, every in record.items()
    }


@dataclass(frozen=True)
class Recording:
    """What is recorded of a run, and how its dataset holds it: `recorded_r` (seed, step_100, unit), for one."""

    record: Every
    steps: int
    """Of the run."""
    bin: int
    """Network steps over which its loss is averaged."""
    streams: int
    """Data streams that share a seed's weights."""
    net: RNN
    """Such a network, or its shapes."""
    epochs: Sequence[str] = ()
    """The names of the parts of a trial."""

    def ends(self, name: str, first: int, end: int) -> np.ndarray:
        """How many steps are done at each row from the row `first` on, before the row `end`."""
        return np.minimum(np.arange(first + 1, end + 1) * self.record[name], self.steps)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of all rows of a seed."""
        return (-(-self.steps // self.record[name]), *RECORDED[name].shape(self.net, self.streams))

    def size(self) -> int:
        """Bytes of all rows of one seed."""
        return sum(math.prod(self.shape(name)) for name in self.record) * self.net.W.dtype.itemsize

    def lost_from(self, name: str, diverged_at: int) -> int:
        """The first row of a seed after the step at which it has diverged; all rows are before it if it has not (-1)."""
        done = self.steps if diverged_at < 0 else diverged_at + 1
        return self.shape(name)[0] if done == self.steps else done // self.record[name]

    def dims(self, name: str) -> tuple[str, ...]:
        """The dimensions of what is recorded of each seed."""
        called = {"row": "unit", "column": "unit"} if self.net.units.is_simple else {"row": "voltage", "column": "reading"}
        dims = (called.get(dim, dim) for dim in RECORDED[name].dims if dim != "stream" or self.streams > 1)
        return (self._axis(name), *dims)

    def _axis(self, name: str) -> str:
        """The dimension of the rows: that of the losses where a row is a bin."""
        return "step" if self.record[name] == self.bin else f"step_{self.record[name]}"

    def axes(self) -> dict[str, str]:
        """The dimensions of rows that are no bins, and a quantity that has each; their coordinates are its `ends`."""
        return {axis: name for name in self.record if (axis := self._axis(name)) != "step"}

    def coordinates(self) -> dict[str, Any]:
        """The others that a run's dataset has not without what is recorded."""
        found: dict[str, Any] = {}
        dims = {dim for name in self.record for dim in RECORDED[name].dims}
        if "unit" in dims and not self.net.units.is_simple:
            found["unit"] = ("unit", np.arange(self.net.n), {"long_name": "recurrent unit", "units": "1"})
        if "state" in dims:
            names = [f"unit {i}: {name}" for name in self.net.units.variables for i in range(self.net.n)]
            found["state"] = ("state", names, {"long_name": "recurrent unit, and which of its state variables"})
        return found

    def attributes(self, name: str) -> dict[str, Any]:
        """The meaning and unit of what is recorded, as netCDF says them; of epochs, their names too (CF's flags)."""
        what, unit, every = RECORDED[name].what, RECORDED[name].unit, self.record[name]
        how = "at every step" if every == 1 else f"after every {every:,} steps, and the last"
        told = {"long_name": f"{what}, {how}", "units": unit}
        if name == "epoch":
            names = [epoch.replace(" ", "_") for epoch in self.epochs]
            told |= {"flag_values": np.arange(len(names), dtype=np.int16), "flag_meanings": " ".join(names)}
        return told

    def dataset(self, data: xr.Dataset, rows: Mapping[str, np.ndarray]) -> xr.Dataset:
        """A run's dataset with what was recorded, `rows` (seed, row, ...); those after a seed has diverged are made missing."""
        ends = {axis: (axis, self.ends(name, 0, self.shape(name)[0]), ENDS) for axis, name in self.axes().items()}
        data = data.assign_coords(ends | self.coordinates())
        for name in self.record:
            for lane, at in zip(rows[name], data.diverged_at.values.tolist(), strict=True):
                lane[self.lost_from(name, at) :] = missing(lane.dtype)
            data[f"recorded_{name}"] = (("seed", *self.dims(name)), rows[name], self.attributes(name))
        return data
