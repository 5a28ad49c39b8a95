"""Miconi's delayed-reward Hebbian rule: presynaptic rate times how far a unit's voltage is from its running mean, cubed.

    x^t    = v^t, and of units that leak their voltage, as the published ones do, that voltage: their state     (1)
    e_ij^t = decay e_ij^{t-1} + S(r_hat_j^t (x_i^t - x_bar_i^{t-1})),   S(z) = z^3                              (2)
    x_bar^t = keep x_bar^{t-1} + (1 - keep) x^t                                                                 (3)
    m^t    = L^t - L_bar^{t-1},   L_bar^t = L_bar^{t-1} + baseline_rate m^t                                     (4)
    G_ij^t = m^t e_ij^t                                                                                         (5)

State: e (n, m) and x_bar (n,), of any units (P, m) and (P,), and L_bar. Cost: nm + n memory, 4nm time. Node perturbation that
does not know the noise: a cube makes large deviations count, which noise causes, more than the small ones by which x_bar lags
behind. Biased: even if x_bar were exact, a step's share in E[G_ij] would be 3 noise^4 r_hat_j^3 dL / dv_i. The reward is -L
where a step is scored, times its weight; L_bar starts at 0. In the paper a trial has one reward, at its end, a trace without
decay, and first steps that leave no trace; here x_bar starts at what x is at rest, without input. The published program also
multiplies G by L_bar, keeps one for each kind of trial, and clips the change of a weight.

@article{miconi2017biologically, title={Biologically plausible learning in recurrent neural networks reproduces neural dynamics
  observed during cognitive tasks}, author={Miconi, Thomas}, journal={eLife}, volume={6}, pages={e20899}, year={2017}}
"""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.baseline import above_baseline
from recredit.errors import check_range
from recredit.network import RNN
from recredit.rule import AbstractRule, Step

SHARE = partial(check_range, least=0, most=1)


class MiconiState(eqx.Module):
    """The trace, the running means of voltages and loss."""

    e: Float[Array, "P m"]
    x_bar: Float[Array, " P"]
    L_bar: Float[Array, ""]


class Miconi(AbstractRule):
    """A Hebbian trace of cubed fluctuations, times how much worse than usual the step went."""

    decay: float = eqx.field(default=0.9, converter=partial(SHARE, "the trace's decay"))
    """What the trace keeps of itself at each step; 1, the paper's, is for trials alone."""
    keep: float = eqx.field(default=0.05, converter=partial(SHARE, "Miconi's keep"))
    """What the running mean of the voltages keeps of itself at each step; the published program's."""
    baseline_rate: float = eqx.field(default=0.01, converter=partial(SHARE, "the baseline's rate"))
    """The part of the running mean of the loss that is renewed at each step; in the published program 0.25 a trial."""

    @property
    def needs_noise(self) -> bool:
        return True

    def init(self, net: RNN, key: PRNGKeyArray) -> MiconiState:
        return MiconiState(jnp.zeros_like(net.W), _at_rest(net), jnp.zeros((), net.W.dtype))

    def update(self, net: RNN, step: Step, state: MiconiState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], MiconiState]:
        x = step.state if _leak_voltage(net) else step.v  # (1)
        e = self.decay * state.e + self.supralinear(jnp.outer(self.fluctuation(step, x, state.x_bar), step.r_hat))  # (2)
        x_bar = self.keep * state.x_bar + (1 - self.keep) * x  # (3)
        m, L_bar = above_baseline(step, state.L_bar, self.baseline_rate)  # (4)
        return m * e, MiconiState(e, x_bar, L_bar)  # (5)

    def supralinear(self, z: Float[Array, "P m"]) -> Float[Array, "P m"]:
        """S(z)."""
        return z**3

    def fluctuation(self, step: Step, x: Float[Array, " P"], x_bar: Float[Array, " P"]) -> Float[Array, " P"]:
        """What of x was not expected."""
        return x - x_bar

    def restart(self, net: RNN, state: MiconiState) -> tuple[Float[Array, "P m"], MiconiState]:
        return jnp.zeros_like(net.W), replace(state, e=jnp.zeros_like(state.e), x_bar=_at_rest(net))


def _leak_voltage(net: RNN) -> bool:
    """Whether the units' one state variable is a voltage, of which their rate is a function."""
    return net.units.is_simple and not net.units.rates_are_state


def _at_rest(net: RNN) -> Float[Array, " P"]:
    """x of a network at rest, without input."""
    rest = net.rest()
    return rest if _leak_voltage(net) else net.W_rec @ net.rates(rest) + net.W[:, -1]
