"""SnAp-1: RTRL's influence, kept only for each unit's own weights.

    B_ij^t = J_ii^t B_ij^{t-1} + alpha D_i^t r_hat_j^t,   J_ii^t = (1 - alpha) + alpha D_i^t W_ii               (1)
    G_ij^t = c_bar_i^t B_ij^t                                                                                   (2)

The influence M_kij ~ delta_ki B_ij: RTRL with M cut to k = i after each step. State: B (n, m). Cost: nm memory, 2nm time, like
RFLO, which it equals if no unit has a synapse onto itself. Biased: it drops every path through another unit. For units of any
kind, B (S, G, n, m) is the influence of each unit's weights on its own state, J's own blocks replace J_ii, and ds'/dv replaces
alpha D.

@inproceedings{menick2021practical, title={Practical real time recurrent learning with a sparse approximation},
  author={Menick, Jacob and Elsen, Erich and Evci, Utku and Osindero, Simon and Simonyan, Karen and Graves, Alex},
  booktitle={ICLR}, year={2021}}
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


class SnAp1State(eqx.Module):
    """The influence of each unit's weights on itself, and the feedback's arrays."""

    B: Float[Array, "*S_G n m"]
    feedback: Any


class SnAp1(AbstractRule):
    """The influence of each synapse on its own unit, including the path through the unit's synapse onto itself."""

    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> SnAp1State:
        return SnAp1State(jnp.zeros(net.own_shape, net.W.dtype), self.feedback.init(net, key))

    def update(self, net: RNN, step: Step, state: SnAp1State, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], SnAp1State]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        at = step.at(net)
        B = times_trace(net.own_jacobian(at), state.B) + times_signals(net.gain(at), step.r_hat)  # (1)
        return row_times_trace(c_bar, B), SnAp1State(B, feedback)  # (2)

    def restart(self, net: RNN, state: SnAp1State) -> tuple[Float[Array, "P m"], SnAp1State]:
        return jnp.zeros_like(net.W), replace(state, B=jnp.zeros_like(state.B))
