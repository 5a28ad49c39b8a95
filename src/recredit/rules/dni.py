"""DNI: decoupled neural interfaces, a learned linear prediction of the credit (a synthetic gradient).

    u      = A_frozen r_tilde^t,   r_tilde^t = [r^t; y*^t; 1]                                                   (1)
    c*     = c_bar^{t-1} + u J^t    (with `squash`: c_bar^{t-1} + phi(u) J^t)                                   (2)
    A      <- A - rate (A r_tilde^{t-1} - c*) r_tilde^{t-1}^T                                                   (3)
    A_frozen <- A at every `refresh`-th step                                                                    (4)
    G_ij^t = (A r_tilde^t)_i alpha D_i^t r_hat_j^t                                                              (5)

It predicts c^t = d(sum_{s>=t} L^s) / d r^t, the future-facing credit, and bootstraps the label of step t-1 at step t. State:
A, A_frozen (n, n_out + n + 1) and the last step's c_bar (n,), r (n,) and y* (n_out,). For units of any kind, the state s
replaces r, and ds'/dv replaces alpha D. Cost: 2n(n + n_out + 1) memory, O(n^2) time. Biased by the bootstrap and because the
prediction is linear. Table 1 prints (3) without the factor r_tilde, and no frozen copy (`refresh` = 1); the published program
refreshes it every 5 steps.

@inproceedings{jaderberg2017decoupled, title={Decoupled neural interfaces using synthetic gradients},
  author={Jaderberg, Max and Czarnecki, Wojciech Marian and Osindero, Simon and Vinyals, Oriol and Graves, Alex and Silver,
  David and Kavukcuoglu, Koray}, booktitle={ICML}, year={2017}}
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
from recredit.errors import check_count, check_range
from recredit.network import RNN
from recredit.network.unitwise import row_times
from recredit.rule import AbstractRule, Clock, Step


class DNIState(eqx.Module):
    """The synthetic-gradient matrix and its frozen copy, what the last step left behind, and the blocks' arrays."""

    A: Float[Array, "N k"]
    A_frozen: Float[Array, "N k"]
    c_bar_prev: Float[Array, " N"]
    target_prev: Float[Array, " n_out"]
    clock: Clock
    jacobian: Any
    feedback: Any
    state_last: Float[Array, " N"]
    E: Any = None
    """What remains of A's eligibility trace from earlier steps, if it has one."""


class DNI(AbstractRule):
    """A linear prediction of future credit from rates and label, learned by bootstrapping."""

    rate: float = eqx.field(default=1e-3, converter=partial(check_range, "DNI's rate", least=0))
    """Learning rate of A; the published program's 1e-3."""
    refresh: int = eqx.field(default=1, converter=partial(check_count, "DNI's refresh"))
    """Steps between copies of A to A_frozen; 1, since the paper has no frozen copy (the published program: 5)."""
    squash: bool = False
    """Send phi(u) in place of u through the Jacobian, so that only firing rates pass through synapses (DNI(b))."""
    jacobian: AbstractJacobian = ExactJacobian()
    """How the rule obtains the network's Jacobian; by default the exact matrix, as in the paper."""
    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> DNIState:
        k_A, k_jacobian, k_feedback = jax.random.split(key, 3)
        size = net.n_state + net.n_out + 1
        A = jax.random.normal(k_A, (net.n_state, size), net.W.dtype) / size**0.5
        c_bar, target = jnp.zeros_like(A[:, 0]), jnp.zeros_like(net.b_out)
        jacobian, feedback = self.jacobian.init(net, k_jacobian), self.feedback.init(net, k_feedback)
        return DNIState(A, A, c_bar, target, Clock.at_zero(), jacobian, feedback, c_bar)

    def update(self, net: RNN, step: Step, state: DNIState, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], DNIState]:
        at, one = step.at(net), jnp.ones(1, step.r.dtype)
        target_prev = jnp.where(state.clock.steps == 0, step.target, state.target_prev)  # before the first label: that label
        r_tilde_prev = jnp.concatenate([step.state_prev, target_prev, one])
        r_tilde = jnp.concatenate([step.state, step.target, one])
        jacobian = self.jacobian.learn(net, step, state.jacobian)

        u = state.A_frozen @ r_tilde  # (1)
        sent = net.phi(u) if self.squash else u
        label = state.c_bar_prev + self.jacobian.backward(net, at, jacobian, sent)  # (2)
        eligibility = self.eligibility(net, state, r_tilde_prev)
        A = self.corrected(state.A, state.A @ r_tilde_prev - label, eligibility)  # (3)
        clock = state.clock.tick()
        A_frozen = jnp.where(clock.steps % self.refresh == 0, A, state.A_frozen)  # (4)
        G = jnp.outer(row_times(A @ r_tilde, net.gain(at)), step.r_hat)  # (5)
        c_bar = self.feedback(net, step, state.feedback)
        feedback = self.feedback.learn(net, step, state.feedback, key)
        E = self.carried(net, at, jacobian, eligibility)
        return G, DNIState(A, A_frozen, c_bar, step.target, clock, jacobian, feedback, step.state, E)

    def eligibility(self, net: RNN, state: DNIState, r_tilde_prev: Float[Array, " k"]) -> Any:
        """How A's entries change for an error of 1 in the credit of the last step's state."""
        return r_tilde_prev

    def corrected(self, A: Float[Array, "N k"], error: Float[Array, " N"], eligibility: Any) -> Float[Array, "N k"]:
        """A, corrected for an error in the credit of the last step's state."""
        return A - self.rate * jnp.outer(error, eligibility)

    def carried(self, net: RNN, at: Any, jacobian: Any, eligibility: Any) -> Any:
        """The part of the eligibility that carries over to the next step."""
        return None

    def check_network(self, net: RNN) -> None:
        units = net.units
        if self.squash and not hasattr(units, "activation"):
            raise ValueError(
                f"{type(self).__name__} with squash sends phi of the credit, and {type(units).__name__} units have no "
                "activation function phi."
            )

    def restart(self, net: RNN, state: DNIState) -> tuple[Float[Array, "P m"], DNIState]:
        """A learns that no credit comes after a trial's last step: the label there is c_bar alone."""
        r_tilde = jnp.concatenate([state.state_last, state.target_prev, jnp.ones(1, net.W.dtype)])
        A = self.corrected(state.A, state.A @ r_tilde - state.c_bar_prev, self.eligibility(net, state, r_tilde))  # (3)
        A = jnp.where(state.clock.steps == 0, state.A, A)  # before the first trial none has ended
        zero = {name: jnp.zeros_like(getattr(state, name)) for name in ("c_bar_prev", "target_prev")}
        return jnp.zeros_like(net.W), replace(state, A=A, E=jax.tree.map(jnp.zeros_like, state.E), **zero)
