"""Buffers of the last steps: a delay line (`push`) and a ring buffer (`put`)."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from recredit.network import RNN
from recredit.network.rnn import At


def push(window: Any, newest: Any) -> Any:
    """A window of the last T rows, newest first, moved on by one step; of an array, or of each of a tree's."""
    return jax.tree.map(lambda rows, row: jnp.concatenate([row[None], rows[:-1]]), window, newest)


def row(window: Any, i: int) -> Any:
    """The i-th row of a window."""
    return jax.tree.map(lambda rows: rows[i], window)


def empty_window(net: RNN, length: int) -> tuple[Float[Array, "T N"], Any, Float[Array, "T m"]]:
    """Windows of zeros for `length` steps: of credit, of what derivatives depend on (`Step.at`), and of r_hat."""
    credit, v, r_hat = (jnp.zeros((length, size), net.W.dtype) for size in (net.n_state, *net.W.shape))
    return credit, At(credit, v) if net.units.depends_on_state else v, r_hat


def put(rows: Float[Array, "T *k"], i: Int[Array, ""], row: Float[Array, " *k"]) -> Float[Array, "T *k"]:
    """The rows with the i-th replaced; vectorised over seeds and streams, a write in place where they share `i`, a clock's."""
    return _put_along(0)(rows, i, row)


@functools.cache
def _put_along(axis: int) -> Callable[[Array, Array, Array], Array]:
    """`put` for rows that are counted by some axis, those before it being of seeds and streams."""

    @jax.custom_batching.custom_vmap
    def write(rows: Array, i: Array, row: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(rows, row, i, axis)

    write.def_vmap(_Vectorised(axis))
    return write


@dataclass(frozen=True)
class _Vectorised:
    """How `put` is vectorised: an object whose text says all of it, since programs are compared by their text."""

    axis: int

    def __call__(self, size: int, has_size: list[bool], rows: Array, i: Array, row: Array) -> tuple[Array, bool]:
        if not any(has_size):  # as jvp under vmap asks
            return jax.lax.dynamic_update_index_in_dim(rows, row, i, self.axis), False
        rows, row = (
            a if has else jnp.broadcast_to(a, (size, *a.shape)) for a, has in ((rows, has_size[0]), (row, has_size[2]))
        )
        # JAX's own way is a scatter, of several operations, whether or not they share `i`.
        if has_size[1]:
            return jax.vmap(lambda *each: jax.lax.dynamic_update_index_in_dim(*each, self.axis))(rows, row, i), True
        return _put_along(self.axis + 1)(rows, i, row), True
