"""The contract of a learning rule. Read this first.

A rule is a pure function of named arrays: every array lives in `net`, `step` or `state`. So a rule can be vectorised over
seeds, saved (the state is all that it remembers), and audited (each array in its trace has a name and an origin).
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from recredit.errors import check_fields
from recredit.network import LeakyRNN

State = Any  # a pytree of arrays, the rule's own


class Step(eqx.Module):
    """All that the network did at time t, with the weights it had before they were updated."""

    r_prev: Float[Array, " n"]
    """Firing rates r^{t-1}."""
    r_hat: Float[Array, " m"]
    """[r^{t-1}; x^t; 1], what the weights W read."""
    v: Float[Array, " n"]
    """Voltages W r_hat."""
    r: Float[Array, " n"]
    """Firing rates r^t = (1 - alpha) r^{t-1} + alpha phi(v^t)."""
    error: Float[Array, " n_out"]
    """dL/dz, the error of the read-out."""
    target: Float[Array, " n_out"]
    """The label y*."""


class AbstractRule(eqx.Module):
    """A learning rule for W. Its fields are numbers and building blocks, never arrays.

    The read-out weights W_out and b_out follow the delta rule in the training loop, the same for every rule.
    """

    def __check_init__(self):
        check_fields(self)

    @property
    def delay(self) -> int:
        """By how many steps the gradient is late: what is returned at step t belongs to step t - delay."""
        return 0

    @property
    def period(self) -> int:
        """A gradient is returned at every period-th step, (t + 1) % period == 0, the sum for the steps since the last one.

        At the other steps it is 0, and W's part of the optimiser stands still.
        """
        return 1

    @abstractmethod
    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> State:
        """The learning state before the first step."""

    @abstractmethod
    def update(self, net: LeakyRNN, step: Step, state: State, key: PRNGKeyArray) -> tuple[Float[Array, "n m"], State]:
        """The rule's estimate of dL/dW at this step, and the next learning state (the same pytree of the same shapes)."""


class Clock(eqx.Module):
    """How many steps a rule has made.

    It ticks alike in all seeds and all their streams, so training leaves it unvectorised, and a branch on it is taken for all
    of them or for none.
    """

    steps: Int[Array, ""]
    """0 before the first step."""

    @classmethod
    def at_zero(cls) -> "Clock":
        return cls(jnp.array(0))

    def tick(self) -> "Clock":
        return Clock(self.steps + 1)
