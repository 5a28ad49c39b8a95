"""F-BPTT: future-facing truncated backpropagation through time, a window that slides by one step.

    q^{t,t} = c_bar^t;   q^{t,s-1} = q^{t,s} J^s;   c_s += q^{t,s}   for s = t, t-1, ..., t-T+1                 (1)
    G_ij^t  = c_s,i alpha D_i^s r_hat_j^s   at s = t-T+1                                                        (2)

What Fig. 1 calls BPTT, with T = 10. State: the last T steps' c (T, n), v (T, n), r_hat (T, m), newest first. Cost: T(2n + m)
memory, (T-1) n^2 + nm time. The gradient is T-1 steps late, and the first T-1 are 0. J uses the current W with the stored v.
Biased by truncation only.

@article{werbos1990backpropagation, title={Backpropagation through time: what it does and how to do it},
  author={Werbos, Paul J}, journal={Proceedings of the IEEE}, volume={78}, number={10}, pages={1550--1560}, year={1990}}
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.buffers import push
from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.blocks.jacobian import AbstractJacobian, ExactJacobian
from recredit.errors import check_count
from recredit.network import LeakyRNN
from recredit.rule import AbstractRule, Step


class FBPTTState(eqx.Module):
    """The window's credits, voltages and inputs, newest first, and the blocks' arrays."""

    c: Float[Array, "T n"]
    v: Float[Array, "T n"]
    r_hat: Float[Array, "T m"]
    jacobian: Any
    feedback: Any


class FBPTT(AbstractRule):
    """Backpropagation over a window that slides by one step: future-facing, `window` - 1 steps late."""

    window: int = eqx.field(default=10, converter=partial(check_count, "F-BPTT's window"))
    """How many losses each weight's credit takes in, in network steps; the paper's 10."""
    jacobian: AbstractJacobian = ExactJacobian()
    """How it gets at the network's Jacobian; the matrix itself, as the paper has it."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; through W_out, the exact credit."""
    published_alpha_bug: bool = False
    """Leave alpha out of the immediate influence, as the published program did, not the paper's equations."""

    @property
    def delay(self) -> int:
        """The window's first step is the one whose credit is complete."""
        return self.window - 1

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> FBPTTState:
        n, m = net.W.shape
        zeros = jnp.zeros((self.window, n), net.W.dtype)
        r_hat = jnp.zeros((self.window, m), net.W.dtype)
        k_jacobian, k_feedback = jax.random.split(key)
        return FBPTTState(zeros, zeros, r_hat, self.jacobian.init(net, k_jacobian), self.feedback.init(net, k_feedback))

    def update(self, net: LeakyRNN, step: Step, state: FBPTTState, key: PRNGKeyArray) -> tuple[Float[Array, "n m"], FBPTTState]:
        q = self.feedback(net, step, state.feedback)
        jacobian = self.jacobian.learn(net, step, state.jacobian)
        v, r_hat = push(state.v, step.v), push(state.r_hat, step.r_hat)
        credit = [q]
        for s in range(self.window - 1):
            q = self.jacobian.backward(net, v[s], jacobian, q)
            credit.append(q)
        c = push(state.c, jnp.zeros_like(q)) + jnp.stack(credit)  # (1)
        gain = net.gain(v[-1], with_alpha=not self.published_alpha_bug)
        return jnp.outer(c[-1] * gain, r_hat[-1]), FBPTTState(c, v, r_hat, jacobian, state.feedback)  # (2)
