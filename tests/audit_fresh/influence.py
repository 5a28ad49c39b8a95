"""Influence carried forwards: RTRL and its cheaper forms, whole or in slices, tangents, and what only a log sees of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from audit_fresh.case import FAIL, NOT_PASS, PASS, eligibility, expects, immediate, random_feedback
from recredit.rule import AbstractRule


# The tangent, linear in earlier products, goes through W; the direction is drawn, not stored, and multiplies. The tangent's
# loop through W has no activation function on it.
@expects(iii=FAIL, ii_stored=NOT_PASS, v=NOT_PASS, vi=PASS)
class ForwardGradient(AbstractRule):
    """Forward-mode: carry the derivative of the rates along a random direction of weight space with jax.jvp."""

    def init(self, net, key):
        return jnp.zeros(net.n, net.W.dtype)

    def update(self, net, step, state, key):
        direction = jax.random.normal(key, net.W.shape, net.W.dtype)
        x = step.r_hat[net.n : -1]

        def forward(W, r):
            return net.leak(r, W @ jnp.concatenate([r, x, jnp.ones(1, x.dtype)]))

        _, r_dot = jax.jvp(forward, (net.W, step.r_prev), (direction, state))
        return jnp.dot(step.error @ net.W_out, r_dot) * direction, r_dot


# A is no rate; nu multiplies and is shared by A and B; rho is a number made of whole vectors and matrices.
@expects(v=NOT_PASS, iii=FAIL, ii_local=NOT_PASS, ii_continuous=FAIL, ii_stored=PASS)
class UOROTwoPhase(AbstractRule):
    """UORO without a stored Jacobian: a second transmission through W_rec, then the gain."""

    def init(self, net, key):
        kA, kB = jax.random.split(key)
        return (jax.random.normal(kA, (net.n,), net.W.dtype), jax.random.normal(kB, net.W.shape, net.W.dtype))

    def update(self, net, step, state, key):
        A, B = state
        nu = jax.random.rademacher(key, (net.n,), net.W.dtype)
        F = (1 - net.alpha) * A + net.gain(step.v) * (net.W_rec @ A)
        P = nu[:, None] * immediate(net, step)
        size = lambda a: jnp.sqrt(jnp.sum(a * a) + 1e-12)  # noqa: E731
        rho0, rho1 = jnp.sqrt(size(B) / size(F)), jnp.sqrt(size(P) / size(nu))
        A, B = rho0 * F + rho1 * nu, B / rho0 + P / rho1
        return jnp.vdot(step.error @ net.W_out, A) * B, (A, B)


# A state of order three, carried by the Jacobian of the moment.
@expects(memory=FAIL, iv=FAIL, ii_stored=FAIL, iii=NOT_PASS, ii_local=FAIL)
class SparsePathRTRL(AbstractRule):
    """RTRL that follows only the recurrent paths of a random sparse mask, as a cheap form of RTRL."""

    density: float = 0.3

    def init(self, net, key):
        mask = jax.random.bernoulli(key, self.density, (net.n, net.n)).astype(net.W.dtype)
        return {"mask": jnp.maximum(mask, jnp.eye(net.n, dtype=mask.dtype)), "M": jnp.zeros((net.n, *net.W.shape), net.W.dtype)}

    def update(self, net, step, state, key):
        J = net.jacobian(step.v) * state["mask"]
        M = jnp.einsum("kl,lij->kij", J, state["M"])
        k = jnp.arange(net.n)
        M = M.at[k, k].add(immediate(net, step))
        return jnp.einsum("k,kij->ij", step.error @ net.W_out, M), {"mask": state["mask"], "M": M}


# RTRL's influence in a list of matrices: each takes in the entries of all the others.
@expects(memory=NOT_PASS, iv=NOT_PASS, ii_stored=NOT_PASS, ii_local=NOT_PASS)
class PerUnitInfluence(AbstractRule):
    """Every unit keeps a matrix of its own: what each weight has done to it. A list of matrices, one a unit."""

    def init(self, net, key):
        return [jnp.zeros_like(net.W) for _ in range(net.n)]

    def update(self, net, step, state, key):
        J, P, c_bar = net.jacobian(step.v), immediate(net, step), step.error @ net.W_out
        stacked = jnp.stack(state)
        after, G = [], 0.0
        for k in range(net.n):
            mine = jnp.tensordot(J[k], stacked, axes=1).at[k].add(P[k])
            after.append(mine)
            G = G + c_bar[k] * mine
        return G, after


def rflo_with_report(net, step, B, fb):
    """A step of RFLO, and numbers for a log: how far the exact Jacobian's square is from the leak's."""
    J = net.jacobian(step.v)
    report = {"two_steps": jnp.linalg.norm(J @ J), "exact_hop": (step.error @ fb) @ J}
    B = (1 - net.alpha) * B + immediate(net, step)
    return (step.error @ fb)[:, None] * B, B, report


# What nothing uses decides nothing.
@expects(ii_stored=PASS, iv=PASS, iii=PASS)
class LoggedRFLO(AbstractRule):
    """RFLO from a helper that also computes diagnostics, which nothing uses."""

    def init(self, net, key):
        return [jnp.zeros_like(net.W), random_feedback(net, key)]

    def update(self, net, step, state, key):
        B, fb = state
        G, B, report = rflo_with_report(net, step, B, fb)
        del report
        return G, [B, fb]


# model @ B, column by column: traces of other synapses, which are no rates.
@expects(iv=FAIL, ii_local=FAIL, iii=NOT_PASS, ii_stored=PASS)
class TraceTransport(AbstractRule):
    """The traces are passed on through a learned linear model of the dynamics, one column after the other."""

    rate: float = 0.01

    def init(self, net, key):
        model = (1 - net.alpha) * jnp.eye(net.n, dtype=net.W.dtype) + net.alpha * net.W_rec
        return (model, jnp.zeros_like(net.W))

    def update(self, net, step, state, key):
        model, B = state
        model = model + self.rate * net.alpha * jnp.outer(step.r - model @ step.r_prev, step.r_prev)

        def column(j, moved):
            return moved.at[:, j].set(0.9 * (model @ B[:, j]))

        moved = lax.fori_loop(0, B.shape[1], column, jnp.zeros_like(B))
        B = moved + immediate(net, step)
        return (step.error @ net.W_out)[:, None] * B, (model, B)


# C @ B, column by column: traces of other synapses, which are no rates.
@expects(iv=FAIL, ii_local=FAIL, iii=NOT_PASS, memory=PASS)
class Preconditioned(AbstractRule):
    """A natural-gradient flavour: the trace is preconditioned by the running correlation of the rates, column by column."""

    def init(self, net, key):
        C = jnp.eye(net.n, dtype=net.W.dtype)
        fb = jax.random.normal(key, (net.n_out, net.n), net.W.dtype)
        return {"C": C, "B": jnp.zeros_like(net.W), "fb": fb}

    def update(self, net, step, state, key):
        a = net.alpha
        C = (1 - a) * state["C"] + a * jnp.multiply.outer(step.r, step.r)
        B = (1 - a) * state["B"] + jnp.multiply.outer(net.gain(step.v), step.r_hat)

        def column(j, X):
            return X.at[:, j].set(jnp.tensordot(C, B[:, j], axes=1))

        X = lax.fori_loop(0, B.shape[1], column, jnp.zeros_like(B))
        return jnp.tensordot(step.error, state["fb"], axes=1)[:, None] * X, {"C": C, "B": B, "fb": state["fb"]}


# J @ M slice by slice, with the Jacobian of the moment.
@expects(memory=FAIL, iv=NOT_PASS, ii_local=NOT_PASS, ii_stored=NOT_PASS)
class InfluenceSlices(AbstractRule):
    """The influence dr_k/dW as a tuple of n matrices, one for each unit k, pushed through the Jacobian slice by slice."""

    def init(self, net, key):
        return tuple(jnp.zeros_like(net.W) for _ in range(net.n))

    def update(self, net, step, state, key):
        J = net.jacobian(step.v)
        D, c = net.gain(step.v), step.error @ net.W_out
        new = []
        for k in range(net.n):
            slice_k = sum(J[k, q] * state[q] for q in range(net.n))
            new.append(slice_k.at[k].add(D[k] * step.r_hat))
        return sum(c[k] * new[k] for k in range(net.n)), tuple(new)


# The tangent is an affine image of the product before; the transpose runs W backwards. No activation on the tangent's loop.
@expects(iii=FAIL, vii=FAIL, ii_stored=PASS, vi=PASS)
class TangentCarry(AbstractRule):
    """Carries one tangent of the state forwards (jax.linearize) as the sensitivity of each unit; credit takes one step back."""

    def init(self, net, key):
        return {"tangent": jnp.zeros(net.n, net.W.dtype), "fb": jax.random.normal(key, (net.n_out, net.n), net.W.dtype)}

    def update(self, net, step, state, key):
        x = step.r_hat[net.n : -1]
        _, pushforward = jax.linearize(lambda r: net.step(r, x)[2], step.r_prev)
        tangent = 0.5 * pushforward(state["tangent"]) + net.gain(step.v)
        (credit,) = jax.linear_transpose(pushforward, step.r_prev)(step.error @ state["fb"])
        return jnp.outer(credit * tangent, step.r_hat), {**state, "tangent": tangent}


# What nobody reads decides nothing.
@expects(iv=PASS, v=PASS, ii_stored=PASS, vii=PASS)
class WithDiagnostics(AbstractRule):
    """RFLO that computes a lot for a log that nobody reads: the Jacobian's square, a perturbed step, the norm of W."""

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "fb": jax.random.normal(key, (net.n_out, net.n), net.W.dtype)}

    def _diagnose(self, net, step, B, key):
        J = net.jacobian(step.v)
        noisy = step.r_prev + 0.1 * jax.random.normal(key, (1,), step.r.dtype)
        return {
            "two_steps": J @ J,
            "influence": J @ B,
            "norm": jnp.linalg.norm(net.W),
            "perturbed": net.step(noisy, step.r_hat[net.n : -1])[2],
            "back": net.W_rec.T @ step.r,
        }

    def update(self, net, step, state, key):
        B = (1 - net.alpha) * state["B"] + jnp.outer(net.gain(step.v), step.r_hat)
        log = self._diagnose(net, step, B, key)
        del log
        return (step.error @ state["fb"])[:, None] * B, {"B": B, "fb": state["fb"]}


