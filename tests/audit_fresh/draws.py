"""Perturbed neurons and synapses, and what fails at random."""

import jax
import jax.numpy as jnp

from audit_fresh.case import FAIL, JUDGED, NOT_FAIL, NOT_PASS, PASS, expects, leaky, random_matrix
from recredit.blocks.feedback import AbstractFeedback, RandomFeedback
from recredit.rule import AbstractRule


# The noise multiplies the rates, and the trace diffuses.
@expects(v=JUDGED, ii_continuous=FAIL, ii_local=PASS)
class PerturbedNodes(AbstractRule):
    """A trace of each neuron's noise times the presynaptic rates, gated by the loss less its running mean."""

    sigma: float = 0.1

    def init(self, net, key):
        return jnp.zeros_like(net.W), jnp.array(0.0)

    def update(self, net, step, state, key):
        E, baseline = state
        xi = self.sigma * jax.random.normal(key, (net.n,))
        E = (1 - net.alpha) * E + net.alpha * jnp.outer(xi, step.r_hat)
        loss = jnp.sum(step.error**2)
        return (loss - baseline) * E, (E, baseline + 0.05 * (loss - baseline))


# The traces diffuse.
@expects(v=NOT_FAIL, ii_continuous=FAIL, ii_local=PASS)
class PerturbedSynapses(AbstractRule):
    """A leaky trace of each synapse's own noise, gated by the loss less its running mean."""

    sigma: float = 0.01

    def init(self, net, key):
        return {"xi": jnp.zeros_like(net.W), "mean_loss": jnp.zeros(())}

    def update(self, net, step, state, key):
        fresh = self.sigma * jax.random.normal(key, net.W.shape)
        xi = (1 - net.alpha) * state["xi"] + fresh
        loss = 0.5 * jnp.vdot(step.error, step.error)
        mean = leaky(state["mean_loss"], loss, 0.1 * net.alpha)
        return (loss - mean) * xi, {"xi": xi, "mean_loss": mean}


@expects(v=PASS, ii_continuous=PASS, iii=PASS)
class NodesAgainstExpectedLoss(AbstractRule):
    """Slow noise of each neuron is traced with its inputs; synapses from the rates predict each output's loss."""

    sigma: float = 0.1

    def init(self, net, key):
        return {"xi": jnp.zeros(net.n), "e": jnp.zeros_like(net.W), "C": jnp.zeros((net.n_out, net.n))}

    def update(self, net, step, state, key):
        a = net.alpha
        xi = (1 - a) * state["xi"] + self.sigma * a**0.5 * jax.random.normal(key, (net.n,))
        e = leaky(state["e"], xi[:, None] * step.r_hat[None, :], a)
        surprise = step.error**2 - state["C"] @ step.r
        C = state["C"] + 0.1 * a * jnp.outer(surprise, step.r)
        return surprise.sum() * e / self.sigma**2, {"xi": xi, "e": e, "C": C}


# The noise is multiplied by the difference that it makes.
@expects(v=JUDGED, vi=PASS, vii=PASS)
class Antithetic(AbstractRule):
    """The same noise is tried with both signs through the read-out."""

    sigma: float = 0.05

    def init(self, net, key):
        return jnp.zeros(())

    def update(self, net, step, state, key):
        xi = self.sigma * jax.random.normal(key, (net.n,))

        def cost(sign):
            return jnp.sum((net.W_out @ jnp.tanh(step.v + sign * xi) + net.b_out - step.target) ** 2)

        slope = (cost(1.0) - cost(-1.0)) / (2 * self.sigma**2)
        scale = 0.99 * state + 0.01 * slope**2
        return jnp.outer(slope * xi / jnp.sqrt(scale + 1e-6), step.r_hat), scale


@expects(v=PASS, iii=PASS, vii=PASS)
class QuietWeightMirror(AbstractRule):
    """Noisy units that belong to no input go through W_out, and feedback synapses correlate the two ends."""

    rate: float = 0.2

    def init(self, net, key):
        return jnp.zeros(net.n), random_matrix(key, net.n_out, net.n), jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        xi, mirror, B = state
        xi = (1 - net.alpha) * xi + net.alpha**0.5 * jax.random.normal(key, xi.shape)
        rho = jnp.tanh(xi)
        there = net.W_out @ rho
        mirror = mirror + self.rate * net.alpha * (jnp.outer(there, rho) - 0.2 * mirror)
        B = (1 - net.alpha) * B + jnp.outer(net.gain(step.v), step.r_hat)
        return (step.error @ mirror)[:, None] * B, (xi, mirror, B)


# Noise goes into synapses, which jump from level to level.
@expects(v=JUDGED, ii_continuous=FAIL, ii_local=PASS)
class StochasticRounding(AbstractRule):
    """Feedback synapses are rounded up or down by chance."""

    rate: float = 0.02
    grain: float = 0.1

    def init(self, net, key):
        return random_matrix(key, net.n, net.n_out)

    def update(self, net, step, state, key):
        c = state @ step.error
        wanted = state + self.rate * jnp.outer(step.r, step.error)
        K = self.grain * jnp.floor(wanted / self.grain + jax.random.uniform(key, wanted.shape))
        return jnp.outer(c * net.gain(step.v), step.r_hat), K


# The coins multiply.
@expects(v=JUDGED, ii_continuous=PASS)
class FailingSynapses(AbstractRule):
    """Each synapse misses every other change."""

    keep: float = 0.5
    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        return jnp.zeros_like(net.W), self.feedback.init(net, key)

    def update(self, net, step, state, key):
        E = leaky(state[0], jnp.outer(net.slope(step.v), step.r_hat), net.alpha)
        mask = jax.random.bernoulli(key, self.keep, E.shape)
        G = self.feedback(net, step, state[1])[:, None] * E
        return jnp.where(mask, G / self.keep, 0.0), (E, state[1])


# The coins multiply.
@expects(v=NOT_PASS, iii=PASS)
class UnreliableCredit(AbstractRule):
    """Credit reaches each neuron or not, by the toss of a coin."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        return {"pre": jnp.zeros(net.W.shape[1]), "fb": self.feedback.init(net, key)}

    def update(self, net, step, state, key):
        arrives = jax.random.bernoulli(key, 0.7, (net.n,)).astype(step.r.dtype)
        c = self.feedback(net, step, state["fb"]) * arrives / 0.7
        pre = leaky(state["pre"], step.r_hat, net.alpha)
        return jnp.outer(c * net.gain(step.v), pre), {"pre": pre, "fb": state["fb"]}
