"""Synapses that predict rates, targets and credit."""

import jax
import jax.numpy as jnp

from audit_fresh.case import FAIL, PASS, expects, leaky, random_matrix
from recredit.blocks.feedback import AbstractFeedback, RandomFeedback
from recredit.blocks.jacobian import LearnedJacobian
from recredit.rule import AbstractRule


# The prediction's synapses carry the error back.
@expects(vii=FAIL, ii_local=PASS)
class SymmetricPredictor(AbstractRule):
    """Synapses predict the label from the rates, and carry the read-out's error."""

    rate: float = 1e-3

    def init(self, net, key):
        return random_matrix(key, net.n_out, net.n)

    def update(self, net, step, state, key):
        guess = state @ step.r
        K = state + self.rate * jnp.outer(step.target - guess, step.r)
        c = K.T @ step.error
        return jnp.outer(c * net.gain(step.v), step.r_hat), K


@expects(ii_local=PASS, iii=PASS, vii=PASS)
class PredictiveUnits(AbstractRule):
    """Leaky error neurons compare the rates with what the last rates predict."""

    rate: float = 1e-3

    def init(self, net, key):
        return {"K": random_matrix(key, net.n, net.n), "eps": jnp.zeros(net.n)}

    def update(self, net, step, state, key):
        eps = leaky(state["eps"], step.r - state["K"] @ step.r_prev, net.alpha)
        K = state["K"] + self.rate * jnp.outer(eps, step.r_prev)
        return -jnp.outer(eps * net.gain(step.v), step.r_hat), {"K": K, "eps": eps}


# A voltage goes back through the predicting synapses.
@expects(iii=FAIL, vii=FAIL, ii_local=PASS)
class PredictiveTransposed(AbstractRule):
    """The same, where the error neurons also send back."""

    rate: float = 1e-3

    def init(self, net, key):
        return {"K": random_matrix(key, net.n, net.n), "eps": jnp.zeros(net.n)}

    def update(self, net, step, state, key):
        K, eps = state["K"], leaky(state["eps"], step.r - state["K"] @ step.r_prev, net.alpha)
        down = jnp.einsum("ij,i->j", K, eps)
        G = jnp.outer((down - eps) * net.gain(step.v), step.r_hat)
        return G, {"K": K + self.rate * jnp.outer(eps, step.r_prev), "eps": eps}


@expects(ii_local=PASS, iii=PASS, vii=PASS)
class TargetRates(AbstractRule):
    """Target propagation: synapses from the label learn to propose rates."""

    rate: float = 1e-2

    def init(self, net, key):
        return random_matrix(key, net.n, net.n_out), jnp.zeros(net.n)

    def update(self, net, step, state, key):
        Q, offset = state
        wanted = jnp.tanh(Q @ step.target + offset)
        delta = self.rate * (step.r - wanted) * (1 - wanted**2)
        G = jnp.outer((step.r - wanted) * net.gain(step.v), step.r_hat)
        return G, (Q + jnp.outer(delta, step.target), offset + delta)


