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
    """A window of the last T rows, newest first, moved on by one step; for an array, or for each array of a tree."""
    return jax.tree.map(lambda rows, row: jnp.concatenate([row[None], rows[:-1]]), window, newest)


def row(window: Any, i: int) -> Any:
    """The i-th row of a window."""
    return jax.tree.map(lambda rows: rows[i], window)


def empty_window(net: RNN, length: int) -> tuple[Float[Array, "T N"], Any, Float[Array, "T m"]]:
    """Windows of zeros for `length` steps: of credit, of what derivatives depend on (`Step.at`), and of r_hat."""
    credit, v, r_hat = (jnp.zeros((length, size), net.W.dtype) for size in (net.n_state, *net.W.shape))
    return credit, At(credit, v) if net.units.depends_on_state else v, r_hat


def put(rows: Float[Array, "T *k"], i: Int[Array, ""], row: Float[Array, " *k"]) -> Float[Array, "T *k"]:
    """The rows with the i-th replaced. Vectorised over seeds and streams that share `i`, as a clock's, it writes in place."""
    return _put_along(0)(rows, i, row)


@functools.cache
def _put_along(axis: int) -> Callable[[Array, Array, Array], Array]:
    """`put` for rows along some axis; the axes before it are those of seeds and streams."""

    @jax.custom_batching.custom_vmap
    def write(rows: Array, i: Array, row: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(rows, row, i, axis)

    write.def_vmap(_Vectorised(axis))
    return write


@dataclass(frozen=True)
class _Vectorised:
    """How `put` is vectorised: an object whose text says everything about it, since programs are compared by their text."""

    axis: int

    def __call__(self, size: int, has_size: list[bool], rows: Array, i: Array, row: Array) -> tuple[Array, bool]:
        if not any(has_size):  # as jvp under vmap asks
            return jax.lax.dynamic_update_index_in_dim(rows, row, i, self.axis), False
        rows, row = (
            a if has else jnp.broadcast_to(a, (size, *a.shape)) for a, has in ((rows, has_size[0]), (row, has_size[2]))
        )
        # JAX itself would scatter, in several operations, whether or not they share `i`.
        if has_size[1]:
            return jax.vmap(lambda *each: jax.lax.dynamic_update_index_in_dim(*each, self.axis))(rows, row, i), True
        return _put_along(self.axis + 1)(rows, i, row), True
