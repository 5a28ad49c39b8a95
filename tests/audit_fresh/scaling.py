"""Strengths and gradients held in bounds: by the neuron, by the synapse, by all synapses together."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from audit_fresh.case import FAIL, JUDGED, NOT_PASS, PASS, expects, leaky, random_matrix
from recredit.blocks.feedback import AbstractFeedback, RandomFeedback
from recredit.rule import AbstractRule, Clock


# Each feedback synapse is divided by its neuron's other strengths.
@expects(ii_local=NOT_PASS, iii=PASS)
class RowNormalisedFeedback(AbstractRule):
    """Feedback synapses learn, and are normalised over those that arrive at one neuron."""

    rate: float = 1e-3

    def init(self, net, key):
        return random_matrix(key, net.n, net.n_out)

    def update(self, net, step, state, key):
        c = state @ step.error
        K = state + self.rate * jnp.outer(step.r, step.error)
        K = K / jnp.sum(jnp.abs(K), axis=1, keepdims=True)
        return jnp.outer(c * net.gain(step.v), step.r_hat), K


# A trace decays by the sum over its neuron's other synapses.
@expects(ii_local=NOT_PASS, locality_time=PASS, iv=PASS)
class RowScaledTrace(AbstractRule):
    """Traces decay the faster the more of them a neuron has."""

    def init(self, net, key):
        return jnp.zeros_like(net.W), jnp.zeros(net.n), random_matrix(key, net.n_out, net.n)

    def update(self, net, step, state, key):
        B, c, fb = state
        crowd = jnp.sum(jnp.abs(B), axis=1)
        B = B * (1 - net.alpha * (0.5 + 0.1 * crowd[:, None])) + jnp.outer(net.gain(step.v), step.r_hat)
        c = leaky(c, step.error @ fb, net.alpha)
        return c[:, None] * B, (B, c, fb)


# A trace takes from the trace of another presynaptic neuron.
@expects(ii_local=FAIL, locality_time=PASS, iv=PASS)
class HeterosynapticSpread(AbstractRule):
    """Each trace leaks into that of the next synapse on the dendrite."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        return jnp.zeros_like(net.W), jnp.zeros(net.n), self.feedback.init(net, key)

    def update(self, net, step, state, key):
        B, c, fb = state
        beside = jnp.concatenate([B[:, -1:], B[:, :-1]], axis=1)
        B = B + net.alpha * (net.slope(step.v)[:, None] * step.r_hat - B + 0.2 * (beside - B))
        c = leaky(c, self.feedback(net, step, fb), net.alpha)
        return c[:, None] * B, (B, c, fb)


# The norm is a number made of all synapses.
@expects(ii_local=JUDGED, locality_time=PASS)
class GlobalNormClip(AbstractRule):
    """The gradient is clipped by its Frobenius norm."""

    most: float = 1.0
    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        return {"E": jnp.zeros_like(net.W), "fb": self.feedback.init(net, key)}

    def update(self, net, step, state, key):
        E = (1 - net.alpha) * state["E"] + jnp.outer(net.gain(step.v), step.r_hat)
        G = self.feedback(net, step, state["fb"])[:, None] * E
        G = G * jnp.minimum(1.0, self.most / (jnp.linalg.norm(G) + 1e-8))
        return G, {"E": E, "fb": state["fb"]}


# The norm is a number made of all synapses.
@expects(ii_local=JUDGED, ii_continuous=PASS)
class NormClipped(AbstractRule):
    """Averaged credit times traces, clipped by the norm of the whole."""

    feedback: AbstractFeedback = RandomFeedback()
    most: float = 1.0

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "c": jnp.zeros(net.n), "fb": self.feedback.init(net, key)}

    def update(self, net, step, state, key):
        B = (1 - net.alpha) * state["B"] + jnp.outer(net.gain(step.v), step.r_hat)
        c = leaky(state["c"], self.feedback(net, step, state["fb"]), net.alpha)
        G = c[:, None] * B
        G = G * jnp.minimum(1.0, self.most / (jnp.sqrt(jnp.sum(G**2)) + 1e-6))
        return G, {"B": B, "c": c, "fb": state["fb"]}


# The mean is a number made of all synapses.
@expects(ii_local=JUDGED, vi=PASS)
class NetworkWideScaling(AbstractRule):
    """Weights are scaled by how large they were of late on average over the network."""

    goal: float = 0.2

    def init(self, net, key):
        return {"size": jnp.mean(jnp.abs(net.W)), "fb": random_matrix(key, net.n_out, net.n)}

    def update(self, net, step, state, key):
        size = leaky(state["size"], jnp.mean(jnp.abs(net.W)), 0.01)
        G = jnp.outer((step.error @ state["fb"]) * net.gain(step.v), step.r_hat)
        return G + (size - self.goal) * net.W, {"size": size, "fb": state["fb"]}


