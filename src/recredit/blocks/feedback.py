"""Building block: how the error of the outputs reaches the recurrent units, c_bar = dL/ds or a stand-in for it."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.errors import check_fields
from recredit.network import RNN
from recredit.rule import Step


class AbstractFeedback(eqx.Module):
    """Turns the read-out's error (n_out,) into the immediate credit c_bar (N,) for the units' state."""

    def __check_init__(self):
        check_fields(self)

    @abstractmethod
    def init(self, net: RNN, key: PRNGKeyArray) -> Any:
        """The block's own arrays, kept in the rule's state."""

    @abstractmethod
    def __call__(self, net: RNN, step: Step, state: Any) -> Float[Array, " N"]:
        """The immediate credit c_bar."""

    def learn(self, net: RNN, step: Step, state: Any, key: PRNGKeyArray) -> Any:
        """The block's own arrays after the step; by default they stay. `key` is the rule's, of this step."""
        return state


class ExactFeedback(AbstractFeedback):
    """c_bar = error W_out d out/ds: exact, and in need of the read-out weights run backwards (weight transport).

    The last factor is 1 where the read-out gets the state itself, as of leaky units.
    """

    def init(self, net: RNN, key: PRNGKeyArray) -> None:
        return None

    def __call__(self, net: RNN, step: Step, state: None) -> Float[Array, " N"]:
        return net.times_out_slope(step.state, step.error @ net.W_out)


class RandomFeedback(AbstractFeedback):
    """c_bar = error W_FB d out/ds, with a fixed random W_FB of W_out's shape, ~ N(0, 1/n_out).

    Source: Lillicrap et al. 2016; Murray 2019; used by the published program's DNI(b).
    """

    def init(self, net: RNN, key: PRNGKeyArray) -> Float[Array, "n_out k"]:
        return jax.random.normal(key, net.W_out.shape, net.W.dtype) / net.n_out**0.5

    def __call__(self, net: RNN, step: Step, state: Float[Array, "n_out k"]) -> Float[Array, " N"]:
        return net.times_out_slope(step.state, step.error @ state)


FEEDBACKS = {"exact": ExactFeedback, "random": RandomFeedback}
