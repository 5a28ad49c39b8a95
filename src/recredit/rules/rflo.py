"""RFLO: random-feedback local online learning, an eligibility trace per synapse.

    B_ij^t = (1 - alpha) B_ij^{t-1} + alpha D_i^t r_hat_j^t                                                     (1)
    G_ij^t = c_bar_i^t B_ij^t                                                                                   (2)

The influence M_kij ~ delta_ki B_ij. State: B (n, m). Cost: nm memory, 2nm time. Biased: it drops every path through W_rec,
and equals RTRL exactly when J is replaced by (1 - alpha) I. The paper ran it with exact feedback, despite its name.

@article{murray2019local, title={Local online learning in recurrent networks with random feedback},
  author={Murray, James M}, journal={eLife}, volume={8}, pages={e43299}, year={2019}}
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.network import LeakyRNN
from recredit.rule import AbstractRule, Step


class RFLOState(eqx.Module):
    """The eligibility traces, and the feedback's arrays."""

    B: Float[Array, "n m"]
    feedback: Any


class RFLO(AbstractRule):
    """An eligibility trace per synapse, gated by the credit of its target unit."""

    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; through W_out, the exact credit."""

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> RFLOState:
        return RFLOState(jnp.zeros_like(net.W), self.feedback.init(net, key))

    def update(self, net: LeakyRNN, step: Step, state: RFLOState, key: PRNGKeyArray) -> tuple[Float[Array, "n m"], RFLOState]:
        c_bar = self.feedback(net, step, state.feedback)
        B = (1 - net.alpha) * state.B + jnp.outer(net.gain(step.v), step.r_hat)  # (1)
        return c_bar[:, None] * B, RFLOState(B, state.feedback)  # (2)
