"""RTRL in blocks: RTRL's gradient at every step, with the influence brought up to date at every T-th step only.

With t0 the last step of the block before, and s = t ... t0 + 1 (down in time),

    q^{t,t} = c_bar^t;   q^{t,s-1} = q^{t,s} J^s                                                                (1)
    G^t_ij  = sum_s q_i^{t,s} alpha D_i^s r_hat_j^s + sum_k q_k^{t,t0} M_kij^{t0}                               (2)
    M_kij^t = sum_l Q_kl^{t0} M_lij^{t0} + sum_s Q_ki^s alpha D_i^s r_hat_j^s   at the block's end,
              Q^s = J^t J^{t-1} ... J^{s+1}                                                                     (3)

A fast path of `rtrl`, equal to it at every step, also while the weights learn: each J is kept as it was at its own step.
M is kept as a matrix (n, n m), so that (2) reads it as it lies, in one vector-matrix product a step, and (3) is a matrix
product. State: M (n, n m), and of the block J (T, n, n), alpha D (T, n) and r_hat (T, m). Cost: n^2 m + T n^2 memory;
n^2 m (2 + n / T) + n^3 + T n (n + m) time, for RTRL's n^3 m.

@article{schmidhuber1992fixed, title={A fixed size storage {O(n^3)} time complexity learning algorithm for fully recurrent
  continually running networks}, author={Schmidhuber, J{\"u}rgen}, journal={Neural Computation}, volume={4}, number={2},
  pages={243--248}, year={1992}}
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from recredit.errors import check_count
from recredit.feedback import AbstractFeedback, ExactFeedback
from recredit.network import LeakyRNN
from recredit.rule import AbstractRule, Clock, Step, put

CHUNK = 4_000_000  # bytes of M that are advanced at once, so that the advance needs little memory of its own


class RTRLBlockState(eqx.Module):
    """The influence at the block's start, what the block's steps left behind (oldest first), and the feedback's arrays."""

    M: Float[Array, "n nm"]
    J: Float[Array, "T n n"]
    gain: Float[Array, "T n"]
    r_hat: Float[Array, "T m"]
    clock: Clock
    feedback: Any


class RTRLBlock(AbstractRule):
    """RTRL's exact gradient in a fraction of its time: the influence advances every `block` steps (None: n / 4, 16 or more)."""

    block: int | None = None
    feedback: AbstractFeedback = ExactFeedback()
    published_alpha_bug: bool = False

    def __check_init__(self):
        if self.block is not None:
            check_count("RTRL's block", self.block)

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> RTRLBlockState:
        n, m = net.W.shape
        T = self.block or max(16, n // 4)  # measured: near the least time from n = 32 to 512
        M, J, gain, r_hat = (jnp.zeros(shape, net.W.dtype) for shape in ((n, n * m), (T, n, n), (T, n), (T, m)))
        return RTRLBlockState(M, J, gain, r_hat, Clock.at_zero(), self.feedback.init(net, key))

    def update(
        self, net: LeakyRNN, step: Step, state: RTRLBlockState, key: PRNGKeyArray
    ) -> tuple[Float[Array, "n m"], RTRLBlockState]:
        c_bar = self.feedback(net, step, state.feedback)
        T = len(state.J)
        now = state.clock.steps % T
        J = put(state.J, now, net.jacobian(step.v))
        gain = put(state.gain, now, net.gain(step.v, with_alpha=not self.published_alpha_bug))
        r_hat = put(state.r_hat, now, step.r_hat)

        def backpropagate(k, carry):
            q, credit = carry
            s = now - k
            return q @ J[s], put(credit, s, q)

        q, credit = lax.fori_loop(0, now + 1, backpropagate, (c_bar, jnp.zeros_like(gain)))  # (1)
        G = (credit * gain).T @ r_hat + (q @ state.M).reshape(net.W.shape)  # (2)

        def advance(_, carry):
            M, G, J, gain, r_hat = lax.optimization_barrier((*carry, *block))
            Q, within = lax.scan(lambda Q, at: (Q @ at[0], Q * at[1]), jnp.eye(net.n, dtype=M.dtype), (J, gain), reverse=True)
            units = _units_at_once(M)
            return lax.fori_loop(0, net.n // units, lambda k, M: _advance_units(M, Q, within, r_hat, k, units), M), G

        # A loop of one round or none, entered with G in hand, leaves the large M in place where a conditional would copy it.
        # The barrier keeps the compiler from doing the round's work, most of which does not need M, at every step.
        block = (J, gain, r_hat)
        M, G = lax.fori_loop(0, jnp.where(now == T - 1, 1, 0), advance, (state.M, G))
        return G, RTRLBlockState(M, J, gain, r_hat, state.clock.tick(), state.feedback)


def _units_at_once(M: Float[Array, "n nm"]) -> int:
    """The number of target units i whose columns of M are advanced at once: it divides n."""
    n, columns = M.shape
    most = max(1, CHUNK // (columns * M.dtype.itemsize))
    return max(units for units in range(1, min(n, most) + 1) if n % units == 0)


def _advance_units(
    M: Float[Array, "n nm"],
    Q: Float[Array, "n n"],
    within: Float[Array, "T n n"],
    r_hat: Float[Array, "T m"],
    k: Int[Array, ""],
    units: int,
) -> Float[Array, "n nm"]:
    """(3) for the k-th group of target units, in place."""
    first, width = k * units, units * r_hat.shape[1]
    before = lax.dynamic_slice_in_dim(M, k * width, width, axis=1)
    credit = lax.dynamic_slice_in_dim(within, first, units, axis=2)
    # The barrier: XLA runs the sum of two products far slower when it fuses them.
    old, new = lax.optimization_barrier((Q @ before, jnp.einsum("ski,sj->kij", credit, r_hat).reshape(len(M), width)))
    return lax.dynamic_update_slice_in_dim(M, old + new, k * width, axis=1)
