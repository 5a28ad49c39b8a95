"""Sensitivities carried forwards, credit backwards, and traces mixed."""

import jax
import jax.numpy as jnp

from audit_fresh.case import FAIL, PASS, expects, leaky, random_matrix
from recredit.blocks.feedback import AbstractFeedback, RandomFeedback
from recredit.blocks.jacobian import AbstractJacobian, ExactJacobian, ThroughWeights
from recredit.rule import AbstractRule


# J readjusts with activity, and what passes is no rate.
@expects(ii_stored=FAIL, iii=FAIL, iv=PASS)
class JacobianCarried(AbstractRule):
    """A vector of sensitivities goes through the exact Jacobian."""

    jacobian: AbstractJacobian = ExactJacobian()
    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        return jnp.ones(net.n), self.jacobian.init(net, key), self.feedback.init(net, key)

    def update(self, net, step, state, key):
        a, jac, fb = state
        a = 0.9 * self.jacobian.forward(net, step.v, jac, a) + net.gain(step.v)
        return jnp.outer(self.feedback(net, step, fb) * a, step.r_hat), (a, jac, fb)


# What passes is no rate.
@expects(iii=FAIL, ii_stored=PASS, vi=PASS)
class WeightsCarried(JacobianCarried):
    """The same through W and a gain."""

    jacobian: AbstractJacobian = ThroughWeights()


# J readjusts with activity, and what passes is no rate.
@expects(ii_stored=FAIL, iii=FAIL, iv=PASS)
class CommonBiasSensitivity(AbstractRule):
    """How the rates depend on one bias that all share, by the exact Jacobian."""

    def init(self, net, key):
        return jnp.zeros(net.n), random_matrix(key, net.n_out, net.n)

    def update(self, net, step, state, key):
        a, fb = state
        a = net.jacobian(step.v) @ a + net.gain(step.v)
        return jnp.outer((step.error @ fb) * a, step.r_hat), (a, fb)


# What passes is no rate.
@expects(iii=FAIL, ii_stored=PASS, vi=PASS)
class ForwardModeBias(AbstractRule):
    """The same by `jax.jvp`, which needs W and a gain; the loop is linear."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        return {"tangent": jnp.zeros(net.n), "fb": self.feedback.init(net, key)}

    def update(self, net, step, state, key):
        x = step.r_hat[net.n : -1]
        _, moved = jax.jvp(lambda r: net.step(r, x)[2], (step.r_prev,), (state["tangent"],))
        tangent = moved + net.gain(step.v)
        c = self.feedback(net, step, state["fb"])
        return jnp.outer(c * tangent, step.r_hat), {"tangent": tangent, "fb": state["fb"]}


# Credit is no rate, and W transmits backwards.
@expects(iii=FAIL, vii=FAIL, locality_time=PASS)
class BackwardCredit(AbstractRule):
    """Leaky credit goes back through W."""

    def init(self, net, key):
        return {"c": jnp.zeros(net.n), "fb": random_matrix(key, net.n, net.n_out)}

    def update(self, net, step, state, key):
        sent = state["c"] * net.gain(step.v)
        back = jax.vmap(jnp.dot, in_axes=(1, None))(net.W_rec, sent)
        c = state["fb"] @ step.error + 0.5 * ((1 - net.alpha) * state["c"] + back)
        return (c * net.gain(step.v))[:, None] * step.r_hat, {"c": c, "fb": state["fb"]}


# As RTRL.
@expects(memory=FAIL, ii_stored=FAIL, ii_local=FAIL, iii=FAIL, iv=FAIL)
class VmappedRTRL(AbstractRule):
    """RTRL, mapped over the columns of the influence."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        return jnp.zeros((net.n, *net.W.shape)), self.feedback.init(net, key)

    def update(self, net, step, state, key):
        M, fb = state
        J = net.jacobian(step.v)
        carried = jax.vmap(jax.vmap(lambda column: J @ column, 1, 1), 2, 2)(M)
        direct = jnp.einsum("ki,i,j->kij", jnp.eye(net.n), net.gain(step.v), step.r_hat)
        M = carried + direct
        return jnp.einsum("k,kij->ij", self.feedback(net, step, fb), M), (M, fb)


# As RTRL.
@expects(memory=FAIL, ii_stored=FAIL, ii_local=FAIL, iii=FAIL, iv=FAIL)
class DecayingRTRL(AbstractRule):
    """RTRL whose influence leaks, and averaged credit."""

    def init(self, net, key):
        n, m = net.W.shape
        return jnp.zeros((n, n, m)), jnp.zeros(n), random_matrix(key, net.n_out, n)

    def update(self, net, step, state, key):
        M, c, fb = state
        own = jnp.einsum("ki,i,j->kij", jnp.eye(net.n), net.gain(step.v), step.r_hat)
        M = (1 - 0.1 * net.alpha) * jnp.einsum("kl,lij->kij", net.jacobian(step.v), M) + own
        c = leaky(c, step.error @ fb, net.alpha)
        return jnp.einsum("k,kij->ij", c, M), (M, c, fb)


# Traces of other neurons' synapses go through a matrix.
@expects(ii_local=FAIL, iii=FAIL, iv=FAIL, ii_stored=PASS)
class TracesMixedByMatrix(AbstractRule):
    """A fixed matrix mixes the traces among the neurons, by broadcasting and a sum."""

    def init(self, net, key):
        a, b = jax.random.split(key)
        return {"E": jnp.zeros_like(net.W), "R": random_matrix(a, net.n, net.n), "fb": random_matrix(b, net.n_out, net.n)}

    def update(self, net, step, state, key):
        E = leaky(state["E"], jnp.outer(net.slope(step.v), step.r_hat), net.alpha)
        mixed = (state["R"][:, :, None] * E[None, :, :]).sum(1)
        c = step.error @ state["fb"]
        return c[:, None] * mixed, {**state, "E": E}


# Traces of other neurons' synapses go through a matrix.
@expects(ii_local=FAIL, iii=FAIL, iv=FAIL, ii_stored=PASS)
class TracesMixedByKernel(AbstractRule):
    """A fixed kernel mixes the traces, and credit is averaged."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        k_K, k_fb = jax.random.split(key)
        return random_matrix(k_K, net.n, net.n), jnp.zeros_like(net.W), jnp.zeros(net.n), self.feedback.init(net, k_fb)

    def update(self, net, step, state, key):
        K, B, c, fb = state
        B = (1 - net.alpha) * B + jnp.outer(net.gain(step.v), step.r_hat)
        c = leaky(c, self.feedback(net, step, fb), net.alpha)
        mixed = (K[:, :, None] * B[None]).sum(1)
        return c[:, None] * mixed, (K, B, c, fb)
