"""Samples that all exist beforehand, one row per network step, played in one or several passes."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from recredit.errors import MOST
from recredit.network import RNN
from recredit.tasks.recording.order import Part, shuffled_rows
from recredit.tasks.task import AbstractTask, Sample


class Place(eqx.Module):
    """Where a stream plays: in each pass through the rows, `share` of them from the place `first` on; None is the beginning.
    `key` decides the trials' order; None if they are played as recorded."""

    share: int = eqx.field(static=True)
    first: Int[Array, ""] | None = None
    key: PRNGKeyArray | None = None


class AbstractRows(AbstractTask):
    """Rows in passes; in each pass, each of k parallel streams plays one of k equally long parts."""

    what: eqx.AbstractClassVar[str]
    """What the rows are, in a sentence."""
    rows: eqx.AbstractVar[int]
    """How many there are."""
    begins: eqx.AbstractVar[Int[Array, " trials"] | None]
    """The row at which each trial begins, 0 first; None: there are no trials. A stream begins with a trial's first row."""
    passes: eqx.AbstractVar[int]
    """How often the rows are played."""
    shuffle: eqx.AbstractVar[bool]
    """Whether each pass shuffles the trials, in an order that differs between seeds; the steps of a trial stay in order."""
    part: eqx.AbstractVar[Part]
    """Which part of a split the rows are: "train", "test" or "all"."""

    @abstractmethod
    def sample(self, take: Callable[[Array], Array]) -> Sample:
        """The samples of some steps; `take` takes these steps' rows from an array of all rows."""

    def init(self, net: RNN, key: PRNGKeyArray) -> Place:
        return Place(self.rows, jnp.array(0), key) if self.shuffle else Place(self.rows)

    def chunk(self, state: Place, start: Int[Array, ""], length: int) -> tuple[Place, Sample]:
        if self.passes == 1 and not self.shuffle:
            row = start if state.first is None else state.first + start
            return state, self.sample(lambda array: jax.lax.dynamic_slice_in_dim(array, row, length))
        rows = self._rows(state, start, length)
        return state, self.sample(lambda array: array[rows])

    def _rows(self, state: Place, start: Int[Array, ""], length: int) -> Int[Array, " length"]:
        if self.begins is not None and state.first is not None and state.key is not None:
            lengths = jnp.diff(self.begins, append=self.rows)
            return shuffled_rows(state.key, self.begins, lengths, self.rows, state.first, state.share, start, length)
        return (0 if state.first is None else state.first) + (start + jnp.arange(length)) % state.share

    def stream(self, state: Place, number: Int[Array, ""], count: int) -> Place:
        """The place at which the stream's part of each pass begins."""
        share = max(self.rows // count, 1)  # `check` refuses more streams than rows
        first = number * share
        if self.begins is not None and not self.shuffle:  # back to the beginning of the trial
            first = self.begins[jnp.searchsorted(self.begins, first, side="right") - 1]
        return Place(share, first, state.key)

    def length(self, streams: int = 1) -> int:
        return min(self.passes * (self.rows // streams), MOST)

    def check(self, steps: int, streams: int = 1) -> None:
        most = self.length(streams)
        which = self.what if self.part == "all" else f"the part {self.part} of {self.what}"
        if steps > most:
            asked = f"{steps:,}" if streams == 1 else f"{streams:,} streams of {steps:,}"
            played = "once" if self.passes == 1 else f"{self.passes:,} times"
            ask = f"at most {most:,} steps, or raise passes" if most else f"at most {self.rows:,} streams"
            raise ValueError(
                f"{which} has {self.rows:,} steps, fewer than the {asked} asked for: it is played {played}, so ask for {ask}."
            )
        longest = 0 if self.begins is None else int(np.diff(np.asarray(self.begins), append=self.rows).max())
        if longest > steps:
            raise ValueError(f"{which} has a trial of {longest:,} steps, longer than the stream of {steps:,}.")
