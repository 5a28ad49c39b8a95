"""Mimic: reproduce the response of another network of the same architecture to a shared stream of coin flips.

The target network has fixed random weights (biases ~ N(0, 0.1^2)) and starts at rest. Each input vector of independent
coins is held for `hold` network steps.

Source: Marschall et al. 2019, p. 4, with the published program's sizes.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from recredit.errors import check_count, check_optional_count, check_range
from recredit.network import RNN, Head, Network
from recredit.tasks.task import AbstractTask, Sample, bernoulli_stream, stream_key


class MimicState(eqx.Module):
    """The coins' key, the target network and its units' state."""

    key: PRNGKeyArray
    target: RNN
    s: Float[Array, " N_target"]


class Mimic(AbstractTask):
    """Reproduce the outputs of a fixed random network.

    Parallel streams share the target, each with coins of its own.
    """

    n_in: int = eqx.field(default=32, converter=partial(check_count, "Mimic's n_in"))
    """Number of coins, the network's inputs; the published program's 32."""
    n_out: int = eqx.field(default=32, converter=partial(check_count, "Mimic's n_out"))
    """Number of outputs; the published program's 32."""
    n_target: int | None = eqx.field(default=None, converter=partial(check_optional_count, "Mimic's n_target"))
    """Units of the target network; None: as many as the learner has."""
    p: float = eqx.field(default=0.5, converter=partial(check_range, "Mimic's p", least=0, most=1))
    """Chance that a coin shows 1; 0.5, a fair coin."""
    hold: int = eqx.field(default=2, converter=partial(check_count, "Mimic's hold"))
    """Network steps that each draw of the coins lasts; the published program's 2."""
    head: Head = eqx.field(default="linear", init=False, static=True)
    """Squared error: the target's outputs are real numbers."""

    BIAS_SD = 0.1  # of the target's recurrent and read-out biases

    def init(self, net: RNN, key: PRNGKeyArray) -> MimicState:
        k_coin, k_net, k_rec, k_out = jax.random.split(key, 4)
        target = Network(self.n_target or net.n, units=net.units).create(self.n_in, self.n_out, self.head, k_net)
        b_rec = self.BIAS_SD * jax.random.normal(k_rec, target.W.shape[:1])
        b_out = self.BIAS_SD * jax.random.normal(k_out, (target.n_out,))
        target = target.with_weights(target.W.at[:, -1].add(b_rec), target.W_out, b_out)
        return MimicState(k_coin, target, target.rest())

    def chunk(self, state: MimicState, start: Int[Array, ""], length: int) -> tuple[MimicState, Sample]:
        first = start // self.hold
        coins = bernoulli_stream(state.key, self.p, first, (length - 1) // self.hold + 2, self.n_in)
        inputs = coins[(start + jnp.arange(length)) // self.hold - first]

        def respond(s, x):
            _, _, s = state.target.step(s, x)
            return s, state.target.readout(s)

        s, targets = jax.lax.scan(respond, state.s, inputs)
        return eqx.tree_at(lambda at: at.s, state, s), Sample(inputs, targets)

    def stream(self, state: MimicState, number: Int[Array, ""], count: int) -> MimicState:
        return eqx.tree_at(lambda s: s.key, state, stream_key(state.key, number))
