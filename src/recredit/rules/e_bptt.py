"""E-BPTT: efficient truncated backpropagation through time, over windows that do not overlap.

    c^s    = c_bar^s + c^{s+1} J^{s+1}   within the window, c = 0 after its end                                 (1)
    G_ij^t = sum_s c_i^s alpha D_i^s r_hat_j^s   at every T-th step, 0 at the others                            (2)

State: the window's c_bar (T, n), v (T, n), r_hat (T, m), newest first, and a clock. Cost: T(2n + m) memory, n^2 + nm time a
step on average. Biased: no credit crosses a border between windows, so it reaches back T/2 steps on average. The gradients of
a window's steps are summed, not averaged.

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

from recredit.blocks.buffers import empty_window, push
from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.blocks.jacobian import AbstractJacobian, ExactJacobian
from recredit.errors import check_count
from recredit.network import RNN
from recredit.network.unitwise import row_times
from recredit.rule import AbstractRule, Clock, Step


class EBPTTState(eqx.Module):
    """The window's immediate credits, voltages (with the states before them, unless the units are leaky) and inputs, newest
    first, the clock, and the blocks' arrays."""

    c_bar: Float[Array, "T N"]
    v: Any
    r_hat: Float[Array, "T m"]
    clock: Clock
    jacobian: Any
    feedback: Any


class EBPTT(AbstractRule):
    """Backpropagation over windows that do not overlap: one gradient every `window` steps."""

    window: int = eqx.field(default=10, converter=partial(check_count, "E-BPTT's window"))
    """Length of a window, and of the interval between two gradients, in network steps; the paper's 10."""
    jacobian: AbstractJacobian = ExactJacobian()
    """How the rule obtains the network's Jacobian; by default the exact matrix, as in the paper."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""
    published_alpha_bug: bool = False
    """Leave alpha out of the immediate influence, as the published program did but the paper's equations do not."""

    @property
    def period(self) -> int:
        """The window: its sum is returned at its end."""
        return self.window

    def init(self, net: RNN, key: PRNGKeyArray) -> EBPTTState:
        c_bar, v, r_hat = empty_window(net, self.window)
        k_jacobian, k_feedback = jax.random.split(key)
        return EBPTTState(
            c_bar, v, r_hat, Clock.at_zero(), self.jacobian.init(net, k_jacobian), self.feedback.init(net, k_feedback)
        )

    def update(self, net: RNN, step: Step, state: EBPTTState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], EBPTTState]:
        jacobian = self.jacobian.learn(net, step, state.jacobian)
        c_bar = push(state.c_bar, self.feedback(net, step, state.feedback))
        feedback = self.feedback.learn(net, step, state.feedback, key)
        v, r_hat, clock = push(state.v, step.at(net)), push(state.r_hat, step.r_hat), state.clock.tick()
        after = EBPTTState(c_bar, v, r_hat, clock, jacobian, feedback)
        full = clock.steps % self.window == 0
        G = jax.lax.cond(full, lambda: self.backpropagate(net, after), lambda: jnp.zeros_like(net.W))
        return G, after

    def backpropagate(self, net: RNN, state: EBPTTState) -> Float[Array, "P m"]:
        """The gradient of the window's losses."""

        def back(arriving, now):
            c = now[0] + arriving  # (1)
            gain = net.gain(now[1], with_alpha=not self.published_alpha_bug)
            return self.jacobian.backward(net, now[1], state.jacobian, c), row_times(c, gain)

        _, credit = jax.lax.scan(back, jnp.zeros_like(state.c_bar[0]), (state.c_bar, state.v))
        return credit.T @ state.r_hat  # (2)

    def restart(self, net: RNN, state: EBPTTState) -> tuple[Float[Array, "P m"], EBPTTState]:
        """It owes the gradient of the open window, which the trial's end cuts short."""
        is_open = (jnp.arange(self.window) < state.clock.steps % self.window)[:, None]
        now = replace(state, c_bar=jnp.where(is_open, state.c_bar, 0), r_hat=jnp.where(is_open, state.r_hat, 0))
        c_bar, v, r_hat = empty_window(net, self.window)
        return self.backpropagate(net, now), replace(state, c_bar=c_bar, v=v, r_hat=r_hat)
