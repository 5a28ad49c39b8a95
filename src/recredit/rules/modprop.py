"""ModProp: RFLO plus paths through any number of synapses, with average gains and weights.

    B^t        = (1 - alpha) B^{t-1} + alpha D^t r_hat^t                                                        (1)
    N_aij^t    = (1 - alpha) N_aij^{t-1} + alpha mu (w_{a tau(i)} B_ij^{t-1} + sum_b w_ab n_b N_bij^{t-1})      (2)
    G_ij^t     = c_bar_i^t B_ij^t + sum_a (sum_{k of type a} c_bar_k^t) N_aij^t                                 (3)

N_a is a synapse's influence on each unit of type a through other units. mu replaces the units' gains phi', and w_ab the weights
from type b onto type a, taken from the initial network and then fixed; tau(i) is unit i's type and n_b the number of units of
type b. With `types` = None nothing is averaged: each unit is its own type, and w is the current W_rec. State: B (n, m),
N (C, n, m), and the types' members (C, n) and mean weights (C, n) and (C, C). Cost: C nm memory, C^2 nm time for C types.
Biased, but exact for linear units with `types` = None and mu = 1.

@inproceedings{liu2022biologically, title={Biologically-plausible backpropagation through arbitrary timespans via local
  neuromodulators}, author={Liu, Yuhan Helena and Smith, Stephen and Mihalas, Stefan and Shea-Brown, Eric and
  S{\\"u}mb{\\"u}l, Uygar}, booktitle={NeurIPS}, year={2022}}
"""

from dataclasses import replace
from functools import partial
from typing import Any, cast

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.cell_types import CellTypes, check_fit
from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.errors import check_optional_count, check_range
from recredit.network import RNN
from recredit.network.leaky_rnn import LeakyRNN
from recredit.rule import AbstractRule, Step


class ModPropState(eqx.Module):
    """The eligibility traces, each synapse's influence through other units by type, the types, and the feedback's arrays."""

    B: Float[Array, "n m"]
    N: Float[Array, "C n m"]
    types: CellTypes | None
    w: Float[Array, "C C"] | None
    feedback: Any


class ModProp(AbstractRule):
    """Eligibility traces, and modulators that carry the credit of all cell types to each synapse through slow filters."""

    types: int | None = eqx.field(default=2, converter=partial(check_optional_count, "ModProp's number of cell types"))
    """Number of cell types: equal groups of consecutive units, with the mean weights of the initial network; under Dale's law,
    this many of each sign, or as many as there are units of that sign. None: no averaging, the current W_rec itself."""
    mu: float = eqx.field(default=0.5, converter=partial(check_range, "ModProp's mu", least=0))
    """Replaces the gain phi' of the units along a path: from 0, which gives RFLO, to 1, the slope of tanh at 0."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> ModPropState:
        B, types = jnp.zeros_like(net.W), None if self.types is None else CellTypes.of(net, self.types)
        N = jnp.zeros((net.n if types is None else len(types.members), *B.shape), B.dtype)
        w = None if types is None else types.between()[0]
        return ModPropState(B, N, types, w, self.feedback.init(net, key))

    def update(self, net: RNN, step: Step, state: ModPropState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], ModPropState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        at, alpha = step.at(net), cast(LeakyRNN, net).alpha
        if state.types is None or state.w is None:
            first, w, credit = net.W_rec, net.W_rec, c_bar
        else:
            first, w, credit = state.types.onto[0], state.w, state.types.members @ c_bar
        B = (1 - alpha) * state.B + jnp.outer(net.gain(at), step.r_hat)  # (1)
        through = first[:, :, None] * state.B[None] + jnp.tensordot(w, state.N, axes=1)
        N = (1 - alpha) * state.N + alpha * self.mu * through  # (2)
        G = c_bar[:, None] * B + jnp.tensordot(credit, N, axes=1)  # (3)
        return G, ModPropState(B, N, state.types, state.w, feedback)

    def check_network(self, net: RNN) -> None:
        if not isinstance(net, LeakyRNN):
            raise ValueError(
                f"ModProp is for leaky units, whose mean gain is one number, not {type(net.units).__name__} units."
            )
        check_fit("ModProp", self.types, net)

    def restart(self, net: RNN, state: ModPropState) -> tuple[Float[Array, "P m"], ModPropState]:
        return jnp.zeros_like(net.W), replace(state, B=jnp.zeros_like(state.B), N=jnp.zeros_like(state.N))
