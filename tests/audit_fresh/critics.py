"""Synthetic credit and critics: what predicts the error that will come."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from audit_fresh.case import FAIL, PASS, expects, random_feedback
from recredit.rule import AbstractRule


class HiddenState(NamedTuple):
    F1: Any
    F2: Any
    fb: Any


def hidden_init(net, key, k):
    k1, k2, k3 = jax.random.split(key, 3)
    size = net.n + net.n_out + 1
    F1 = jax.random.normal(k1, (k, size), net.W.dtype) / size**0.5
    F2 = jax.random.normal(k2, (net.n, k), net.W.dtype) / k**0.5
    return HiddenState(F1, F2, random_feedback(net, k3))


@expects(iii=PASS, ii_stored=PASS, ii_local=PASS, vii=PASS)
class HiddenCritics(AbstractRule):
    """Synthetic credit from six hidden cells: fixed random tanh features of rates and label, learned read-out to the units."""

    hidden: int = 6

    def init(self, net, key):
        return hidden_init(net, key, self.hidden)

    def update(self, net, step, state, key):
        seen = jnp.concatenate([step.r, step.target, jnp.ones_like(step.r[:1])])
        h = jnp.tanh(state.F1 @ seen)
        miss = state.F2 @ h - step.error @ state.fb
        F2 = state.F2 - 0.05 * net.alpha * jnp.outer(miss, h)
        return jnp.outer((F2 @ h) * net.gain(step.v), step.r_hat), state._replace(F2=F2)


# h is an affine image of a product and goes through F2.
@expects(iii=FAIL, vii=PASS)
class BaselineCritics(AbstractRule):
    """HiddenCritics with cells that code around a baseline firing rate of 1, so that signed signals stay positive rates."""

    hidden: int = 6

    def init(self, net, key):
        return hidden_init(net, key, self.hidden)

    def update(self, net, step, state, key):
        seen = jnp.concatenate([step.r, step.target, jnp.ones_like(step.r[:1])])
        h = 1.0 + 0.25 * (state.F1 @ seen)
        miss = state.F2 @ h - step.error @ state.fb
        F2 = state.F2 - 0.05 * net.alpha * jnp.outer(miss, h)
        return jnp.outer((F2 @ h) * net.gain(step.v), step.r_hat), state._replace(F2=F2)


@expects(iii=PASS, iv=PASS, ii_local=PASS, vii=PASS)
class GradTanhCritic(AbstractRule):
    """A synthetic gradient through tanh, learned with value_and_grad of its own loss."""

    rate: float = 0.05

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        size = net.n + net.n_out + 1
        A = jax.random.normal(k1, (net.n, size), net.W.dtype) / size**0.5
        return {"params": {"A": A}, "fb": jax.random.normal(k2, (net.n_out, net.n), net.W.dtype)}

    def update(self, net, step, state, key):
        features = jnp.concatenate([step.r, step.target, jnp.ones(1, step.r.dtype)])
        label = step.error @ state["fb"]

        def loss(params):
            guess = jnp.tanh(params["A"] @ features)
            return 0.5 * jnp.sum((guess - label) ** 2), guess

        (_, guess), grads = jax.value_and_grad(loss, has_aux=True)(state["params"])
        params = jax.tree.map(lambda p, g: p - self.rate * net.alpha * g, state["params"], grads)
        return jnp.outer(guess * net.gain(step.v), step.r_hat), {"params": params, "fb": state["fb"]}


class CreditPredictorState(NamedTuple):
    A: jax.Array  # (n, n + n_out + 1)
    features: jax.Array  # (n + n_out + 1,)
    W_fb: jax.Array


@expects(i=PASS, ii_local=PASS, iii=PASS, vii=PASS)
class CreditPredictor(AbstractRule):
    """A synthetic gradient without bootstrap: slow features of rates and label regress on the feedback that arrives."""

    rate: float = 1e-2

    def init(self, net, key):
        k_A, k_fb = jax.random.split(key)
        size = net.n + net.n_out + 1
        A = jax.random.normal(k_A, (net.n, size), net.W.dtype) / size
        return CreditPredictorState(A, jnp.zeros_like(A[0]), random_feedback(net, k_fb))

    def update(self, net, step, state, key):
        now = jnp.concatenate([step.r, step.target, jnp.ones(1, step.r.dtype)])
        features = (1 - net.alpha) * state.features + net.alpha * now
        arriving = step.error @ state.W_fb
        miss = arriving - state.A @ features
        A = state.A + self.rate * jnp.outer(miss, features)
        synthetic = A @ now
        G = jnp.outer(synthetic * net.gain(step.v), step.r_hat)
        return G, CreditPredictorState(A, features, state.W_fb)


class BootstrapState(NamedTuple):
    A: jax.Array  # (n, n + 1)
    P: jax.Array  # (n, n)
    credit_prev: jax.Array  # (n,)
    W_fb: jax.Array


# The predicted credit goes through P unsquashed; P is learned forwards and read backwards.
@expects(iii=FAIL, iv=PASS, vii=FAIL)
class BootstrappedCredit(AbstractRule):
    """DNI with a learned forward model: tomorrow's predicted credit is pulled back through the model of the dynamics."""

    rate: float = 1e-2
    model_rate: float = 1e-2

    def init(self, net, key):
        k_A, k_fb = jax.random.split(key)
        A = 0.1 * jax.random.normal(k_A, (net.n, net.n + 1), net.W.dtype)
        P = (1 - net.alpha) * jnp.eye(net.n, dtype=net.W.dtype)
        return BootstrapState(A, P, jnp.zeros_like(A[:, 0]), random_feedback(net, k_fb))

    def update(self, net, step, state, key):
        one = jnp.ones(1, step.r.dtype)
        now, before = jnp.concatenate([step.r, one]), jnp.concatenate([step.r_prev, one])
        P = state.P + self.model_rate * jnp.outer(step.r - state.P @ step.r_prev, step.r_prev)
        pulled_back = (state.A @ now) @ P
        label = state.credit_prev + 0.9 * pulled_back
        A = state.A + self.rate * jnp.outer(label - state.A @ before, before)
        G = jnp.outer((A @ now) * net.gain(step.v), step.r_hat)
        return G, BootstrapState(A, P, step.error @ state.W_fb, state.W_fb)


class CriticState(NamedTuple):
    e: jax.Array  # (n, m)
    w: jax.Array  # (n,) value weights
    r_bar: jax.Array  # (n,)
    v_bar: jax.Array  # (n,)


@expects(i=PASS, ii_local=PASS, iv=PASS, vi=PASS)
class ActorCritic(AbstractRule):
    """A linear critic reads the rates; its TD error is the dopamine of a three-factor rule on voltage excursions."""

    gamma: float = 0.9
    rate: float = 1e-2

    def init(self, net, key):
        zero = jnp.zeros_like(net.W[:, 0])
        return CriticState(jnp.zeros_like(net.W), zero, zero, zero)

    def update(self, net, step, state, key):
        reward = -0.5 * jnp.sum(step.error**2)
        td = reward + self.gamma * jnp.dot(state.w, step.r) - jnp.dot(state.w, step.r_prev)
        r_bar = (1 - net.alpha) * state.r_bar + net.alpha * step.r_prev
        w = state.w + self.rate * td * r_bar
        excursion = step.v - state.v_bar
        v_bar = state.v_bar + 0.1 * net.alpha * excursion
        e = (1 - net.alpha) * state.e + jnp.outer(excursion * net.gain(step.v), step.r_hat)
        return -td * e, CriticState(e, w, r_bar, v_bar)