class RmsState(NamedTuple):
    second: Any
    fb: Any


@expects(ii_local=PASS, ii_continuous=PASS)
class PerSynapseRMS(AbstractRule):
    """RMSprop in each synapse by itself."""

    decay: float = 0.99

    def init(self, net, key):
        return RmsState(jnp.ones_like(net.W), random_matrix(key, net.n_out, net.n))

    def update(self, net, step, state, key):
        g = jnp.outer((step.error @ state.fb) * net.gain(step.v), step.r_hat)
        second = self.decay * state.second + (1 - self.decay) * g**2
        return g * lax.rsqrt(second + 1e-8), RmsState(second, state.fb)


@expects(i=PASS, ii_local=PASS, ii_continuous=PASS)
class SynapseAdam(AbstractRule):
    """Adam in each synapse by itself, with a clock that corrects its first steps."""

    def init(self, net, key):
        zero = jnp.zeros_like(net.W)
        return {
            "p": jnp.zeros(net.W.shape[1]),
            "m1": zero,
            "m2": zero,
            "clock": Clock.at_zero(),
            "B": random_matrix(key, net.n_out, net.n),
        }

    def update(self, net, step, state, key):
        p = (1 - net.alpha) * state["p"] + net.alpha * step.r_hat
        g = jnp.outer((step.error @ state["B"]) * net.slope(step.v), p)
        k1, k2 = net.alpha / 4, net.alpha / 40
        m1, m2 = leaky(state["m1"], g, k1), leaky(state["m2"], g**2, k2)
        clock = state["clock"].tick()
        t = clock.steps.astype(g.dtype)
        first, second = m1 / (1 - (1 - k1) ** t), m2 / (1 - (1 - k2) ** t)
        return first / (jnp.sqrt(second) + 1e-3), {"p": p, "m1": m1, "m2": m2, "clock": clock, "B": state["B"]}


@expects(ii_local=PASS, iii=PASS, vi=PASS)
class HomeostaticTrace(AbstractRule):
    """A trace rule, and each neuron scales its own weights until its mean rate is where it should be."""

    feedback: AbstractFeedback = RandomFeedback()
    strength: float = 0.01

    def init(self, net, key):
        return jnp.zeros_like(net.W), jnp.zeros(net.n), self.feedback.init(net, key)

    def update(self, net, step, state, key):
        B, mean_rate, fb = state
        B = B * (1 - net.alpha) + net.gain(step.v)[:, None] * step.r_hat[None, :]
        mean_rate = mean_rate + 0.05 * net.alpha * (jnp.abs(step.r) - mean_rate)
        excess = mean_rate - 0.2
        G = self.feedback(net, step, fb)[:, None] * B + self.strength * excess[:, None] * net.W
        return G, (B, mean_rate, fb)


@expects(i=PASS, ii_local=PASS, ii_continuous=PASS)
class GatedBCM(AbstractRule):
    """BCM with a sliding threshold for each neuron, gated by feedback."""

    rate: float = 0.5

    def init(self, net, key):
        return {"theta": jnp.full(net.n, 0.1), "H": jnp.zeros_like(net.W), "top": random_matrix(key, net.n_out, net.n)}

    def update(self, net, step, state, key):
        theta = leaky(state["theta"], step.r**2, net.alpha / 10)
        post = step.r * (step.r - theta)
        H = state["H"] + self.rate * net.alpha * (post[:, None] * step.r_hat - state["H"])
        gate = jax.nn.sigmoid(step.error @ state["top"])
        return -gate[:, None] * H, {"theta": theta, "H": H, "top": state["top"]}


@expects(i=PASS, ii_local=PASS)
class SparseBCM(AbstractRule):
    """BCM with a sliding threshold, in the two most active neurons alone."""

    winners: int = 2

    def init(self, net, key):
        return jnp.full(net.n, 0.1)

    def update(self, net, step, state, key):
        theta = (1 - 0.1 * net.alpha) * state + 0.1 * net.alpha * step.r**2
        least = lax.top_k(step.r, self.winners)[0][-1]
        active = jnp.where(step.r >= least, 1.0, 0.0)
        return -jnp.outer(active * step.r * (step.r - theta), step.r_hat), theta


@expects(ii_local=PASS, vi=PASS)
class GatedOja(AbstractRule):
    """Oja's rule, gated by the running mean of the loss."""

    def init(self, net, key):
        return {"loss": jnp.zeros(())}

    def update(self, net, step, state, key):
        loss = leaky(state["loss"], jnp.mean(step.error**2), 0.05)

        def one(r_i, w_i):
            return r_i * (step.r_hat - r_i * w_i)

        return -loss * jax.vmap(one)(step.r, net.W), {"loss": loss}
