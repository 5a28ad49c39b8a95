"""Hebb's rule with thresholds, rewards and what other units have explained."""

import jax
import jax.numpy as jnp
from jax import lax

from audit_fresh.case import FAIL, NOT_PASS, PASS, expects
from recredit.rule import AbstractRule


@expects(ii_local=PASS, i=PASS, locality_time=PASS)
class BCMLoop(AbstractRule):
    """BCM with a sliding threshold and a global reward, NumPy style: a loop over the units that fills the rows."""

    def init(self, net, key):
        return {"theta": jnp.full(net.n, 0.1, net.W.dtype), "mean_reward": jnp.zeros((), net.W.dtype)}

    def update(self, net, step, state, key):
        reward = -jnp.sum(jnp.abs(step.error))
        mean_reward = state["mean_reward"] + 0.1 * net.alpha * (reward - state["mean_reward"])
        theta = state["theta"] + 0.1 * net.alpha * (step.r**2 - state["theta"])
        G = jnp.zeros_like(net.W)
        for i in range(net.n):
            r_i = step.r[i]
            G = G.at[i].set(-(reward - mean_reward) * r_i * (r_i - theta[i]) * step.r_hat + 1e-3 * net.W[i])
        return G, {"theta": theta, "mean_reward": mean_reward}


# W is used in both directions.
@expects(vii=FAIL, iii=PASS, ii_local=PASS)
class OjaSubspace(AbstractRule):
    """Oja's subspace rule: what the units' rates reconstruct of their input is taken from it, and Hebb learns the rest."""

    def init(self, net, key):
        return jnp.zeros((), net.W.dtype)

    def update(self, net, step, state, key):
        y = net.phi(net.W @ step.r_hat)
        rebuilt = jnp.einsum("i,ij->j", y, net.W)
        surprise = jnp.mean(step.error**2)
        smooth = state + 0.1 * net.alpha * (surprise - state)
        return -0.1 * smooth * jnp.outer(y, step.r_hat - rebuilt), smooth


# `explained` is made of the strengths of the units before, and at the end is W backwards. The loop runs over units, not time.
@expects(ii_local=NOT_PASS, vii=NOT_PASS, locality_time=PASS)
class MatlabSanger(AbstractRule):
    """Sanger's generalised Hebbian rule: each unit learns what the units before it leave unexplained."""

    rate: float = 0.05

    def init(self, net, key):
        return {"ybar": jnp.zeros(net.n, net.W.dtype)}

    def update(self, net, step, state, key):
        n, m = net.W.shape
        ybar = state["ybar"] + net.alpha * (step.r - state["ybar"])

        def body(i, carry):
            G, explained = carry
            explained = explained + ybar[i] * net.W[i, :]
            G = G.at[i, :].set(-self.rate * ybar[i] * (step.r_hat - explained))
            return G, explained

        G, explained = lax.fori_loop(0, n, body, (jnp.zeros((n, m), net.W.dtype), jnp.zeros((m,), net.W.dtype)))
        novelty = jnp.mean((step.r_hat - explained) ** 2)
        return novelty * G, {"ybar": ybar}


@expects(ii_stored=PASS, ii_local=PASS, iii=PASS, iv=PASS)
class TensorDecorrelate(AbstractRule):
    """Anti-Hebbian lateral synapses L_ab decorrelate; W follows random feedback less the lateral drive."""

    eta: float = 0.05

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        fb = jax.random.normal(k1, (net.n, net.n_out), net.W.dtype) / net.n_out**0.5
        L = 0.1 * jax.random.normal(k2, (net.n, net.n), net.W.dtype) / net.n**0.5
        return fb, L

    def update(self, net, step, state, key):
        fb, L = state
        off = 1 - jnp.eye(net.n, dtype=net.W.dtype)
        y = jnp.tanh(step.v - jnp.tensordot(L * off, step.r_prev, axes=([1], [0])))
        L = L + self.eta * net.alpha * (jnp.einsum("a,b->ab", y, step.r_prev) - L)
        lateral = jnp.einsum("ab,b->a", L * off, y)
        credit = jnp.einsum("ak,k->a", fb, step.error)
        G = jnp.einsum("a,a,b->ab", credit, net.gain(step.v), step.r_hat)
        return G + 0.1 * jnp.einsum("a,b->ab", lateral, step.r_hat), (fb, L)


@expects(i=PASS, ii_local=PASS, iv=PASS)
class VmapBCM(AbstractRule):
    """BCM with a sliding threshold and a reward against its running mean, a function of one synapse, mapped twice."""

    def init(self, net, key):
        return {"theta": jnp.full(net.n, 0.2, net.W.dtype), "baseline": jnp.zeros((), net.W.dtype)}

    def update(self, net, step, state, key):
        loss = jnp.mean(jax.vmap(lambda e: e * e)(step.error))
        theta = jax.vmap(lambda th, r: 0.9 * th + 0.1 * r**2)(state["theta"], step.r)
        baseline = 0.95 * state["baseline"] + 0.05 * loss

        def synapse(post, threshold, pre, w):
            return (loss - baseline) * post * (post - threshold) * pre + 1e-3 * w

        G = jax.vmap(jax.vmap(synapse, (None, None, 0, 0)), (0, 0, None, 0))(step.r, theta, step.r_hat, net.W)
        return G, {"theta": theta, "baseline": baseline}


@expects(v=PASS, vi=PASS, ii_local=PASS, locality_time=PASS)
class MiconiHebb(AbstractRule):
    """Miconi 2017: cubed products of input and voltage fluctuation, paid off by the loss against its running mean."""

    def init(self, net, key):
        return {"e": jnp.zeros_like(net.W), "vbar": jnp.zeros(net.n, net.W.dtype), "Lbar": jnp.zeros((), net.W.dtype)}

    def update(self, net, step, state, key):
        L = jnp.sum(step.error**2)
        vbar = 0.8 * state["vbar"] + 0.2 * step.v
        e = 0.95 * state["e"] + jnp.outer(step.v - vbar, step.r_hat) ** 3
        Lbar = 0.95 * state["Lbar"] + 0.05 * L
        return (L - Lbar) * e, {"e": e, "vbar": vbar, "Lbar": Lbar}
