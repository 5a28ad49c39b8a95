"""Delayed match-to-sample: say whether the second of two stimuli is the same as the first.

Stimuli are directions around a circle, and each has a channel tuned to it: 0.5 + 0.5 cos of the angle between the two.
Inputs: the fixation point, on until the decision, and the channels, with noise while a stimulus is shown. Half of the
trials match.

Source: `DelayMatchSample-v0` of NeuroGym 2.3.1 (two directions), with a delay that varies.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from recredit.network import Head
from recredit.tasks.task import Sample
from recredit.tasks.trials import AbstractTrialTask, count_setting, in_steps, setting


class MatchToSample(AbstractTrialTask):
    """Say whether two stimuli with a delay between them are the same."""

    directions: int = count_setting("MatchToSample's directions", 2, least=2)
    """Number of stimuli, and of channels."""
    noise: float = setting("MatchToSample's noise", 1.0)
    """Noise of a channel: its standard deviation at each step is this over the square root of dt in ms."""
    fixation: float = setting("MatchToSample's fixation", 300.0)
    """Duration of the first epoch, ms."""
    stimulus: float = setting("MatchToSample's stimulus", 500.0, above=0)
    """Duration of each stimulus, ms."""
    shortest_delay: float = setting("MatchToSample's shortest_delay", 600.0)
    """Least duration of the delay, ms."""
    longest_delay: float = setting("MatchToSample's longest_delay", 1400.0)
    """Greatest duration of the delay, ms."""
    decision: float = setting("MatchToSample's decision", 900.0, above=0)
    """Duration of the decision, ms."""
    dt: float = setting("MatchToSample's dt", 20.0, above=0)
    """Duration of a network step, ms."""
    n_out: int = eqx.field(default=2, init=False)
    """No match, match."""
    head: Head = eqx.field(default="softmax", init=False, static=True)
    """Cross-entropy: one output per answer."""

    @property
    def n_in(self) -> int:
        return 1 + self.directions

    @property
    def timing(self) -> dict[str, tuple[int, int]]:
        delay = (self.shortest_delay, self.longest_delay)
        shown = self.stimulus
        return in_steps(self, self.dt, fixation=self.fixation, sample=shown, delay=delay, test=shown, decision=self.decision)

    def draw(self, key: PRNGKeyArray) -> Int[Array, "2"]:
        k_sample, k_match, k_other = jax.random.split(key, 3)
        sample = jax.random.randint(k_sample, (), 0, self.directions)
        other = (sample + jax.random.randint(k_other, (), 1, self.directions)) % self.directions
        return jnp.stack([sample, jnp.where(jax.random.bernoulli(k_match), sample, other)])

    def at(self, trial: Int[Array, "2"], epoch: Int[Array, ""], step: Int[Array, ""], key: PRNGKeyArray) -> Sample:
        decision, shown = epoch == 4, epoch % 2 == 1
        angle = 2 * math.pi / self.directions * (jnp.arange(self.directions) - trial[epoch // 2])
        noise = self.noise / math.sqrt(self.dt) * jax.random.normal(key, (self.directions,))
        x = jnp.where(shown, 0.5 + 0.5 * jnp.cos(angle) + noise, 0)
        return self.choice(jnp.append(1.0 - decision, x), (trial[0] == trial[1]).astype(int), decision)

    def floors(self) -> dict[str, float]:
        """Mean cross-entropy (nats) of a learner that knows no stimulus, only one (no better: half of all trials match,
        whatever it is), or, without noise, both."""
        return {"nothing learned": math.log(2), "one stimulus alone": math.log(2), "both without noise": 0.0}
