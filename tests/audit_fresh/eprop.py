"""e-prop for units that adapt, three times."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from audit_fresh.case import PASS, expects, random_feedback
from recredit.rule import AbstractRule

TAU_ADAPT, BETA = 20.0, 0.3


@expects(ii_local=PASS, memory=PASS, locality_time=PASS, vi=PASS)
class FlatSurrogateEprop(AbstractRule):
    """e-prop with adaptive thresholds and a triangular surrogate; all synapses in one flat array, as a simulator keeps them."""

    beta: float = 0.3
    slow: float = 0.2

    def init(self, net, key):
        flat = jnp.zeros(net.W.size, net.W.dtype)
        return {"eps_v": flat, "eps_a": flat, "adapt": jnp.zeros(net.n, net.W.dtype)}

    def update(self, net, step, state, key):
        n, m = net.W.shape
        a, s = net.alpha, self.slow * net.alpha
        over = step.v - state["adapt"]
        psi = jnp.repeat(0.3 * jnp.maximum(0.0, 1.0 - jnp.abs(over)), m)
        eps_v = (1 - a) * state["eps_v"] + a * jnp.tile(step.r_hat, n)
        eps_a = (1 - s) * state["eps_a"] + s * psi * (eps_v - self.beta * state["eps_a"])
        e = psi * (eps_v - self.beta * eps_a)
        adapt = (1 - s) * state["adapt"] + s * jnp.heaviside(over, 0.5)
        G = jnp.repeat(step.error @ net.W_out, m) * e
        return G.reshape(n, m), {"eps_v": eps_v, "eps_a": eps_a, "adapt": adapt}


@expects(locality_time=PASS, ii_local=PASS, iii=PASS)
class TriangularEprop(AbstractRule):
    """e-prop with a triangular pseudo-derivative and an adaptive threshold, random broadcast of the error."""

    def init(self, net, key):
        n, m = net.W.shape
        z = partial(jnp.zeros, dtype=net.W.dtype)
        return {
            "threshold_adaptation": z(n),
            "epsilon_membrane": z(m),
            "epsilon_adaptation": z((n, m)),
            "eligibility": z((n, m)),
            "B_broadcast": jax.random.normal(key, (net.n_out, n), net.W.dtype) / net.n_out**0.5,
        }

    def update(self, net, step, state, key):
        rho = 1 - 1 / TAU_ADAPT
        adaptation = rho * state["threshold_adaptation"] + (1 - rho) * step.r_prev
        psi = 0.3 * jnp.maximum(0.0, 1 - jnp.abs(step.v - BETA * adaptation))
        eps_v = (1 - net.alpha) * state["epsilon_membrane"] + net.alpha * step.r_hat
        e = psi[:, None] * (eps_v[None, :] - BETA * state["epsilon_adaptation"])
        eps_a = psi[:, None] * eps_v[None, :] + (rho - psi * BETA)[:, None] * state["epsilon_adaptation"]
        filtered = (1 - net.alpha) * state["eligibility"] + net.alpha * e
        learning_signal = step.error @ state["B_broadcast"]
        return learning_signal[:, None] * filtered, {
            "threshold_adaptation": adaptation,
            "epsilon_membrane": eps_v,
            "epsilon_adaptation": eps_a,
            "eligibility": filtered,
            "B_broadcast": state["B_broadcast"],
        }


class AdaptiveEpropState(NamedTuple):
    z_bar: jax.Array  # (m,)
    eps_a: jax.Array  # (n, m)
    e_bar: jax.Array  # (n, m)
    W_fb: jax.Array  # (n_out, n)


@expects(ii_local=PASS, iii=PASS, iv=PASS, vii=PASS)
class AdaptiveEprop(AbstractRule):
    """e-prop for adaptive units (Bellec et al. 2020): two-component eligibility, low-passed by the read-out's time constant."""

    beta: float = 0.2
    rho: float = 0.98
    kappa: float = 0.8

    def init(self, net, key):
        zeros = jnp.zeros_like(net.W)
        return AdaptiveEpropState(zeros[0], zeros, zeros, random_feedback(net, key))

    def update(self, net, step, state, key):
        psi = net.slope(step.v)[:, None]
        z_bar = (1 - net.alpha) * state.z_bar + net.alpha * step.r_hat
        e = psi * (z_bar[None, :] - self.beta * state.eps_a)
        eps_a = psi * z_bar[None, :] + (self.rho - psi * self.beta) * state.eps_a
        e_bar = self.kappa * state.e_bar + (1 - self.kappa) * e
        learning_signal = step.error @ state.W_fb
        G = learning_signal[:, None] * e_bar
        return G, AdaptiveEpropState(z_bar, eps_a, e_bar, state.W_fb)
