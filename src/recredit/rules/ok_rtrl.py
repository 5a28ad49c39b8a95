"""OK-RTRL: an optimal Kronecker-sum estimate of the influence, of rank r.

Carried forward by a step, and with the immediate influence added, a sum of r terms has r + 1 terms, side by side in the columns
of A' and B':

    A' = [A^{t-1}, r_hat^t],   B' = [J^t B^{t-1}, alpha diag(D^t)]                                              (1)
    A' = Q_A R_A,  B' = Q_B R_B  (orthonormal columns),   R_A R_B^T = U diag(sigma) V^T                         (2)
    A^t = Q_A U X,   B^t = Q_B V X,   X (r + 1, r) drawn so that E[X X^T] = diag(sigma)                         (3)
    G_ij^t = sum_l (sum_k c_bar_k B_kil) A_jl                                                                   (4)

With sigma in descending order, s_m = sum_{i>m} sigma_i, and m the smallest number for which sigma_{m+1} (r - m) <= s_m, X keeps
the first m values as they are and mixes the others, with independent nu in {-1, +1}^{r+1}:

    z_i  = sqrt(1 - sigma_i (r - m) / s_m) for i > m, 0 for i <= m;   Z: orthonormal columns, all orthogonal to z        (5)
    X_il = nu_i Z_il sqrt(sigma_i) for i <= m,   nu_i Z_il sqrt(s_m / (r - m)) for i > m                        (6)

The influence M_kij ~ sum_l A_jl B_kil. State: A (m, r), B (n, n, r). Cost: r (m + n^2) memory, r n^3 + r^2 n^2 time. For units
of any kind, B is (N, P, r), and ds'/dv replaces alpha diag(D). Unbiased for fixed weights, with the least variance at each step
of all unbiased sums of r terms; exact for the first r steps. If several such rules learn at once in a program of your own, set
the environment variable NPROC=1 before JAX starts, as recredit's workers do: `reduced` says why.

@article{benzing2019optimal, title={Optimal {Kronecker}-Sum Approximation of Real Time Recurrent Learning},
  author={Benzing, Frederik and Gauy, Marcelo Matheus and Mujika, Asier and Martinsson, Anders and Steger, Angelika},
  journal={arXiv:1902.03993}, year={2019}}
"""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.blocks.jacobian import AbstractJacobian, ExactJacobian
from recredit.errors import check_count
from recredit.network import RNN
from recredit.network.unitwise import matrix
from recredit.rule import AbstractRule, Step


class OKRTRLState(eqx.Module):
    """The two factors of the influence, and the blocks' arrays."""

    A: Float[Array, "m r"]
    B: Float[Array, "N P r"]
    jacobian: Any
    feedback: Any


class OKRTRL(AbstractRule):
    """The Kronecker-sum estimate of the influence with the least variance, unbiased thanks to r + 1 random signs per step."""

    rank: int = eqx.field(default=4, converter=partial(check_count, "the rank"))
    """r, the number of terms; more terms take more memory and time, and reduce the noise."""
    jacobian: AbstractJacobian = ExactJacobian()
    """How the rule obtains the network's Jacobian; by default the exact matrix, as in the paper."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> OKRTRLState:
        P, m = net.W.shape
        k_jacobian, k_feedback = jax.random.split(key)
        A, B = (jnp.zeros((*shape, self.rank), net.W.dtype) for shape in ((m,), (net.n_state, P)))
        return OKRTRLState(A, B, self.jacobian.init(net, k_jacobian), self.feedback.init(net, k_feedback))

    def update(self, net: RNN, step: Step, state: OKRTRLState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], OKRTRLState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        jacobian = self.jacobian.learn(net, step, state.jacobian)
        at = step.at(net)
        F = self.jacobian.forward(net, at, jacobian, state.B)
        A = jnp.concatenate([state.A, step.r_hat[:, None]], axis=1)
        B = jnp.concatenate([F, matrix(net.gain(at))[..., None]], axis=2)  # (1)
        nu = jax.random.rademacher(key, (self.rank + 1,), net.W.dtype)
        A, flat = reduced(A, B.reshape(-1, self.rank + 1), nu)
        B = flat.reshape(state.B.shape)
        return jnp.tensordot(c_bar, B, axes=1) @ A.T, OKRTRLState(A, B, jacobian, feedback)  # (4)

    def restart(self, net: RNN, state: OKRTRLState) -> tuple[Float[Array, "P m"], OKRTRLState]:
        return jnp.zeros_like(net.W), replace(state, A=jnp.zeros_like(state.A), B=jnp.zeros_like(state.B))


def reduced(
    A: Float[Array, "a q"], B: Float[Array, "b q"], nu: Float[Array, " q"]
) -> tuple[Float[Array, "a r"], Float[Array, "b r"]]:
    """Factors with one column fewer, r = q - 1, whose product has the mean A B^T over all signs and the least variance."""
    Q_A, R_A = jnp.linalg.qr(A)
    # Under vmap, jaxlib's decompositions share a pool of NPROC threads, and two at once can deadlock: each depends on the last.
    Q_B, R_B = jnp.linalg.qr(B + 0 * Q_A[0, 0])
    U, sigma, Vt = jnp.linalg.svd(R_A @ R_B.T + 0 * Q_B[0, 0], full_matrices=False)  # (2)
    X = mixed(jnp.pad(sigma, (0, len(nu) - len(sigma))), nu)[: len(sigma)]
    return Q_A @ (U @ X), Q_B @ (Vt.T @ X)  # (3)


def mixed(sigma: Float[Array, " q"], nu: Float[Array, " q"]) -> Float[Array, "q r"]:
    """X of equations (5) and (6). Values that differ from 0 only by rounding are set to 0: their roots would not be small."""
    r, place, eye = len(sigma) - 1, jnp.arange(len(sigma)), jnp.eye(len(sigma), dtype=sigma.dtype)
    sigma = jnp.where(sigma > 10 * len(sigma) * jnp.finfo(sigma.dtype).eps * sigma[0], sigma, 0)
    s, fewer = jnp.cumsum(sigma[::-1])[::-1], jnp.arange(r, 0, -1, dtype=sigma.dtype)  # s_m and r - m, by m
    m = jnp.argmax(sigma[:r] * fewer <= s[:r])  # the first at which it holds; at m = r - 1 it does
    level = s[m] / fewer[m]
    z = jnp.sqrt(jnp.maximum(0, 1 - sigma / jnp.where(level > 0, level, 1)))
    w = jnp.where(place < m, 0, z) + eye[r]
    Z = (eye - 2 * jnp.outer(w, w) / (w @ w))[:, :r]  # (5): a reflection, whose last column is -z
    return (nu * jnp.sqrt(jnp.where(place < m, sigma, level)))[:, None] * Z  # (6)
