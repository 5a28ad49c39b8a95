"""What a cell holds: netCDF of one seed, written and read quickly beside the other seeds of its run."""

from __future__ import annotations

import io
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from recredit.runs.record import DamagedError

if TYPE_CHECKING:
    import xarray as xr

DIMS = {
    "loss": ("seed", "step"),
    "loss_at_start": ("seed",),
    "diverged_at": ("seed",),
    "seconds": ("seed",),
    "b_out": ("seed", "output"),
}
WEIGHTS = [  # of units of one state variable and one voltage, and of others
    {"W": ("seed", "unit", "source"), "W_out": ("seed", "output", "unit")},
    {"W": ("seed", "voltage", "source"), "W_out": ("seed", "output", "reading")},
]
OBSERVED = {
    **dict.fromkeys(("cosine", "norm_ratio", "compared", "not_finite"), ("seed", "observer", "step")),
    "not_finite_at": ("seed", "observer"),
}
EVERY_PAIR = {
    **dict.fromkeys(
        ("cosine", "norm", "compared", "not_finite", "difference", "differences"),
        ("seed", "gradient", "beside", "part", "step"),
    ),
    **dict.fromkeys(("variance", "gradients"), ("seed", "gradient", "part", "step")),
    "not_finite_at": ("seed", "gradient", "beside", "part"),
}


def encoded(data: xr.Dataset) -> Iterator[bytes]:
    """Each seed's part of a dataset (seed first, wherever it is) as netCDF."""
    first = data.isel(seed=[0])
    alike = json.dumps(first.drop_attrs(deep=False).to_dict(data=False)), *data.attrs, *_shared(data)
    if alike not in _written:
        _written.clear()
        _written[alike] = bytes(first.to_netcdf(engine="h5netcdf"))
    for i in range(data.sizes["seed"]):
        buffer = io.BytesIO(_written[alike])  # the same file with other numbers: 1 ms, where xarray takes 30
        with h5py.File(buffer, "r+") as file:
            for name, values in seeded(data).items():
                file[name][...] = values[i : i + 1]  # pyright: ignore[reportIndexIssue]
            for name, value in data.attrs.items():
                file.attrs[name] = value
        yield buffer.getvalue()


_written: dict[Hashable, bytes] = {}  # the last cell that xarray wrote, by what others must have in common with it


def _shared(data: xr.Dataset) -> Iterator[bytes]:
    """The numbers that all seeds of a dataset share."""
    yield from (variable.values.tobytes() for variable in data.variables.values() if "seed" not in variable.dims)


def seeded(data: xr.Dataset) -> dict[str, np.ndarray]:
    """The arrays of a dataset that belong to its seeds."""
    return {str(name): variable.values for name, variable in data.variables.items() if "seed" in variable.dims}


def loss_in(record: Mapping[str, Any], netcdf: bytes) -> np.ndarray:
    """The loss in each bin of a cell. Raises DamagedError for what no library reads, or has other bins or another seed than its
    record says."""
    try:
        with h5py.File(io.BytesIO(netcdf)) as file:
            arrays: dict[str, Any] = {name: file[name] for name in ("loss", "step", "seed")}
            loss, step, seed = (array[()] for array in arrays.values())
    except Exception as error:  # whatever a library says to bytes like these
        raise DamagedError(f"it cannot be read as netCDF ({error})") from None
    told = record["identity"]
    if step.tolist() != bin_ends(told["run"]) or seed.tolist() != [told["seed"]] or loss.shape != (1, len(step)):
        raise DamagedError("its loss, step or seed is not what its run says")
    return loss[0]


def bin_ends(run: Mapping[str, Any]) -> list[int]:
    """The steps at which a run's bins end."""
    return [min(first + run["bin"], run["steps"]) for first in range(0, run["steps"], run["bin"])]


class Seeds:
    """The seeds of one run, or of several of one shape, put together from their cells.

    The first is read by xarray, in 25 ms, the others by h5py, in 1.
    """

    def __init__(self) -> None:
        self.first: xr.Dataset
        self.parts: list[dict[str, np.ndarray]] = []
        self.records: list[Mapping[str, Any]] = []

    def add(self, record: Mapping[str, Any], netcdf: bytes) -> None:
        """Add a cell. Raises DamagedError for what no library reads, or has not the variables and sizes that its run says."""
        import xarray as xr

        seed, run = record["identity"]["seed"], record["identity"]["run"]
        try:
            if not self.parts:
                self.first = xr.load_dataset(io.BytesIO(netcdf), engine="h5netcdf")
            with h5py.File(io.BytesIO(netcdf)) as file:
                variables: dict[str, Any] = {str(name): file[str(name)] for name in self.first.variables}
                arrays = {k: v.asstr()[()] if h5py.check_string_dtype(v.dtype) else v[()] for k, v in variables.items()}
        except Exception as error:  # whatever a library says to bytes like these
            raise DamagedError(f"it cannot be read as netCDF ({error})") from None
        if not self.records or run != self.records[-1]["identity"]["run"]:
            _check(self.first, run)
        for name, variable in self.first.variables.items():
            array = arrays[str(name)]
            same = array.shape == variable.shape if "seed" in variable.dims else np.array_equal(array, variable.values)
            if not same:
                raise DamagedError(f"its {name} differs from that of the cells before")
        if arrays["seed"].tolist() != [seed]:
            raise DamagedError(f"it holds the seed {arrays['seed'].tolist()} where {seed} belongs")
        self.parts.append({name: arrays[name].astype(values.dtype) for name, values in seeded(self.first).items()})
        self.records.append(record)

    def dataset(self) -> xr.Dataset:
        """All that were added, along `seed`; if they were made with several versions or devices, the attributes list them."""
        import xarray as xr

        arrays = {name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]}
        variables = {
            name: xr.Variable(variable.dims, arrays.get(str(name), variable.values), variable.attrs)
            for name, variable in self.first.variables.items()
        }
        told = {key: _all(record["versions"][key] for record in self.records) for key in self.records[0]["versions"]}
        attrs = {"versions": json.dumps(told), "device": _all(record["device"] for record in self.records)}
        return xr.Dataset(variables, attrs=self.first.attrs | attrs).set_coords(list(self.first.coords))


def _check(data: xr.Dataset, run: Mapping[str, Any]) -> None:
    """Raise DamagedError unless the first cell's dataset has what its run says."""
    weights, n = WEIGHTS["voltage" in data.dims], run["network"]["n"]
    compared = EVERY_PAIR if run["pairs"] == "all" else OBSERVED if run["observers"] else {}
    for name, dims in (DIMS | weights | compared).items():
        if name not in data or data[name].dims != dims:
            raise DamagedError(f"it has no {name} ({', '.join(dims)})")
    if data.step.values.tolist() != bin_ends(run):
        raise DamagedError("its step is not what its run says")
    for name in (weights["W"][1], weights["W_out"][2]):
        if data.sizes[name] % n or (name == "unit" and data.unit.values.tolist() != list(range(n))):
            raise DamagedError(f"its {name} is not what its run says")
    told = data.gradient[1:] if "gradient" in data.coords else data.observer if "observer" in data.coords else None
    if sorted(run["observers"]) != sorted([] if told is None else told.values.tolist()):
        raise DamagedError("its observers are not those of its run")


def _all(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))
