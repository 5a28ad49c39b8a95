"""Cascading eligibility traces: a trace that lags, for credit that comes late.

    e_1^t = (1 - a) e_1^{t-1} + a M_bar^t,          M_bar_ij = alpha D_i r_hat_j                                (1)
    e_k^t = (1 - a) e_k^{t-1} + a e_{k-1}^t,        k = 2, ..., stages                                          (2)
    G_ij^t = c_bar_i^t e_stages,ij^t                                                                            (3)

What a synapse does at one step counts most about (stages - 1)(1 - a) / a steps later, whereas a single exponential counts most
at once. (With one stage and a = alpha, the trace is alpha times RFLO's.) State: e (stages, n, m). Cost: stages nm memory and
time. Biased. For units of any kind, e is (stages, S, G, n, m), and ds'/dv replaces alpha D.

@inproceedings{ralambomihanta2026learning, title={Learning from the past with cascading eligibility traces},
  author={Ralambomihanta, Tokiniaina Raharison and Anokhin, Ivan and Pogodin, Roman and Kahou, Samira Ebrahimi and Cornford,
  Jonathan and Richards, Blake Aaron}, booktitle={ICLR}, year={2026}, note={arXiv 2506.14598}}
"""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.errors import check_count, check_range
from recredit.network import RNN
from recredit.network.unitwise import row_times_trace, times_signals
from recredit.rule import AbstractRule, Step


class CascadeState(eqx.Module):
    """The traces by stage, and the feedback's arrays."""

    e: Float[Array, "stages *S_G n m"]
    feedback: Any


class Cascade(AbstractRule):
    """A chain of eligibility traces, the last of which meets the credit."""

    stages: int = eqx.field(default=2, converter=partial(check_count, "Cascade's number of stages", most=1000))
    """How many traces follow one another; it takes at least 2 for a lag."""
    rate: float = eqx.field(default=0.5, converter=partial(check_range, "Cascade's rate", above=0, most=1))
    """a, the fraction of a trace that is replaced at each step."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> CascadeState:
        return CascadeState(jnp.zeros((self.stages, *net.own_shape), net.W.dtype), self.feedback.init(net, key))

    def update(self, net: RNN, step: Step, state: CascadeState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], CascadeState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        e = [times_signals(net.gain(step.at(net)), step.r_hat)]
        for before in state.e:
            e.append((1 - self.rate) * before + self.rate * e[-1])  # (1), (2)
        return row_times_trace(c_bar, e[-1]), CascadeState(jnp.stack(e[1:]), feedback)  # (3)

    def restart(self, net: RNN, state: CascadeState) -> tuple[Float[Array, "P m"], CascadeState]:
        return jnp.zeros_like(net.W), replace(state, e=jnp.zeros_like(state.e))
