"""P-BPTT: past-facing truncated backpropagation through time, Eq. 1 over the last T steps.

    q^{t,t} = c_bar^t;   q^{t,s-1} = q^{t,s} J^s                                                                (1)
    G_ij^t  = sum_{s=t-T+1}^t q_i^{t,s} alpha D_i^s r_hat_j^s                                                   (2)

State: the last T steps' v (T, n) and r_hat (T, m), newest first. Cost: T(n + m) memory, (T-1) n^2 + T nm time. No delay; equal
to RTRL while T reaches back to the first step (the Jacobians in Eq. 1 are in descending order of time). Biased by truncation
only.

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


class PBPTTState(eqx.Module):
    """The window's voltages (with the states before them, unless the units are leaky) and inputs, newest first, and the blocks'
    arrays."""

    v: Any
    r_hat: Float[Array, "T m"]
    jacobian: Any
    feedback: Any


class PBPTT(AbstractRule):
    """Backpropagation of each step's loss over the last `window` steps: past-facing, without delay."""

    window: int = eqx.field(default=10, converter=partial(check_count, "P-BPTT's window"))
    """How far back each loss is propagated, in network steps; the paper's 10."""
    jacobian: AbstractJacobian = ExactJacobian()
    """How the rule obtains the network's Jacobian; by default the exact matrix, as in the paper."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> PBPTTState:
        _, v, r_hat = empty_window(net, self.window)
        k_jacobian, k_feedback = jax.random.split(key)
        return PBPTTState(v, r_hat, self.jacobian.init(net, k_jacobian), self.feedback.init(net, k_feedback))

    def update(self, net: RNN, step: Step, state: PBPTTState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], PBPTTState]:
        q = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        jacobian = self.jacobian.learn(net, step, state.jacobian)
        v, r_hat = push(state.v, step.at(net)), push(state.r_hat, step.r_hat)
        credit = [row_times(q, net.gain(row(v, 0)))]  # step by step: the compiler does not vectorise a whole window
        for s in range(self.window - 1):
            q = self.jacobian.backward(net, row(v, s), jacobian, q)  # (1)
            credit.append(row_times(q, net.gain(row(v, s + 1))))
        G = jnp.stack(credit).T @ r_hat  # (2)
        return G, PBPTTState(v, r_hat, jacobian, feedback)

    def restart(self, net: RNN, state: PBPTTState) -> tuple[Float[Array, "P m"], PBPTTState]:
        _, v, r_hat = empty_window(net, self.window)
        return jnp.zeros_like(net.W), replace(state, v=v, r_hat=r_hat)
