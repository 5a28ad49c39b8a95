"""Products with the derivatives of units. Each unit is independent, so these are numbers for each unit, not matrices.

A derivative of A quantities of a unit by B others is an array of blocks (A, B, n), and what carries a unit's own influence
(an eligibility trace) is (S, G, n, m). Where a unit has one state variable and one voltage, both lose their first two axes, and
everything below is a product by elements: (n,) and (n, m). A number stands for the same number in every unit.

The few blocks are summed one by one, which takes a processor a tenth of the time of an einsum with sums of two to five terms.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def blocks(function: Callable[[Any], Any], at: tuple[Any, ...], simple: bool) -> Float[Array, "*A_B n"]:
    """The derivatives (A, B, n) of A arrays (n,) by B arrays `at`, unit by unit: one forward pass for each of the B.

    `simple`: A = B = 1, and the result is (n,).
    """
    one = jnp.ones_like(at[0])
    directions = [tuple(one if k == place else jnp.zeros_like(one) for k in range(len(at))) for place in range(len(at))]
    columns = [jax.jvp(function, (at,), (direction,))[1] for direction in directions]
    return columns[0][0] if simple else jnp.stack([jnp.stack(column) for column in columns], axis=1)


def row_times(c: Float[Array, " A_n"], D: Float[Array, "*A_B n"] | float) -> Float[Array, " B_n"]:
    """c D."""
    if isinstance(D, float | int):
        return D * c
    if D.ndim == 1:
        return c * D
    return _sum(c_a[None] * D_a for c_a, D_a in zip(c.reshape(D.shape[0], -1), D)).ravel()


def times_column(D: Float[Array, "*A_B n"] | float, a: Float[Array, "B_n *k"]) -> Float[Array, "A_n *k"]:
    """D a, over the first axis of `a`."""
    if isinstance(D, float | int):
        return D * a
    if D.ndim == 1:
        return D.reshape(-1, *[1] * (a.ndim - 1)) * a
    A, B, n = D.shape
    parts, ones = a.reshape(B, n, *a.shape[1:]), [1] * (a.ndim - 1)
    rows = [_sum(D_ab.reshape(n, *ones) * a_b for D_ab, a_b in zip(D_a, parts)) for D_a in D]
    return jnp.stack(rows).reshape(A * n, *a.shape[1:])


def matrix(D: Float[Array, "*A_B n"]) -> Float[Array, "A_n B_n"]:
    """The blocks as one matrix, each of them diagonal."""
    if D.ndim == 1:
        return jnp.diag(D)
    A, B, n = D.shape
    return jnp.einsum("abi,ij->aibj", D, jnp.eye(n, dtype=D.dtype)).reshape(A * n, B * n)


def times_signals(D: Float[Array, "*S_G n"], r_hat: Float[Array, " m"]) -> Float[Array, "*S_G n m"]:
    """D r_hat, the influence of a unit's weights on its own state at this step."""
    return jnp.outer(D, r_hat) if D.ndim == 1 else D[..., None] * r_hat


def times_trace(L: Float[Array, "*A_S n"] | float, E: Float[Array, "*S_G n m"]) -> Float[Array, "*A_G n m"]:
    """L E, for a unit's own influence E; for other derivatives by its state than L, too."""
    if isinstance(L, float | int):
        return L * E
    if L.ndim == 1:
        return L[:, None] * E
    return jnp.stack([_sum(L_st[:, None] * E_t for L_st, E_t in zip(L_s, E)) for L_s in L])


def row_times_trace(c: Float[Array, " S_n"], E: Float[Array, "*S_G n m"]) -> Float[Array, "G_n m"]:
    """c E: each unit's credit times its weights' influence on itself."""
    if E.ndim == 2:
        return c[:, None] * E
    S, G, n, m = E.shape
    return _sum(c_s[:, None] * E_s for c_s, E_s in zip(c.reshape(S, n), E)).reshape(G * n, m)


def influence(D: Float[Array, "*S_G n"], r_hat: Float[Array, " m"]) -> Float[Array, "S_n G_n m"]:
    """D r_hat, the influence of all weights on all states at this step: as `times_signals`, with the zeros between units."""
    if D.ndim == 1:
        P = jnp.outer(D, r_hat)
        return jnp.eye(len(D), dtype=P.dtype)[:, :, None] * P[None]
    return matrix(D)[:, :, None] * r_hat


def _sum(terms: Any) -> Float[Array, "..."]:
    return functools.reduce(operator.add, terms)
