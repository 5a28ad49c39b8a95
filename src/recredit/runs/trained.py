"""The trained networks of a run, read from its folder."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from recredit.contract import random_key
from recredit.errors import beside, nearest, user_path
from recredit.network import RNN
from recredit.runs.files import read_dataset
from recredit.runs.identity import PACKAGES, Cell, precision
from recredit.runs.record import DamagedError, read_netcdf
from recredit.runs.settings import Run

if TYPE_CHECKING:
    import xarray as xr

WEIGHTS = ("W", "W_out", "b_out")
Weights = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Trained(Mapping[int, RNN]):
    """The trained networks of one rule, by seed: `trained[0]` is the network of seed 0. Seeds that diverged are left out."""

    run: Run
    """All settings of the run but its seeds: `trained.run.task`, `trained.run.network`, ..."""
    weights: dict[int, Weights]
    """W, W_out and b_out of each seed."""
    diverged: dict[int, int]
    """The seeds that diverged, with the step at which each did: they have no weights."""
    head: Any
    """The loss that they were trained with."""
    program: dict[str, str]
    """The versions that trained them."""
    folder: Path
    """Where the run lies."""
    label: str
    """What the rule is called there."""

    def __getitem__(self, seed: int) -> RNN:
        """The network of a seed, with the mask and the signs that were drawn for it. Raises ValueError if it has none."""
        if seed in self.diverged:
            raise ValueError(f"seed {seed} diverged at step {self.diverged[seed]:,} and has no trained network.")
        if seed not in self.weights:
            raise ValueError(f"the run has no seed {seed!r}; its seeds: {', '.join(map(str, self)) or 'none'}.")
        W, W_out, b_out = (jnp.asarray(self.weights[seed][name]) for name in WEIGHTS)
        n, n_out = self.run.network["n"], len(b_out)
        with jax.threefry_partitionable(True):  # as in training
            k_net = jax.random.split(random_key(int(seed)), 4)[0]  # 0.0 is found too
            net = self.run.build_network().create(W.shape[1] - n - 1, n_out, self.head, k_net)
        return net.with_weights(W, W_out, b_out)

    def __contains__(self, seed: object) -> bool:
        return seed in self.weights

    def __iter__(self) -> Iterator[int]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)

    def cell(self, seed: int) -> str:
        """The name of the file of a seed's cell."""
        return Cell(self.run, seed).file_of(self.program)

    def digest(self) -> str:
        """A short fingerprint of all weights."""
        told = hashlib.sha256()
        for seed, weights in sorted(self.weights.items()):
            for name, array in weights.items():
                told.update(f"{seed} {name} {array.shape} {array.dtype}\n".encode() + array.tobytes())
        return told.hexdigest()[:20]


class ByRule(dict[str, Trained]):
    """The trained networks of a run by what its rules are called."""

    def __missing__(self, label: Any) -> Trained:
        raise ValueError(f"the run has no rule {label!r}; its rules: {', '.join(self)}.{nearest(str(label), self)}")


def load(run: str | Path) -> ByRule:
    """The trained networks of what `recredit train` left in a folder, or of its `run.nc` alone.

    `load("results/add-rflo")["rflo"][0]` is the network of seed 0, an `RNN` with its weights, mask and signs; its state before
    a trial is `net.rest()`, and `net.step(s, x)` makes a step. `load("results/add-rflo")["rflo"].run` holds the settings.

    Raises ValueError, one sentence, for a folder without a run, a damaged cell, a source file that has changed, weights of
    another precision than this process computes in, and later for a rule or seed that the run has not, or a seed that diverged.
    """
    file = file_of(run)
    data = read_dataset(file)
    try:
        tables, versions, head = json.loads(data.attrs["runs"]), json.loads(data.attrs["versions"]), data.attrs["head"]
        runs = {label: Run(**table) for label, table in tables.items()}
        program = {key: versions[key] for key in ("recredit", "source", *PACKAGES)}
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{file} is not a run.nc of this version of recredit: it does not say which runs it holds.") from None
    if data.attrs["precision"] != precision():
        raise ValueError(
            f"{file} was computed in {data.attrs['precision']}, and this process computes in {precision()}: "
            f"set JAX_ENABLE_X64={int(precision() == 'float32')}."
        )
    made = (Trained(run, {}, {}, head, program, file.parent, label) for label, run in runs.items())
    return ByRule({empty.label: _filled(empty, data.sel(rule=empty.label)) for empty in made})


def file_of(run: str | Path) -> Path:
    """The `run.nc` of a run, from its folder. Raises ValueError if there is none."""
    given = user_path(run)
    file = given / "run.nc" if given.is_dir() else given
    if not file.is_file():
        raise ValueError(f"{given} holds no run of `recredit train`: {file} does not exist.{beside(given)}")
    return file


def _filled(found: Trained, data: xr.Dataset) -> Trained:
    """The networks of one rule: from its cells, whose checksums are verified, or, without a folder of cells, from `run.nc`."""
    for i, (seed, at) in enumerate(zip(data.seed.values.tolist(), data.diverged_at.values.tolist(), strict=True)):
        cell = found.folder / "cells" / found.cell(seed)
        if at >= 0:
            found.diverged[seed] = at
        elif cell.parent.is_dir():
            found.weights[seed] = _weights_in(cell)
        else:
            found.weights[seed] = {name: data[name].values[i] for name in WEIGHTS}
    return found


def _weights_in(cell: Path) -> Weights:
    """The weights in the file of a cell. Raises ValueError, one sentence, if it is gone or damaged."""
    try:
        _, netcdf = read_netcdf(cell)
        with h5py.File(io.BytesIO(netcdf)) as file:
            arrays: dict[str, Any] = {name: file[name] for name in WEIGHTS}
            return {name: array[0] for name, array in arrays.items()}
    except FileNotFoundError:
        raise ValueError(f"{cell} is gone; run the command that made it to compute it again.") from None
    except DamagedError as error:
        raise ValueError(f"{cell} is damaged: {error}; run the command that made it to compute it again.") from None
