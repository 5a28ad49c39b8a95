"""Leaky units whose time constants are learned.

    alpha   = sigmoid(v_2)     v_2 reads only the bias: one number per unit
    r^t     = (1 - alpha) r^{t-1} + alpha phi(v_1^t)

A time constant is a voltage whose only synapse is the one from the bias, so every rule learns it as it learns any weight.

Source: Quax, D'Asaro & van Gerven 2020, "Adaptive time scales in recurrent neural networks", Scientific Reports 10, 11360.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from recredit.network.activations import NONNEGATIVE, PHI, Activation
from recredit.network.leaky import BELOW_1
from recredit.network.units import AbstractUnits, PerUnit


class LearnedLeak(AbstractUnits):
    """Units whose rate leaks, each at its own learned pace."""

    alpha: float = eqx.field(default=0.5, converter=BELOW_1)
    """Initial leak of every unit, in (0, 1); the paper's 0.5."""
    activation: Activation = "tanh"
    """phi, by name."""

    variables = ("r",)
    voltages = {"v": "all", "leak": "bias"}

    @property
    def nonnegative(self) -> bool:
        return self.activation in NONNEGATIVE

    def f(self, s: PerUnit, v: PerUnit) -> PerUnit:
        alpha = jax.nn.sigmoid(v[1])
        return ((1 - alpha) * s[0] + alpha * PHI[self.activation](v[0]),)

    def rest(self, n: int) -> PerUnit:
        return (PHI[self.activation](jnp.zeros(n)),)

    def biases(self, n: int, key: PRNGKeyArray) -> PerUnit:
        return jnp.zeros(n), jnp.full(n, math.log(self.alpha / (1 - self.alpha)))
