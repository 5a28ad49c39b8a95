"""Predictions, targets and the energies that they descend."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from audit_fresh.case import FAIL, NOT_PASS, PASS, eligibility, expects, immediate, random_feedback
from recredit.rule import AbstractRule


# The norm makes every entry depend on all strengths; a smoothed voltage is no rate.
@expects(ii_stored=NOT_PASS, iii=FAIL, vii=PASS)
class NormalisedPredictor(AbstractRule):
    """Each unit's smoothed voltage is sent through the weights, scaled to unit norm, as a prediction of the next rates."""

    def init(self, net, key):
        return (jnp.zeros(net.n, net.W.dtype), random_feedback(net, key))

    def update(self, net, step, state, key):
        v_bar, fb = state
        v_bar = v_bar + net.alpha * (step.v - v_bar)
        unit_norm = net.W_rec / jnp.sqrt(jnp.sum(net.W_rec**2) + 1e-6)
        surprise = step.r - jnp.tanh(unit_norm @ v_bar)
        G = jnp.outer((step.error @ fb - 0.1 * surprise) * net.gain(step.v), step.r_hat)
        return G, (v_bar, fb)


class PCState(NamedTuple):
    u: Any
    A: Any


# A is used in both directions, and the error, an affine image of a product, goes back through it.
@expects(vii=FAIL, iii=FAIL, vi=PASS)
class PredictiveCodingTied(AbstractRule):
    """Predictive coding: latent causes u predict the rates through A, the errors come back through A, A learns by Hebb."""

    def init(self, net, key):
        A = jax.random.normal(key, (net.n, net.n), net.W.dtype) / net.n**0.5
        return PCState(jnp.zeros(net.n, net.W.dtype), A)

    def update(self, net, step, state, key):
        cause = jnp.tanh(state.u)
        e = step.r - state.A @ cause
        u = state.u + net.alpha * (e @ state.A - 0.5 * state.u)
        A = state.A + 0.05 * net.alpha * jnp.outer(e, cause)
        return jnp.outer((step.error @ net.W_out + 0.1 * e) * net.gain(step.v), step.r_hat), PCState(u, A)


class OnOffState(eqx.Module):
    u: jax.Array
    down: jax.Array
    up: jax.Array
    fb: jax.Array


@expects(iii=PASS, vii=PASS, ii_local=PASS, vi=PASS)
class PredictiveCodingOnOff(AbstractRule):
    """Predictive coding with on- and off-cells for the error, and synapses of their own on the way up."""

    def init(self, net, key):
        k1, k2, k3 = jax.random.split(key, 3)
        n, t = net.n, net.W.dtype
        down, up = (jax.random.normal(k, (n, n), t) / n**0.5 for k in (k1, k2))
        return OnOffState(jnp.zeros(n, t), down, up, random_feedback(net, k3))

    def update(self, net, step, state, key):
        a, cause = net.alpha, jnp.tanh(state.u)
        e = step.r - state.down @ cause
        on, off = jax.nn.relu(e), jax.nn.relu(-e)
        u = (1 - a) * state.u + a * (state.up @ on - state.up @ off)
        down = (1 - 0.01 * a) * state.down + 0.05 * a * jnp.outer(e, cause)
        up = (1 - 0.01 * a) * state.up + 0.05 * a * jnp.outer(cause, on - off)
        G = jnp.outer((step.error @ state.fb + 0.1 * e) * net.gain(step.v), step.r_hat)
        return G, OnOffState(u, down, up, state.fb)


@expects(iii=PASS, vii=PASS, ii_local=PASS)
class DifferenceTargetProp(AbstractRule):
    """Difference target propagation one step back in time: an inverse model V of the recurrence carries rates and targets."""

    eta: float = 0.5

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        V = jax.random.normal(k1, (net.n, net.n), net.W.dtype) / net.n**0.5
        return {"V": V, "B": jnp.zeros_like(net.W), "fb": random_feedback(net, k2)}

    def update(self, net, step, state, key):
        c = step.error @ state["fb"]
        wanted = jnp.tanh(step.r - self.eta * c)  # the target cells' rates
        guess, guess_wanted = jnp.tanh(state["V"] @ step.r), jnp.tanh(state["V"] @ wanted)
        shift = guess - guess_wanted
        V = state["V"] + 0.05 * net.alpha * jnp.outer((step.r_prev - guess) * (1 - guess**2), step.r)
        G = c[:, None] * immediate(net, step) + shift[:, None] * state["B"]
        B = (1 - net.alpha) * state["B"] + immediate(net, step)
        return G, {"V": V, "B": B, "fb": state["fb"]}


@expects(ii_stored=PASS, iii=PASS, vi=PASS)
class DalePredictor(AbstractRule):
    """Excitatory and inhibitory cells (every fifth): the magnitudes of W_rec, with the sender's sign, carry smoothed rates."""

    def init(self, net, key):
        return {"r_bar": jnp.zeros(net.n, net.W.dtype), "fb": random_feedback(net, key)}

    def update(self, net, step, state, key):
        cell = jnp.arange(net.n)
        sign = jnp.where(cell % 5 == 4, -1.0, 1.0)
        pace = net.alpha / (1 + cell % 3)
        r_bar = state["r_bar"] + pace * (step.r - state["r_bar"])
        drive = (jnp.abs(net.W_rec) * sign[None, :]) @ r_bar
        gate = 1 - jnp.tanh(drive) ** 2
        return jnp.outer((step.error @ state["fb"]) * gate * net.gain(step.v), step.r_hat), state | {"r_bar": r_bar}


