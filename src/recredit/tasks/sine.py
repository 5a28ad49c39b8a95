"""Cued sine: oscillate at the frequency that a constant input asks for.

Input: the cue c, one of evenly spaced values from 0 to 1, all through a trial; label: sin(2 pi f t) with f between the lowest
frequency (c = 0) and the highest (c = 1). Each trial begins at phase 0, which needs no cue, so its first period does not count.

Source: Sussillo & Barak 2013, "Opening the black box", with trials of one frequency each.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from recredit.network import Head
from recredit.tasks.task import Sample
from recredit.tasks.trials import AbstractTrialTask, count_setting, in_steps, setting


class Sine(AbstractTrialTask):
    """Oscillate at the frequency that a constant input asks for."""

    lowest: float = setting("Sine's lowest", 1.0, above=0)
    """Frequency that the cue 0 asks for, Hz."""
    highest: float = setting("Sine's highest", 6.0, above=0)
    """Frequency that the cue 1 asks for, Hz."""
    values: int = count_setting("Sine's values", 51, least=2)
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
        cue, step = np.arange(self.values)[:, None] / (self.values - 1), np.arange(self.timing["wave"][0])
        periods = (self.lowest + (self.highest - self.lowest) * cue) * step * self.dt / 1000
        wave, scored = np.sin(2 * np.pi * periods), periods >= 1
        common = (wave * scored).sum(0) / np.maximum(scored.sum(0), 1)
        errors = {"output 0": wave, "cue ignored": wave - common}
        return {what: float(0.5 * (error[scored] ** 2).mean()) for what, error in errors.items()}
