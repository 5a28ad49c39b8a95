"""Perceptual decision: say which of two noisy inputs was the stronger one, over a long stimulus.

Inputs: the fixation point, on until the decision, and two channels of mean 0.5 ± coherence / 200 while the stimulus lasts, with
noise. The coherence is 0, 6.4, 12.8, 25.6 or 51.2 %: at 0 there is nothing to know.

Source: `PerceptualDecisionMaking-v0` of NeuroGym 2.3.1, with a delay that varies; Britten, Shadlen, Newsome & Movshon 1992.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from recredit.network import Head
from recredit.tasks.guesses import guess_loss
from recredit.tasks.task import Sample
from recredit.tasks.trials import AbstractTrialTask, in_steps, setting


class Perceptual(AbstractTrialTask):
    """Say which of two noisy inputs was the stronger one."""

    noise: float = setting("Perceptual's noise", 1.0)
    """Noise of a channel: its standard deviation at each step is this over the square root of dt in ms."""
    fixation: float = setting("Perceptual's fixation", 100.0)
    """Duration of the first epoch, ms."""
    stimulus: float = setting("Perceptual's stimulus", 2000.0, above=0)
    """Duration of the stimulus, ms."""
    shortest_delay: float = setting("Perceptual's shortest_delay", 0.0)
    """Least duration of the delay, ms."""
    longest_delay: float = setting("Perceptual's longest_delay", 400.0)
    """Greatest duration of the delay, ms."""
    decision: float = setting("Perceptual's decision", 100.0, above=0)
    """Duration of the decision, ms."""
    dt: float = setting("Perceptual's dt", 20.0, above=0)
    """Duration of a network step, ms."""
    n_in: int = eqx.field(default=3, init=False)
    """The fixation point and the two channels."""
    n_out: int = eqx.field(default=2, init=False)
    """Which channel was the stronger one."""
    head: Head = eqx.field(default="softmax", init=False, static=True)
    """Cross-entropy: one output per answer."""

    COHERENCES = (0.0, 6.4, 12.8, 25.6, 51.2)  # %

    @property
    def timing(self) -> dict[str, tuple[int, int]]:
        delay = (self.shortest_delay, self.longest_delay)
        return in_steps(self, self.dt, fixation=self.fixation, stimulus=self.stimulus, delay=delay, decision=self.decision)

    def draw(self, key: PRNGKeyArray) -> tuple[Int[Array, ""], Float[Array, ""]]:
        """The answer and the coherence."""
        k_answer, k_coherence = jax.random.split(key)
        answer = jax.random.randint(k_answer, (), 0, 2)
        return answer, jax.random.choice(k_coherence, jnp.array(self.COHERENCES))

    def at(self, trial: tuple[Array, Array], epoch: Int[Array, ""], step: Int[Array, ""], key: PRNGKeyArray) -> Sample:
        (answer, coherence), decision = trial, epoch == 3
        channels = 0.5 + coherence / 200 * jnp.where(answer == 0, jnp.array([1, -1]), jnp.array([-1, 1]))
        channels += self.noise / math.sqrt(self.dt) * jax.random.normal(key, (2,))
        return self.choice(jnp.append(1.0 - decision, jnp.where(epoch == 1, channels, 0)), answer, decision)

    def floors(self) -> dict[str, float]:
        """Mean cross-entropy (nats) of a learner that knows nothing, the stimulus's last step, or all of it, with the noise."""
        cases = [(1, (sign * coherence / 100,), sign) for coherence in self.COHERENCES for sign in (-1, 1)]
        known = {"last step of the stimulus": 1, "all of the stimulus": self.timing["stimulus"][0]}
        levels = {what: guess_loss(cases, self.noise * math.sqrt(2 / (steps * self.dt))) for what, steps in known.items()}
        return {"nothing learned": math.log(2)} | levels
