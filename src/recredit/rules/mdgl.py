"""MDGL: multidigraph learning, RFLO plus the paths through one synapse, whose credit diffuses between cell types.

    B^t     = (1 - alpha) B^{t-1} + alpha D^t r_hat^t                                                           (1)
    a_i^t   = sum_k c_bar_k^t alpha D_k^t W~_ki                                                                 (2)
    G_ij^t  = c_bar_i^t B_ij^t + a_i^t B_ij^{t-1}                                                               (3)

a_i is the credit of all units that unit i acts on, carried by modulators. W~ holds the mean weights between the units' C types,
taken from the initial network and then fixed, so that the units of one type together send a single number. With `types` = None
nothing is averaged, and W~ is the current W_rec. State: B (n, m), and with types their members (C, n) and mean weights (C, n).
Cost: nm memory, nm + n^2 time (with types, nm). Biased: it drops paths through more than one synapse and, of the paths through
one, those that stay in the receiving unit for a step or more. With alpha = 1 and W~ = W_rec it is Hops with `hops` = 1. For
units of any kind, L = ds'/ds replaces 1 - alpha, ds'/dv replaces alpha D, and W~ R replaces W~, with R = dr/ds.

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

from recredit.blocks.cell_types import CellTypes, check_fit
from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.errors import check_optional_count
from recredit.network import RNN
from recredit.network.unitwise import row_times, row_times_trace, times_signals, times_trace
from recredit.rule import AbstractRule, Step


class MDGLState(eqx.Module):
    """The eligibility traces, the cell types with the weights between them, and the feedback's arrays."""

    B: Float[Array, "*S_G n m"]
    types: CellTypes | None
    feedback: Any


class MDGL(AbstractRule):
    """Eligibility traces, gated by a unit's own credit and by the credit of others, which modulators carry."""

    types: int | None = eqx.field(default=None, converter=partial(check_optional_count, "MDGL's number of cell types"))
    """Number of cell types: equal groups of consecutive units, with the mean weights of the initial network; under Dale's law,
    this many of each sign, or as many as there are units of that sign. None: no averaging, the current W_rec itself."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> MDGLState:
        types = None if self.types is None else CellTypes.of(net, self.types)
        return MDGLState(jnp.zeros(net.own_shape, net.W.dtype), types, self.feedback.init(net, key))

    def update(self, net: RNN, step: Step, state: MDGLState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], MDGLState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        at = step.at(net)
        D = net.gain(at)
        B = times_trace(net.memory(at), state.B) + times_signals(D, step.r_hat)  # (1)
        secreted = row_times(c_bar, D)
        a = secreted @ net.W_rec if state.types is None else state.types.received(secreted)  # (2)
        through = row_times_trace(net.times_slope(at, a), state.B)
        return row_times_trace(c_bar, B) + through, MDGLState(B, state.types, feedback)  # (3)

    def check_network(self, net: RNN) -> None:
        check_fit("MDGL", self.types, net)

    def restart(self, net: RNN, state: MDGLState) -> tuple[Float[Array, "P m"], MDGLState]:
        return jnp.zeros_like(net.W), replace(state, B=jnp.zeros_like(state.B))
