"""Flip-flop: remember, for each of several channels, whether its last pulse was up or down.

Each channel is 0 except for pulses of 1 or -1 that last one step, come with chance p at each step and are as often up as down.
At step 0 every channel has one. The output is to be the channel's last pulse, from that very step on.

Source: Sussillo & Barak 2013, "Opening the black box", with pulses rare enough to require memory.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from recredit.errors import check_count, check_range
from recredit.network import RNN, Head
from recredit.tasks.task import AbstractTask, Sample, stream_key


class FlipFlopState(eqx.Module):
    """The pulses' key, and each channel's last pulse before the next step."""

    key: PRNGKeyArray
    last: Float[Array, " bits"]


class FlipFlop(AbstractTask):
    """Remember whether the last pulse of each channel was up or down."""

    bits: int = eqx.field(default=3, converter=partial(check_count, "FlipFlop's bits"))
    """Channels, each with a pulse to be remembered; the source's 3."""
    p: float = eqx.field(default=0.1, converter=partial(check_range, "FlipFlop's p", above=0, most=1))
    """Chance of a pulse in each channel at each step; a memory of 1 / p steps on average is needed."""
    head: Head = eqx.field(default="linear", init=False, static=True)
    """Squared error: each output is to be 1 or -1."""

    @property
    def n_in(self) -> int:
        return self.bits

    @property
    def n_out(self) -> int:
        return self.bits

    def init(self, net: RNN, key: PRNGKeyArray) -> FlipFlopState:
        return FlipFlopState(key, jnp.zeros(self.bits))

    def chunk(self, state: FlipFlopState, start: Int[Array, ""], length: int) -> tuple[FlipFlopState, Sample]:
        def pulses(step):
            k_whether, k_which = jax.random.split(jax.random.fold_in(state.key, step))
            there = jax.random.bernoulli(k_whether, self.p, (self.bits,)) | (step == 0)
            return jnp.where(there, jax.random.rademacher(k_which, (self.bits,), float), 0.0)

        x = jax.vmap(pulses)(start + jnp.arange(length))
        at = jax.lax.cummax(jnp.where(x != 0, jnp.arange(length)[:, None], -1))  # the step of the last pulse, if in this chunk
        label = jnp.where(at >= 0, jnp.take_along_axis(x, jnp.maximum(at, 0), axis=0), state.last)
        return FlipFlopState(state.key, label[-1]), Sample(x, label)

    def stream(self, state: FlipFlopState, number: Int[Array, ""], count: int) -> FlipFlopState:
        return FlipFlopState(stream_key(state.key, number), state.last)

    def floors(self) -> dict[str, float]:
        """Half the summed squared error of a learner that knows only the last so many steps, or averages with the best leak and
        gain: a network of linear units."""
        missed = {"nothing learned": 1.0} | {f"last {k} steps" if k > 1 else "this step": (1 - self.p) ** k for k in (1, 10)}
        missed["best leaky average"] = (1 - self.p) / (2 - self.p)
        return {what: 0.5 * self.bits * share for what, share in missed.items()}
