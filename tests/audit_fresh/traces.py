"""Traces of one synapse or of its two sides: RFLO, SnAp-1 and chains of leaky stages, in many spellings."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from audit_fresh.case import NOT_FAIL, PASS, expects, immediate, random_feedback
from recredit.rule import AbstractRule


# A column times a row sums over an axis of length one: an outer product.
@expects(iv=PASS, ii_continuous=PASS, iii=PASS, vii=PASS)
class MatmulOuterRFLO(AbstractRule):
    """RFLO by a linear-algebra person: column times row for the outer product, einsum for the gating, a dict for the state."""

    def init(self, net, key):
        return {"trace": jnp.zeros_like(net.W), "fb": random_feedback(net, key)}

    def update(self, net, step, state, key):
        column, row = net.gain(step.v)[:, None], step.r_hat[None, :]
        trace = (1 - net.alpha) * state["trace"] + column @ row
        credit = jnp.einsum("o,oi->i", step.error, state["fb"])
        return jnp.einsum("i,ij->ij", credit, trace), {"trace": trace, "fb": state["fb"]}


# Whether three leaky stages a synapse are too much memory is arguable.
@expects(locality_time=PASS, memory=NOT_FAIL, ii_local=PASS, ii_continuous=PASS)
class GammaCascade(AbstractRule):
    """Cascading eligibility traces: three leaky stages per synapse, the last one is read (for late credit)."""

    stages: int = 3
    pace: float = 0.6

    def init(self, net, key):
        return jnp.zeros((self.stages, *net.W.shape), net.W.dtype)

    def update(self, net, step, state, key):
        a = self.pace * net.alpha

        def stage(drive, e):
            e = e + a * (drive - e)
            return e, e

        last, cascade = lax.scan(stage, jnp.outer(net.slope(step.v), step.r_hat), state)
        return (step.error @ net.W_out)[:, None] * last, cascade


# diag(.) @ B is an element-wise gain, written as a product.
@expects(iv=PASS, locality_time=PASS, vi=PASS)
class SnapOneDiagonal(AbstractRule):
    """SnAp-1: the trace decays by the unit's own Jacobian entry; written with diag(.) @ B."""

    def init(self, net, key):
        return dict(B=jnp.zeros_like(net.W), fb=random_feedback(net, key))  # noqa: C408

    def update(self, net, step, state, key):
        keeps = (1 - net.alpha) + net.gain(step.v) * jnp.diag(net.W_rec)
        B = jnp.diag(keeps) @ state["B"] + immediate(net, step)
        return (step.error @ state["fb"])[:, None] * B, dict(B=B, fb=state["fb"])  # noqa: C408


@expects(locality_time=PASS, iv=PASS, vi=PASS, v=PASS)
class MatlabSnap1(AbstractRule):
    """SnAp-1, one synapse's row after the other; random feedback."""

    def init(self, net, key):
        n, m = net.W.shape
        S = {}
        S["Bfb"] = jax.random.normal(key, (net.n_out, n), net.W.dtype) / jnp.sqrt(net.n_out)
        S["E"] = jnp.zeros((n, m), net.W.dtype)
        return S

    def update(self, net, step, state, key):
        n, m = net.W.shape
        E = state["E"]
        G = jnp.zeros((n, m), net.W.dtype)
        D = net.slope(step.v)
        for i in range(n):
            c = 0.0
            for k in range(net.n_out):
                c = c + state["Bfb"][k, i] * step.error[k]
            Jii = (1 - net.alpha) + net.alpha * D[i] * net.W[i, i]
            E = E.at[i, :].set(Jii * E[i, :] + net.alpha * D[i] * step.r_hat)
            G = G.at[i, :].set(c * E[i, :])
        return G, {"Bfb": state["Bfb"], "E": E}


@expects(iv=PASS, ii_local=PASS, ii_continuous=PASS)
class DiagonalMatrices(AbstractRule):
    """RFLO as it is written on a blackboard, with diag(D) and column times row."""

    def init(self, net, key):
        return [jnp.zeros_like(net.W), jax.random.normal(key, (net.n_out, net.n), net.W.dtype) / net.n_out**0.5]

    def update(self, net, step, state, key):
        B, fb = state
        column_of_ones = jnp.ones((net.n, 1), net.W.dtype)
        row = step.r_hat[None, :]
        B = (1 - net.alpha) * B + jnp.diag(net.gain(step.v)) @ (column_of_ones @ row)
        return jnp.diag(step.error @ fb) @ B, [B, fb]


# The scan runs over rows, not over time.
@expects(locality_time=PASS, iv=PASS, ii_local=PASS, ii_continuous=PASS)
class RowScanClipped(AbstractRule):
    """RFLO, the rows of W one after the other by lax.scan, every synapse's step clamped."""

    most: float = 0.1

    def init(self, net, key):
        return jnp.zeros_like(net.W), jax.random.uniform(key, (net.n_out, net.n), net.W.dtype, -1, 1)

    def update(self, net, step, state, key):
        B, fb = state

        def one_row(x, row):
            b, gain, credit = row
            b = (1 - net.alpha) * b + gain * x
            return x, (b, lax.clamp(-self.most, credit * b, self.most))

        _, (B, G) = lax.scan(one_row, step.r_hat, (B, net.gain(step.v), step.error @ fb))
        return G, (B, fb)


