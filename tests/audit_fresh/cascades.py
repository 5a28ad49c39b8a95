"""Traces on several time scales, and what consolidates them."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from audit_fresh.case import PASS, expects, leaky, random_matrix
from recredit.blocks.feedback import AbstractFeedback, RandomFeedback
from recredit.rule import AbstractRule


@expects(locality_time=PASS, ii_local=PASS, ii_continuous=PASS)
class TwoTimescaleTrace(AbstractRule):
    """A fast and a slow trace of the presynaptic rate times a surrogate slope, weighed against each other."""

    slow: float = 0.1

    def init(self, net, key):
        z = jnp.zeros_like(net.W)
        return {"fast": z, "slow": z, "fb": random_matrix(key, net.n_out, net.n)}

    def update(self, net, step, state, key):
        surrogate = 1 / (1 + jnp.abs(step.v)) ** 2
        P = surrogate[:, None] * step.r_hat[None, :]
        fast = leaky(state["fast"], P, net.alpha)
        slow = leaky(state["slow"], P, net.alpha * self.slow)
        c = step.error @ state["fb"]
        return c[:, None] * (0.7 * fast + 0.3 * slow), {**state, "fast": fast, "slow": slow}


@expects(memory=PASS, locality_time=PASS, ii_local=PASS)
class CascadeScan(AbstractRule):
    """Three leaky traces, each fed by the one before, in a scan: no delay line, for each stage leaks."""

    stages: int = 3
    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        return jnp.zeros((self.stages, *net.W.shape)), self.feedback.init(net, key)

    def update(self, net, step, state, key):
        traces, fb = state

        def stage(below, e):
            e = (1 - net.alpha) * e + net.alpha * below
            return e, e

        last, traces = lax.scan(stage, jnp.outer(net.slope(step.v), step.r_hat), traces)
        return jnp.einsum("i,ij->ij", self.feedback(net, step, fb), last), (traces, fb)


@expects(locality_time=PASS, ii_local=PASS, ii_continuous=PASS)
class EpropLowpass(AbstractRule):
    """e-prop with a leaky read-out: each synapse keeps its trace and the trace's running mean."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        zero = jnp.zeros_like(net.W)
        return {"trace": zero, "filtered": zero, "credit": jnp.zeros(net.n), "fb": self.feedback.init(net, key)}

    def update(self, net, step, state, key):
        trace = (1 - net.alpha) * state["trace"] + jnp.outer(net.gain(step.v), step.r_hat)
        filtered = leaky(state["filtered"], trace, net.alpha / 3)
        credit = leaky(state["credit"], self.feedback(net, step, state["fb"]), net.alpha)
        G = credit[:, None] * filtered
        return G, {"trace": trace, "filtered": filtered, "credit": credit, "fb": state["fb"]}


class AdaptiveState(NamedTuple):
    pre: jax.Array
    slow: jax.Array
    adaptation: jax.Array
    B: jax.Array


@expects(memory=PASS, locality_time=PASS, ii_local=PASS)
class EpropAdaptive(AbstractRule):
    """e-prop of adaptive neurons: a second, slow part of the eligibility, from the synapse's own variables."""

    beta: float = 0.3

    def init(self, net, key):
        n, m = net.W.shape
        return AdaptiveState(jnp.zeros(m), jnp.zeros((n, m)), jnp.zeros(n), random_matrix(key, net.n_out, n))

    def update(self, net, step, state, key):
        a = net.alpha
        pre = (1 - a) * state.pre + a * step.r_hat
        adaptation = state.adaptation + a / 8 * (step.r - state.adaptation)
        D = net.slope(step.v - self.beta * adaptation)[:, None]
        slow = (1 - a / 8) * state.slow + a / 8 * D * (pre[None, :] - self.beta * state.slow)
        eligibility = D * (pre[None, :] - self.beta * slow)
        learning_signal = jnp.einsum("k,ki->i", step.error, state.B)
        return learning_signal[:, None] * eligibility, AdaptiveState(pre, slow, adaptation, state.B)


@expects(i=PASS, locality_time=PASS, ii_stored=PASS)
class PrePostVectors(AbstractRule):
    """pp-prop: one trace of each presynaptic and one of each postsynaptic neuron."""

    def init(self, net, key):
        return jnp.zeros(net.W.shape[1]), jnp.zeros(net.n), random_matrix(key, net.n_out, net.n)

    def update(self, net, step, state, key):
        p, f, B = state
        p = (1 - net.alpha) * p + net.alpha * step.r_hat
        f = (1 - net.alpha) * f + net.alpha * net.slope(step.v)
        c = jax.vmap(lambda column: jnp.dot(column, step.error), in_axes=1)(B)
        return (c * f)[:, None] * p[None, :], (p, f, B)


