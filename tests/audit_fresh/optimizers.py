"""Step sizes and moments within the rule: each synapse's own, or one for all."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from audit_fresh.case import FAIL, NOT_PASS, PASS, eligibility, expects, immediate, random_feedback
from recredit.rule import AbstractRule, Clock


class Moments(eqx.Module):
    first: jax.Array
    second: jax.Array
    clock: Clock


@expects(ii_local=PASS, locality_time=PASS)
class AdamSynapse(AbstractRule):
    """Adam within each synapse: two running moments of its own immediate gradient, with the bias correction."""

    b1: float = 0.9
    b2: float = 0.99

    def init(self, net, key):
        return Moments(jnp.zeros_like(net.W), jnp.zeros_like(net.W), Clock.at_zero())

    def update(self, net, step, state, key):
        g = (step.error @ net.W_out)[:, None] * immediate(net, step)
        clock = state.clock.tick()
        first = self.b1 * state.first + (1 - self.b1) * g
        second = self.b2 * state.second + (1 - self.b2) * g**2
        m_hat, v_hat = first / (1 - self.b1**clock.steps), second / (1 - self.b2**clock.steps)
        return m_hat / (jnp.sqrt(v_hat) + 1e-4), Moments(first, second, clock)


# Activity is handed on for two steps; the running mean square is made of all synapses.
@expects(locality_time=FAIL, ii_local=NOT_PASS)
class LaggedRMS(AbstractRule):
    """STDP-like lag of two steps between pre and post, and one learning-rate scale for all from a running mean square."""

    def init(self, net, key):
        zero = jnp.zeros(net.W.shape[1], net.W.dtype)
        return {"one": zero, "two": zero, "ms": jnp.ones((), net.W.dtype)}

    def update(self, net, step, state, key):
        g = jnp.outer((step.error @ net.W_out) * net.gain(step.v), state["two"])
        ms = 0.99 * state["ms"] + 0.01 * jnp.mean(g**2)
        return g / jnp.sqrt(ms + 1e-8), {"one": step.r_hat, "two": state["one"], "ms": ms}


# The mean and the variance of the credits are numbers made of activity.
@expects(ii_local=PASS, vii=PASS, iii=PASS)
class LayerNormGrad(AbstractRule):
    """A local loss, differentiated by jax.grad: the voltage is pulled to a target that a layer-normalised credit shifts."""

    def init(self, net, key):
        return random_feedback(net, key)

    def update(self, net, step, state, key):
        c = step.error @ state
        c = (c - jnp.mean(c)) / jnp.sqrt(jnp.var(c) + 1e-3)
        wanted = lax.stop_gradient(step.v - net.gain(step.v) * c)

        def local_loss(W):
            return 0.5 * jnp.sum((W @ step.r_hat - wanted) ** 2)

        return jax.grad(local_loss)(net.W), state


@expects(ii_local=PASS, memory=PASS, locality_time=PASS)
class AdamOnTrace(AbstractRule):
    """Adam's two moments inside of the rule, on RFLO's gradient."""

    b1: float = 0.9
    b2: float = 0.99

    def init(self, net, key):
        zeros = {"W": jnp.zeros_like(net.W)}
        fb = jax.nn.initializers.lecun_normal()(key, (net.n_out, net.n), net.W.dtype)
        return {"trace": zeros, "mu": zeros, "nu": zeros, "count": jnp.zeros((), jnp.int32), "fb": fb}

    def update(self, net, step, state, key):
        credit = lax.dot(step.error, state["fb"])
        local = {"W": net.gain(step.v)[:, None] * step.r_hat[None, :]}
        trace = jax.tree.map(lambda e, d: (1 - net.alpha) * e + d, state["trace"], local)
        grads = jax.tree.map(lambda e: credit[:, None] * e, trace)
        count = state["count"] + 1
        mu = jax.tree.map(lambda u, g: self.b1 * u + (1 - self.b1) * g, state["mu"], grads)
        nu = jax.tree.map(lambda u, g: self.b2 * u + (1 - self.b2) * g * g, state["nu"], grads)
        out = jax.tree.map(lambda u, w: (u / (1 - self.b1**count)) / (jnp.sqrt(w / (1 - self.b2**count)) + 1e-6), mu, nu)
        return out["W"].astype(net.W.dtype), {"trace": trace, "mu": mu, "nu": nu, "count": count, "fb": state["fb"]}


# Each row's and column's mean square is made of many synapses.
@expects(ii_local=NOT_PASS, i=PASS, iv=PASS)
class AdafactorOnTrace(AbstractRule):
    """The second moment of the gradient, factored into one number a row and one a column to save memory."""

    decay: float = 0.95

    def init(self, net, key):
        n, m = net.W.shape
        return {
            "trace": jnp.zeros_like(net.W),
            "row": jnp.ones(n, net.W.dtype),
            "col": jnp.ones(m, net.W.dtype),
            "fb": jax.random.normal(key, (net.n_out, n), net.W.dtype),
        }

    def update(self, net, step, state, key):
        trace = (1 - net.alpha) * state["trace"] + jnp.outer(net.gain(step.v), step.r_hat)
        g = lax.expand_dims(step.error @ state["fb"], (1,)) * trace
        sq = lax.square(g) + 1e-8
        row = self.decay * state["row"] + (1 - self.decay) * sq.mean(axis=1)
        col = self.decay * state["col"] + (1 - self.decay) * sq.mean(axis=0)
        scale = lax.rsqrt(row / row.mean())[:, None] * lax.rsqrt(col)[None, :]
        return g * scale, {"trace": trace, "row": row, "col": col, "fb": state["fb"]}


# Step sizes grow by a fifth or halve in one step, however fine the time step.
@expects(ii_continuous=FAIL, ii_local=PASS)
class RpropSteps(AbstractRule):
    """Rprop: a step size per synapse, larger while the sign of its gradient stays, halved when it turns."""

    up: float = 1.2
    down: float = 0.5

    def init(self, net, key):
        fb = jax.random.normal(key, (net.n_out, net.n), net.W.dtype)
        return {"delta": jnp.full_like(net.W, 1e-2), "last": jnp.zeros_like(net.W), "fb": fb}

    def update(self, net, step, state, key):
        g = jnp.outer((step.error @ state["fb"]) * net.gain(step.v), step.r_hat)
        agree = g * state["last"]
        factor = jnp.select([agree > 0, agree < 0], [jnp.full_like(g, self.up), jnp.full_like(g, self.down)], jnp.ones_like(g))
        delta = jnp.clip(state["delta"] * factor, 1e-4, 1.0)
        return jnp.sign(g) * delta, {"delta": delta, "last": g, "fb": state["fb"]}


class SurpriseState(NamedTuple):
    B: jax.Array
    second: jax.Array  # (n, m)
    loss_bar: jax.Array  # ()
    W_fb: jax.Array


@expects(ii_local=PASS, iv=PASS, vi=PASS, vii=PASS)
class SurpriseGatedRMS(AbstractRule):
    """Each synapse scales its step by its own root mean square; a surprise signal (locus coeruleus) opens the gate."""

    beta: float = 0.99

    def init(self, net, key):
        zeros = jnp.zeros_like(net.W)
        return SurpriseState(zeros, zeros + 1e-2, jnp.zeros((), net.W.dtype), random_feedback(net, key))

    def update(self, net, step, state, key):
        loss = 0.5 * jnp.sum(step.error**2)
        gate = jax.nn.sigmoid(5.0 * (loss - state.loss_bar))
        loss_bar = state.loss_bar + (1 - self.beta) * (loss - state.loss_bar)
        B = eligibility(net, step, state.B)
        g = (step.error @ state.W_fb)[:, None] * B
        second = self.beta * state.second + (1 - self.beta) * g**2
        return gate * g / (jnp.sqrt(second) + 1e-3), SurpriseState(B, second, loss_bar, state.W_fb)


class OneMomentAdamState(NamedTuple):
    B: jax.Array
    first: jax.Array  # (n, m)
    second: jax.Array  # ()
    W_fb: jax.Array


# The running mean square is made of all synapses.
@expects(ii_local=NOT_PASS, iii=PASS, iv=PASS, vii=PASS)
class OneMomentAdam(AbstractRule):
    """RFLO with momentum in each synapse and, to spare memory, a single second moment for all of them."""

    beta1: float = 0.9
    beta2: float = 0.99

    def init(self, net, key):
        zeros = jnp.zeros_like(net.W)
        return OneMomentAdamState(zeros, zeros, jnp.full((), 1e-2, net.W.dtype), random_feedback(net, key))

    def update(self, net, step, state, key):
        B = eligibility(net, step, state.B)
        g = (step.error @ state.W_fb)[:, None] * B
        first = self.beta1 * state.first + (1 - self.beta1) * g
        second = self.beta2 * state.second + (1 - self.beta2) * jnp.mean(g**2)
        return first / (jnp.sqrt(second) + 1e-3), OneMomentAdamState(B, first, second, state.W_fb)
