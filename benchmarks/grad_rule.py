"""What one would write with jax.grad alone: backpropagation of each step's loss through the last steps, run again."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.buffers import push
from recredit.network import LeakyRNN
from recredit.rule import AbstractRule, Step


class Window(eqx.Module):
    """The last steps' rates before the step, and inputs, newest first."""

    r_prev: Float[Array, "T n"]
    x: Float[Array, "T n_in"]


class GradBPTT(AbstractRule):
    """Truncated backpropagation by jax.grad over the last `window` steps, at every step and at the current W.

    While W stands still it equals P-BPTT, from the first full window on.
    """

    window: int = 10

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> Window:
        return Window(jnp.zeros((self.window, net.n), net.W.dtype), jnp.zeros((self.window, net.n_in), net.W.dtype))

    def update(self, net: LeakyRNN, step: Step, state: Window, key: PRNGKeyArray) -> tuple[Float[Array, "n m"], Window]:
        state = Window(push(state.r_prev, step.r_prev), push(state.x, step.r_hat[net.n : -1]))

        def loss(W):
            moved = eqx.tree_at(lambda net: net.W, net, W)
            r = state.r_prev[-1]
            for x in state.x[::-1]:
                r = moved.step(r, x)[2]
            return net.loss_and_error(net.readout(r), step.target)[0]

        return jax.grad(loss)(net.W), state