@expects(i=PASS, ii_local=PASS, ii_continuous=PASS)
class ShortTermPresynaptic(AbstractRule):
    """Tsodyks and Markram's use and resource of each presynaptic neuron drive the traces."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        m = net.W.shape[1]
        return (jnp.full(m, 0.3), jnp.ones(m)), jnp.zeros_like(net.W), self.feedback.init(net, key)

    def update(self, net, step, state, key):
        (use, left), B, fb = state
        a, active = net.alpha, jnp.minimum(jnp.abs(step.r_hat), 1.0)
        use = use + a * ((0.3 - use) / 4 + 0.3 * (1 - use) * active)
        left = left + a * ((1 - left) / 8 - use * left * active)
        released = use * left * step.r_hat
        B = (1 - a) * B + a * net.slope(step.v)[:, None] * released[None, :]
        return self.feedback(net, step, fb)[:, None] * B, ((use, left), B, fb)


class Beakers(eqx.Module):
    fast: jax.Array
    middle: jax.Array
    slow: jax.Array

    def flow(self, drive, dt):
        down, further = (self.fast - self.middle) / 2, (self.middle - self.slow) / 8
        return Beakers(
            self.fast + dt * (drive - down),
            self.middle + dt / 2 * (down - further),
            self.slow + dt / 4 * (further - self.slow / 16),
        )


@expects(memory=PASS, ii_local=PASS, ii_continuous=PASS)
class BennaFusi(AbstractRule):
    """Three coupled beakers at each synapse, each of which exchanges with the next of the same synapse."""

    def init(self, net, key):
        zero = jnp.zeros_like(net.W)
        return Beakers(zero, zero, zero), jnp.zeros(net.W.shape[1]), random_matrix(key, net.n_out, net.n)

    def update(self, net, step, state, key):
        beakers, pre, fb = state
        pre = leaky(pre, step.r_hat, net.alpha)
        drive = ((step.error @ fb) * net.slope(step.v))[:, None] * pre
        beakers = beakers.flow(drive, net.alpha)
        return beakers.fast, (beakers, pre, fb)


@expects(ii_local=PASS, ii_continuous=PASS, vi=PASS, vii=PASS)
class Consolidation(AbstractRule):
    """Each weight is held to its own leaky mean, the more the more important it was."""

    strength: float = 0.1
    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        return {"E": 0 * net.W, "importance": 0 * net.W, "anchor": net.W, "fb": self.feedback.init(net, key)}

    def update(self, net, step, state, key):
        a, c = net.alpha, self.feedback(net, step, state["fb"])
        E = leaky(state["E"], jnp.outer(net.slope(step.v), step.r_hat), a)
        importance = leaky(state["importance"], (c[:, None] * E) ** 2, 0.01 * a)
        anchor = leaky(state["anchor"], net.W, 0.01 * a)
        G = c[:, None] * E + self.strength * importance * (net.W - anchor)
        return G, {"E": E, "importance": importance, "anchor": anchor, "fb": state["fb"]}


@expects(ii_local=PASS, ii_continuous=PASS, locality_time=PASS)
class DopamineGate(AbstractRule):
    """A surprise, one number for all, times the traces; a small one teaches nothing."""

    threshold: float = 0.05

    def init(self, net, key):
        return jnp.zeros_like(net.W), jnp.array(0.0)

    def update(self, net, step, state, key):
        E, expected = state
        E = (1 - net.alpha) * E + net.alpha * (step.r[:, None] * step.r_hat[None, :])
        reward = -jnp.sum(jnp.abs(step.error))
        surprise = reward - expected
        G = lax.cond(jnp.abs(surprise) > self.threshold, lambda: -surprise * E, lambda: jnp.zeros_like(E))
        return G, (E, expected + 0.02 * surprise)


@expects(memory=PASS, ii_stored=PASS, ii_local=PASS, iv=PASS)
class DiagonalSnap(AbstractRule):
    """SnAp-1: the trace decays by its neuron's own entry of the Jacobian, of which it needs its autapse and gain."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        return jnp.zeros_like(net.W), self.feedback.init(net, key)

    def update(self, net, step, state, key):
        E, fb = state
        keep = 1 - net.alpha + net.gain(step.v) * jnp.diagonal(net.W_rec)
        E = keep[:, None] * E + jnp.outer(net.gain(step.v), step.r_hat)
        return self.feedback(net, step, fb)[:, None] * E, (E, fb)


@expects(memory=PASS, ii_stored=PASS, ii_local=PASS, iv=PASS)
class SnApOne(AbstractRule):
    """SnAp-1 with credit that is averaged."""

    def init(self, net, key):
        return jnp.zeros_like(net.W), jnp.zeros(net.n), random_matrix(key, net.n_out, net.n)

    def update(self, net, step, state, key):
        B, c_slow, fb = state
        gain = net.gain(step.v)
        own = (1 - net.alpha) + gain * jnp.diagonal(net.W_rec)
        B = own[:, None] * B + jnp.outer(gain, step.r_hat)
        c_slow = leaky(c_slow, step.error @ fb, net.alpha / 2)
        return c_slow[:, None] * B, (B, c_slow, fb)
