"""UORO: unbiased online recurrent optimisation, a rank-one estimate of the influence.

    nu^t   in {-1, +1}^n, independent;  F = J^t A^{t-1};  P_ij = nu_i alpha D_i^t r_hat_j^t                     (1)
    rho_0  = sqrt(|B^{t-1}| / |F|),  rho_1 = sqrt(|P| / |nu|)                                                   (2)
    A_k^t  = rho_0 F_k + rho_1 nu_k,   B_ij^t = B_ij^{t-1} / rho_0 + P_ij / rho_1                               (3)
    G_ij^t = (sum_k c_bar_k A_k) B_ij                                                                           (4)

The influence M_kij ~ A_k B_ij. State: A (n,), B (n, m). Cost: n + nm memory, n^2 + O(nm) time. Unbiased for fixed weights. For
units of any kind, A is (N,), B is (P, m), and nu ds'/dv replaces nu alpha D. Table 1 prints B's noise term without alpha.

@article{tallec2017unbiased, title={Unbiased online recurrent optimization}, author={Tallec, Corentin and Ollivier, Yann},
  journal={arXiv:1702.05043}, year={2017}}
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
from recredit.network.unitwise import row_times
from recredit.rule import AbstractRule, Step


class UOROState(eqx.Module):
    """The two factors of the influence, and the blocks' arrays."""

    A: Float[Array, " N"]
    B: Float[Array, "P m"]
    jacobian: Any
    feedback: Any


class UORO(AbstractRule):
    """A rank-one estimate of the influence, unbiased thanks to random signs."""

    jacobian: AbstractJacobian = ExactJacobian()
    """How the rule obtains the network's Jacobian; by default the exact matrix, as in the paper."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""
    published_alpha_bug: bool = False
    """Leave alpha out of the immediate influence, as the published program did but the paper's equations do not."""

    def init(self, net: RNN, key: PRNGKeyArray) -> UOROState:
        k_A, k_B, k_jacobian, k_feedback = jax.random.split(key, 4)
        A = jax.random.normal(k_A, (net.n_state,), net.W.dtype)
        B = jax.random.normal(k_B, net.W.shape, net.W.dtype)
        return UOROState(A, B, self.jacobian.init(net, k_jacobian), self.feedback.init(net, k_feedback))

    def update(self, net: RNN, step: Step, state: UOROState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], UOROState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        jacobian = self.jacobian.learn(net, step, state.jacobian)
        nu = jax.random.rademacher(key, (net.n_state,), net.W.dtype)
        at = step.at(net)
        F = self.jacobian.forward(net, at, jacobian, state.A)
        P = jnp.outer(row_times(nu, net.gain(at, with_alpha=not self.published_alpha_bug)), step.r_hat)  # (1)
        rho_0, rho_1 = balance(state.B, F), balance(P, nu)  # (2)
        A, B = rho_0 * F + rho_1 * nu, state.B / rho_0 + P / rho_1  # (3)
        return (c_bar @ A) * B, UOROState(A, B, jacobian, feedback)  # (4)

    def restart(self, net: RNN, state: UOROState) -> tuple[Float[Array, "P m"], UOROState]:
        return jnp.zeros_like(net.W), replace(state, A=jnp.zeros_like(state.A), B=jnp.zeros_like(state.B))
