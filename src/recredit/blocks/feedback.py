"""Building block: how the error of the outputs reaches the recurrent units, c_bar = dL/ds or a stand-in for it."""

from abc import abstractmethod
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.errors import check_fields, check_range
from recredit.network import RNN
from recredit.rule import Step


class AbstractFeedback(eqx.Module):
    """Turns the read-out's error (n_out,) into the immediate credit c_bar (N,) for the units' state.

    c_bar = error W_FB d out/ds, with the block's own weights W_FB, of W_out's shape. The last factor is 1 if the read-out gets
    the state itself, as with leaky units.
    """

    def __check_init__(self):
        check_fields(self)

    @abstractmethod
    def init(self, net: RNN, key: PRNGKeyArray) -> Any:
        """The block's own arrays, kept in the rule's state."""

    @abstractmethod
    def weights(self, net: RNN, state: Any) -> Float[Array, "n_out k"]:
        """W_FB."""

    def __call__(self, net: RNN, step: Step, state: Any) -> Float[Array, " N"]:
        """The immediate credit c_bar."""
        return net.times_out_slope(step.state, step.error @ self.weights(net, state))

    def learn(self, net: RNN, step: Step, state: Any, key: PRNGKeyArray) -> Any:
        """The block's own arrays after the step; by default unchanged. `key` is the rule's key for this step."""
        return state


class ExactFeedback(AbstractFeedback):
    """W_FB = W_out: exact, but the read-out weights must be run backwards (weight transport)."""

    def init(self, net: RNN, key: PRNGKeyArray) -> None:
        return None

    def weights(self, net: RNN, state: None) -> Float[Array, "n_out k"]:
        return net.W_out


class RandomFeedback(AbstractFeedback):
    """A fixed random W_FB ~ N(0, 1/n_out).

    Source: Lillicrap et al. 2016; Murray 2019; used by the published program's DNI(b).
    """

    def init(self, net: RNN, key: PRNGKeyArray) -> Float[Array, "n_out k"]:
        return _random(net, key)

    def weights(self, net: RNN, state: Float[Array, "n_out k"]) -> Float[Array, "n_out k"]:
        return state


class BroadcastFeedback(AbstractFeedback):
    """The same signal to all units: W_FB has one fixed weight ~ N(0, 1/n_out) for each output.

    The diffuse modulator of three-factor rules. Source: Fremaux and Gerstner 2016.
    """

    def init(self, net: RNN, key: PRNGKeyArray) -> Float[Array, "n_out 1"]:
        return _random(net, key)[:, :1]

    def weights(self, net: RNN, state: Float[Array, "n_out 1"]) -> Float[Array, "n_out k"]:
        return jnp.broadcast_to(state, net.W_out.shape)


class KolenPollackFeedback(RandomFeedback):
    """W_FB, random at first, gets the same updates as W_out gets from the delta rule, and both decay: it becomes W_out.

        W_FB <- W_FB - rate (error^T out + decay W_FB)

    Two synapses that see the same product and decay alike end up alike: W_FB - W_out shrinks by a factor 1 - rate decay at each
    step, as long as W_out learns from one stream by SGD with the same rate and weight decay, {"name": "sgd", "learning_rate":
    rate, "weight_decay": decay}. (W_out's weights from a unit that has been silent so far do not decay: `loop.train`.) Source:
    Kolen and Pollack 1994; Akrout et al. 2019.
    """

    rate: float = eqx.field(default=1e-4, converter=partial(check_range, "Kolen-Pollack's rate", least=0))
    """Learning rate, the same as W_out's; the paper's 1e-4."""
    decay: float = eqx.field(default=0.1, converter=partial(check_range, "Kolen-Pollack's decay", least=0))
    """Weight decay, the same as W_out's; it is multiplied by the rate."""

    def learn(self, net: RNN, step: Step, state: Float[Array, "n_out k"], key: PRNGKeyArray) -> Float[Array, "n_out k"]:
        return state - self.rate * (jnp.outer(step.error, net.out(step.state)) + self.decay * state)


class WeightMirrorFeedback(RandomFeedback):
    """W_FB, random at first, learns from noise that is sent through W_out: it becomes W_out.

        noise ~ N(0, I);  W_FB <- W_FB + rate ((W_out noise) noise^T - W_FB)

    The mean of the product is W_out. The noise is sent at each step, alongside the network's own activity; in the source, in
    separate phases, in which the units are noisy. Source: Akrout et al. 2019.
    """

    rate: float = eqx.field(default=1e-3, converter=partial(check_range, "the weight mirror's rate", least=0, most=1))
    """Learning rate and decay: the fraction of W_FB that is renewed at each step."""

    def learn(self, net: RNN, step: Step, state: Float[Array, "n_out k"], key: PRNGKeyArray) -> Float[Array, "n_out k"]:
        noise = jax.random.normal(jax.random.fold_in(key, MIRROR), state.shape[1:], state.dtype)
        return state + self.rate * (jnp.outer(net.W_out @ noise, noise) - state)


MIRROR = 2**20  # keeps this draw apart from the rule's own draws


def _random(net: RNN, key: PRNGKeyArray) -> Float[Array, "n_out k"]:
    return jax.random.normal(key, net.W_out.shape, net.W.dtype) / net.n_out**0.5


FEEDBACKS = {
    "exact": ExactFeedback,
    "random": RandomFeedback,
    "broadcast": BroadcastFeedback,
    "kolen_pollack": KolenPollackFeedback,
    "weight_mirror": WeightMirrorFeedback,
}
