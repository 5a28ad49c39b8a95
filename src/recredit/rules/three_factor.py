"""Three-factor learning: RFLO's eligibility traces, all modulated by one number, how much worse than usual the step went.

    B_ij^t = (1 - alpha) B_ij^{t-1} + alpha D_i^t r_hat_j^t                                                     (1)
    m^t    = L^t - L_bar^{t-1},   L_bar^t = L_bar^{t-1} + baseline_rate m^t                                     (2)
    G_ij^t = m^t B_ij^t                                                                                         (3)

A neuromodulator that reaches all units alike takes the place of each unit's own credit in RFLO, c_bar_i; with c_bar_i for m, it
would be RFLO. State: B (n, m) and L_bar. Cost: nm memory, 2nm time. It is not the gradient of anything: it weakens what was
active when the loss was above its mean. For units of any kind, m is the credit of each quantity that the read-out gets. L and
L_bar are multiplied by the step's weight. L_bar starts at 0, so for the first 1 / baseline_rate steps or so m is close to L,
and everything that is active weakens.

@article{fremaux2016neuromodulated, title={Neuromodulated spike-timing-dependent plasticity, and theory of three-factor learning
  rules}, author={Fr{\\'e}maux, Nicolas and Gerstner, Wulfram}, journal={Frontiers in Neural Circuits}, volume={9}, pages={85},
  year={2016}}
"""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.baseline import above_baseline
from recredit.errors import check_range
from recredit.network import RNN
from recredit.network.unitwise import row_times_trace, times_signals, times_trace
from recredit.rule import AbstractRule, Step


class ThreeFactorState(eqx.Module):
    """The eligibility traces, and the running mean of the loss."""

    B: Float[Array, "*S_G n m"]
    L_bar: Float[Array, ""]


class ThreeFactor(AbstractRule):
    """RFLO's traces, modulated by one number: how much worse than usual the step went."""

    baseline_rate: float = eqx.field(default=0.01, converter=partial(check_range, "the baseline's rate", least=0, most=1))
    """The fraction of the running mean of the loss that is renewed at each step; 0.01 averages over about a hundred steps."""

    def init(self, net: RNN, key: PRNGKeyArray) -> ThreeFactorState:
        return ThreeFactorState(jnp.zeros(net.own_shape, net.W.dtype), jnp.zeros((), net.W.dtype))

    def update(
        self, net: RNN, step: Step, state: ThreeFactorState, key: PRNGKeyArray
    ) -> tuple[Float[Array, "P m"], ThreeFactorState]:
        at = step.at(net)
        B = times_trace(net.memory(at), state.B) + times_signals(net.gain(at), step.r_hat)  # (1)
        m, L_bar = above_baseline(step, state.L_bar, self.baseline_rate)  # (2)
        return row_times_trace(self.modulator(net, step, m), B), ThreeFactorState(B, L_bar)  # (3)

    def modulator(self, net: RNN, step: Step, m: Float[Array, ""]) -> Float[Array, " N"]:
        """The third factor, for each unit's state."""
        return net.times_out_slope(step.state, jnp.broadcast_to(m, net.W_out.shape[1:]))

    def restart(self, net: RNN, state: ThreeFactorState) -> tuple[Float[Array, "P m"], ThreeFactorState]:
        return jnp.zeros_like(net.W), replace(state, B=jnp.zeros_like(state.B))
