"""Second networks, beside W or on it: replicas, dreams, forecasts, reservoirs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from audit_fresh.case import FAIL, NOT_PASS, PASS, eligibility, expects, random_feedback
from recredit.rule import AbstractRule


class Twin(NamedTuple):
    current: Any
    rate: Any
    E: Any


# From the rates through W to the currents, and through the activation back, over two steps.
@expects(vi=FAIL, ii_stored=PASS)
class VoltRateTwin(AbstractRule):
    """Two populations, 'currents' and 'rates', feed each other with a step between; the rates' deviation weighs the trace."""

    sigma: float = 0.01

    def init(self, net, key):
        zero = jnp.zeros(net.n, net.W.dtype)
        return Twin(zero, zero, jnp.zeros_like(net.W))

    def update(self, net, step, state, key):
        reads = jnp.concatenate([state.rate, step.r_hat[net.n :]])
        current = net.W @ reads + self.sigma * jax.random.normal(key, (net.n,), net.W.dtype)
        rate = (1 - net.alpha) * state.rate + net.alpha * net.phi(state.current)
        E = (1 - net.alpha) * state.E + net.alpha * jnp.outer(current - step.v, step.r_hat)
        effect = jnp.dot(step.error @ net.W_out, rate - step.r)
        return effect * E, Twin(current, rate, E)


# The reservoir's loop owes nothing to W.
@expects(vi=PASS, iii=PASS, vii=PASS, i=PASS)
class ReservoirCritic(AbstractRule):
    """A fixed random reservoir (a second area) reads the rates and predicts the reward; the prediction error gates Hebb."""

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        n, t = net.n, net.W.dtype
        return {
            "R": 0.9 * jax.random.normal(k1, (n, n), t) / n**0.5,
            "Q": jax.random.normal(k2, (n, n), t) / n**0.5,
            "h": jnp.zeros(n, t),
            "w": jnp.zeros(n, t),
            "E": jnp.zeros_like(net.W),
        }

    def update(self, net, step, state, key):
        h = jnp.tanh(state["R"] @ state["h"] + state["Q"] @ step.r)
        reward = jnp.dot(step.error, step.error)
        delta = reward - jnp.dot(state["w"], h)
        w = state["w"] + 0.01 * net.alpha * delta * h
        E = (1 - net.alpha) * state["E"] + net.alpha * jnp.outer(step.r, step.r_hat)
        return 0.1 * delta * E, state | {"h": h, "w": w, "E": E}


# Each replica is a copy of the network, with one draw for all of its units.
@expects(vi=FAIL, v=NOT_PASS, locality_time=PASS)
class VmapReplicas(AbstractRule):
    """Four noisy replicas run beside the network, with vmap; how far they stray tells what each unit is worth."""

    replicas: int = 4
    sigma: float = 0.05

    def init(self, net, key):
        return 0.1 * jax.random.normal(key, (self.replicas, net.n), net.W.dtype)

    def update(self, net, step, state, key):
        x1 = step.r_hat[net.n :]
        xi = self.sigma * jax.random.normal(key, (self.replicas,), net.W.dtype)  # the arousal of each replica

        def one(h, noise):
            v = jax.vmap(jnp.vdot, (0, None))(net.W, jnp.concatenate([h, x1]))
            return (1 - net.alpha) * h + net.alpha * jnp.tanh(v + noise)

        H = jax.vmap(one)(state, xi)
        stray = jnp.mean(jax.vmap(lambda h: h - step.r)(H), axis=0)
        return jnp.sum(step.error**2) * jnp.outer(stray, step.r_hat), H