class LowRankState(NamedTuple):
    K: jax.Array  # (n, k)
    code: jax.Array  # (n, k)
    B: jax.Array
    W_fb: jax.Array


# W_rec @ K has free axes on both operands.
@expects(memory=PASS, iv=FAIL)
class LowRankInfluence(AbstractRule):
    """Low-rank influence: units are labelled by a fixed random code of four numbers, whose spread is followed forwards."""

    rank: int = 4

    def init(self, net, key):
        k_code, k_fb = jax.random.split(key)
        code = jax.random.normal(k_code, (net.n, self.rank), net.W.dtype) / self.rank**0.5
        return LowRankState(jnp.zeros_like(code), code, jnp.zeros_like(net.W), random_feedback(net, k_fb))

    def update(self, net, step, state, key):
        gain = net.gain(step.v)[:, None]
        K = 0.9 * ((1 - net.alpha) * state.K + gain * (net.W_rec @ state.K)) + 0.1 * state.code
        credit = step.error @ state.W_fb
        spread = state.code @ (credit @ K)
        B = eligibility(net, step, state.B)
        return (credit + spread)[:, None] * B, LowRankState(K, state.code, B, state.W_fb)


class SketchState(NamedTuple):
    Z: jax.Array  # (n, k)
    S: jax.Array  # (k, m)
    W_fb: jax.Array


