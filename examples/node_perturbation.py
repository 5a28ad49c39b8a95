"""Node perturbation: shake every unit's voltage, and reinforce what lowered the loss. Judged in docs/judge_your_own_rule.md."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from recredit import AbstractRule


class State(eqx.Module):
    noise: Float[Array, " n"]
    trace: Float[Array, "n m"]
    copy: Float[Array, " n"]
    usual: Float[Array, ""]


class NodePerturbation(AbstractRule):
    """Correlate each unit's slow noise with its inputs, and reinforce by how much better than expected the noisy output is."""

    sigma: float = 0.1
    baseline: Literal["copy", "running"] = "copy"

    def init(self, net, key):
        return State(jnp.zeros(net.n), jnp.zeros_like(net.W), jnp.zeros(net.n), jnp.zeros(()))

    def update(self, net, step, state, key):
        noise = (1 - net.alpha) * state.noise + self.sigma * jax.random.normal(key, (net.n,))
        loss, _ = net.loss_and_error(net.readout(net.leak(step.r_prev, step.v + noise)), step.target)
        copy, usual = state.copy, state.usual
        if self.baseline == "copy":  # what a network without the noise would have lost
            _, _, copy = net.step(state.copy, step.r_hat[net.n : -1])
            expected, _ = net.loss_and_error(net.readout(copy), step.target)
        else:  # what was lost of late
            expected = usual
            usual = usual + 0.1 * (loss - usual)
        trace = (1 - net.alpha) * state.trace + net.alpha * jnp.outer(noise, step.r_hat)
        return (loss - expected) / self.sigma**2 * trace, State(noise, trace, copy, usual)
