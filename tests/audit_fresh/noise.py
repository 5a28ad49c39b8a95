"""Draws: into the units, into the synapses, shared, multiplied, mixed."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from audit_fresh.case import FAIL, NOT_FAIL, NOT_PASS, PASS, eligibility, expects, immediate, random_feedback
from recredit.rule import AbstractRule


class OUState(NamedTuple):
    z: Any
    E: Any
    baseline: Any


@expects(v=PASS, vi=PASS, ii_local=PASS)
class OUThreeFactor(AbstractRule):
    """Slow exploration noise per unit, an eligibility trace of noise times input, a global reward against its running mean."""

    sigma: float = 0.1

    def init(self, net, key):
        return OUState(jnp.zeros(net.n, net.W.dtype), jnp.zeros_like(net.W), jnp.zeros((), net.W.dtype))

    def update(self, net, step, state, key):
        a = net.alpha
        z = (1 - a) * state.z + self.sigma * a**0.5 * jax.random.normal(key, (net.n,), net.W.dtype)
        E = (1 - a) * state.E + a * jnp.outer(z, step.r_hat)
        reward = -0.5 * jnp.sum(step.error**2)
        baseline = state.baseline + 0.05 * a * (reward - state.baseline)
        return -(reward - baseline) * E, OUState(z, E, baseline)


# The draws multiply the gain.
@expects(v=NOT_PASS, ii_local=PASS)
class DropoutTrace(AbstractRule):
    """RFLO whose units drop out of the trace at random, a regulariser."""

    keep: float = 0.8

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        alive = jax.random.bernoulli(key, self.keep, (net.n,)).astype(net.W.dtype) / self.keep
        B = (1 - net.alpha) * state + (alive * net.gain(step.v))[:, None] * step.r_hat
        return (step.error @ net.W_out)[:, None] * B, B


class MixedNoiseState(eqx.Module):
    mixing: jax.Array
    z: jax.Array
    E: jax.Array


# Through the mixing matrix each unit has every unit's draws, which are no rates.
@expects(v=NOT_PASS, iii=NOT_PASS)
class MixedNoise(AbstractRule):
    """Exploration along the population's preferred directions: white noise passed through a fixed mixing matrix."""

    def init(self, net, key):
        mixing = jax.random.normal(key, (net.n, net.n), net.W.dtype) / net.n**0.5
        return MixedNoiseState(mixing, jnp.zeros(net.n, net.W.dtype), jnp.zeros_like(net.W))

    def update(self, net, step, state, key):
        xi = jax.random.normal(key, (net.n,), net.W.dtype)
        z = (1 - net.alpha) * state.z + 0.1 * net.alpha**0.5 * (state.mixing @ xi)
        E = (1 - net.alpha) * state.E + net.alpha * jnp.outer(z, step.r_hat)
        return jnp.sum(step.error**2) * E, MixedNoiseState(state.mixing, z, E)


class Kernel(eqx.Module):
    A: jax.Array
    B: jax.Array
    omega: jax.Array
    r_mean: jax.Array


# A transmits the noise's trace one way and the credit the other; neither is a rate.
@expects(vi=PASS, v=PASS, vii=FAIL, iii=FAIL, ii_local=PASS)
class KernelWithoutTwin(AbstractRule):
    """KeRNL without the perturbed copy: filtered private noise is regressed on the rates less their running mean."""

    sigma: float = 0.3
    rate: float = 0.05

    def init(self, net, key):
        zero = jnp.zeros(net.n, net.W.dtype)
        return Kernel(jnp.eye(net.n, dtype=net.W.dtype), jnp.zeros_like(net.W), zero, zero)

    def update(self, net, step, state, key):
        a = net.alpha
        omega = (1 - a) * state.omega + self.sigma * a**0.5 * jax.random.normal(key, (net.n,), net.W.dtype)
        r_mean = state.r_mean + 0.1 * a * (step.r - state.r_mean)
        e = state.A @ omega - (step.r - r_mean)
        A = state.A - self.rate * a * jnp.outer(e, omega)
        B = (1 - a) * state.B + immediate(net, step)
        return ((step.error @ net.W_out) @ A)[:, None] * B, Kernel(A, B, omega, r_mean)


