"""Units that leak their voltage: the rate network of most models in neuroscience.

    s^t = (1 - alpha) s^{t-1} + alpha v^t,   r^t = phi(s^t),   alpha = dt / tau
    L = 1 - alpha,   D = alpha,   R = phi'(s)

Source: Sompolinsky, Crisanti & Sommers 1988, "Chaos in random neural networks", Physical Review Letters 61, 259; in discrete
time as in Sussillo & Barak 2013.
"""

import equinox as eqx

from recredit.network.activations import NONNEGATIVE, PHI, Activation
from recredit.network.leaky import ALPHA
from recredit.network.units import AbstractUnits, PerUnit


class Voltage(AbstractUnits):
    """Units whose voltage leaks, and whose rate is a function of it."""

    alpha: float = eqx.field(default=0.2, converter=ALPHA)
    """dt / tau, the fraction of the voltage renewed at each step, in (0, 1]; 0.2, as for steps of 20 ms and tau = 100 ms."""
    activation: Activation = "tanh"
    """phi, by name."""

    variables = ("s",)
    voltages = {"v": "all"}

    @property
    def nonnegative(self) -> bool:
        return self.activation in NONNEGATIVE

    def f(self, s: PerUnit, v: PerUnit) -> PerUnit:
        return ((1 - self.alpha) * s[0] + self.alpha * v[0],)

    def g(self, s: PerUnit):
        return PHI[self.activation](s[0])
