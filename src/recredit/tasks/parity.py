"""Delayed parity: after a delay, say whether an odd number of pulses was positive; with two pulses, exclusive or.

Inputs: the pulses, +1 or -1, and the cue to answer. There is no partial credit: a learner that has forgotten one pulse knows
nothing.

Source: a classic; the shortest task that no network of linear units can do.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from recredit.network import Head
from recredit.tasks.task import Sample
from recredit.tasks.trials import AbstractTrialTask, count_setting


class Parity(AbstractTrialTask):
    """Say whether an odd number of pulses was positive."""

    bits: int = count_setting("Parity's bits", 2)
    """Pulses in a trial."""
    hold: int = count_setting("Parity's hold", 1)
    """Network steps that a pulse lasts."""
    gap: int = count_setting("Parity's gap", 1, least=0)
    """Network steps of silence after each pulse."""
    shortest_delay: int = count_setting("Parity's shortest_delay", 1, least=0)
    """Fewest network steps between the last gap and the cue."""
    longest_delay: int = count_setting("Parity's longest_delay", 5, least=0)
    """Most network steps between the last gap and the cue."""
    decision: int = count_setting("Parity's decision", 1)
    """Network steps at which the answer is asked for."""
    n_in: int = eqx.field(default=2, init=False)
    """The pulses, and the cue to answer."""
    n_out: int = eqx.field(default=2, init=False)
    """Even, odd."""
    head: Head = eqx.field(default="softmax", init=False, static=True)
    """Cross-entropy: one output per answer."""

    @property
    def timing(self) -> dict[str, tuple[int, int]]:
        pulses = self.bits * (self.hold + self.gap)
        return {
            "pulses": (pulses, pulses),
            "delay": (self.shortest_delay, self.longest_delay),
            "decision": (self.decision, self.decision),
        }

    def draw(self, key: PRNGKeyArray) -> Bool[Array, " bits"]:
        return jax.random.bernoulli(key, shape=(self.bits,))

    def at(self, trial: Bool[Array, " bits"], epoch: Int[Array, ""], step: Int[Array, ""], key: PRNGKeyArray) -> Sample:
        period, decision = self.hold + self.gap, epoch == 2
        on = (epoch == 0) & (step % period < self.hold)
        pulse = jnp.where(on, 2.0 * trial[step // period] - 1, 0)
        return self.choice(jnp.stack([pulse, decision.astype(float)]), trial.sum() % 2, decision)

    def floors(self) -> dict[str, float]:
        """Mean cross-entropy (nats) of a learner that knows no pulse, all but one (no better: the last may be either), or
        all."""
        return {"nothing learned": math.log(2), "one pulse forgotten": math.log(2), "all pulses": 0.0}
