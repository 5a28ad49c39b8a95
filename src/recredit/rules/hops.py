"""Hops: RTRL's influence along paths of at most `hops` steps from unit to unit through W_rec.

    B_ij^t = (1 - alpha) B_ij^{t-1} + alpha D_i r_hat_j                                                         (1)
    H_1,kij^t = (1 - alpha) H_1,kij^{t-1} + alpha D_k W_ki B_ij^{t-1}                                           (2)
    H_s^t = (1 - alpha) H_s^{t-1} + alpha D^t W_rec H_{s-1}^{t-1},        s = 2, ..., hops                      (3)
    G_ij^t = c_bar_i^t B_ij^t + sum_s sum_k c_bar_k^t H_s,kij^t                                                 (4)

B is each unit's own trace, H_s the influence along paths of exactly s synapses. It is RFLO at hops = 0, and RTRL once there are
as many hops as steps so far. State: B (n, m), H (hops, n, n, m). Cost: hops n^2 m memory; time hops n^2 m, and n^3 m for each
hop after the first. Biased: longer paths are dropped. For units of any kind, L = ds'/ds replaces 1 - alpha, ds'/dv replaces
alpha D, and W_rec R replaces W_rec, with R = dr/ds.

SnAp, MDGL and ModProp also lie between RFLO and RTRL. They differ in which of these paths they drop or average:

@article{liu2021cell, title={Cell-type--specific neuromodulation guides synaptic credit assignment in a spiking neural network},
  author={Liu, Yuhan Helena and Smith, Stephen and Mihalas, Stefan and Shea-Brown, Eric and S{\\"u}mb{\\"u}l, Uygar},
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
from recredit.network.rnn import At
from recredit.network.unitwise import row_times_trace, times_column, times_signals, times_trace
from recredit.rule import AbstractRule, Step


class HopsState(eqx.Module):
    """Each unit's own trace, the influence on all units by the number of synapses in between, and the feedback's arrays."""

    B: Float[Array, "*S_G n m"]
    H: Float[Array, "hops N P m"]
    feedback: Any


class Hops(AbstractRule):
    """The influence along paths of at most `hops` recurrent synapses."""

    hops: int = eqx.field(default=1, converter=partial(check_count, "Hops' number of hops", least=0, most=1000))
    """The largest number of recurrent synapses on a path, each of which takes a step; 0 is RFLO."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> HopsState:
        B, H = (jnp.zeros(shape, net.W.dtype) for shape in (net.own_shape, (self.hops, net.n_state, *net.W.shape)))
        return HopsState(B, H, self.feedback.init(net, key))

    def update(self, net: RNN, step: Step, state: HopsState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], HopsState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        at, H = step.at(net), state.H
        L, D = net.memory(at), net.gain(at)
        B = times_trace(L, state.B) + times_signals(D, step.r_hat)  # (1)
        G = row_times_trace(c_bar, B)
        if self.hops:
            first = onto_others(net, at, state.B)
            further = [jnp.tensordot(net.W_rec, net.sent(at, H_s), axes=1) for H_s in H[:-1]]
            H = jnp.stack([times_column(L, H_s) + times_column(D, a) for H_s, a in zip(H, [first, *further])])  # (2), (3)
            G = G + jnp.tensordot(c_bar, H.sum(0), axes=1)  # (4)
        return G, HopsState(B, H, feedback)

    def restart(self, net: RNN, state: HopsState) -> tuple[Float[Array, "P m"], HopsState]:
        return jnp.zeros_like(net.W), replace(state, B=jnp.zeros_like(state.B), H=jnp.zeros_like(state.H))


def onto_others(net: RNN, at: At | Float[Array, " P"], B: Float[Array, "*S_G n m"]) -> Float[Array, "P P m"]:
    """W_rec R B: the effect of each unit's own trace on the voltages of all units."""
    own = B.reshape(-1, len(net.units.voltages), *B.shape[-2:]).swapaxes(1, 2)
    sent = net.sent(at, own.reshape(net.n_state, *own.shape[2:])).swapaxes(0, 1)
    return (net.W_rec[:, None, :, None] * sent[None]).reshape(-1, *net.W.shape)
