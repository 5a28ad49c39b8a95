"""Romo's task: say which of two vibrations, with a delay between them, had the higher frequency.

Inputs: the fixation point, on until the decision, and the vibration while it lasts, from 0.5 for 10 Hz to 1 for 34 Hz, with
noise. The pairs (18, 10), (22, 14), (26, 18), (30, 22) and (34, 26) Hz come in either order, so that one of the two frequencies
alone gives the answer only at the ends of the scale.

Source: `DelayComparison-v0` of NeuroGym 2.3.1, with a delay that varies; Romo, Brody, Hernández & Lemus 1999.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from recredit.network import Head
from recredit.tasks.guesses import guess_loss
from recredit.tasks.task import Sample
from recredit.tasks.trials import AbstractTrialTask, in_steps, setting


class Romo(AbstractTrialTask):
    """Say which of two vibrations had the higher frequency."""

    noise: float = setting("Romo's noise", 1.0)
    """Noise of the vibration: its standard deviation at each step is this over the square root of dt in ms."""
    fixation: float = setting("Romo's fixation", 500.0)
    """Duration of the first epoch, ms."""
    stimulus: float = setting("Romo's stimulus", 500.0, above=0)
    """Duration of each vibration, ms."""
    shortest_delay: float = setting("Romo's shortest_delay", 600.0)
    """Least duration of the delay, ms."""
    longest_delay: float = setting("Romo's longest_delay", 1400.0)
    """Greatest duration of the delay, ms."""
    decision: float = setting("Romo's decision", 100.0, above=0)
    """Duration of the decision, ms."""
    dt: float = setting("Romo's dt", 20.0, above=0)
    """Duration of a network step, ms."""
    n_in: int = eqx.field(default=2, init=False)
    """The fixation point and the vibration."""
    n_out: int = eqx.field(default=2, init=False)
    """The first was higher, the second was."""
    head: Head = eqx.field(default="softmax", init=False, static=True)
    """Cross-entropy: one output per answer."""

    LOWER = (10, 14, 18, 22, 26)  # Hz
    APART = 8

    @property
    def timing(self) -> dict[str, tuple[int, int]]:
        delay = (self.shortest_delay, self.longest_delay)
        return in_steps(
            self, self.dt, fixation=self.fixation, f1=self.stimulus, delay=delay, f2=self.stimulus, decision=self.decision
        )

    def draw(self, key: PRNGKeyArray) -> Int[Array, "2"]:
        k_pair, k_order = jax.random.split(key)
        lower = jax.random.choice(k_pair, jnp.array(self.LOWER))
        return lower + self.APART * jnp.where(jax.random.bernoulli(k_order), jnp.array([0, 1]), jnp.array([1, 0]))

    def at(self, trial: Int[Array, "2"], epoch: Int[Array, ""], step: Int[Array, ""], key: PRNGKeyArray) -> Sample:
        decision, shown = epoch == 4, epoch % 2 == 1
        vibration = strength(trial[epoch // 2]) + self.noise / math.sqrt(self.dt) * jax.random.normal(key)
        x = jnp.stack([1.0 - decision, jnp.where(shown, vibration, 0)])
        return self.choice(x, (trial[1] > trial[0]).astype(int), decision)

    def floors(self) -> dict[str, float]:
        """Mean cross-entropy (nats) of a learner that knows nothing, all steps of one vibration, or of both, with the noise."""
        sd = self.noise / math.sqrt(self.timing["f1"][0] * self.dt)  # of a vibration's mean
        pairs = [(f, f + self.APART) for f in self.LOWER] + [(f + self.APART, f) for f in self.LOWER]
        known = {"nothing learned": 0, "one vibration alone": 1, "both vibrations": 2}
        return {
            what: guess_loss([(1, tuple(map(strength, pair[:k])), pair[1] > pair[0]) for pair in pairs], sd)
            for what, k in known.items()
        }


def strength(frequency):
    """The input of a vibration of so many Hz."""
    return 0.5 + (frequency - 10) / 48
