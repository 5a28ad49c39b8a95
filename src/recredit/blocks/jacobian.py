"""Building block: how a rule obtains the network's Jacobian, J = L + D W_rec R.

For leaky units it is (1 - alpha) I + alpha diag(phi') W_rec.
"""

from abc import abstractmethod
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.errors import check_fields, check_range
from recredit.network import RNN
from recredit.network.rnn import At
from recredit.network.unitwise import row_times, times_column
from recredit.rule import Step

Linearised = At | Float[Array, " P"]


class AbstractJacobian(eqx.Module):
    """Products with J, forwards (J a) and backwards (c J), for the step whose derivatives depend on `at` (`Step.at`)."""

    def __check_init__(self):
        check_fields(self)

    @abstractmethod
    def init(self, net: RNN, key: PRNGKeyArray) -> Any:
        """The block's own arrays, kept in the rule's state."""

    @abstractmethod
    def learn(self, net: RNN, step: Step, state: Any) -> Any:
        """The block's arrays after this step."""

    @abstractmethod
    def forward(self, net: RNN, at: Linearised, state: Any, a: Float[Array, "N *k"]) -> Float[Array, "N *k"]:
        """J a, over the first axis of `a`."""

    @abstractmethod
    def backward(self, net: RNN, at: Linearised, state: Any, c: Float[Array, " N"]) -> Float[Array, " N"]:
        """c J."""


class ExactJacobian(AbstractJacobian):
    """The matrix J, computed anew at each step."""

    def init(self, net: RNN, key: PRNGKeyArray) -> None:
        return None

    def learn(self, net: RNN, step: Step, state: None) -> None:
        return None

    def forward(self, net: RNN, at: Linearised, state: None, a: Float[Array, "N *k"]) -> Float[Array, "N *k"]:
        return jnp.tensordot(net.jacobian(at), a, axes=1)

    def backward(self, net: RNN, at: Linearised, state: None, c: Float[Array, " N"]) -> Float[Array, " N"]:
        return c @ net.jacobian(at)


class ThroughWeights(AbstractJacobian):
    """The same products without a stored J: a second transmission through W_rec, then a gain.

    J a = L a + D (W_rec (R a));  c J = c L + (((c D) W_rec) R). The backward product runs W_rec in reverse (weight transport).
    """

    def init(self, net: RNN, key: PRNGKeyArray) -> None:
        return None

    def learn(self, net: RNN, step: Step, state: None) -> None:
        return None

    def forward(self, net: RNN, at: Linearised, state: None, a: Float[Array, "N *k"]) -> Float[Array, "N *k"]:
        through = jnp.tensordot(net.W_rec, net.sent(at, a), axes=1)
        return times_column(net.memory(at), a) + times_column(net.gain(at), through)

    def backward(self, net: RNN, at: Linearised, state: None, c: Float[Array, " N"]) -> Float[Array, " N"]:
        return row_times(c, net.memory(at)) + net.times_slope(at, row_times(c, net.gain(at)) @ net.W_rec)


JacobianInit = Literal["W_rec", "leaky", "zero"]
Regressors = Literal["r", "r1", "r_hat"]


class LearnedJacobian(AbstractJacobian):
    """Synapses JJ (N, k) that learn to predict s^t linearly from f = s^{t-1}, and so approximate J; for leaky units, s = r.

    JJ <- JJ + rate (s^t - JJ f) f^T: Eq. 3 with its sign corrected (as printed, it climbs the squared error).

    Source: Marschall et al. 2019, Eq. 3.
    """

    rate: float = eqx.field(default=1e-3, converter=partial(check_range, "the learned Jacobian's rate", least=0))
    """Learning rate of Eq. 3; the published program's 1e-3. At 0 the synapses keep their initial values. Stable in the mean
    below 2 / lambda_max(E[f f^T])."""
    init_from: JacobianInit = "W_rec"
    """The initial synapses: "W_rec", as in the published program; "leaky", (1 - alpha) I + alpha W_rec; or "zero", the only
    choice for units with more than one state variable or voltage."""
    regressors: Regressors = "r"
    """What f holds: "r", the firing rates, as in the paper (for other units, their state); "r1" = [r; 1]; "r_hat" =
    [r; x; 1]."""

    def init(self, net: RNN, key: PRNGKeyArray) -> Float[Array, "N k"]:
        if self.init_from == "W_rec" and not net.units.is_simple:
            raise ValueError(
                f"{type(net.units).__name__} units have a state of a different size from W_rec, so their learned Jacobian "
                "must start from zero, init_from=zero"
            )
        eye = jnp.eye(net.n_state, dtype=net.W.dtype)
        if self.init_from == "W_rec":
            square = net.W_rec
        elif self.init_from == "leaky":
            square = (1 - net.alpha) * eye + net.alpha * net.W_rec
        else:
            square = jnp.zeros_like(eye)
        extra = {"r": 0, "r1": 1, "r_hat": net.n_in + 1}[self.regressors]
        return jnp.concatenate([square, jnp.zeros((net.n_state, extra), square.dtype)], axis=1)

    def learn(self, net: RNN, step: Step, state: Float[Array, "N k"]) -> Float[Array, "N k"]:
        f = {
            "r": step.state_prev,
            "r1": jnp.concatenate([step.state_prev, step.r_hat[-1:]]),
            "r_hat": jnp.concatenate([step.state_prev, step.r_hat[net.n :]]) if step.s is not None else step.r_hat,
        }[self.regressors]
        return state + self.rate * jnp.outer(step.state - state @ f, f)  # Eq. 3

    def forward(self, net: RNN, at: Linearised, state: Float[Array, "N k"], a: Float[Array, "N *j"]) -> Float[Array, "N *j"]:
        return jnp.tensordot(state[:, : net.n_state], a, axes=1)

    def backward(self, net: RNN, at: Linearised, state: Float[Array, "N k"], c: Float[Array, " N"]) -> Float[Array, " N"]:
        return c @ state[:, : net.n_state]


JACOBIANS = {"exact": ExactJacobian, "through_weights": ThroughWeights, "learned": LearnedJacobian}
