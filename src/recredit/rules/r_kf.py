"""R-KF: reverse Kronecker factors, an estimate of the influence with the random factor at the synapse's target.

    nu^t   in {-1, +1}^n, independent;  F = J^t B^{t-1};  P_kj = nu_k alpha D_k^t r_hat_j^t                     (1)
    rho_0  = sqrt(|F| / |A^{t-1}|),  rho_1 = sqrt(|P| / |nu|)                                                   (2)
    A_i^t  = rho_0 A_i^{t-1} + rho_1 nu_i,   B_kj^t = F_kj / rho_0 + P_kj / rho_1                               (3)
    G_ij^t = A_i (sum_k c_bar_k B_kj)                                                                           (4)

The influence M_kij ~ A_i B_kj. State: A (n,), B (n, m). Cost: n + nm memory, n^2 m time. Unbiased for fixed weights. For units
of any kind, A is (P,), B is (N, m), and ds'/dv nu replaces nu alpha D. Table 1 prints B's noise term with a dangling index and
without alpha.

@article{marschall2020unified, title={A unified framework of online learning algorithms for training recurrent neural
  networks}, author={Marschall, Owen and Cho, Kyunghyun and Savin, Cristina}, journal={JMLR}, volume={21}, year={2020}}
"""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.balance import balance
from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.blocks.jacobian import AbstractJacobian, ExactJacobian
from recredit.network import RNN
from recredit.network.unitwise import times_column
from recredit.rule import AbstractRule, Step


class RKFState(eqx.Module):
    """The two factors of the influence, and the blocks' arrays."""

    A: Float[Array, " P"]
    B: Float[Array, "N m"]
    jacobian: Any
    feedback: Any


class RKF(AbstractRule):
    """A reversed Kronecker-factored estimate of the influence, unbiased thanks to random signs."""

    jacobian: AbstractJacobian = ExactJacobian()
    """How the rule obtains the network's Jacobian; by default the exact matrix, as in the paper."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""
    published_alpha_bug: bool = False
    """Leave alpha out of the immediate influence, as the published program did but the paper's equations do not."""

    def init(self, net: RNN, key: PRNGKeyArray) -> RKFState:
        k_A, k_B, k_jacobian, k_feedback = jax.random.split(key, 4)
        A = jax.random.normal(k_A, net.W.shape[:1], net.W.dtype)
        B = jax.random.normal(k_B, (net.n_state, net.W.shape[1]), net.W.dtype)
        return RKFState(A, B, self.jacobian.init(net, k_jacobian), self.feedback.init(net, k_feedback))

    def update(self, net: RNN, step: Step, state: RKFState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], RKFState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        jacobian = self.jacobian.learn(net, step, state.jacobian)
        nu = jax.random.rademacher(key, net.W.shape[:1], net.W.dtype)
        at = step.at(net)
        F = self.jacobian.forward(net, at, jacobian, state.B)
        P = jnp.outer(times_column(net.gain(at, with_alpha=not self.published_alpha_bug), nu), step.r_hat)  # (1)
        rho_0, rho_1 = balance(F, state.A), balance(P, nu)  # (2)
        A, B = rho_0 * state.A + rho_1 * nu, F / rho_0 + P / rho_1  # (3)
        return jnp.outer(A, c_bar @ B), RKFState(A, B, jacobian, feedback)  # (4)

    def restart(self, net: RNN, state: RKFState) -> tuple[Float[Array, "P m"], RKFState]:
        return jnp.zeros_like(net.W), replace(state, A=jnp.zeros_like(state.A), B=jnp.zeros_like(state.B))