# (credit * Z) @ S is a product of matrices, and S is read over its other axis as well.
@expects(memory=PASS, iv=FAIL, vii=FAIL)
class SketchedTraces(AbstractRule):
    """Johnson-Lindenstrauss: traces of six random projections of the input, unfolded to all synapses when credit comes."""

    size: int = 6

    def init(self, net, key):
        k_S, k_fb = jax.random.split(key)
        S = jax.random.normal(k_S, (self.size, net.W.shape[1]), net.W.dtype) / self.size**0.5
        return SketchState(jnp.zeros((net.n, self.size), net.W.dtype), S, random_feedback(net, k_fb))

    def update(self, net, step, state, key):
        sketch = state.S @ step.r_hat
        Z = (1 - net.alpha) * state.Z + jnp.outer(net.gain(step.v), sketch)
        credit = step.error @ state.W_fb
        return (credit[:, None] * Z) @ state.S, SketchState(Z, state.S, state.W_fb)


class SparsePathsState(NamedTuple):
    M: jax.Array  # (n, n, m)
    paths: jax.Array  # (n, n)
    W_fb: jax.Array


# As RTRL: the masked Jacobian readjusts with the activity, and meets a state of order three.
@expects(memory=FAIL, ii_stored=FAIL, iv=FAIL)
class SparsePaths(AbstractRule):
    """RTRL whose gradient travels along a quarter of the recurrent paths only, drawn once."""

    density: float = 0.25

    def init(self, net, key):
        k_paths, k_fb = jax.random.split(key)
        n, m = net.W.shape
        paths = jax.random.bernoulli(k_paths, self.density, (n, n)).astype(net.W.dtype)
        paths = jnp.maximum(paths, jnp.eye(n, dtype=net.W.dtype))
        return SparsePathsState(jnp.zeros((n, n, m), net.W.dtype), paths, random_feedback(net, k_fb))

    def update(self, net, step, state, key):
        J = state.paths * net.jacobian(step.v)
        P = jnp.outer(net.gain(step.v), step.r_hat)
        own = jnp.eye(net.n, dtype=P.dtype)[:, :, None] * P[None]
        M = 0.95 * jnp.einsum("kl,lij->kij", J, state.M) + own
        G = jnp.einsum("k,kij->ij", step.error @ state.W_fb, M)
        return G, SparsePathsState(M, state.paths, state.W_fb)
