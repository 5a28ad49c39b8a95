"""What a rule owes a trial that ends, computed only at steps at which a trial ends in some seed or stream."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def owed_at(start: Bool[Array, ""], restart: Callable[..., Any], net: Any, state: Any) -> Float[Array, "P m"]:
    """What `restart(net, state)` says is owed if a trial starts now, else 0.

    Vectorised, a branch on what differs between seeds is taken on both sides, and for a window as long as a trial that would be
    one backward pass a step. So the vectorised function branches on whether a trial starts in any of them.
    """
    return _over(0)(start, restart, net, state)


@functools.cache
def _over(axes: int) -> Callable[..., Array]:
    """`owed_at` for arguments that have so many axes of seeds and streams before their own."""

    @jax.custom_batching.custom_vmap
    def owed(start: Array, restart: Callable[..., Any], net: Any, state: Any) -> Array:
        def call(restart: Callable[..., Any], net: Any, state: Any) -> Array:
            return restart(net, state)[0]

        for _ in range(axes):
            call = jax.vmap(call)

        def some() -> Array:
            return jnp.where(start[..., None, None], call(restart, net, state), 0)

        return jax.lax.cond(start.any(), some, lambda: jnp.zeros_like(net.W))

    owed.def_vmap(_Vectorised(axes))
    return owed


@dataclass(frozen=True)
class _Vectorised:
    """How `_over(axes)` is vectorised: an object whose text says everything about it, since programs are compared by their
    text."""

    axes: int

    def __call__(self, size: int, is_batched: Any, *given: Any) -> tuple[Array, bool]:
        def with_axis(has: bool, leaf: Any) -> Any:
            return leaf if has else jnp.broadcast_to(leaf, (size, *leaf.shape))

        return _over(self.axes + 1)(*jax.tree.map(with_axis, tuple(is_batched), given)), True
