"""Node perturbation: the loss, above its running mean, correlated with the noise in each unit's voltage (REINFORCE).

    e_ij^t = decay e_ij^{t-1} + xi_i^t r_hat_j^t / noise^2                                                      (1)
    m^t    = L^t - L_bar^{t-1},   L_bar^t = L_bar^{t-1} + baseline_rate m^t                                     (2)
    G_ij^t = m^t e_ij^t                                                                                         (3)

State: e (n, m), or (P, m) for units of any kind, and L_bar. Cost: nm memory, 3nm time. It knows nothing of the network but its
noise xi ~ N(0, noise^2), and no derivative. Past-facing: with any fixed baseline, E[G^t] is, up to O(noise^2), the gradient F^t
= sum_{t' <= t} decay^{t - t'} dL^t / dW^{t'}, where W^{t'} are the weights that step t' used. Without a decay, which is only
for trials, this is dL^t / dW. The variance grows with the number of voltages and with 1 / (1 - decay). A running baseline has
already seen noise that the trace still holds, and so subtracts

    sum_{s < t} baseline_rate (1 - baseline_rate)^{t - 1 - s} decay^{t - s} F^s

which is little if baseline_rate is far below 1 - decay. L and L_bar are multiplied by the step's weight. L_bar starts at 0, so
for the first 1 / baseline_rate steps or so m is close to L itself.

@article{williams1992simple, title={Simple statistical gradient-following algorithms for connectionist reinforcement learning},
  author={Williams, Ronald J}, journal={Machine Learning}, volume={8}, pages={229--256}, year={1992}}
"""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.baseline import above_baseline
from recredit.errors import check_range
from recredit.network import RNN
from recredit.rule import AbstractRule, Step

DECAY = partial(check_range, "the trace's decay", least=0, most=1)
BASELINE_RATE = partial(check_range, "the baseline's rate", least=0, most=1)


class NodePerturbationState(eqx.Module):
    """The trace of noise times presynaptic signal, and the running mean of the loss."""

    e: Float[Array, "P m"]
    L_bar: Float[Array, ""]


class NodePerturbation(AbstractRule):
    """A trace of each voltage's noise, times how much worse than usual the step went."""

    decay: float = eqx.field(default=0.9, converter=DECAY)
    """The fraction of the trace that is kept at each step: 0.9 remembers about ten steps; 1 forgets nothing (for trials)."""
    baseline_rate: float = eqx.field(default=0.01, converter=BASELINE_RATE)
    """The fraction of the running mean of the loss that is renewed at each step; 0.01 averages over about a hundred steps."""

    @property
    def needs_noise(self) -> bool:
        return True

    def init(self, net: RNN, key: PRNGKeyArray) -> NodePerturbationState:
        return NodePerturbationState(jnp.zeros_like(net.W), jnp.zeros((), net.W.dtype))

    def update(
        self, net: RNN, step: Step, state: NodePerturbationState, key: PRNGKeyArray
    ) -> tuple[Float[Array, "P m"], NodePerturbationState]:
        if step.xi is None:
            raise ValueError("the step has no noise to learn from; make it as Step.of(..., xi=net.noise_of(key)).")
        e = self.decay * state.e + jnp.outer(step.xi / net.noise / net.noise, step.r_hat)  # (1)
        m, L_bar = above_baseline(step, state.L_bar, self.baseline_rate)  # (2)
        return m * e, NodePerturbationState(e, L_bar)  # (3)

    def restart(self, net: RNN, state: NodePerturbationState) -> tuple[Float[Array, "P m"], NodePerturbationState]:
        return jnp.zeros_like(net.W), replace(state, e=jnp.zeros_like(state.e))
