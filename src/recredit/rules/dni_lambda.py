"""BP(lambda): DNI that learns to predict the credit from lambda-returns, with an eligibility trace, as in TD(lambda).

    delta  = c_bar^{t-1} + (A r_tilde^t) J^t - A r_tilde^{t-1},   r_tilde^t = [r^t; y*^t; 1]                    (1)
    E_lki^{t-1} = lam sum_k' J_kk'^{t-1} E_lk'i^{t-2} + delta_ki r_tilde_l^{t-1}                                (2)
    A_il   <- A_il + rate sum_k delta_k E_lki^{t-1}                                                             (3)
    G_ij^t = (A r_tilde^t)_i alpha D_i^t r_hat_j^t                                                              (4)

With lam = 0 it is DNI. With lam = 1 the errors of an episode telescope: for a fixed A their sum regresses A r_tilde^s on the
true credit of all that follows, d(sum_{t>=s} L^t) / d r^s, without any bootstrap. E is as large as RTRL's influence.
`trace="local"` replaces J by the units' own memory; on leaky units

    E_lki = delta_ki e_l,   e_l^{t-1} = lam (1 - alpha) e_l^{t-2} + r_tilde_l^{t-1}                             (2')

State: DNI's, and E (n, n, n_out + n + 1), or (n, n_out + n + 1) if the trace is local. Cost: n^4 time, or O(n^2) if it is
local. For units of any kind, the state s replaces r, ds'/dv replaces alpha D and, in the local trace, ds'/ds replaces 1 -
alpha. In the paper, A predicts only the credit of later losses, only from rates, and starts from zero; here all of this is as
in DNI.

@article{pemberton2024bp, title={{BP}(lambda): Online learning via synthetic gradients}, author={Pemberton, Joseph and Costa,
  Rui Ponte}, journal={Transactions on Machine Learning Research}, year={2024}}
"""

from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.errors import check_range
from recredit.network import RNN
from recredit.network.unitwise import row_times_trace, times_trace
from recredit.rules.dni import DNI, DNIState


class DNILambda(DNI):
    """DNI with an eligibility trace: it learns to predict the credit from lambda-returns."""

    lam: float = eqx.field(default=0.9, converter=partial(check_range, "DNILambda's lam", least=0, most=1))
    """lambda: 0 bootstraps at each step, as DNI does; 1 learns from the true credit of the steps that follow; 0.9 looks about
    ten of them ahead."""
    trace: Literal["exact", "local"] = "exact"
    """What carries errors to earlier steps: "exact", the Jacobian, as in the paper; "local", only the units' own memory."""

    def init(self, net: RNN, key: PRNGKeyArray) -> DNIState:
        state = super().init(net, key)
        N, k = state.A.shape
        S = N // net.n
        own = (net.n, k) if net.units.is_simple else (S, S, net.n, k)
        return eqx.tree_at(
            lambda state: state.E,
            state,
            jnp.zeros((N, N, k) if self.trace == "exact" else own, state.A.dtype),
            is_leaf=lambda leaf: leaf is None,
        )

    def eligibility(self, net: RNN, state: DNIState, r_tilde_prev: Float[Array, " k"]) -> Float[Array, "..."]:
        eye = jnp.eye(net.n_state, dtype=r_tilde_prev.dtype)
        if self.trace == "local":
            S = net.n_state // net.n
            one = jnp.ones(net.n, eye.dtype)
            eye = one if net.units.is_simple else jnp.eye(S, dtype=eye.dtype)[:, :, None] * one
        return self.lam * state.E + eye[..., None] * r_tilde_prev[(None,) * eye.ndim]  # (2)

    def corrected(self, A: Float[Array, "N k"], error: Float[Array, " N"], eligibility: Any) -> Float[Array, "N k"]:
        change = jnp.tensordot(error, eligibility, axes=1) if self.trace == "exact" else row_times_trace(error, eligibility)
        return A - self.rate * change  # (3)

    def carried(self, net: RNN, at: Any, jacobian: Any, eligibility: Any) -> Any:
        if self.trace == "local":
            return times_trace(net.memory(at), eligibility)
        return self.jacobian.forward(net, at, jacobian, eligibility)