@expects(ii_local=PASS, iii=PASS, vii=PASS)
class DifferenceTarget(AbstractRule):
    """Difference target propagation one step back, by a learned inverse that reads rates."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        k_Q, k_fb = jax.random.split(key)
        return {"Q": random_matrix(k_Q, net.n, net.n), "bias": jnp.zeros(net.n), "fb": self.feedback.init(net, k_fb)}

    def update(self, net, step, state, key):
        Q, bias = state["Q"], state["bias"]

        def decode(rate):
            return jnp.tanh(Q @ rate + bias)

        c = self.feedback(net, step, state["fb"])
        guess = decode(step.r)
        shift = decode(jnp.tanh(step.r - 0.5 * c)) - guess
        local = (step.r_prev - guess) * (1 - guess**2)
        new = {"Q": Q + 0.2 * net.alpha * jnp.outer(local, step.r), "bias": bias + 0.2 * net.alpha * local, "fb": state["fb"]}
        return jnp.outer((c - shift) * net.gain(step.v), step.r_hat), new


@expects(ii_local=PASS, iii=PASS, vii=PASS)
class SyntheticTD(AbstractRule):
    """A synthetic gradient that learns by TD(λ), with the leak in place of the Jacobian."""

    rate: float = 0.1

    def init(self, net, key):
        k_A, k_fb = jax.random.split(key)
        return 0.1 * random_matrix(k_A, net.n, net.n + 1), jnp.zeros(net.n + 1), random_matrix(k_fb, net.n_out, net.n)

    def update(self, net, step, state, key):
        A, trace, fb = state
        one = jnp.ones(1)
        now, before = jnp.concatenate([step.r, one]), jnp.concatenate([step.r_prev, one])
        trace = (1 - net.alpha) * trace + net.alpha * before
        delta = net.alpha * (step.error @ fb) + (1 - net.alpha) * (A @ now) - A @ before
        A = A + self.rate * net.alpha * jnp.outer(delta, trace)
        return jnp.outer((A @ now) * net.gain(step.v), step.r_hat), (A, trace, fb)


# W transmits backwards.
@expects(vii=FAIL, iii=PASS)
class TransposedBootstrap(AbstractRule):
    """A synthetic gradient that learns from its own squashed values, sent back through W."""

    rate: float = 0.1

    def init(self, net, key):
        k_A, k_fb = jax.random.split(key)
        return {
            "A": 0.1 * random_matrix(k_A, net.n, net.n),
            "pre": jnp.zeros(net.W.shape[1]),
            "fb": random_matrix(k_fb, net.n_out, net.n),
        }

    def update(self, net, step, state, key):
        A = state["A"]
        u = A @ step.r
        back = jnp.tanh(u * net.gain(step.v)) @ net.W_rec
        label = step.error @ state["fb"] + (1 - net.alpha) * jnp.tanh(u) + back
        A = A + self.rate * net.alpha * jnp.outer(label - A @ step.r_prev, step.r_prev)
        pre = leaky(state["pre"], step.r_hat, net.alpha)
        return jnp.outer(u * net.gain(step.v), pre), {"A": A, "pre": pre, "fb": state["fb"]}


# The kernel transmits in both directions.
@expects(vii=FAIL, iii=PASS, ii_local=PASS)
class PredictiveKernel(AbstractRule):
    """A kernel predicts rates from their traces, and carries squashed credit back."""

    rate: float = 0.1

    def init(self, net, key):
        return jnp.eye(net.n), jnp.zeros_like(net.W), jnp.zeros(net.n), random_matrix(key, net.n_out, net.n)

    def update(self, net, step, state, key):
        A, B, past, fb = state
        miss = step.r - A @ past
        A = A + self.rate * net.alpha * jnp.outer(miss, past)
        past = (1 - net.alpha) * past + net.alpha * step.r
        B = (1 - net.alpha) * B + jnp.outer(net.gain(step.v), step.r_hat)
        credit = jnp.einsum("k,ki->i", jnp.tanh(step.error @ fb), A)
        return credit[:, None] * B, (A, B, past, fb)


# Voltages pass through synapses.
@expects(iii=FAIL, ii_local=PASS, vii=PASS)
class VoltageReader(AbstractRule):
    """Synapses predict rates from voltages."""

    rate: float = 0.05

    def init(self, net, key):
        return jnp.zeros((net.n, net.n)), jnp.zeros(net.n), random_matrix(key, net.n_out, net.n)

    def update(self, net, step, state, key):
        A, miss, fb = state
        guess = jax.vmap(jnp.dot, in_axes=(0, None))(A, step.v)
        A = A + self.rate * net.alpha * ((step.r - guess)[:, None] * step.r_prev[None, :] - 0.1 * A)
        miss = leaky(miss, step.r - guess, net.alpha)
        c = step.error @ fb + 0.1 * miss
        return jnp.outer(c * net.gain(step.v), step.r_hat), (A, miss, fb)


@expects(ii_stored=PASS, iii=PASS, vii=PASS)
class ForwardModel(AbstractRule):
    """A learned forward model with a squashed state of its own."""

    jacobian: LearnedJacobian = LearnedJacobian(rate=2e-3, init_from="zero")

    def init(self, net, key):
        return {"jac": self.jacobian.init(net, key), "a": jnp.zeros(net.n), "fb": random_matrix(key, net.n_out, net.n)}

    def update(self, net, step, state, key):
        jac = self.jacobian.learn(net, step, state["jac"])
        a = jnp.tanh(self.jacobian.forward(net, step.v, jac, state["a"]) + net.gain(step.v))
        c = step.error @ state["fb"]
        return jnp.outer(c * a, step.r_hat), {"jac": jac, "a": a, "fb": state["fb"]}


# The learned Jacobian transmits in both directions.
@expects(vii=FAIL, iii=PASS, ii_stored=PASS)
class SquashedBackward(AbstractRule):
    """As DNI(b): squashed credit goes back through a Jacobian that was learned forwards."""

    jacobian: LearnedJacobian = LearnedJacobian(init_from="zero")
    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        return self.jacobian.init(net, k1), self.feedback.init(net, k2)

    def update(self, net, step, state, key):
        jac = self.jacobian.learn(net, step, state[0])
        c_bar = self.feedback(net, step, state[1])
        c = c_bar + self.jacobian.backward(net, step.v, jac, jnp.tanh(c_bar))
        return jnp.outer(c * net.gain(step.v), step.r_hat), (jac, state[1])
