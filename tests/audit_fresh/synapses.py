"""Strengths: symmetry, balance, sign, consolidation and time constants of the synapses themselves."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from audit_fresh.case import FAIL, NOT_PASS, PASS, eligibility, expects, immediate, random_feedback
from recredit.rule import AbstractRule

TAU_PRE = 4.0


# The change of W_ij reads W_ji.
@expects(ii_local=FAIL, vii=PASS)
class SkewRegularised(AbstractRule):
    """RFLO with a pull of the recurrent weights towards skew symmetry (a long memory), as in antisymmetric RNNs."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        B = state * (1 - net.alpha) + immediate(net, step)
        pull = 0.01 * (net.W_rec + jnp.swapaxes(net.W_rec, 0, 1))
        G = (step.error @ net.W_out).reshape(-1, 1) * B
        return G.at[:, : net.n].add(pull), B


@expects(ii_stored=PASS, iii=PASS, ii_local=PASS)
class InhibitoryPlasticity(AbstractRule):
    """Inhibitory synapses (positive, by softplus) that hold each unit at a target rate; the inhibition gates W's learning."""

    target_rate: float = 0.1
    eta: float = 0.01

    def init(self, net, key):
        n = net.n
        return {
            "g_inh": 0.1 * jax.random.normal(key, (n, n), net.W.dtype) - 2.0,
            "x_pre": jnp.zeros(n, net.W.dtype),
        }

    def update(self, net, step, state, key):
        rate = jax.nn.relu(step.r_prev)
        i_inh = jax.nn.softplus(state["g_inh"]) @ rate
        x = state["x_pre"] * (1 - 1 / TAU_PRE) + rate / TAU_PRE
        hebb = jnp.outer(x, rate) + jnp.outer(rate, x) - 2 * self.target_rate * rate[None, :]
        g_inh = state["g_inh"] + self.eta * net.alpha * hebb
        drive = jnp.tanh(step.v - i_inh) - self.target_rate
        return jnp.outer(drive * net.gain(step.v), step.r_hat), {"g_inh": g_inh, "x_pre": x}


class Beakers(NamedTuple):
    first: Any
    second: Any
    third: Any
    trace: Any
    feedback: Any


@expects(memory=PASS, ii_local=PASS, locality_time=PASS)
class BennaFusiChain(AbstractRule):
    """A chain of leaking beakers behind each synapse (Benna & Fusi 2016), the first of them the synapse itself."""

    flow: float = 0.1

    def init(self, net, key):
        fb = jax.random.normal(key, (net.n_out, net.n), net.W.dtype)
        return Beakers(net.W, net.W, net.W, jnp.zeros_like(net.W), fb)

    def _credit(self, step, state):
        return (step.error @ state.feedback)[:, None]

    def _flows(self, W, state):
        levels = (W, state.first, state.second, state.third)
        return [self.flow * 0.5**k * (a - b) for k, (a, b) in enumerate(zip(levels[:-1], levels[1:], strict=True))]  # noqa: RUF007

    def update(self, net, step, state, key):
        f1, f2, f3 = self._flows(net.W, state)
        trace = (1 - net.alpha) * state.trace + jnp.outer(net.gain(step.v), step.r_hat)
        G = self._credit(step, state) * trace + f1
        first = state.first + 0.5 * (f1 - f2)
        second = state.second + 0.5 * (f2 - f3)
        third = state.third + 0.5 * f3
        return G, Beakers(first, second, third, trace, state.feedback)


class PullState(NamedTuple):
    B: Any
    feedback: Any


# The change of W_ij reads W_ji.
@expects(ii_local=NOT_PASS, iv=PASS)
class SymmetryPull(AbstractRule):
    """RFLO with a pull towards symmetric recurrent weights, as Hopfield networks have them."""

    pull: float = 0.01

    def init(self, net, key):
        return PullState(jnp.zeros_like(net.W), jax.random.normal(key, (net.n, net.n_out), net.W.dtype))

    def asymmetry(self, net):
        rec = net.W[:, : net.n]
        return jnp.pad(rec - jnp.swapaxes(rec, 0, 1), ((0, 0), (0, net.n_in + 1)))

    def update(self, net, step, state, key):
        B = (1 - net.alpha) * state.B + net.gain(step.v)[:, None] * step.r_hat
        G = (state.feedback @ step.error)[:, None] * B + self.pull * self.asymmetry(net)
        return G, PullState(B, state.feedback)


# The sum over the broadcast product transmits the rates.
@expects(ii_stored=PASS, iii=PASS, vii=PASS, ii_local=PASS)
class DaleQuantised(AbstractRule):
    """Lateral synapses of sixty-four levels and one sign for each sender; their drive is what W is taught to match."""

    levels: int = 64

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        strength = jnp.abs(jax.random.normal(k1, (net.n, net.n), net.W.dtype)) / net.n**0.5
        return {"strength": strength, "sign": jax.random.rademacher(k2, (net.n,), net.W.dtype)}

    def update(self, net, step, state, key):
        lateral = jnp.round(jnp.abs(state["strength"]) * self.levels) / self.levels * state["sign"][None, :]
        y = jnp.tanh((lateral * step.r_prev[None, :]).sum(axis=1))
        change = jnp.outer(step.r - y, step.r_prev) * state["sign"][None, :]
        strength = state["strength"] + 0.02 * net.alpha * change
        G = jnp.mean(step.error**2) * jnp.outer((step.r - y) * net.gain(step.v), step.r_hat)
        return G, {"strength": strength, "sign": state["sign"]}


