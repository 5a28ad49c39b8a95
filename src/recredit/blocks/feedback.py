"""Building block: how the error of the outputs reaches the recurrent units, c_bar = dL/dr or a stand-in for it."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.errors import check_fields
from recredit.network import LeakyRNN
from recredit.rule import Step


class AbstractFeedback(eqx.Module):
    """Turns the read-out's error (n_out,) into the immediate credit c_bar (n,)."""

    def __check_init__(self):
        check_fields(self)

    @abstractmethod
    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> Any:
        """The block's own arrays, kept in the rule's state."""

    @abstractmethod
    def __call__(self, net: LeakyRNN, step: Step, state: Any) -> Float[Array, " n"]:
        """The immediate credit c_bar."""


class ExactFeedback(AbstractFeedback):
    """c_bar = error W_out: exact, and in need of the read-out weights run backwards (weight transport)."""

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> None:
        return None

    def __call__(self, net: LeakyRNN, step: Step, state: None) -> Float[Array, " n"]:
        return step.error @ net.W_out


class RandomFeedback(AbstractFeedback):
    """c_bar = error W_FB, with a fixed random W_FB (n_out, n) ~ N(0, 1/n_out).

    Source: Lillicrap et al. 2016; Murray 2019; used by the published program's DNI(b).
    """

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> Float[Array, "n_out n"]:
        return jax.random.normal(key, (net.n_out, net.n), net.W.dtype) / net.n_out**0.5

    def __call__(self, net: LeakyRNN, step: Step, state: Float[Array, "n_out n"]) -> Float[Array, " n"]:
        return step.error @ state


FEEDBACKS = {"exact": ExactFeedback, "random": RandomFeedback}
