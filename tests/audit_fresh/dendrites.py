"""Apical dendrites, bursts and the microcircuits around them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from audit_fresh.case import FAIL, PASS, eligibility, expects, random_feedback
from recredit.rule import AbstractRule


@expects(iii=PASS, ii_local=PASS, vii=PASS)
class ApicalInterneurons(AbstractRule):
    """Apical dendrites get the label by fixed synapses, and interneuron synapses learn to cancel what is predictable of it."""

    eta: float = 0.02

    def init(self, net, key):
        top_down = jax.random.normal(key, (net.n, net.n_out), net.W.dtype) / net.n_out**0.5
        return {"top_down": top_down, "lateral": jnp.zeros((net.n, net.n), net.W.dtype)}

    def update(self, net, step, state, key):
        basal_rate = jnp.tanh(step.v)
        apical = state["top_down"] @ step.target - state["lateral"] @ basal_rate
        lateral = state["lateral"] + self.eta * net.alpha * apical[:, None] * basal_rate[None, :]
        G = -(apical * net.gain(step.v))[:, None] * step.r_hat
        return G, {"top_down": state["top_down"], "lateral": lateral}


# The apical potential, no rate, goes through a second matrix, which is used in both directions.
@expects(iii=FAIL, vii=FAIL, ii_stored=PASS, vi=PASS)
class ApicalRelay(AbstractRule):
    """The apical potential integrates the feedback, and is passed on by electrotonic coupling to a second set of synapses."""

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        return {
            "u_apical": jnp.zeros(net.n, net.W.dtype),
            "feedback": jax.random.normal(k1, (net.n, net.n_out), net.W.dtype),
            "relay": jax.random.normal(k2, (net.n, net.n), net.W.dtype) / net.n**0.5,
        }

    def update(self, net, step, state, key):
        back_propagating = state["relay"].T @ jnp.tanh(step.v)  # the coupling is symmetric
        u = (1 - net.alpha) * state["u_apical"] + net.alpha * (state["feedback"] @ step.error + 0.1 * back_propagating)
        somatic = state["relay"] @ u
        return jnp.outer(somatic * net.gain(step.v), step.r_hat), {**state, "u_apical": u}


@expects(iii=PASS, locality_time=PASS, vii=PASS)
class BurstMultiplexing(AbstractRule):
    """Bursts carry the credit: burst probabilities go through relay synapses, deviations from their mean teach."""

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        half = jnp.full(net.n, 0.5, net.W.dtype)
        return {
            "Y_error": jax.random.normal(k1, (net.n, net.n_out), net.W.dtype),
            "Y_burst": jax.random.normal(k2, (net.n, net.n), net.W.dtype) / net.n**0.5,
            "p_mean": half,
            "pre_trace": jnp.zeros(net.W.shape[1], net.W.dtype),
        }

    def update(self, net, step, state, key):
        p_first = jax.nn.sigmoid(state["Y_error"] @ step.error)
        p = jax.nn.sigmoid(state["Y_burst"] @ p_first)
        p_mean = 0.95 * state["p_mean"] + 0.05 * p
        pre = (1 - net.alpha) * state["pre_trace"] + net.alpha * step.r_hat
        G = jnp.outer((p - p_mean) * net.slope(step.v), pre)
        return G, {**state, "p_mean": p_mean, "pre_trace": pre}


class MicrocircuitState(NamedTuple):
    top_down: jax.Array  # (n, n_out)
    lateral: jax.Array  # (n, n_out)
    to_inter: jax.Array  # (n_out, n)
    apical: jax.Array  # (n,)


@expects(i=PASS, ii_local=PASS, iii=PASS, vii=PASS)
class DendriticMicrocircuit(AbstractRule):
    """Sacramento et al. 2018: interneurons learn to cancel the top-down input; what stays in the dendrite is the error."""

    rate: float = 5e-3

    def init(self, net, key):
        k1, k2, k3 = jax.random.split(key, 3)
        top_down = jax.random.normal(k1, (net.n, net.n_out), net.W.dtype)
        lateral = 0.1 * jax.random.normal(k2, (net.n, net.n_out), net.W.dtype)
        to_inter = jax.random.normal(k3, (net.n_out, net.n), net.W.dtype) / net.n**0.5
        return MicrocircuitState(top_down, lateral, to_inter, jnp.zeros_like(net.W[:, 0]))

    def update(self, net, step, state, key):
        inter = jnp.tanh(state.to_inter @ step.r)
        mismatch = state.top_down @ step.target - state.lateral @ inter
        apical = (1 - net.alpha) * state.apical + net.alpha * mismatch
        lateral = state.lateral + self.rate * jnp.outer(apical, inter)
        to_inter = state.to_inter + self.rate * jnp.outer(step.target - inter, step.r)
        G = -jnp.outer(apical * net.gain(step.v), step.r_hat)
        return G, MicrocircuitState(state.top_down, lateral, to_inter, apical)


class BurstState(NamedTuple):
    B: jax.Array
    p_bar: jax.Array  # (n,)
    W_fb: jax.Array


@expects(i=PASS, ii_local=PASS, ii_continuous=PASS, iii=PASS)
class BurstDependent(AbstractRule):
    """Burst-dependent plasticity (Payeur et al. 2021): the burst probability, less its own running mean, steers the trace."""

    def init(self, net, key):
        n = net.n
        return BurstState(jnp.zeros_like(net.W), jnp.full((n,), 0.5, net.W.dtype), random_feedback(net, key))

    def update(self, net, step, state, key):
        apical = -(step.error @ state.W_fb)
        p = jax.nn.sigmoid(4.0 * apical)
        p_bar = state.p_bar + 0.1 * net.alpha * (p - state.p_bar)
        B = eligibility(net, step, state.B)
        G = -(p - p_bar)[:, None] * B
        return G, BurstState(B, p_bar, state.W_fb)


# The matrix that transmits readjusts with the activity, entry by entry.
@expects(ii_stored=FAIL, iv=PASS, vii=PASS)
class NMDABranches(AbstractRule):
    """Top-down synapses sit on branches whose NMDA receptors open with the soma's voltage and the input together."""

    steepness: float = 4.0
    rate: float = 1e-3

    def init(self, net, key):
        F = jax.random.normal(key, (net.n, net.n_out), net.W.dtype) / net.n_out**0.5
        return {"F": F, "B": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        unblocked = jax.nn.sigmoid(self.steepness * jnp.outer(step.v, step.target))
        branch = state["F"] * unblocked
        apical = branch @ step.target
        mismatch = step.r - jnp.tanh(apical)
        F = state["F"] + self.rate * jnp.outer(mismatch, step.target)
        B = eligibility(net, step, state["B"])
        return mismatch[:, None] * B, {"F": F, "B": B}
