"""KeRNL: kernel RNN learning, an eligibility trace per synapse and a learned sensitivity between units.

    kappa_i = max(0, 1 - a_i)                                                                                   (1)
    zeta^t ~ N(0, sigma^2 I);  r_tilde^t = f_W(r_tilde^{t-1}, x^t) + zeta^t    (the perturbed copy)             (2)
    Gamma^t = kappa Gamma^{t-1} - Omega^{t-1};  Omega^t = kappa Omega^{t-1} + zeta^t    (Gamma = dOmega/da)     (3)
    B_ij^t = kappa_i B_ij^{t-1} + alpha D_i^t r_hat_j^t                                                         (4)
    e = A Omega - (r_tilde - r);  A <- A - eta e Omega^T;  a_i <- a_i - eta (e A)_i Gamma_i                     (5)
    G_ij^t = (sum_k c_bar_k A_ki) B_ij                                                                          (6)

The influence M_kij ~ A_ki B_ij, with d r_k^t / d r_i^s ~ A_ki kappa_i^{t-s}. State: A (n, n), B (n, m), and a, Omega, Gamma,
r_tilde (n,). Cost: n^2 + nm + 4n memory, about 3n^2 + 3nm time with the second forward pass. Biased. The noise is injected
after the step and traced at once, so that A = I is the fixed point for J = kappa I; the published program's order moves it to
kappa^2 / (1 - kappa). Table 1 prints a_i in place of alpha in (4).

The copy has the network's own noise and starts from the network's state. If the network is chaotic, the copy drifts away from
it, and A learns from differences that are not small. The published program could therefore restart the copy at every `reset`-th
step, which the paper's runs did not use:

    r_tilde <- r^{t-1};  Omega, Gamma, B <- 0   before (2)                                                      (7)

@inproceedings{roth2019kernel, title={Kernel {RNN} learning ({KeRNL})},
  author={Roth, Christopher and Kanitscheider, Ingmar and Fiete, Ila}, booktitle={ICLR}, year={2019}}
"""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.errors import check_optional_count, check_range
from recredit.network import RNN
from recredit.rule import AbstractRule, Clock, Step, check_simple


class KeRNLState(eqx.Module):
    """Sensitivity, traces, learned time scales, the noise's traces, the perturbed copy, and the feedback's arrays."""

    A: Float[Array, "n n"]
    B: Float[Array, "n m"]
    a: Float[Array, " n"]
    Omega: Float[Array, " n"]
    Gamma: Float[Array, " n"]
    r_tilde: Float[Array, " n"]
    clock: Clock
    feedback: Any


class KeRNL(AbstractRule):
    """Eligibility traces with learned time scales, and a sensitivity matrix learned from a perturbed copy of the network."""

    rate: float = eqx.field(default=5e-6, converter=partial(check_range, "KeRNL's rate", least=0))
    """eta sigma^2, the learning rate in units of the noise's variance; the published 5 x (1e-3)^2."""
    sigma: float = eqx.field(default=1e-3, converter=partial(check_range, "KeRNL's sigma", above=0))
    """Standard deviation of the noise that perturbs the copy's firing rates; the published program's."""
    inverse_timescale: float = eqx.field(
        default=0.8, converter=partial(check_range, "KeRNL's inverse_timescale", least=0, most=1)
    )
    """The initial a of every unit, per step: a trace keeps a fraction 1 - a at each step. The published program's."""
    reset: int | None = eqx.field(default=None, converter=partial(check_optional_count, "KeRNL's reset"))
    """Network steps after which the copy restarts from the network, and its traces from 0; None: never, as in the paper."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> KeRNLState:
        zero = jnp.zeros(net.n, net.W.dtype)
        return KeRNLState(
            A=jnp.eye(net.n, dtype=net.W.dtype),
            B=jnp.zeros_like(net.W),
            a=zero + self.inverse_timescale,
            Omega=zero,
            Gamma=zero,
            r_tilde=zero,
            clock=Clock.at_zero(),
            feedback=self.feedback.init(net, key),
        )

    def update(self, net: RNN, step: Step, state: KeRNLState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], KeRNLState]:
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        anew = state.clock.steps % self.reset == 0 if self.reset else state.clock.steps == 0
        r_tilde, B, Omega, Gamma = jnp.where(anew, step.state_prev, state.r_tilde), state.B, state.Omega, state.Gamma
        if self.reset:
            B, Omega, Gamma = (jnp.where(anew, 0, trace) for trace in (B, Omega, Gamma))  # (7)
        A, kappa, eta = state.A, jnp.maximum(0, 1 - state.a), self.rate / self.sigma**2  # (1)
        zeta = self.sigma * jax.random.normal(key, (net.n,), net.W.dtype)
        r_tilde = net.step(r_tilde, step.r_hat[net.n : -1], step.xi)[2] + zeta  # (2)
        Gamma, Omega = kappa * Gamma - Omega, kappa * Omega + zeta  # (3)
        B = kappa[:, None] * B + jnp.outer(net.gain(step.at(net)), step.r_hat)  # (4)
        e = A @ Omega - (r_tilde - step.state)
        A, a = A - eta * jnp.outer(e, Omega), state.a - eta * (e @ A) * Gamma  # (5)
        G = (c_bar @ A)[:, None] * B  # (6)
        return G, KeRNLState(A, B, a, Omega, Gamma, r_tilde, state.clock.tick(), feedback)

    def restart(self, net: RNN, state: KeRNLState) -> tuple[Float[Array, "P m"], KeRNLState]:
        zero = jnp.zeros_like(state.Omega)
        after = replace(state, B=jnp.zeros_like(state.B), Omega=zero, Gamma=zero, r_tilde=net.rest())
        return jnp.zeros_like(net.W), after

    def check_network(self, net: RNN) -> None:
        check_simple(self, net)