@expects(memory=PASS, iv=PASS, ii_local=PASS, ii_stored=PASS)
class OneFlatVector(AbstractRule):
    """RFLO with random feedback, its whole state one long vector."""

    def _pieces(self, net):
        return {"B": jnp.zeros_like(net.W), "fb": jnp.zeros((net.n_out, net.n), net.W.dtype)}

    def init(self, net, key):
        pieces = self._pieces(net)
        pieces["fb"] = jax.random.normal(key, pieces["fb"].shape, net.W.dtype) / net.n_out**0.5
        return ravel_pytree(pieces)[0]

    def update(self, net, step, state, key):
        n, m = net.W.shape
        trace, fb = state[: n * m], state[n * m :].reshape(net.n_out, n)
        forcing = (net.gain(step.v)[:, None] * step.r_hat).reshape(-1)
        trace = (1 - net.alpha) * trace + forcing
        G = (jnp.repeat(step.error @ fb, m) * trace).reshape(n, m)
        return G, jnp.concatenate([trace, fb.reshape(-1)])


@expects(locality_time=PASS, i=PASS, ii_local=PASS)
class GammaKernel(AbstractRule):
    """Three leaky stages in a row make a gamma kernel, to bridge a late credit."""

    leak: float = 0.3

    def init(self, net, key):
        stages = [jnp.zeros(net.W.shape[1], net.W.dtype) for _ in range(3)]
        return {"stages": stages, "fb": jax.random.normal(key, (net.n_out, net.n), net.W.dtype)}

    def update(self, net, step, state, key):
        source, stages = step.r_hat, []
        for g in state["stages"]:
            g = (1 - self.leak) * g + self.leak * source
            stages.append(g)
            source = g
        return jnp.outer((step.error @ state["fb"]) * net.gain(step.v), stages[-1]), {"stages": stages, "fb": state["fb"]}


class CascadeState(NamedTuple):
    e1: jax.Array
    e2: jax.Array
    e3: jax.Array
    W_fb: jax.Array


@expects(locality_time=PASS, ii_local=PASS, iv=PASS)
class CascadedTraces(AbstractRule):
    """Cascading eligibility traces: three leaky stages give a gamma kernel, so that credit may come late."""

    def init(self, net, key):
        zeros = jnp.zeros_like(net.W)
        return CascadeState(zeros, zeros, zeros, random_feedback(net, key))

    def update(self, net, step, state, key):
        a = 0.5 * net.alpha
        coincidence = jnp.einsum("i,j->ij", net.slope(step.v), step.r_hat)
        e1 = (1 - a) * state.e1 + a * coincidence
        e2 = (1 - a) * state.e2 + a * state.e1
        e3 = (1 - a) * state.e3 + a * state.e2
        credit = jnp.einsum("a,ai->i", step.error, state.W_fb)
        return credit[:, None] * e3, CascadeState(e1, e2, e3, state.W_fb)


@expects(memory=PASS, iv=PASS, vi=PASS, vii=PASS)
class SnapOne(AbstractRule):
    """SnAp-1 (Menick et al. 2021): of the Jacobian only each unit's dependence on itself is kept."""

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "W_fb": random_feedback(net, key)}

    def update(self, net, step, state, key):
        gain = net.gain(step.v)
        autapse = jnp.diagonal(net.W_rec)
        keep = (1 - net.alpha) + gain * autapse
        B = keep[:, None] * state["B"] + gain[:, None] * step.r_hat[None, :]
        credit = step.error @ state["W_fb"]
        return credit[:, None] * B, {"B": B, "W_fb": state["W_fb"]}


class FactoredTraceState(NamedTuple):
    pre: jax.Array  # (m,)
    post: jax.Array  # (n,)
    W_fb: jax.Array


@expects(memory=PASS, locality_time=PASS, i=PASS, ii_local=PASS)
class FactoredTrace(AbstractRule):
    """pp-prop: instead of a trace per synapse, one for each presynaptic and one for each postsynaptic side."""

    def init(self, net, key):
        return FactoredTraceState(jnp.zeros_like(net.W[0]), jnp.zeros_like(net.W[:, 0]), random_feedback(net, key))

    def update(self, net, step, state, key):
        keep = 1 - 0.5 * net.alpha
        pre = keep * state.pre + (1 - keep) * step.r_hat
        post = keep * state.post + (1 - keep) * net.gain(step.v)
        credit = step.error @ state.W_fb
        G = (credit * post)[:, None] * pre[None, :]
        return G, FactoredTraceState(pre, post, state.W_fb)
