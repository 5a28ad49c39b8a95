"""F-BPTT: future-facing truncated backpropagation through time, over a window that slides by one step.

    q^{t,t} = c_bar^t;   q^{t,s-1} = q^{t,s} J^s;   c_s += q^{t,s}   for s = t, t-1, ..., t-T+1                 (1)
    G_ij^t  = c_s,i alpha D_i^s r_hat_j^s   at s = t-T+1                                                        (2)

What Fig. 1 calls BPTT, with T = 10. State: the last T steps' c (T, n), v (T, n), r_hat (T, m), newest first. Cost: T(2n + m)
memory, (T-1) n^2 + nm time. The gradient is T-1 steps late, and the first T-1 are 0. J uses the current W with the stored v.
Biased by truncation only.

@article{werbos1990backpropagation, title={Backpropagation through time: what it does and how to do it},
  author={Werbos, Paul J}, journal={Proceedings of the IEEE}, volume={78}, number={10}, pages={1550--1560}, year={1990}}
"""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.buffers import empty_window, push, row
from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.blocks.jacobian import AbstractJacobian, ExactJacobian
from recredit.errors import check_count
from recredit.network import RNN
from recredit.network.unitwise import row_times
from recredit.rule import AbstractRule, Step


class FBPTTState(eqx.Module):
    """The window's credits, voltages (with the states before them, unless the units are leaky) and inputs, newest first, and
    the blocks' arrays."""

    c: Float[Array, "T N"]
    v: Any
    r_hat: Float[Array, "T m"]
    jacobian: Any
    feedback: Any


class FBPTT(AbstractRule):
    """Backpropagation over a window that slides by one step: future-facing, `window` - 1 steps late."""

    window: int = eqx.field(default=10, converter=partial(check_count, "F-BPTT's window"))
    """How many losses the credit of each weight takes in, one per network step; the paper's 10."""
    jacobian: AbstractJacobian = ExactJacobian()
    """How the rule obtains the network's Jacobian; by default the exact matrix, as in the paper."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""
    published_alpha_bug: bool = False
    """Leave alpha out of the immediate influence, as the published program did but the paper's equations do not."""

    @property
    def delay(self) -> int:
        """The window's first step is the one whose credit is complete."""
        return self.window - 1

    def init(self, net: RNN, key: PRNGKeyArray) -> FBPTTState:
        c, v, r_hat = empty_window(net, self.window)
        k_jacobian, k_feedback = jax.random.split(key)
        return FBPTTState(c, v, r_hat, self.jacobian.init(net, k_jacobian), self.feedback.init(net, k_feedback))

    def update(self, net: RNN, step: Step, state: FBPTTState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], FBPTTState]:
        q = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        jacobian = self.jacobian.learn(net, step, state.jacobian)
        v, r_hat = push(state.v, step.at(net)), push(state.r_hat, step.r_hat)
        credit = [q]
        for s in range(self.window - 1):
            q = self.jacobian.backward(net, row(v, s), jacobian, q)
            credit.append(q)
        c = push(state.c, jnp.zeros_like(q)) + jnp.stack(credit)  # (1)
        gain = net.gain(row(v, -1), with_alpha=not self.published_alpha_bug)
        return jnp.outer(row_times(c[-1], gain), r_hat[-1]), FBPTTState(c, v, r_hat, jacobian, feedback)  # (2)

    def restart(self, net: RNN, state: FBPTTState) -> tuple[Float[Array, "P m"], FBPTTState]:
        """It owes the credit of all steps whose window the trial's end cuts short: all but the oldest, already returned."""

        def told(c, at, r_hat):
            return jnp.outer(row_times(c, net.gain(at, with_alpha=not self.published_alpha_bug)), r_hat)

        late = jax.tree.map(lambda rows: rows[:-1], (state.c, state.v, state.r_hat))
        c, v, r_hat = empty_window(net, self.window)
        return jax.vmap(told)(*late).sum(0), replace(state, c=c, v=v, r_hat=r_hat)
