"""Building block: how a rule gets at the network's Jacobian J = (1 - alpha) I + alpha diag(D) W_rec."""

from abc import abstractmethod
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.errors import check_fields, check_range
from recredit.network import LeakyRNN
from recredit.rule import Step


class AbstractJacobian(eqx.Module):
    """Products with J, forwards (J a) and backwards (c J), at the voltages v of any one step."""

    def __check_init__(self):
        check_fields(self)

    @abstractmethod
    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> Any:
        """The block's own arrays, kept in the rule's state."""

    @abstractmethod
    def learn(self, net: LeakyRNN, step: Step, state: Any) -> Any:
        """The block's arrays after this step."""

    @abstractmethod
    def forward(self, net: LeakyRNN, v: Float[Array, " n"], state: Any, a: Float[Array, "n *k"]) -> Float[Array, "n *k"]:
        """J a, over the first axis of `a`."""

    @abstractmethod
    def backward(self, net: LeakyRNN, v: Float[Array, " n"], state: Any, c: Float[Array, " n"]) -> Float[Array, " n"]:
        """c J."""


class ExactJacobian(AbstractJacobian):
    """The matrix J, built anew at each step."""

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> None:
        return None

    def learn(self, net: LeakyRNN, step: Step, state: None) -> None:
        return None

    def forward(self, net: LeakyRNN, v: Float[Array, " n"], state: None, a: Float[Array, "n *k"]) -> Float[Array, "n *k"]:
        return jnp.tensordot(net.jacobian(v), a, axes=1)

    def backward(self, net: LeakyRNN, v: Float[Array, " n"], state: None, c: Float[Array, " n"]) -> Float[Array, " n"]:
        return c @ net.jacobian(v)


class ThroughWeights(AbstractJacobian):
    """The same products without a stored J: a second transmission through W_rec, then a gain.

    J a = (1 - alpha) a + alpha D * (W_rec a);  c J = (1 - alpha) c + ((c * alpha D) W_rec). The backward product runs W_rec in
    reverse (weight transport).
    """

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> None:
        return None

    def learn(self, net: LeakyRNN, step: Step, state: None) -> None:
        return None

    def forward(self, net: LeakyRNN, v: Float[Array, " n"], state: None, a: Float[Array, "n *k"]) -> Float[Array, "n *k"]:
        gain = net.gain(v).reshape(-1, *[1] * (a.ndim - 1))
        return (1 - net.alpha) * a + gain * jnp.tensordot(net.W_rec, a, axes=1)

    def backward(self, net: LeakyRNN, v: Float[Array, " n"], state: None, c: Float[Array, " n"]) -> Float[Array, " n"]:
        return (1 - net.alpha) * c + (c * net.gain(v)) @ net.W_rec


JacobianInit = Literal["W_rec", "leaky", "zero"]
Regressors = Literal["r", "r1", "r_hat"]


class LearnedJacobian(AbstractJacobian):
    """Synapses JJ (n, k) that learn to predict r^t linearly from f = r^{t-1}, and so approximate J.

    JJ <- JJ + rate (r^t - JJ f) f^T: Eq. 3 with its sign mended (the printed one climbs the squared error).

    Source: Marschall et al. 2019, Eq. 3.
    """

    rate: float = eqx.field(default=1e-3, converter=partial(check_range, "the learned Jacobian's rate", least=0))
    """Learning rate of Eq. 3; the published program's 1e-3. 0: the synapses stay as they start. Stable in the mean below
    2 / lambda_max(E[f f^T])."""
    init_from: JacobianInit = "W_rec"
    """What the synapses start as: W_rec, the published program's; "leaky": (1 - alpha) I + alpha W_rec; or "zero"."""
    regressors: Regressors = "r"
    """What f holds: "r", the paper's firing rates; "r1" = [r; 1]; "r_hat" = [r; x; 1]."""

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> Float[Array, "n k"]:
        eye = jnp.eye(net.n, dtype=net.W.dtype)
        square = {
            "W_rec": net.W_rec,
            "leaky": (1 - net.alpha) * eye + net.alpha * net.W_rec,
            "zero": jnp.zeros_like(eye),
        }[self.init_from]
        extra = {"r": 0, "r1": 1, "r_hat": net.n_in + 1}[self.regressors]
        return jnp.concatenate([square, jnp.zeros((net.n, extra), square.dtype)], axis=1)

    def learn(self, net: LeakyRNN, step: Step, state: Float[Array, "n k"]) -> Float[Array, "n k"]:
        f = {
            "r": step.r_prev,
            "r1": jnp.concatenate([step.r_prev, step.r_hat[-1:]]),
            "r_hat": step.r_hat,
        }[self.regressors]
        return state + self.rate * jnp.outer(step.r - state @ f, f)  # Eq. 3

    def forward(
        self, net: LeakyRNN, v: Float[Array, " n"], state: Float[Array, "n k"], a: Float[Array, "n *j"]
    ) -> Float[Array, "n *j"]:
        return jnp.tensordot(state[:, : net.n], a, axes=1)

    def backward(
        self, net: LeakyRNN, v: Float[Array, " n"], state: Float[Array, "n k"], c: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        return c @ state[:, : net.n]


JACOBIANS = {"exact": ExactJacobian, "through_weights": ThroughWeights, "learned": LearnedJacobian}