# The slope of the energy is -A^T (r - A r_prev).
@expects(vii=FAIL, iii=FAIL, ii_stored=PASS)
class EnergySlope(AbstractRule):
    """A predictive-coding energy 1/2 |r - A r_prev|^2; its slope in the activity is the teaching signal."""

    rate: float = 0.02

    def init(self, net, key):
        return eqx.filter({"A": jax.random.normal(key, (net.n, net.n), net.W.dtype) / net.n**0.5}, eqx.is_array)

    def update(self, net, step, state, key):
        def energy(A, activity):
            surprise = step.r - A @ activity
            return 0.5 * jnp.dot(surprise, surprise)

        dA, d_activity = jax.grad(energy, argnums=(0, 1))(state["A"], step.r_prev)
        G = jnp.sum(step.error**2) * jnp.outer(d_activity * net.gain(step.v), step.r_hat)
        return G, {"A": state["A"] - self.rate * net.alpha * dA}


class SettlingState(NamedTuple):
    U: jax.Array  # (n_out, n) predictions
    F: jax.Array  # (n, n_out) feedback, its own synapses


@expects(ii_local=PASS, iii=PASS, iv=PASS, vii=PASS)
class SettlingPrediction(AbstractRule):
    """Predictive coding: value units settle for a few rounds under the label's clamp, weights learn from the displacement."""

    rate: float = 1e-2
    dt: float = 0.2
    iterations: int = 6

    def init(self, net, key):
        k_U, k_F = jax.random.split(key)
        U = jax.random.normal(k_U, (net.n_out, net.n), net.W.dtype) / net.n**0.5
        F = jax.random.normal(k_F, (net.n, net.n_out), net.W.dtype) / net.n_out**0.5
        return SettlingState(U, F)

    def update(self, net, step, state, key):
        def surprise(h):
            return step.target - jnp.tanh(state.U @ jnp.tanh(h))

        def settle(h, _):
            drive = state.F @ jnp.tanh(surprise(h))
            return h + self.dt * (step.r - h + drive), None

        h, _ = lax.scan(settle, step.r, None, length=self.iterations)
        e, moved = surprise(h), h - step.r
        U = state.U + self.rate * jnp.outer(e, jnp.tanh(h))
        F = (1 - self.rate) * state.F + self.rate * jnp.outer(moved, jnp.tanh(e))
        G = -jnp.outer(moved * net.gain(step.v), step.r_hat)
        return G, SettlingState(U, F)


# e, an affine image of a product, passes U again, backwards.
@expects(iii=FAIL, iv=PASS, vii=FAIL)
class EnergyDescent(AbstractRule):
    """Rao and Ballard: rates descend the energy |y* - U h|^2 + |h - r|^2 for some iterations, then every weight learns."""

    rate: float = 1e-2
    dt: float = 0.1
    iterations: int = 8

    def init(self, net, key):
        return jax.random.normal(key, (net.n_out, net.n), net.W.dtype) / net.n**0.5

    def update(self, net, step, state, key):
        U = state

        def descend(h, _):
            e = step.target - U @ h
            return h + self.dt * (e @ U - (h - step.r)), None

        h, _ = lax.scan(descend, step.r, None, length=self.iterations)
        U_new = U + self.rate * jnp.outer(step.target - U @ h, h)
        return jnp.outer((step.r - h) * net.gain(step.v), step.r_hat), U_new


class BackwardTargetsState(NamedTuple):
    B: jax.Array
    V: jax.Array  # (n, n_out), label to rates
    R: jax.Array  # (n, n), rates to earlier rates


# R @ (V @ y*): a linear image of a product is transmitted.
@expects(iii=FAIL, iv=PASS, vii=PASS)
class TargetsBackInTime(AbstractRule):
    """Target propagation: learned inverses turn the label into target rates, and these into targets one step earlier."""

    rate: float = 1e-2

    def init(self, net, key):
        V = 0.1 * jax.random.normal(key, (net.n, net.n_out), net.W.dtype)
        return BackwardTargetsState(jnp.zeros_like(net.W), V, jnp.eye(net.n, dtype=net.W.dtype))

    def update(self, net, step, state, key):
        wanted = state.V @ step.target
        wanted_before = state.R @ wanted
        V = state.V + self.rate * jnp.outer(step.r - wanted, step.target)
        R = state.R + self.rate * jnp.outer(step.r_prev - state.R @ step.r, step.r)
        earlier = (step.r_prev - wanted_before)[:, None] * state.B
        B = eligibility(net, step, state.B)
        return (step.r - wanted)[:, None] * B + 0.5 * earlier, BackwardTargetsState(B, V, R)
