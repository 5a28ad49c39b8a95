"""Evidence accumulation: say on which side there were more cues, long after the last.

Cues come one after another, left or right; 0.7 of them, on average, on a side drawn anew for each trial; then a delay, and a
recall cue, at which to report the side with more cues. Inputs: four populations of ten neurons, which are active during cues on
the left, during cues on the right, during the recall cue, and, at a quarter of the rate, always.

Source: Bellec et al. 2020, "A solution to the learning dilemma for recurrent networks of spiking neurons", and its program,
whose delay is always 1050 ms; Engelhard et al. 2019.
"""

import math
from functools import partial
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from recredit.errors import check_count, check_fields, check_range
from recredit.network import Head
from recredit.tasks.guesses import guess_loss
from recredit.tasks.task import Sample
from recredit.tasks.trials import AbstractTrialTask, in_steps, setting


class Evidence(AbstractTrialTask):
    """Say on which side there were more cues."""

    inputs: Literal["spikes", "rates"] = "spikes"
    """Spikes, 0 or 1, of the 40 neurons; or "rates", for steps of 10 or 20 ms: each population's number of spikes in a step,
    drawn from a Gaussian of Poisson's mean and variance, over its mean when the population is active."""
    cues: int = eqx.field(default=7, converter=partial(check_count, "Evidence's cues", most=101))
    """Cues in a trial, an odd number."""
    likelier: float = eqx.field(default=0.7, converter=partial(check_range, "Evidence's likelier", least=0.5, most=1))
    """Chance that a cue comes on the trial's likelier side."""
    rate: float = setting("Evidence's rate", 40.0, above=0)
    """Rate of an active neuron, Hz."""
    cue: float = setting("Evidence's cue", 100.0, above=0)
    """Duration of a cue, ms."""
    pause: float = setting("Evidence's pause", 50.0)
    """Duration of the pause after each cue, ms."""
    shortest_delay: float = setting("Evidence's shortest_delay", 500.0)
    """Least duration of the delay, ms."""
    longest_delay: float = setting("Evidence's longest_delay", 1500.0)
    """Greatest duration of the delay, ms."""
    recall: float = setting("Evidence's recall", 150.0, above=0)
    """Duration of the recall cue, ms."""
    dt: float = setting("Evidence's dt", 1.0, above=0)
    """Duration of a network step, ms."""
    n_out: int = eqx.field(default=2, init=False)
    """Left, right."""
    head: Head = eqx.field(default="softmax", init=False, static=True)
    """Cross-entropy: one output per answer."""

    POPULATION = 10  # neurons

    def __check_init__(self):
        check_fields(self)
        if self.cues % 2 == 0:
            raise ValueError(f"Evidence's cues must be an odd number, for one side to have more, not {self.cues}.")
        if self.inputs == "spikes" and self.rate * self.dt > 1000:
            raise ValueError(f"Evidence's rate must be at most one spike a step, {1000 / self.dt:g} Hz, not {self.rate:g} Hz.")

    @property
    def n_in(self) -> int:
        return 4 * (self.POPULATION if self.inputs == "spikes" else 1)

    @property
    def cue_steps(self) -> tuple[int, int]:
        """Network steps of a cue and of the pause after it."""
        (cue, _), (pause, _) = in_steps(self, self.dt, cue=self.cue, pause=self.pause).values()
        return cue, pause

    @property
    def timing(self) -> dict[str, tuple[int, int]]:
        steps = self.cues * sum(self.cue_steps)
        return {"cues": (steps, steps)} | in_steps(
            self, self.dt, delay=(self.shortest_delay, self.longest_delay), recall=self.recall
        )

    def draw(self, key: PRNGKeyArray) -> Bool[Array, " cues"]:
        """Which cues come on the right."""
        k_side, k_cues = jax.random.split(key)
        right = jnp.where(jax.random.bernoulli(k_side), self.likelier, 1 - self.likelier)
        return jax.random.bernoulli(k_cues, right, (self.cues,))

    def at(self, trial: Bool[Array, " cues"], epoch: Int[Array, ""], step: Int[Array, ""], key: PRNGKeyArray) -> Sample:
        cue, pause = self.cue_steps
        right, recall = trial[step // (cue + pause)], epoch == 2
        shown = (epoch == 0) & (step % (cue + pause) < cue)
        active = jnp.stack([1.0 * (shown & ~right), 1.0 * (shown & right), 1.0 * recall, 0.25])
        mean = self.rate * self.dt / 1000  # spikes of an active neuron at a step
        if self.inputs == "spikes":
            x = jax.random.bernoulli(key, mean * jnp.repeat(active, self.POPULATION)).astype(float)
        else:
            x = active + jnp.sqrt(active / (self.POPULATION * mean)) * jax.random.normal(key, (4,))
        return self.choice(x, (2 * trial.sum() > self.cues).astype(int), recall)

    def floors(self) -> dict[str, float]:
        """Mean cross-entropy (nats) of a learner that knows so many of the cues."""
        some = sorted(k for k in {self.cues * part // 4 | 1 for part in range(4)} if k < self.cues)  # of many cues a few levels
        levels = {"nothing learned": 0} | {f"{k} of {self.cues} cues": k for k in some} | {"all cues": self.cues}
        return {what: guess_loss(self.cases(known)) for what, known in levels.items()}

    def cases(self, known: int) -> list[tuple[float, tuple[int], bool]]:
        """How many of the `known` cues, and whether more of all, come on the right, with the chance of that."""

        def chance(count: int, of: int, p: float) -> float:
            return math.comb(of, count) * p**count * (1 - p) ** (of - count)

        rest = self.cues - known
        return [
            (chance(j, known, p) * chance(i, rest, p), (j,), 2 * (j + i) > self.cues)
            for p in (self.likelier, 1 - self.likelier)
            for j in range(known + 1)
            for i in range(rest + 1)
        ]
