"""The scale at which the stochastic rules have the least variance."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def balance(scaled_down: Float[Array, "..."], scaled_up: Float[Array, "..."]) -> Float[Array, ""]:
    """rho = sqrt(|scaled_down| / |scaled_up|): the scale at which rho * up and down / rho have the same (Frobenius) norm.

    The stochastic rules stay unbiased for any rho > 0; this one minimises the variance (Tallec & Ollivier 2017). Two arrays of
    zeros give 1.
    """
    tiny = 1e-30
    return jnp.sqrt((jnp.linalg.norm(scaled_down) + tiny) / (jnp.linalg.norm(scaled_up) + tiny))
