"""Linear recurrent units: diagonal and complex, without synapses between units.

    lambda = exp(-exp(nu) + i exp(theta)),   gamma = sqrt(1 - |lambda|^2)
    s^t    = lambda s^{t-1} + gamma (v_re^t + i v_im^t)

nu and theta are voltages that read only the bias: each unit's own decay and frequency, learned like any weight. The read-out
gets both parts of s. As no unit has a synapse onto another, the trace of each unit's own weights is their whole influence:
RFLO's gradient is exactly RTRL's, in O(P m). The published unit also learns gamma; here gamma follows from lambda.

Source: Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences", ICML.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from recredit.errors import check_range
from recredit.network.units import AbstractUnits, PerUnit


class LRU(AbstractUnits):
    """Linear recurrent units, whose state rotates and decays in the complex plane."""

    r_min: float = eqx.field(default=0.0, converter=partial(check_range, "r_min", least=0, most=1 - 1e-6))
    """The smallest initial |lambda|, in [0, 1)."""
    r_max: float = eqx.field(default=0.99, converter=partial(check_range, "r_max", above=0, most=1 - 1e-6))
    """The largest initial |lambda|, in (r_min, 1)."""
    phase_max: float = eqx.field(default=6.28, converter=partial(check_range, "phase_max", above=0, most=6.2832))
    """The largest initial angle of lambda, in radians per step."""

    variables = ("re", "im")
    voltages = {"re": "inputs", "im": "inputs", "nu": "bias", "theta": "bias"}

    def __check_init__(self):
        if self.r_min >= self.r_max:
            raise ValueError(f"r_min must be below r_max, {self.r_max:g}, not {self.r_min:g}.")

    def f(self, s: PerUnit, v: PerUnit) -> PerUnit:
        (re, im), (v_re, v_im, nu, theta) = s, v
        size, angle = jnp.exp(-jnp.exp(nu)), jnp.exp(theta)
        gamma = jnp.sqrt(-jnp.expm1(-2 * jnp.exp(nu)))
        cos, sin = size * jnp.cos(angle), size * jnp.sin(angle)
        return cos * re - sin * im + gamma * v_re, sin * re + cos * im + gamma * v_im

    def out(self, s: PerUnit) -> PerUnit:
        return s

    def biases(self, n: int, key: PRNGKeyArray) -> PerUnit:
        u, w = jax.random.uniform(key, (2, n), minval=1e-6)
        size = jnp.sqrt(u * (self.r_max**2 - self.r_min**2) + self.r_min**2)
        return jnp.zeros(n), jnp.zeros(n), jnp.log(-jnp.log(size)), jnp.log(w * self.phase_max)
