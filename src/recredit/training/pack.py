"""Train a pack, learners vectorised together that share one compiled program, from the beginning or from a checkpoint."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from recredit.contract import check_finite, example_key, names_of
from recredit.tasks.task import AbstractTask
from recredit.training.carried import Arrays, Carried
from recredit.training.comparison import PARTS
from recredit.training.described import described
from recredit.training.lanes import fast_segment, fast_start, pack_key, stacked, start
from recredit.training.measured import Measured
from recredit.training.programs import check_untraced
from recredit.training.recording import Keep, rows_of
from recredit.training.sizes import check_memory, chunk_lengths, passing_size, segment_at, segment_steps
from recredit.training.step import Trainer
from recredit.training.untrained import AT_START

if TYPE_CHECKING:
    import xarray as xr

AtEnd = Callable[[int, Callable[[], Arrays]], object]
"""Called at the end of each compiled call with the steps done, and a function that gives all that is carried, a copy."""


@dataclass(frozen=True)
class Member:
    """The seeds of one trainer in a pack."""

    trainer: Trainer
    seeds: Sequence[int]
    labels: Sequence[str] = ()
    """What the trainer's rules are called in the results; (): it has no observers."""
    weights: Arrays | None = None
    """W, W_out and b_out that the seeds begin with, with an axis for them; None: those that are drawn. All members of a pack
    have some, or none has."""


@contextlib.contextmanager
def outermost() -> Iterator[None]:
    """Train whatever JAX's settings are. Raises TypeError if JAX traces everything that is computed."""
    with jax.transfer_guard("allow"), jax.threefry_partitionable(True):  # a seed's numbers are the same in any setting
        check_untraced(jnp.zeros(()))
        yield


@outermost()
def train_pack(
    members: Sequence[Member],
    steps: int,
    bin: int,
    *,
    begin: Mapping[str, np.ndarray] | None = None,
    at_end: AtEnd | None = None,
    keep: Keep | None = None,
) -> list[xr.Dataset]:
    """Train all seeds of all members vectorised together; one dataset a member, each as `train` returns it.

    The members' trainers, made for these `steps`, must have the same `pack_key`. `sizes.pack_lanes` says how many seeds in all
    are worthwhile.

    `at_end(done, arrays)` is called at the end of each compiled call, every few seconds at most, with the steps done. What
    `arrays()` gives can be kept (`runs.checkpoint`); given as `begin` to the same call in another process, it goes on from
    there, and ends with the same numbers to the last bit. What `at_end` raises ends the training. A `begin` without
    "loss_at_start" is given that of a run of these steps. Before it, `keep(name, first, rows)` is given what was recorded of
    each quantity in the call: rows (lane, row, ...) from row `first` on, the last of which may still change.

    Raises ValueError as `train` does, and for trainers that do not share a program; `carried.UnfitError`, a ValueError, for a
    `begin` that is not of such learners.
    """
    first = members[0].trainer
    assert isinstance(first.task, AbstractTask)
    if any(pack_key(member.trainer) != pack_key(first) for member in members[1:]):
        raise ValueError("the trainers of a pack must differ in numbers of their rules and optimisers alone; see pack_key.")
    seeds = np.concatenate([np.asarray(member.seeds) for member in members])
    size = first.size
    most = segment_steps(size)
    lengths = chunk_lengths(steps, bin, most)
    check_memory(
        len(seeds) * (size + passing_size(first, max(lengths))), -(-steps // bin) * len(seeds) * (1 + first.comparing.size) * 8
    )
    players = {length: first.playing(length) for length in lengths}
    data = train_together(players, most, members, steps, bin, begin, at_end, keep)
    places = np.cumsum([0, *(len(member.seeds) for member in members)])
    parts = (data.isel(seed=slice(*ends)) for ends in itertools.pairwise(places))
    return [labelled(part, member.labels, first) for part, member in zip(parts, members, strict=True)]


def labelled(data: xr.Dataset, labels: Sequence[str], trainer: Trainer) -> xr.Dataset:
    """A dataset with its rules' names, and all that it says of itself."""
    if trainer.every_pair:
        data = data.assign_coords(gradient=list(labels), beside=list(labels), part=list(PARTS))
    else:
        data = data.assign_coords(observer=list(labels[1:])) if len(labels) > 1 else data.drop_dims("observer")
    return described(data, jax.eval_shape(trainer.network, example_key()))


def train_together(
    players: Mapping[int, Trainer],
    most: int,
    members: Sequence[Member],
    steps: int,
    bin: int,
    begin: Mapping[str, np.ndarray] | None,
    at_end: AtEnd | None,
    keep: Keep | None = None,
) -> xr.Dataset:
    """What `train_pack` does, all members' seeds in one dataset; `players`: a trainer for each length of chunk.
    `most`: the most steps of a compiled call."""
    counts = [len(member.seeds) for member in members]
    seeds = np.concatenate([np.asarray(member.seeds) for member in members])
    lanes = {
        length: stacked([member.trainer.with_task(player.task) for member in members], counts)
        for length, player in players.items()
    }
    rules = members[0].trainer.rules
    trainer, differing = lanes[min(steps, AT_START)]
    begun_with = [{name: jnp.asarray(a) for name, a in each.weights.items()} for each in members if each.weights]
    weights = jax.tree.map(lambda *parts: jnp.concatenate(parts), *begun_with) if begun_with else None
    given = trainer, jnp.asarray(seeds), min(steps, AT_START), differing, weights
    if begin is not None and "loss_at_start" not in begin:
        begin = {**begin, "loss_at_start": np.asarray(fast_start(*given)[1])}
    if begin is None:
        learners, losses = fast_start(*given)
        now = Carried.at_start(learners, losses, trainer.comparing, -(-steps // bin), trainer.measures)
        for rule, state in zip(rules, now.learners.states, strict=True):
            named = zip(names_of(state, "state"), jax.tree.leaves(state), strict=True)
            check_finite(rule.name, {name: a for name, a in named if jnp.issubdtype(a.dtype, jnp.inexact)})
    else:
        now = Carried.of(begin, eqx.filter_eval_shape(start, *given), trainer, steps, bin, most)
    while now.step < steps:
        first, length = now.step, segment_at(now.step, steps, bin, most)
        trainer, differing = lanes[length]
        go, given = fast_segment(trainer, now.learners, first, length, differing)
        learners, measured = go(*given)
        _check(measured, rules[0].name, rules[0].period, first, first + length)
        for name, every in trainer.record:
            assert keep is not None
            keep(name, first // every, np.asarray(measured.recorded[name])[:, : rows_of(every, first, length)])
        now.add(learners, measured, length, bin)
        if (now.diverged_at >= 0).all():
            now.step = steps
        if at_end:
            at_end(now.step, functools.partial(now.arrays, bin))
    return now.dataset(seeds, steps, bin, trainer.comparing)


def _check(measured: Measured, rule: str, period: int, first: int, end: int) -> None:
    """Raise ValueError unless the task's data can be learned from, and the driving rule kept to its period."""
    if not np.asarray(measured.finite_data).all():
        raise ValueError(f"the task gave data that are not finite between steps {first} and {end}.")
    if not np.asarray(measured.has_loss).all():
        raise ValueError(f"the task gave labels below 0 between steps {first} and {end}; a softmax head's are at least 0.")
    if not np.asarray(measured.are_weights).all():
        raise ValueError(f"the task gave weights below 0 between steps {first} and {end}; they are at least 0.")
    if np.asarray(measured.lost_gradient).any():
        raise ValueError(
            f"{rule} returned a gradient between steps {first} and {end} at a step for which its period, {period}, has none."
        )