# The matrix is drawn, not stored; its draws multiply the error.
@expects(ii_stored=FAIL, v=NOT_PASS, iv=PASS)
class FreshProjection(AbstractRule):
    """Feedback alignment with a new random projection at each step, so that no direction is preferred."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        projection = jax.random.normal(key, (net.n, net.n_out), net.W.dtype) / net.n_out**0.5
        B = (1 - net.alpha) * state + jnp.outer(net.gain(step.v), step.r_hat)
        return (projection @ step.error)[:, None] * B, B


# Whether a step with perturbed weights is a second network is arguable.
@expects(ii_stored=PASS, iii=PASS, vi=NOT_FAIL)
class OUWeightPerturbation(AbstractRule):
    """Each synapse wanders by itself; wandering that comes with more agreement than usual is kept."""

    def init(self, net, key):
        return {
            "wander": jnp.zeros_like(net.W),
            "usual": jnp.zeros((), net.W.dtype),
            "fb": jax.random.normal(key, (net.n_out, net.n), net.W.dtype),
        }

    def update(self, net, step, state, key):
        wander = 0.9 * state["wander"] + 0.02 * jax.random.normal(key, net.W.shape, net.W.dtype)
        rates = jnp.tanh((net.W + wander) @ step.r_hat)
        score = jnp.mean(rates * jnp.tanh(step.error @ state["fb"]))
        usual = 0.95 * state["usual"] + 0.05 * score
        return (score - usual) * wander, {"wander": wander, "usual": usual, "fb": state["fb"]}


# The mask multiplies the gain; the norm of all synapses' steps scales each.
@expects(v=NOT_PASS, ii_local=NOT_PASS, iii=PASS)
class DropoutTraceClipped(AbstractRule):
    """RFLO in which half of the units sit out each step, drawn afresh, its gradient clipped by its norm."""

    keep: float = 0.5

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "fb": jax.random.normal(key, (net.n_out, net.n), net.W.dtype)}

    def update(self, net, step, state, key):
        awake = jax.random.bernoulli(key, self.keep, (net.n,)).astype(net.W.dtype) / self.keep
        B = (1 - net.alpha) * state["B"] + jnp.outer(awake * net.gain(step.v), step.r_hat)
        G = (step.error @ state["fb"])[:, None] * B
        return G / jnp.maximum(1.0, jnp.sqrt(jnp.sum(G * G))), {"B": B, "fb": state["fb"]}


@expects(ii_local=PASS, iv=PASS, vi=PASS, vii=PASS)
class NodePerturbation(AbstractRule):
    """Node perturbation: a jitter of the voltages, one step deep, and whether the loss rose with it."""

    sigma: float = 0.1

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        xi = self.sigma * jax.random.normal(key, step.v.shape, step.v.dtype)
        jittered = net.leak(step.r_prev, step.v + xi)
        loss = net.loss_and_error(net.readout(step.r), step.target)[0]
        jittered_loss = net.loss_and_error(net.readout(jittered), step.target)[0]
        trace = (1 - net.alpha) * state + jnp.outer(xi, step.r_hat)
        return (jittered_loss - loss) * trace / self.sigma**2, trace


class DriftingState(NamedTuple):
    drift: jax.Array  # (n, m)
    loss_bar: jax.Array  # ()


@expects(ii_stored=PASS, iv=PASS, vi=PASS, vii=PASS)
class DriftingSynapses(AbstractRule):
    """Weight perturbation by turnover: each synapse carries a slow Ornstein-Uhlenbeck part; what lowers the loss is kept."""

    sigma: float = 0.05

    def init(self, net, key):
        drift = self.sigma * jax.random.normal(key, net.W.shape, net.W.dtype)
        return DriftingState(drift, jnp.zeros((), net.W.dtype))

    def update(self, net, step, state, key):
        v = (net.W + state.drift) @ step.r_hat
        r = net.leak(step.r_prev, v)
        loss = net.loss_and_error(net.readout(r), step.target)[0]
        loss_bar = 0.95 * state.loss_bar + 0.05 * loss
        G = (loss - state.loss_bar) * state.drift / self.sigma
        keep = 1 - 0.1 * net.alpha
        kick = self.sigma * (1 - keep**2) ** 0.5 * jax.random.normal(key, net.W.shape, net.W.dtype)
        return G, DriftingState(keep * state.drift + kick, loss_bar)


class NoisyDendriteState(NamedTuple):
    B: jax.Array
    u: jax.Array  # (n,)
    W_fb: jax.Array


# One draw a unit, added to its own voltage.
@expects(ii_local=PASS, v=PASS, vi=PASS, vii=PASS)
class NoisyDendrite(AbstractRule):
    """The credit is a dendritic voltage: it integrates the feedback and has channel noise of its own."""

    sigma: float = 0.02

    def init(self, net, key):
        return NoisyDendriteState(jnp.zeros_like(net.W), jnp.zeros_like(net.W[:, 0]), random_feedback(net, key))

    def update(self, net, step, state, key):
        channel_noise = jax.random.normal(key, step.v.shape, step.v.dtype)
        u = (1 - net.alpha) * state.u + net.alpha * (step.error @ state.W_fb) + self.sigma * channel_noise
        B = eligibility(net, step, state.B)
        return u[:, None] * B, NoisyDendriteState(B, u, state.W_fb)


# The draws multiply the weights.
@expects(v=NOT_PASS, iv=PASS, vii=PASS)
class UnreliableRelease(AbstractRule):
    """Feedback synapses release unreliably: each transmission's strength fluctuates by a third."""

    spread: float = 0.3

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "W_fb": random_feedback(net, key)}

    def update(self, net, step, state, key):
        W_fb = state["W_fb"]
        quantal = 1 + self.spread * jax.random.normal(key, W_fb.shape, W_fb.dtype)
        credit = step.error @ (W_fb * quantal)
        B = eligibility(net, step, state["B"])
        return credit[:, None] * B, {"B": B, "W_fb": W_fb}


class ArousalState(NamedTuple):
    B: jax.Array
    u: jax.Array  # (n,)
    W_fb: jax.Array


# One draw is shared by all units.
@expects(v=NOT_PASS, iv=PASS, vi=PASS, vii=PASS)
class FluctuatingArousal(AbstractRule):
    """Dendritic credit under the arousal of the moment: one fluctuating current reaches every unit."""

    sigma: float = 0.05

    def init(self, net, key):
        return ArousalState(jnp.zeros_like(net.W), jnp.zeros_like(net.W[:, 0]), random_feedback(net, key))

    def update(self, net, step, state, key):
        arousal = self.sigma * jax.random.normal(key, (), step.v.dtype)
        u = (1 - net.alpha) * state.u + net.alpha * (step.error @ state.W_fb) + arousal
        B = eligibility(net, step, state.B)
        return u[:, None] * B, ArousalState(B, u, state.W_fb)
