"""The immediate derivative: each synapse's gradient as if the state before the step had never depended on it.

    G_ij^t = c_bar_i^t alpha D_i^t r_hat_j^t                                                                    (1)

The influence M_kij ~ delta_ki alpha D_i^t r_hat_j^t: F-BPTT with a window of one step. State: none. Cost: nm time. Biased: no
credit crosses a step. For units of any kind, ds'/dv replaces alpha D. "Temporal credit is free" reports that it matches RTRL
once the optimiser divides by the root of a running mean of squared gradients, as RMSprop does: `optimizer=rmsprop`.
`reproduce/rules` tests this on four tasks.

@misc{merin2026temporal, title={Temporal credit is free}, author={Merin, Aur Shalev}, eprint={2603.28750},
  archivePrefix={arXiv}, year={2026}}
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.network import RNN
from recredit.network.unitwise import row_times_trace, times_signals
from recredit.rule import AbstractRule, Step


class Immediate(AbstractRule):
    """The derivative within one step: no memory, no trace."""

    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> Any:
        return self.feedback.init(net, key)

    def update(self, net: RNN, step: Step, state: Any, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], Any]:
        c_bar = self.feedback(net, step, state)
        G = row_times_trace(c_bar, times_signals(net.gain(step.at(net)), step.r_hat))  # (1)
        return G, self.feedback.learn(net, step, state, key)

    def restart(self, net: RNN, state: Any) -> tuple[Float[Array, "P m"], Any]:
        return jnp.zeros_like(net.W), state