class DaleState(NamedTuple):
    B: jax.Array
    exists: jax.Array  # (n, m), 0 or 1
    sign: jax.Array  # (m,)
    F: jax.Array  # (n_out, n), magnitudes
    F_sign: jax.Array  # (n_out,)


@expects(ii_stored=PASS, ii_local=PASS, iv=PASS, vii=PASS)
class SparseDale(AbstractRule):
    """Sparse recurrence under Dale's law; the feedback's cells keep their sign as well, and only their strength learns."""

    rate: float = 1e-3
    density: float = 0.6

    def init(self, net, key):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        m, dtype = net.W.shape[1], net.W.dtype
        exists = jax.random.bernoulli(k1, self.density, net.W.shape).astype(dtype)
        sign = jnp.where(jax.random.bernoulli(k2, 0.8, (m,)), 1.0, -1.0).astype(dtype)
        F_sign = jax.random.rademacher(k4, (net.n_out,), dtype)
        return DaleState(jnp.zeros_like(net.W), exists, sign, jnp.abs(random_feedback(net, k3)), F_sign)

    def update(self, net, step, state, key):
        credit = step.error @ (state.F_sign[:, None] * state.F)
        B = eligibility(net, step, state.B)
        G = state.exists * credit[:, None] * B
        at_floor = net.W * state.sign[None, :] <= 0
        outwards = G * state.sign[None, :] > 0
        G = jnp.where(at_floor & outwards, 0.0, G)
        F = jnp.maximum(state.F - self.rate * state.F_sign[:, None] * jnp.outer(step.error, step.r), 0.0)
        return G, DaleState(B, state.exists, state.sign, F, state.F_sign)


class TimescaleState(NamedTuple):
    B: jax.Array
    theta: jax.Array  # (n,)
    slow: jax.Array  # (n,)
    W_fb: jax.Array


@expects(memory=PASS, i=PASS, ii_local=PASS, vii=PASS)
class LearnedTimescales(AbstractRule):
    """Each unit learns how long its synapses remember: units whose credit agrees with slow activity lengthen their traces."""

    rate: float = 1e-2

    def init(self, net, key):
        zero = jnp.zeros_like(net.W[:, 0])
        return TimescaleState(jnp.zeros_like(net.W), zero, zero, random_feedback(net, key))

    def update(self, net, step, state, key):
        credit = step.error @ state.W_fb
        leak = net.alpha * jax.nn.sigmoid(state.theta)
        B = (1 - leak)[:, None] * state.B + leak[:, None] * jnp.outer(net.slope(step.v), step.r_hat)
        slow = state.slow + 0.2 * leak * (step.r - state.slow)
        theta = state.theta + self.rate * credit * (step.r - slow) - 1e-3 * state.theta
        return credit[:, None] * B, TimescaleState(B, theta, slow, state.W_fb)


class MetaState(NamedTuple):
    B: jax.Array
    importance: jax.Array  # (n, m)
    anchor: jax.Array  # (n, m)
    rate_bar: jax.Array  # (n,)
    W_fb: jax.Array


@expects(memory=PASS, i=PASS, ii_local=PASS, iv=PASS)
class MetaplasticConsolidation(AbstractRule):
    """Used synapses stiffen and are pulled towards a slowly consolidated value; units keep a set-point of activity."""

    pull: float = 0.1
    set_point: float = 0.1

    def init(self, net, key):
        zeros = jnp.zeros_like(net.W)
        return MetaState(zeros, zeros, net.W, zeros[:, 0], random_feedback(net, key))

    def update(self, net, step, state, key):
        B = eligibility(net, step, state.B)
        g = (step.error @ state.W_fb)[:, None] * B
        importance = 0.999 * state.importance + 0.01 * jnp.abs(g)
        anchor = state.anchor + 0.01 * net.alpha * (net.W - state.anchor)
        rate_bar = state.rate_bar + 0.05 * net.alpha * (step.r**2 - state.rate_bar)
        homeostatic = 0.01 * jnp.outer(rate_bar - self.set_point, step.r_hat)
        G = g / (1 + importance) + self.pull * importance * (net.W - anchor) + homeostatic
        return G, MetaState(B, importance, anchor, rate_bar, state.W_fb)


# The surplus is made of all strengths of the row.
@expects(ii_local=NOT_PASS, iv=PASS, vi=PASS)
class BalancedInput(AbstractRule):
    """RFLO that keeps each unit's excitation and inhibition in balance: the surplus is taken back from all its inputs."""

    strength: float = 0.01

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "W_fb": random_feedback(net, key)}

    def update(self, net, step, state, key):
        B = eligibility(net, step, state["B"])
        credit = step.error @ state["W_fb"]
        excitation = jnp.maximum(net.W, 0.0).sum(axis=1)
        inhibition = jnp.maximum(-net.W, 0.0).sum(axis=1)
        surplus = excitation - inhibition
        G = credit[:, None] * B + self.strength * surplus[:, None] * jnp.abs(net.W)
        return G, {"B": B, "W_fb": state["W_fb"]}
