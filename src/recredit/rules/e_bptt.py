"""E-BPTT: efficient truncated backpropagation through time, windows that do not overlap.

    c^s    = c_bar^s + c^{s+1} J^{s+1}   within the window, c = 0 after its end                                 (1)
    G_ij^t = sum_s c_i^s alpha D_i^s r_hat_j^s   at every T-th step, 0 at the others                            (2)

State: the window's c_bar (T, n), v (T, n), r_hat (T, m), newest first, and a clock. Cost: T(2n + m) memory, n^2 + nm time a
step on average. Biased: it cuts across the windows' borders, so credit reaches back T/2 steps on average. A window's sum is
summed, not averaged.

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
from recredit.rule import AbstractRule, Clock, Step


class EBPTTState(eqx.Module):
    """The window's immediate credits, voltages and inputs, newest first, the clock, and the blocks' arrays."""

    c_bar: Float[Array, "T n"]
    v: Float[Array, "T n"]
    r_hat: Float[Array, "T m"]
    clock: Clock
    jacobian: Any
    feedback: Any


class EBPTT(AbstractRule):
    """Backpropagation over windows that do not overlap: one gradient every `window` steps."""

    window: int = eqx.field(default=10, converter=partial(check_count, "E-BPTT's window"))
    """Length of a window and steps between two gradients, in network steps; the paper's 10."""
    jacobian: AbstractJacobian = ExactJacobian()
    """How it gets at the network's Jacobian; the matrix itself, as the paper has it."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; through W_out, the exact credit."""
    published_alpha_bug: bool = False
    """Leave alpha out of the immediate influence, as the published program did, not the paper's equations."""

    @property
    def period(self) -> int:
        """The window, at whose end its sum is returned."""
        return self.window

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> EBPTTState:
        n, m = net.W.shape
        zeros = jnp.zeros((self.window, n), net.W.dtype)
        r_hat = jnp.zeros((self.window, m), net.W.dtype)
        k_jacobian, k_feedback = jax.random.split(key)
        return EBPTTState(
            zeros, zeros, r_hat, Clock.at_zero(), self.jacobian.init(net, k_jacobian), self.feedback.init(net, k_feedback)
        )

    def update(self, net: LeakyRNN, step: Step, state: EBPTTState, key: PRNGKeyArray) -> tuple[Float[Array, "n m"], EBPTTState]:
        jacobian = self.jacobian.learn(net, step, state.jacobian)
        c_bar = push(state.c_bar, self.feedback(net, step, state.feedback))
        v, r_hat, clock = push(state.v, step.v), push(state.r_hat, step.r_hat), state.clock.tick()

        def backpropagate() -> Float[Array, "n m"]:
            def back(arriving, at):
                c = at[0] + arriving  # (1)
                gain = net.gain(at[1], with_alpha=not self.published_alpha_bug)
                return self.jacobian.backward(net, at[1], jacobian, c), c * gain

            _, credit = jax.lax.scan(back, jnp.zeros_like(step.r), (c_bar, v))
            return credit.T @ r_hat  # (2)

        full = clock.steps % self.window == 0
        G = jax.lax.cond(full, backpropagate, lambda: jnp.zeros_like(net.W))
        return G, EBPTTState(c_bar, v, r_hat, clock, jacobian, state.feedback)
