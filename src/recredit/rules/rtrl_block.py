"""RTRL in blocks: RTRL's gradient at every step, with the influence brought up to date at every T-th step only.

With t0 the last step of the block before, and s = t ... t0 + 1 (down in time),

    q^{t,t} = c_bar^t;   q^{t,s-1} = q^{t,s} J^s                                                                (1)
    G^t_ij  = sum_s q_i^{t,s} alpha D_i^s r_hat_j^s + sum_k q_k^{t,t0} M_kij^{t0}                               (2)
    M_kij^t = sum_l Q_kl^{t0} M_lij^{t0} + sum_s Q_ki^s alpha D_i^s r_hat_j^s   at the block's end,
              Q^s = J^t J^{t-1} ... J^{s+1}                                                                     (3)

A fast path of `rtrl`, equal to it at every step, also while the weights learn: each J is kept as it was at its own step.
State: M (n, n, m), and of the block J (T, n, n), alpha D (T, n) and r_hat (T, m). Cost: n^2 m + T n^2 memory;
n^2 m (2 + n / T) + n^3 + T n (n + m) time, for RTRL's n^3 m.

@article{schmidhuber1992fixed, title={A fixed size storage {O(n^3)} time complexity learning algorithm for fully recurrent
  continually running networks}, author={Schmidhuber, J{\"u}rgen}, journal={Neural Computation}, volume={4}, number={2},
  pages={243--248}, year={1992}}
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.errors import check_count
from recredit.feedback import AbstractFeedback, ExactFeedback
from recredit.network import LeakyRNN
from recredit.rule import AbstractRule, Clock, Step


class RTRLBlockState(eqx.Module):
    """The influence at the block's start, what the block's steps left behind (oldest first), and the feedback's arrays."""

    M: Float[Array, "n n m"]
    J: Float[Array, "T n n"]
    gain: Float[Array, "T n"]
    r_hat: Float[Array, "T m"]
    clock: Clock
    feedback: Any


class RTRLBlock(AbstractRule):
    """RTRL's exact gradient at a fraction of its time: the influence advances every `block` steps."""

    block: int = 16
    feedback: AbstractFeedback = ExactFeedback()
    published_alpha_bug: bool = False

    def __check_init__(self):
        check_count("RTRL's block", self.block)

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> RTRLBlockState:
        T, (n, m) = self.block, net.W.shape
        M, J, gain, r_hat = (jnp.zeros(shape, net.W.dtype) for shape in ((n, n, m), (T, n, n), (T, n), (T, m)))
        return RTRLBlockState(M, J, gain, r_hat, Clock.at_zero(), self.feedback.init(net, key))

    def update(
        self, net: LeakyRNN, step: Step, state: RTRLBlockState, key: PRNGKeyArray
    ) -> tuple[Float[Array, "n m"], RTRLBlockState]:
        c_bar = self.feedback(net, step, state.feedback)
        now = state.clock.steps % self.block
        J = state.J.at[now].set(net.jacobian(step.v))
        gain = state.gain.at[now].set(net.gain(step.v, with_alpha=not self.published_alpha_bug))
        r_hat = state.r_hat.at[now].set(step.r_hat)

        def backpropagate(k, carry):
            q, credit = carry
            s = now - k
            return q @ J[s], credit.at[s].set(q * gain[s])

        q, credit = jax.lax.fori_loop(0, now + 1, backpropagate, (c_bar, jnp.zeros_like(gain)))  # (1)
        G = credit.T @ r_hat + jnp.tensordot(q, state.M, axes=1)  # (2)

        def advance(_, carry):
            M, G, J, gain, r_hat = jax.lax.optimization_barrier((*carry, *block))
            Q = [jnp.eye(net.n, dtype=M.dtype)]
            for s in range(self.block - 1, -1, -1):
                Q.append(Q[-1] @ J[s])
            within = jnp.stack(Q[-2::-1]) * gain[:, None, :]
            return jnp.tensordot(Q[-1], M, axes=1) + jnp.einsum("ski,sj->kij", within, r_hat), G  # (3)

        # A loop of one round or none, entered with G in hand, leaves the large M in place where a conditional would copy it.
        # The barrier keeps the compiler from doing the round's work, most of which does not need M, at every step.
        block = (J, gain, r_hat)
        M, G = jax.lax.fori_loop(0, jnp.where(now == self.block - 1, 1, 0), advance, (state.M, G))
        return G, RTRLBlockState(M, J, gain, r_hat, state.clock.tick(), state.feedback)
