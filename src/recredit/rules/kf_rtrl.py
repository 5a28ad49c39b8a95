"""KF-RTRL: a Kronecker-factored estimate of the influence.

    nu_0^t, nu_1^t in {-1, +1}, independent;  F = J^t B^{t-1}                                                   (1)
    rho_0  = sqrt(|F| / |A^{t-1}|),  rho_1 = sqrt(|alpha diag(D^t)| / |r_hat^t|)                                (2)
    A_j^t  = nu_0 rho_0 A_j^{t-1} + nu_1 rho_1 r_hat_j^t                                                        (3)
    B_ki^t = nu_0 F_ki / rho_0 + nu_1 delta_ki alpha D_i^t / rho_1                                              (4)
    G_ij^t = (sum_k c_bar_k B_ki) A_j                                                                           (5)

The influence M_kij ~ A_j B_ki (Table 1 prints A_i and r_hat_i). State: A (m,), B (n, n). Cost: m + n^2 memory, n^3 time.
For units of any kind, B is (N, P), and ds'/dv replaces alpha diag(D). Unbiased for fixed weights; the immediate influence alone
is exact for every draw. With several independent draws, each with its own factors, G is their mean (KF-RTRL-AVG): k draws take
k times the memory and time, and divide the variance by k.

@inproceedings{mujika2018approximating, title={Approximating real-time recurrent learning with random {Kronecker} factors},
  author={Mujika, Asier and Meier, Florian and Steger, Angelika}, booktitle={NeurIPS}, year={2018}}
"""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.balance import balance
from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.blocks.jacobian import AbstractJacobian, ExactJacobian
from recredit.errors import check_count
from recredit.network import RNN
from recredit.network.unitwise import matrix
from recredit.rule import AbstractRule, Step


class KFRTRLState(eqx.Module):
    """The two factors of the influence, for each draw if there are several, and the blocks' arrays."""

    A: Float[Array, "*draws m"]
    B: Float[Array, "*draws N P"]
    jacobian: Any
    feedback: Any


class KFRTRL(AbstractRule):
    """A Kronecker-factored estimate of the influence, unbiased thanks to two random signs per step."""

    draws: int = eqx.field(default=1, converter=partial(check_count, "the number of draws"))
    """Number of independent estimates that are averaged; 1, the paper's."""
    jacobian: AbstractJacobian = ExactJacobian()
    """How the rule obtains the network's Jacobian; by default the exact matrix, as in the paper."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""
    published_alpha_bug: bool = False
    """Leave alpha out of the immediate influence, as the published program did but the paper's equations do not."""

    def init(self, net: RNN, key: PRNGKeyArray) -> KFRTRLState:
        P, m = net.W.shape
        k_A, k_B, k_jacobian, k_feedback = jax.random.split(key, 4)
        A = jax.random.normal(k_A, (*self._several, m), net.W.dtype)
        B = jax.random.normal(k_B, (*self._several, net.n_state, P), net.W.dtype)
        return KFRTRLState(A, B, self.jacobian.init(net, k_jacobian), self.feedback.init(net, k_feedback))

    def update(self, net: RNN, step: Step, state: KFRTRLState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], KFRTRLState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        jacobian = self.jacobian.learn(net, step, state.jacobian)
        at = step.at(net)
        gain = net.gain(at, with_alpha=not self.published_alpha_bug)

        def advance(A, B, nu):
            F = self.jacobian.forward(net, at, jacobian, B)  # (1)
            rho_0, rho_1 = balance(F, A), balance(gain, step.r_hat)  # (2)
            A = nu[0] * rho_0 * A + nu[1] * rho_1 * step.r_hat  # (3)
            return A, nu[0] * F / rho_0 + nu[1] * matrix(gain) / rho_1  # (4)

        nu = jax.random.rademacher(key, (*self._several, 2), net.W.dtype)
        A, B = (jax.vmap(advance) if self._several else advance)(state.A, state.B, nu)
        G = (c_bar @ B).T @ A / self.draws if self._several else jnp.outer(c_bar @ B, A)  # (5)
        return G, KFRTRLState(A, B, jacobian, feedback)

    @property
    def _several(self) -> tuple:
        """The leading axis, for the draws; none if there is only one."""
        return () if self.draws == 1 else (self.draws,)

    def restart(self, net: RNN, state: KFRTRLState) -> tuple[Float[Array, "P m"], KFRTRLState]:
        return jnp.zeros_like(net.W), replace(state, A=jnp.zeros_like(state.A), B=jnp.zeros_like(state.B))
