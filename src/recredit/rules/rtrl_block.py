"""RTRL in blocks: RTRL's gradient at every step, with the influence brought up to date only at every T-th step.

Let t0 be the last step of the previous block, s run from t back to t0, and M^t be the influence on r^t of the weights at all
steps before t, which is RTRL's own M^t without the step's immediate influence. Then

    q^t = c_bar^t;   q^{s-1} = q^s J^s                                                                          (1)
    G^t_ij  = sum_s q_i^s alpha D_i^s r_hat_j^s + sum_k q_k^{t0} M_kij^{t0}                                     (2)
    M_kij^t = sum_l Q_kl^{t0} M_lij^{t0} + sum_{s < t} Q_ki^s alpha D_i^s r_hat_j^s   at the block's end,
              Q^s = J^t J^{t-1} ... J^{s+1}                                                                     (3)

A faster form of `rtrl`, equal to it at every step, even while the weights learn: each J is kept as it was at its own step.
M is kept as a matrix (n, n m), so that (2) reads it as it is stored, in one vector-matrix product per step, and (3) is a matrix
product; the products Q take the place of the block's J. State: M (n, n m), the block's J (T, n, n), and alpha D (T, n) and
r_hat (T, m) of the step before each of its steps. Cost: n^2 m + T n^2 memory; n^2 m (2 + n / T) + n^3 + T n (n + m) time, where
RTRL takes n^3 m.

@article{schmidhuber1992fixed, title={A fixed size storage {O(n^3)} time complexity learning algorithm for fully recurrent
  continually running networks}, author={Schmidhuber, J{\\"u}rgen}, journal={Neural Computation}, volume={4}, number={2},
  pages={243--248}, year={1992}}
"""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from recredit.blocks.buffers import put
from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.errors import check_optional_count
from recredit.network import RNN
from recredit.rule import AbstractRule, Clock, Step, check_simple

CHUNK = 4_000_000  # bytes of M that are advanced at once, so that the advance needs little memory of its own
LINE = 16  # as many units at once, if n allows, as fill a cache line: their columns of J are read across its rows


class RTRLBlockState(eqx.Module):
    """The influence at the block's start, what the block's steps left behind (oldest first), and the feedback's arrays."""

    M: Float[Array, "n nm"]
    J: Float[Array, "T n n"]
    gain: Float[Array, "T n"]
    r_hat: Float[Array, "T m"]
    clock: Clock
    feedback: Any


class RTRLBlock(AbstractRule):
    """RTRL's exact gradient in a fraction of the time: the influence advances every `block` steps (None: n / 4, 16 or more)."""

    block: int | None = eqx.field(default=None, converter=partial(check_optional_count, "RTRL's block"))
    """Steps between two updates of M; None: n / 4, at least 16, which is close to the fastest for n = 32 to 512."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""
    published_alpha_bug: bool = False
    """Leave alpha out of the immediate influence, as the published program did but the paper's equations do not."""

    def init(self, net: RNN, key: PRNGKeyArray) -> RTRLBlockState:
        n, m = net.W.shape
        T = self.block or max(16, n // 4)  # measured: close to the fastest for n = 32 to 512
        M, J, gain, r_hat = (jnp.zeros(shape, net.W.dtype) for shape in ((n, n * m), (T, n, n), (T, n), (T, m)))
        return RTRLBlockState(M, J, gain, r_hat, Clock.at_zero(), self.feedback.init(net, key))

    def update(
        self, net: RNN, step: Step, state: RTRLBlockState, key: PRNGKeyArray
    ) -> tuple[Float[Array, "P m"], RTRLBlockState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        at = step.at(net)
        gain = net.gain(at, with_alpha=not self.published_alpha_bug)
        T = len(state.J)
        now = state.clock.steps % T
        J = put(state.J, now, net.jacobian(at))

        def backpropagate(k, carry):
            q, credit = carry
            q = q @ J[now - k]
            return q, put(credit, now - k, q)

        q, credit = lax.fori_loop(0, now + 1, backpropagate, (c_bar, jnp.zeros_like(state.gain)))  # (1)
        within = jnp.outer(c_bar * gain, step.r_hat) + (credit * state.gain).T @ state.r_hat
        G = within + (q @ state.M).reshape(net.W.shape)  # (2)
        M, J, G = _advance(state, J, G, now == T - 1)
        later = (now + 1) % T
        gain, r_hat = put(state.gain, later, gain), put(state.r_hat, later, step.r_hat)
        return G, RTRLBlockState(M, J, gain, r_hat, state.clock.tick(), feedback)

    def restart(self, net: RNN, state: RTRLBlockState) -> tuple[Float[Array, "P m"], RTRLBlockState]:
        M, gain, r_hat = map(jnp.zeros_like, (state.M, state.gain, state.r_hat))
        return jnp.zeros_like(net.W), replace(state, M=M, gain=gain, r_hat=r_hat)

    def check_network(self, net: RNN) -> None:
        check_simple(self, net)


def _advance(
    state: RTRLBlockState, J: Float[Array, "T n n"], G: Float[Array, "n m"], at_end: Bool[Array, ""]
) -> tuple[Float[Array, "n nm"], Float[Array, "T n n"], Float[Array, "n m"]]:
    """(3) in place, if the block is at its end. Returns M, the array of J, which is then of no further use, and G.

    A loop without iterations leaves the large M and J in place, where a conditional would copy them. G goes through the loops,
    so that everything that computes it from M and J is done before these change; the barriers keep the compiler from taking it
    out again, and from doing at every step the work that does not need M.
    """
    (T, n, _), M = J.shape, state.M

    def multiply(k, carry):
        (Q, G), J, s = lax.optimization_barrier(carry[:2]), carry[2], T - 1 - k
        Q = Q @ J[s]
        return Q, G, put(J, s, Q * state.gain[s][None])

    Q, G, J = lax.fori_loop(0, jnp.where(at_end, T, 0), multiply, (jnp.eye(n, dtype=M.dtype), G, J))
    columns = M.shape[1] // n
    most = min(n, max(LINE, CHUNK // (n * columns * M.dtype.itemsize)))
    units = max(units for units in range(1, most + 1) if n % units == 0)

    def advance_units(k, carry):
        """The columns of the k-th group of target units i."""
        (M, G), (Q, J, r_hat) = lax.optimization_barrier((carry, block))
        first, width = k * units, units * columns
        before = lax.dynamic_slice_in_dim(M, first * columns, width, axis=1)
        credit = lax.dynamic_slice_in_dim(J, first, units, axis=2)
        # The barrier: XLA runs the sum of two products far slower when it fuses them.
        old, new = lax.optimization_barrier((Q @ before, jnp.einsum("ski,sj->kij", credit, r_hat).reshape(n, width)))
        return lax.dynamic_update_slice_in_dim(M, old + new, first * columns, axis=1), G

    block = Q, J, state.r_hat
    M, G = lax.fori_loop(0, jnp.where(at_end, n // units, 0), advance_units, (M, G))
    return M, J, G
