"""RFLO: random-feedback local online learning, an eligibility trace per synapse.

    B_ij^t = (1 - alpha) B_ij^{t-1} + alpha D_i^t r_hat_j^t                                                     (1)
    G_ij^t = c_bar_i^t B_ij^t                                                                                   (2)

The influence M_kij ~ delta_ki B_ij. State: B (n, m). Cost: nm memory, 2nm time. Biased: it drops every path through W_rec, and
equals RTRL exactly when J is replaced by (1 - alpha) I. The paper ran it with exact feedback, despite its name. For units of
any kind, B (S, G, n, m) is the influence of each unit's weights on its own state, L = ds'/ds replaces 1 - alpha, and ds'/dv
replaces alpha D: on adaptive spiking units (ALIF) this is e-prop (Bellec et al. 2020), and without recurrent synapses it is
exact RTRL.

@article{murray2019local, title={Local online learning in recurrent networks with random feedback},
  author={Murray, James M}, journal={eLife}, volume={8}, pages={e43299}, year={2019}}
"""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.network import RNN
from recredit.network.unitwise import row_times_trace, times_signals, times_trace
from recredit.rule import AbstractRule, Step


class RFLOState(eqx.Module):
    """The eligibility traces, and the feedback's arrays."""

    B: Float[Array, "*S_G n m"]
    feedback: Any


class RFLO(AbstractRule):
    """An eligibility trace per synapse, gated by the credit of its target unit."""

    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> RFLOState:
        return RFLOState(jnp.zeros(net.own_shape, net.W.dtype), self.feedback.init(net, key))

    def update(self, net: RNN, step: Step, state: RFLOState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], RFLOState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        at = step.at(net)
        B = times_trace(net.memory(at), state.B) + times_signals(net.gain(at), step.r_hat)  # (1)
        return row_times_trace(c_bar, B), RFLOState(B, feedback)  # (2)

    def restart(self, net: RNN, state: RFLOState) -> tuple[Float[Array, "P m"], RFLOState]:
        return jnp.zeros_like(net.W), replace(state, B=jnp.zeros_like(state.B))
