"""The contract of a learning rule. Read this first.

A rule is a pure function of named arrays: every array lives in `net`, `step` or `state`. So a rule can be vectorised over
seeds, saved (the state is the checkpoint), and audited (each array in its trace has a name and an origin).
"""

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

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

    @classmethod
    def at_zero(cls) -> "Clock":
        return cls(jnp.array(0))

    def tick(self) -> "Clock":
        return Clock(self.steps + 1)


def balance(scaled_down: Float[Array, "..."], scaled_up: Float[Array, "..."]) -> Float[Array, ""]:
    """rho = sqrt(|scaled_down| / |scaled_up|): the scale at which rho * up and down / rho have the same (Frobenius) norm.

    The stochastic rules stay unbiased for any rho > 0; this one minimises the variance (Tallec & Ollivier 2017). Two arrays of
    zeros give 1.
    """
    tiny = 1e-30
    return jnp.sqrt((jnp.linalg.norm(scaled_down) + tiny) / (jnp.linalg.norm(scaled_up) + tiny))


def push(window: Float[Array, "T k"], newest: Float[Array, " k"]) -> Float[Array, "T k"]:
    """A window of the last T rows, newest first, moved on by one step."""
    return jnp.concatenate([newest[None], window[:-1]])


def put(rows: Float[Array, "T *k"], i: Int[Array, ""], row: Float[Array, " *k"]) -> Float[Array, "T *k"]:
    """The rows with the i-th replaced; vectorised over seeds and streams, a write in place where they share `i`, a clock's."""
    return _put_along(0)(rows, i, row)


@functools.cache
def _put_along(axis: int) -> Callable[[Array, Array, Array], Array]:
    """`put` for rows that are counted by some axis, those before it being of seeds and streams."""

    @jax.custom_batching.custom_vmap
    def write(rows: Array, i: Array, row: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(rows, row, i, axis)

    @write.def_vmap
    def vectorised(size: int, has_size: list[bool], rows: Array, i: Array, row: Array) -> tuple[Array, bool]:
        if not any(has_size):  # as jvp under vmap asks
            return jax.lax.dynamic_update_index_in_dim(rows, row, i, axis), False
        rows, row = (
            a if has else jnp.broadcast_to(a, (size, *a.shape)) for a, has in ((rows, has_size[0]), (row, has_size[2]))
        )
        # JAX's own way is a scatter, of several operations, whether or not they share `i`.
        if has_size[1]:
            return jax.vmap(lambda *each: jax.lax.dynamic_update_index_in_dim(*each, axis))(rows, row, i), True
        return _put_along(axis + 1)(rows, i, row), True

    return write
