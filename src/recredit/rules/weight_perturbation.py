"""Weight perturbation: how the loss of a copy of the network with perturbed weights differs from the network's.

    Xi^t   in {-1, +1}^(n x m), independent signs for the synapses that exist                                   (1)
    r~^t   = f_{W + sigma Xi^t}(r~^{t-1}, x^t)    (the perturbed copy), with the loss L~^t                      (2)
    E^t    = decay E^{t-1} + Xi^t                                                                               (3)
    G_ij^t = (L~^t - L^t) E_ij^t / sigma                                                                        (4)

State: E (n, m) and r~ (n,); for units of any kind, E (P, m) and s~ (N,). Cost: nm + n memory, about 6nm time with the second
forward pass. Past-facing: E[G^t] is, up to O(sigma^2), sum_{t' <= t} decay^{t - t'} dL^t / dW^{t'}, where W^{t'} are the
weights that step t' used. Without a decay, which is only for trials, this is dL^t / dW. The variance grows with the number of
synapses and with 1 / (1 - decay). Both losses are multiplied by the step's weight, and the copy has the network's own noise. It
starts from the network's state. If the network is chaotic, the copy drifts away from it, and the differences are not small. Nor
are they small for spiking units, whose thresholds the copy crosses at other steps: the other rules have a surrogate derivative
there, and this one has none.

@inproceedings{cauwenberghs1992fast, title={A fast stochastic error-descent algorithm for supervised learning and
  optimization}, author={Cauwenberghs, Gert}, booktitle={NIPS}, pages={244--251}, year={1992}}
"""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.errors import check_range
from recredit.network import RNN
from recredit.rule import AbstractRule, Clock, Step


class WeightPerturbationState(eqx.Module):
    """The trace of the weights' perturbations, and the state of the perturbed copy."""

    E: Float[Array, "P m"]
    s_tilde: Float[Array, " N"]
    clock: Clock


class WeightPerturbation(AbstractRule):
    """A trace of each synapse's random perturbations, times their effect on the loss of a copy of the network."""

    decay: float = eqx.field(default=0.9, converter=partial(check_range, "the trace's decay", least=0, most=1))
    """The fraction of the trace that is kept at each step: 0.9 remembers about ten steps; 1 forgets nothing (for trials)."""
    sigma: float = eqx.field(default=0.01, converter=partial(check_range, "WeightPerturbation's sigma", above=0))
    """Size of the perturbation of each of the copy's weights; below about 1e-5, its effect is lost in 32-bit numbers."""

    def init(self, net: RNN, key: PRNGKeyArray) -> WeightPerturbationState:
        return WeightPerturbationState(jnp.zeros_like(net.W), jnp.zeros(net.n_state, net.W.dtype), Clock.at_zero())

    def update(
        self, net: RNN, step: Step, state: WeightPerturbationState, key: PRNGKeyArray
    ) -> tuple[Float[Array, "P m"], WeightPerturbationState]:
        assert step.loss is not None
        assert step.weight is not None
        Xi = jax.random.rademacher(key, net.W.shape, net.W.dtype)  # (1)
        Xi = Xi if net.mask is None else jnp.where(net.mask, Xi, 0)
        copy = net.with_weights(net.W + self.sigma * Xi, net.W_out, net.b_out)
        s_tilde = jnp.where(state.clock.steps == 0, step.state_prev, state.s_tilde)
        s_tilde = copy.step(s_tilde, step.r_hat[net.n : -1], step.xi)[2]  # (2)
        L_tilde = net.loss_and_error(net.readout(s_tilde), step.target)[0]
        E = self.decay * state.E + Xi  # (3)
        G = (step.weight * L_tilde - step.loss) / self.sigma * E  # (4)
        return G, WeightPerturbationState(E, s_tilde, state.clock.tick())

    def restart(self, net: RNN, state: WeightPerturbationState) -> tuple[Float[Array, "P m"], WeightPerturbationState]:
        return jnp.zeros_like(net.W), replace(state, E=jnp.zeros_like(state.E), s_tilde=net.rest())