@expects(vi=PASS, iii=PASS, ii_stored=PASS, ii_local=PASS)
class EchoStateTeacher(AbstractRule):
    """A fixed random reservoir beside the network, whose learned read-out predicts the credit."""

    def init(self, net, key):
        k1, k2, k3 = jax.random.split(key, 3)
        n, m = net.W.shape
        return dict(  # noqa: C408
            Q=0.9 * jnp.linalg.qr(jax.random.normal(k1, (n, n), net.W.dtype))[0],
            U=jax.random.normal(k2, (n, m), net.W.dtype) / m**0.5,
            out=jnp.zeros((n, n), net.W.dtype),
            fb=jax.random.normal(k3, (net.n_out, n), net.W.dtype),
            h=jnp.zeros(n, net.W.dtype),
        )

    def update(self, net, step, state, key):
        h = jnp.tanh(state["Q"] @ state["h"] + state["U"] @ step.r_hat)
        predicted = state["out"] @ h
        out = state["out"] + 0.02 * net.alpha * jnp.outer(step.error @ state["fb"] - predicted, h)
        return jnp.outer(predicted * net.gain(step.v), step.r_hat), {**state, "h": h, "out": out}


# The dream's loop goes through synapses made of W; the draws multiply.
@expects(vi=FAIL, v=NOT_PASS, ii_stored=PASS)
class DreamOnSlowCopy(AbstractRule):
    """Dreams: a second population runs on synapses that slowly follow W; W learns from the difference of dream and waking."""

    def init(self, net, key):
        return dict(slow=jnp.zeros((net.n, net.n), net.W.dtype), dream=0.1 * jax.random.normal(key, (net.n,), net.W.dtype))  # noqa: C408

    def update(self, net, step, state, key):
        slow = state["slow"] + 0.05 * net.alpha * (net.W_rec - state["slow"])
        vividness = 1 + 0.1 * jax.random.normal(key, (net.n,), net.W.dtype)
        dream = vividness * jnp.tanh(slow @ state["dream"])
        G = jnp.sum(jnp.abs(step.error)) * jnp.outer(dream - step.r, step.r_hat)
        return G, dict(slow=slow, dream=dream)  # noqa: C408


class BurstEnsembleState(NamedTuple):
    B: jax.Array
    burst: jax.Array  # (n,)
    W_fb: jax.Array


# From the bursts through W_rec and tanh back to the bursts.
@expects(vi=FAIL, iv=PASS, vii=PASS)
class BurstEnsemble(AbstractRule):
    """Multiplexing: bursts travel along the recurrent axons beside the events, and spread apical signals over the network."""

    def init(self, net, key):
        return BurstEnsembleState(jnp.zeros_like(net.W), jnp.zeros_like(net.W[:, 0]), random_feedback(net, key))

    def update(self, net, step, state, key):
        apical = step.error @ state.W_fb
        lateral = net.W_rec @ state.burst
        burst = (1 - net.alpha) * state.burst + net.alpha * jnp.tanh(0.5 * lateral + apical)
        B = eligibility(net, step, state.B)
        return burst[:, None] * B, BurstEnsembleState(B, burst, state.W_fb)


class ObserverState(NamedTuple):
    B: jax.Array
    forecast: jax.Array  # (n,)
    W_fb: jax.Array


# The forecast is a second copy of the network, corrected a little.
@expects(vi=FAIL, iv=PASS, vii=PASS)
class ForecastObserver(AbstractRule):
    """A Luenberger observer: a forecast, corrected a little by the true rates; unpredictable units learn more."""

    correction: float = 0.3

    def init(self, net, key):
        return ObserverState(jnp.zeros_like(net.W), jnp.zeros_like(net.W[:, 0]), random_feedback(net, key))

    def update(self, net, step, state, key):
        believed = state.forecast + self.correction * (step.r_prev - state.forecast)
        believed_hat = jnp.concatenate([believed, step.r_hat[net.n :]])
        forecast = net.leak(believed, net.W @ believed_hat)
        surprise = jnp.abs(step.r - forecast)
        B = eligibility(net, step, state.B)
        credit = step.error @ state.W_fb
        return ((0.1 + surprise) * credit)[:, None] * B, ObserverState(B, forecast, state.W_fb)
