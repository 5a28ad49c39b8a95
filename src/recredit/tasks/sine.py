"""Cued sine: oscillate at the frequency that a constant input asks for.

Input: the cue c, one of evenly spaced values from 0 to 1, all through a trial; label: sin(2 pi f t) with f between the lowest
frequency (c = 0) and the highest (c = 1). Each trial begins at phase 0, which needs no cue, so its first period does not count.

Source: Sussillo & Barak 2013, "Opening the black box", with trials of one frequency each.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from recredit.errors import check_count
from recredit.network import Head
from recredit.tasks.task import Sample
from recredit.tasks.trials import AbstractTrialTask, in_steps, setting


class Sine(AbstractTrialTask):
    """Oscillate at the frequency that a constant input asks for."""

    lowest: float = setting("Sine's lowest", 1.0, above=0)
    """Frequency that the cue 0 asks for, Hz."""
    highest: float = setting("Sine's highest", 6.0, above=0)
    """Frequency that the cue 1 asks for, Hz."""
    values: int = eqx.field(default=51, converter=partial(check_count, "Sine's values", least=2, most=10_000))
    """How many different cues there are; the source's 51."""
    duration: float = setting("Sine's duration", 2000.0, above=0)
    """Duration of a trial, ms."""
    dt: float = setting("Sine's dt", 10.0, above=0)
    """Duration of a network step, ms."""
    n_in: int = eqx.field(default=1, init=False)
    """The cue."""
    n_out: int = eqx.field(default=1, init=False)
    """The sine wave."""
    head: Head = eqx.field(default="linear", init=False, static=True)
    """Squared error."""

    def __check_init__(self):
        if self.highest < self.lowest or 2 * self.highest * self.dt >= 1000:
            raise ValueError(
                f"Sine's frequencies must rise from lowest to highest, and the highest be below {500 / self.dt:g} Hz, half of "
                f"one over dt, not {self.lowest:g} and {self.highest:g} Hz."
            )
        if self.timing["wave"][0] * self.dt * self.lowest <= 1000:
            raise ValueError(
                f"Sine's duration must be more than a period of its lowest frequency, {1000 / self.lowest:g} ms, since the "
                f"first period does not count, not {self.duration:g} ms."
            )

    @property
    def timing(self) -> dict[str, tuple[int, int]]:
        return in_steps(self, self.dt, wave=self.duration)

    def draw(self, key: PRNGKeyArray) -> Int[Array, ""]:
        """The number of the cue."""
        return jax.random.randint(key, (), 0, self.values)

    def at(self, trial: Int[Array, ""], epoch: Int[Array, ""], step: Int[Array, ""], key: PRNGKeyArray) -> Sample:
        cue = trial / (self.values - 1)
        periods = (self.lowest + (self.highest - self.lowest) * cue) * step * self.dt / 1000
        return Sample(cue[None], jnp.sin(2 * jnp.pi * periods)[None], (periods >= 1).astype(cue.dtype))

    def floors(self) -> dict[str, float]:
        """Half the mean squared error of the output 0, and of the best wave that does not depend on the cue."""
        step = np.arange(self.timing["wave"][0])
        square, (count, total) = 0.0, np.zeros((2, len(step)))
        for cue in np.linspace(0, 1, self.values):
            periods = (self.lowest + (self.highest - self.lowest) * cue) * step * self.dt / 1000
            wave, scored = np.sin(2 * np.pi * periods), periods >= 1
            square, count, total = square + (wave[scored] ** 2).sum(), count + scored, total + scored * wave
        levels = {"output 0": square, "cue ignored": square - (total**2 / np.maximum(count, 1)).sum()}
        return {what: float(0.5 * level / count.sum()) for what, level in levels.items()}
