"""An endless sequence of trials, each with its own timing, stimuli and answer."""

import math
from abc import abstractmethod
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from recredit.errors import check_count, check_range
from recredit.network import RNN
from recredit.tasks.task import AbstractTask, Sample, stream_key


class TrialState(eqx.Module):
    """The key of all trials, and where the next step stands: in which trial, at which of its steps."""

    key: PRNGKeyArray
    trial: Int[Array, ""]
    step: Int[Array, ""]


class AbstractTrialTask(AbstractTask):
    """A task of trials. It defines how long each epoch may last, what is drawn for a trial, and what each step of it holds.

    How long an epoch lasts is drawn here, evenly between its bounds, so that it says nothing about the answer.
    """

    @property
    @abstractmethod
    def timing(self) -> dict[str, tuple[int, int]]:
        """The epochs of a trial in order, each with the fewest and the most network steps that it lasts; 0 is allowed."""

    @abstractmethod
    def draw(self, key: PRNGKeyArray) -> Any:
        """What distinguishes one trial from others: its stimuli, its answer; arrays in any structure."""

    @abstractmethod
    def at(self, trial: Any, epoch: Int[Array, ""], step: Int[Array, ""], key: PRNGKeyArray) -> Sample:
        """Inputs, label and weight of one step of a trial, the `step`-th (from 0) of its `epoch`-th epoch.

        `trial` is what `draw` returned; `key` belongs to this step alone, for its noise.
        """

    def __check_init__(self):
        name = type(self).__name__
        for epoch, (least, most) in self.timing.items():
            if most < check_count(f"{name}'s shortest {epoch}, in steps,", least, 0):
                raise ValueError(
                    f"{name}'s shortest {epoch} must have at most as many steps as its longest, {most:,}, not {least:,}."
                )
        shortest, longest = self.bounds
        check_count(f"{name}'s shortest trial, in steps,", shortest)
        check_count(f"{name}'s longest trial, in steps,", longest)

    @property
    def classes(self) -> bool:
        return self.head == "softmax"

    @property
    def epochs(self) -> tuple[str, ...]:
        return tuple(self.timing)

    @property
    def bounds(self) -> tuple[int, int]:
        """Network steps of the shortest and of the longest trial."""
        least, most = zip(*self.timing.values(), strict=True)
        return sum(least), sum(most)

    def init(self, net: RNN, key: PRNGKeyArray) -> TrialState:
        return TrialState(key, jnp.zeros((), int), jnp.zeros((), int))

    def chunk(self, state: TrialState, start: Int[Array, ""], length: int) -> tuple[TrialState, Sample]:
        count = 1 + math.ceil(length / self.bounds[0])  # trials that the chunk and the step after it may touch
        keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(state.key, i), 3))(state.trial + jnp.arange(count))
        least, most = jnp.array([*self.timing.values()]).T
        lengths = jax.vmap(lambda key: jax.random.randint(key, least.shape, least, most + 1))(keys[:, 0])
        trials = jax.vmap(self.draw)(keys[:, 1])
        epoch_ends = jnp.cumsum(lengths, axis=1)  # in steps from the trial's first
        left = jnp.minimum(
            epoch_ends[:, -1].at[0].add(-state.step), length + 1
        )  # no more are of interest, nor overflow their sum
        begins = jnp.concatenate([-state.step[None], jnp.cumsum(left)[:-1]])  # the trials' first steps, from the chunk's first
        now = jnp.arange(length + 1)
        which = jnp.searchsorted(begins, now, side="right") - 1
        step = now - begins[which]

        def row(which, step):
            trial, ends, durations = jax.tree.map(lambda leaf: leaf[which], (trials, epoch_ends, lengths))
            epoch = jnp.searchsorted(ends, step, side="right").astype(int)
            key = jax.random.fold_in(keys[which, 2], step)
            sample = self.at(trial, epoch, step - (ends - durations)[epoch], key)
            return sample._replace(start=step == 0, epoch=epoch)

        state = TrialState(state.key, state.trial + which[-1], step[-1])
        return state, jax.vmap(row)(which[:-1], step[:-1])

    def stream(self, state: TrialState, number: Int[Array, ""], count: int) -> TrialState:
        return eqx.tree_at(lambda s: s.key, state, stream_key(state.key, number))

    def check(self, steps: int, streams: int = 1) -> None:
        if self.bounds[1] > steps:
            raise ValueError(
                f"{type(self).__name__}'s longest trial has {self.bounds[1]:,} network steps, "
                f"but the stream has only {steps:,}; take a longer stream or shorter epochs."
            )

    def choice(self, x: Float[Array, " n_in"], answer: Int[Array, ""], scored: Bool[Array, ""]) -> Sample:
        """A step at which one of the outputs is asked for, or, where it is not scored, nothing."""
        label = jnp.where(scored, jax.nn.one_hot(answer, self.n_out, dtype=float), 1 / self.n_out)
        return Sample(x, label, scored.astype(float))


def setting(what: str, default: float, **limits: float) -> Any:
    """A field for a real number within the `limits` of `check_range`; at least 0 by default."""
    return eqx.field(default=default, converter=partial(check_range, what, **(limits or {"least": 0})))


def count_setting(what: str, default: int, least: int = 1) -> Any:
    """A field for a whole number of at least `least`."""
    return eqx.field(default=default, converter=partial(check_count, what, least=least))


def in_steps(task: AbstractTrialTask, dt: float, **ms: float | tuple[float, float]) -> dict[str, tuple[int, int]]:
    """The timing of epochs whose duration, or least and greatest duration, is given in ms: whole steps of dt ms, rounded down.

    Raises ValueError for an epoch that is not 0 ms long and yet shorter than a step.
    """

    def steps(epoch: str, ms: float) -> int:
        count = math.floor(ms / dt * (1 + 1e-12))  # 0.3 ms are three steps of 0.1 ms
        if ms > 0 and not count:
            raise ValueError(f"{type(task).__name__}'s {epoch} must last at least one step of dt = {dt:g} ms, not {ms:g} ms.")
        return count

    pairs = {epoch: given if isinstance(given, tuple) else (given, given) for epoch, given in ms.items()}
    return {epoch: (steps(epoch, least), steps(epoch, most)) for epoch, (least, most) in pairs.items()}
