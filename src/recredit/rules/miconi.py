"""Miconi's delayed-reward Hebbian rule: presynaptic rate times the deviation of a unit's voltage from its running mean, cubed.

    x^t    = v^t; for units whose voltage leaks, as in the published program, that voltage: their state         (1)
    e_ij^t = decay e_ij^{t-1} + S(r_hat_j^t (x_i^t - x_bar_i^{t-1})),   S(z) = z^3                              (2)
    x_bar^t = keep x_bar^{t-1} + (1 - keep) x^t                                                                 (3)
    m^t    = L^t - L_bar^{t-1},   L_bar^t = L_bar^{t-1} + baseline_rate m^t                                     (4)
    G_ij^t = m^t e_ij^t                                                                                         (5)

State: e (n, m), x_bar (n,) and L_bar; for units of any kind, e (P, m) and x_bar (P,). Cost: nm + n memory, 4nm time. This is
node perturbation without access to the noise: the cube gives large deviations, which noise causes, more weight than the small
ones by which x_bar lags behind. Biased: even if x_bar were exact, a step's share in E[G_ij] would be 3 noise^4 r_hat_j^3 dL /
dv_i. The reward is -L at scored steps, times the step's weight; L_bar starts at 0. In the paper, a trial has one reward, at its
end, the trace does not decay, and a trial's first steps leave no trace; here x_bar starts from x at rest, without input. The
published program also multiplies G by L_bar, keeps one L_bar for each kind of trial, and clips the change of a weight.

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
    """The trace, and the running means of voltages and loss."""

    e: Float[Array, "P m"]
    x_bar: Float[Array, " P"]
    L_bar: Float[Array, ""]


class Miconi(AbstractRule):
    """A Hebbian trace of cubed fluctuations, times how much worse than usual the step went."""

    decay: float = eqx.field(default=0.9, converter=partial(SHARE, "the trace's decay"))
    """The fraction of the trace that is kept at each step; 1, as in the paper, is only for trials."""
    keep: float = eqx.field(default=0.05, converter=partial(SHARE, "Miconi's keep"))
    """The fraction of the running mean of the voltages that is kept at each step; the published program's."""
    baseline_rate: float = eqx.field(default=0.01, converter=partial(SHARE, "the baseline's rate"))
    """The fraction of the running mean of the loss that is renewed at each step; in the published program, 0.25 per trial."""

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
        """The unexpected part of x."""
        return x - x_bar

    def restart(self, net: RNN, state: MiconiState) -> tuple[Float[Array, "P m"], MiconiState]:
        return jnp.zeros_like(net.W), replace(state, e=jnp.zeros_like(state.e), x_bar=_at_rest(net))


def _leak_voltage(net: RNN) -> bool:
    """Whether the units' only state variable is a voltage, and their rate a function of it."""
    return net.units.is_simple and not net.units.rates_are_state


def _at_rest(net: RNN) -> Float[Array, " P"]:
    """x of a network at rest, without input."""
    rest = net.rest()
    return rest if _leak_voltage(net) else net.W_rec @ net.rates(rest) + net.W[:, -1]
