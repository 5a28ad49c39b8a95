"""RTRL: real-time recurrent learning, the exact gradient of each step's loss, computed forwards in time.

    M_kij^t = sum_l J_kl^t M_lij^{t-1} + delta_ki alpha D_i^t r_hat_j^t                                         (1)
    G_ij^t  = sum_k c_bar_k^t M_kij^t                                                                           (2)

State: the influence M (n, n, m), d r_k / d W_ij. Cost: n^2 m memory, n^3 m time. Exact (past-facing) for fixed weights; while
they learn, M still reflects the weights of earlier steps. For units of any kind, M (N, P, m) is d s_k / d W_ij, and ds'/dv
replaces delta_ki alpha D_i.

@article{williams1989learning, title={A learning algorithm for continually running fully recurrent neural networks},
  author={Williams, Ronald J and Zipser, David}, journal={Neural Computation}, volume={1}, number={2}, pages={270--280},
  year={1989}}
"""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.blocks.jacobian import AbstractJacobian, ExactJacobian
from recredit.network import RNN
from recredit.network.unitwise import influence
from recredit.rule import AbstractRule, Step


class RTRLState(eqx.Module):
    """The influence tensor, and the blocks' arrays."""

    M: Float[Array, "N P m"]
    jacobian: Any
    feedback: Any


class RTRL(AbstractRule):
    """The full influence of every weight on every unit, carried forward in time: exact, past-facing."""

    jacobian: AbstractJacobian = ExactJacobian()
    """How the rule obtains the network's Jacobian; by default the exact matrix, as in the paper."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""
    published_alpha_bug: bool = False
    """Leave alpha out of the immediate influence, as the published program did but the paper's equations do not."""

    def init(self, net: RNN, key: PRNGKeyArray) -> RTRLState:
        M = jnp.zeros((net.n_state, *net.W.shape), net.W.dtype)
        k_jacobian, k_feedback = jax.random.split(key)
        return RTRLState(M, self.jacobian.init(net, k_jacobian), self.feedback.init(net, k_feedback))

    def update(self, net: RNN, step: Step, state: RTRLState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], RTRLState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        jacobian = self.jacobian.learn(net, step, state.jacobian)
        at = step.at(net)
        immediate = influence(net.gain(at, with_alpha=not self.published_alpha_bug), step.r_hat)
        M = self.jacobian.forward(net, at, jacobian, state.M) + immediate  # (1)
        return jnp.tensordot(c_bar, M, axes=1), RTRLState(M, jacobian, feedback)  # (2)

    def restart(self, net: RNN, state: RTRLState) -> tuple[Float[Array, "P m"], RTRLState]:
        return jnp.zeros_like(net.W), replace(state, M=jnp.zeros_like(state.M))
