"""Adaptive leaky integrate-and-fire units (ALIF): spikes, and a threshold that rises with each of them.

    u^t = exp(-dt / tau_m) u^{t-1} + v^t - threshold z^{t-1}           membrane
    a^t = exp(-dt / tau_a) a^{t-1} + z^{t-1}                           adaptation
    z^t = H(u^t - threshold - beta a^t), 0 while refractory             spike
    y^t = kappa y^{t-1} + (1 - kappa) z^t,   kappa = exp(-dt / tau_out) what the read-out gets

Spikes have no derivative; it is replaced by psi = (dampening / threshold) max(0, 1 - |u - threshold - beta a| / threshold), and
by 0 while refractory. The derivative of the reset, threshold z, is cut, as in the published e-prop: with it, the trace of L
would be another rule. So for RTRL and all other rules here, a unit's spikes act back on its own membrane only through synapses
and adaptation.

Source: Bellec et al. 2020, "A solution to the learning dilemma for recurrent networks of spiking neurons", Nature
Communications 11, 3625, and its published program.
"""

import math
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from recredit.errors import check_count, check_range
from recredit.network.units import AbstractUnits, PerUnit

MS = {"above": 0}


class ALIF(AbstractUnits):
    """Adaptive spiking units; without adaptation (beta = 0) plain integrate-and-fire units."""

    tau_m: float = eqx.field(default=20.0, converter=partial(check_range, "tau_m", **MS))
    """Time constant of the membrane, ms."""
    tau_a: float = eqx.field(default=2000.0, converter=partial(check_range, "tau_a", **MS))
    """Time constant of the adaptation, ms; about as long as the task requires a unit to remember."""
    tau_out: float = eqx.field(default=20.0, converter=partial(check_range, "tau_out", **MS))
    """Time constant of the filter through which the read-out sees spikes, ms."""
    dt: float = eqx.field(default=1.0, converter=partial(check_range, "dt", **MS))
    """Length of a network step, ms."""
    threshold: float = eqx.field(default=0.6, converter=partial(check_range, "the threshold", above=0))
    """Voltage at which a unit spikes if it has not spiked for a long time."""
    beta: float = eqx.field(default=1.7, converter=partial(check_range, "beta", least=0))
    """How much a spike raises the threshold, times (1 - exp(-dt / tau_a)) / (1 - exp(-dt / tau_m)) as in the published
    program; 0: plain integrate-and-fire."""
    adaptive: float = eqx.field(default=0.5, converter=partial(check_range, "the adaptive share", least=0, most=1))
    """The share of the units that adapt, the last ones; in the others beta is 0."""
    refractory: int = eqx.field(default=4, converter=partial(check_count, "the refractory time", least=0))
    """Steps after a spike in which a unit cannot spike again; 4, the published n_ref - 1."""
    dampening: float = eqx.field(default=0.3, converter=partial(check_range, "the dampening", least=0))
    """The largest pseudo-derivative, in units of 1 / threshold."""

    variables = ("spike", "membrane", "adaptation", "refractory", "filtered")
    voltages = {"v": "all"}

    @property
    def nonnegative(self) -> bool:
        return True

    def f(self, s: PerUnit, v: PerUnit) -> PerUnit:
        z, u, a, left, y = s
        keep_u, keep_a, kappa = (math.exp(-self.dt / tau) for tau in (self.tau_m, self.tau_a, self.tau_out))
        u = keep_u * u + v[0] - self.threshold * jax.lax.stop_gradient(z)
        a = keep_a * a + z
        left = jax.lax.stop_gradient(jnp.where(z > 0, float(self.refractory), jnp.maximum(left - 1, 0)))
        over = (u - self.threshold - self._beta(len(u)) * a) / self.threshold
        spike = jnp.where(left > 0, 0, _spike(over, self.dampening))
        return spike, u, a, left, kappa * y + (1 - kappa) * spike

    def out(self, s: PerUnit) -> PerUnit:
        return (s[4],)

    def _beta(self, n: int) -> Float[Array, " n"]:
        beta = self.beta * (1 - math.exp(-self.dt / self.tau_a)) / (1 - math.exp(-self.dt / self.tau_m))
        return jnp.where(jnp.arange(n) < n - round(self.adaptive * n), 0.0, beta)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _spike(over: Float[Array, " n"], dampening: float) -> Float[Array, " n"]:
    """1 where the voltage is over the threshold, 0 elsewhere; `over` in units of the threshold."""
    return (over > 0).astype(over.dtype)


@_spike.defjvp
def _(dampening, primals, tangents):
    (over,), (change,) = primals, tangents
    return _spike(over, dampening), dampening * jnp.maximum(0, 1 - jnp.abs(over)) * change
