"""Hops: RTRL's influence over paths of at most so many steps from unit to unit through W_rec.

    H_0^t = (1 - alpha) H_0^{t-1} + M_bar^t,        M_bar_kij = delta_ki alpha D_i r_hat_j                      (1)
    H_s^t = (1 - alpha) H_s^{t-1} + alpha D^t W_rec H_{s-1}^{t-1},        s = 1, ..., hops                      (2)
    G_ij^t = sum_s sum_k c_bar_k^t H_s,kij^t                                                                    (3)

H_s is the influence along paths of exactly s synapses: RFLO at hops = 0, RTRL from as many hops as there were steps. State:
H (hops + 1, n, n, m). Cost: (hops + 1) n^2 m memory, hops n^3 m time. Biased: longer paths are dropped. Of any units, L =
ds'/ds stands for 1 - alpha, ds'/dv for alpha D, and R = dr/ds comes before W_rec.

What is dropped is where SnAp, MDGL and ModProp lie between RFLO and RTRL:

@article{liu2021cell, title={Cell-type--specific neuromodulation guides synaptic credit assignment in a spiking neural network},
  author={Liu, Yuhan Helena and Smith, Stephen and Mihalas, Stefan and Shea-Brown, Eric and S{\"u}mb{\"u}l, Uygar},
  journal={PNAS}, volume={118}, number={51}, year={2021}}
"""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.errors import check_count
from recredit.network import RNN
from recredit.network.unitwise import influence, times_column
from recredit.rule import AbstractRule, Step


class HopsState(eqx.Module):
    """The influence by the number of synapses on the way, and the feedback's arrays."""

    H: Float[Array, "paths N P m"]
    feedback: Any


class Hops(AbstractRule):
    """The influence along paths of at most `hops` recurrent synapses."""

    hops: int = eqx.field(default=1, converter=partial(check_count, "Hops' number of hops", least=0, most=1000))
    """The most recurrent synapses on a path, each of which takes a step: 0 is RFLO."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; through W_out, the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> HopsState:
        H = jnp.zeros((self.hops + 1, net.n_state, *net.W.shape), net.W.dtype)
        return HopsState(H, self.feedback.init(net, key))

    def update(self, net: RNN, step: Step, state: HopsState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], HopsState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        at = step.at(net)
        L, D = net.memory(at), net.gain(at)
        H = [times_column(L, state.H[0]) + influence(D, step.r_hat)]  # (1)
        for s in range(self.hops):
            along = jnp.tensordot(net.W_rec, net.sent(at, state.H[s]), axes=1)
            H.append(times_column(L, state.H[s + 1]) + times_column(D, along))  # (2)
        H = jnp.stack(H)
        return jnp.tensordot(c_bar, H.sum(0), axes=1), HopsState(H, feedback)  # (3)

    def restart(self, net: RNN, state: HopsState) -> tuple[Float[Array, "P m"], HopsState]:
        return jnp.zeros_like(net.W), replace(state, H=jnp.zeros_like(state.H))
