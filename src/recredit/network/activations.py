"""The activation functions phi that units may have, by name."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Activation = Literal["tanh", "relu", "sigmoid", "identity", "softplus"]

PHI = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "identity": lambda v: v,
    "softplus": jax.nn.softplus,
}
NONNEGATIVE = ("relu", "sigmoid", "softplus")


def slope(activation: Activation, v: Float[Array, "..."]) -> Float[Array, "..."]:
    """phi'(v), elementwise (at relu's kink: 0)."""
    if activation == "tanh":
        return 1 - jnp.tanh(v) ** 2
    if activation == "sigmoid":
        return jax.nn.sigmoid(v) * (1 - jax.nn.sigmoid(v))
    if activation == "relu":
        return jnp.where(v > 0, 1.0, 0.0).astype(v.dtype)
    if activation == "softplus":
        return jax.nn.sigmoid(v)
    return jnp.ones_like(v)
