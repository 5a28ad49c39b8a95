"""Fast weights, attention, slots and episodes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from audit_fresh.case import FAIL, PASS, eligibility, expects, immediate, random_feedback
from recredit.rule import AbstractRule


@expects(ii_stored=PASS, iii=PASS, ii_local=PASS)
class FastWeights(AbstractRule):
    """Fast Hebbian weights on top of the slow ones; the sum predicts where the rates go, the surprise joins the credit."""

    def init(self, net, key):
        return (jnp.zeros((net.n, net.n), net.W.dtype), random_feedback(net, key))

    def update(self, net, step, state, key):
        fast, fb = state
        fast = (1 - 0.5 * net.alpha) * fast + 0.1 * net.alpha * step.r[:, None] * step.r_prev[None, :]
        h = jnp.tanh((net.W_rec + fast) @ step.r)
        return jnp.outer((step.error @ fb + 0.1 * (h - step.r)) * net.gain(step.v), step.r_hat), (fast, fb)


# A matrix made of activity transmits the credit, which is itself a product.
@expects(ii_stored=FAIL, iii=FAIL, iv=PASS)
class UnitAttention(AbstractRule):
    """Units that fire alike share their credit: softmax attention over units, the rates being keys and queries."""

    sharpness: float = 2.0

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        c_bar = step.error @ net.W_out
        attention = jax.nn.softmax(self.sharpness * step.r[:, None] * step.r[None, :], axis=1)
        B = (1 - net.alpha) * state + immediate(net, step)
        return (attention @ c_bar)[:, None] * B, B


# A matrix made of the activity of the moment transmits.
@expects(ii_stored=FAIL, iii=PASS)
class SelfAttention(AbstractRule):
    """Each unit attends to the units that were active with it, and is taught by what they do."""

    def init(self, net, key):
        return {"context": jnp.zeros(net.n, net.W.dtype)}

    def update(self, net, step, state, key):
        weights = jax.nn.softmax(step.r[:, None] * step.r_prev[None, :], axis=-1)
        context = 0.9 * state["context"] + 0.1 * (weights @ jnp.tanh(step.v))
        G = jnp.mean(step.error**2) * jnp.outer((step.r - context) * net.slope(step.v), step.r_hat)
        return G, {"context": context}


class ShortTermState(NamedTuple):
    A: jax.Array  # (n, n)
    u: jax.Array  # (n,)
    x: jax.Array  # (n,)
    W_fb: jax.Array


@expects(i=PASS, ii_stored=PASS, ii_local=PASS, vii=PASS)
class ShortTermContext(AbstractRule):
    """Tsodyks-Markram release as a memory: facilitated, depressed output predicts the credit of each unit."""

    rate: float = 1e-2
    U: float = 0.2

    def init(self, net, key):
        k_A, k_fb = jax.random.split(key)
        A = jax.random.normal(k_A, (net.n, net.n), net.W.dtype) / net.n
        ones = jnp.ones_like(A[0])
        return ShortTermState(A, self.U * ones, ones, random_feedback(net, k_fb))

    def update(self, net, step, state, key):
        firing = 0.5 * (1 + jnp.tanh(step.r))
        released = state.u * state.x * firing
        u = state.u + net.alpha * (0.05 * (self.U - state.u) + 0.5 * self.U * (1 - state.u) * firing)
        x = state.x + net.alpha * (0.2 * (1 - state.x) - released)
        predicted = state.A @ released
        miss = step.error @ state.W_fb - predicted
        A = state.A + self.rate * jnp.outer(miss, released)
        G = jnp.outer(predicted * net.gain(step.v), step.r_hat)
        return G, ShortTermState(A, u, x, state.W_fb)


class FastWeightState(NamedTuple):
    B: jax.Array
    H: jax.Array  # (n, n)
    r_bar: jax.Array  # (n,)
    W_fb: jax.Array


@expects(locality_time=PASS, ii_local=PASS, iii=PASS, vii=PASS)
class FastWeightRecall(AbstractRule):
    """Hebbian fast weights bind rates to recent ones; where recall misses the present, plasticity is stronger."""

    def init(self, net, key):
        H = jnp.zeros((net.n, net.n), net.W.dtype)
        return FastWeightState(jnp.zeros_like(net.W), H, H[0], random_feedback(net, key))

    def update(self, net, step, state, key):
        recall = jnp.tanh(state.H @ step.r)
        novelty = 1 + (step.r - recall) ** 2
        H = (1 - 0.1 * net.alpha) * state.H + 0.1 * net.alpha * step.r[:, None] * state.r_bar[None, :]
        r_bar = (1 - net.alpha) * state.r_bar + net.alpha * step.r_prev
        B = eligibility(net, step, state.B)
        credit = step.error @ state.W_fb
        return (novelty * credit)[:, None] * B, FastWeightState(B, H, r_bar, state.W_fb)


class SoftSlotsState(NamedTuple):
    keys: jax.Array  # (k, n)
    values: jax.Array  # (k, n)
    B: jax.Array
    W_fb: jax.Array


@expects(ii_stored=PASS, ii_local=PASS, iv=PASS, vii=PASS)
class SoftSlots(AbstractRule):
    """Eight memory cells compete for each state; each learns the state that it stands for and the credit met there."""

    slots: int = 8
    rate: float = 0.05

    def init(self, net, key):
        k_keys, k_fb = jax.random.split(key)
        keys = jax.random.normal(k_keys, (self.slots, net.n), net.W.dtype)
        return SoftSlotsState(keys, jnp.zeros_like(keys), jnp.zeros_like(net.W), random_feedback(net, k_fb))

    def update(self, net, step, state, key):
        attention = jax.nn.softmax(state.keys @ step.r)
        remembered = attention @ state.values
        credit = step.error @ state.W_fb
        write = self.rate * attention[:, None]
        keys = state.keys + write * (step.r[None, :] - state.keys)
        values = state.values + write * (credit[None, :] - state.values)
        B = eligibility(net, step, state.B)
        return (0.5 * credit + 0.5 * remembered)[:, None] * B, SoftSlotsState(keys, values, B, state.W_fb)


class EpisodicState(NamedTuple):
    episodes: jax.Array  # (6, n)
    age: jax.Array  # (6,)
    B: jax.Array
    W_fb: jax.Array


# Stored rates are kept as they were under a condition, and are read over both of their axes.
@expects(locality_time=FAIL, iv=PASS, vii=FAIL)
class EpisodicAttention(AbstractRule):
    """Attention over stored episodes: a novel state replaces the oldest one; recalled states set what rates to come back to."""

    episodes: int = 6
    threshold: float = 0.5

    def init(self, net, key):
        k_slots, k_fb = jax.random.split(key)
        slots = jax.random.normal(k_slots, (self.episodes, net.n), net.W.dtype)
        return EpisodicState(slots, jnp.zeros_like(slots[:, 0]), jnp.zeros_like(net.W), random_feedback(net, k_fb))

    def update(self, net, step, state, key):
        attention = jax.nn.softmax(state.episodes @ step.r)
        recalled = attention @ state.episodes
        novel = jnp.sum((step.r - recalled) ** 2) > self.threshold
        oldest = jnp.arange(self.episodes) == jnp.argmax(state.age)
        overwrite = novel & oldest
        episodes = jnp.where(overwrite[:, None], step.r[None, :], state.episodes)
        age = jnp.where(overwrite, 0.0, state.age + 1.0)
        B = eligibility(net, step, state.B)
        credit = step.error @ state.W_fb + 0.1 * (step.r - recalled)
        return credit[:, None] * B, EpisodicState(episodes, age, B, state.W_fb)
