"""Leaky units, as in the paper: their rate leaks.

    r^t = (1 - alpha) r^{t-1} + alpha phi(v^t)
    L = 1 - alpha,   D = alpha phi'(v),   R = 1

Source: Marschall, Cho & Savin 2019, p. 1-2. A run starts from rates phi(N(0, 1)), as the published program's did.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.errors import check_range
from recredit.network.activations import NONNEGATIVE, PHI, Activation, slope
from recredit.network.units import AbstractUnits, PerUnit

ALPHA = partial(check_range, "alpha", above=0, most=1)
BELOW_1 = partial(check_range, "alpha", above=0, most=1 - 1e-6)


class Leaky(AbstractUnits):
    """Units whose rate leaks."""

    alpha: float = eqx.field(default=0.5, converter=ALPHA)
    """Leak, the fraction of a firing rate that is renewed at each step, in (0, 1]; the paper's 0.5."""
    activation: Activation = "tanh"
    """phi, by name; the paper's tanh."""

    variables = ("r",)
    voltages = {"v": "all"}

    @property
    def nonnegative(self) -> bool:
        return self.activation in NONNEGATIVE

    @property
    def depends_on_state(self) -> bool:
        return False

    def f(self, s: PerUnit, v: PerUnit) -> PerUnit:
        return ((1 - self.alpha) * s[0] + self.alpha * self.phi(v[0]),)

    def memory(self, s: PerUnit | None, v: PerUnit) -> float:
        return 1 - self.alpha

    def gain(self, s: PerUnit | None, v: PerUnit) -> Float[Array, "*T n"]:
        return self.alpha * self.slope(v[0])

    def rest(self, n: int) -> PerUnit:
        return (self.phi(jnp.zeros(n)),)

    def first(self, n: int, key: PRNGKeyArray) -> PerUnit:
        return (self.phi(jax.random.normal(key, (n,))),)

    def phi(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """Firing rate of a voltage, elementwise."""
        return PHI[self.activation](v)

    def slope(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """phi'(v), elementwise."""
        return slope(self.activation, v)
