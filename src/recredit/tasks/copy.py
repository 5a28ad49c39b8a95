"""Delayed recall: repeat a list of symbols, in order, after a delay.

Inputs: the symbol, one-hot, while the list is shown; one input that is on when nothing is shown; one for the cue to answer, on
during the first item of the recall, whose label is the first symbol.

Source: Arjovsky, Shah & Bengio 2016, "Unitary evolution recurrent neural networks", after Hochreiter & Schmidhuber 1997; here
with a cue, and a delay that varies, so that a timer is not enough.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from recredit.network import Head
from recredit.tasks.task import Sample
from recredit.tasks.trials import AbstractTrialTask, count_setting


class Copy(AbstractTrialTask):
    """Repeat a list of symbols after a delay."""

    symbols: int = count_setting("Copy's symbols", 8, least=2)
    """How many different symbols there are."""
    items: int = count_setting("Copy's items", 5)
    """Symbols in a list."""
    hold: int = count_setting("Copy's hold", 1)
    """Network steps that each symbol lasts, when shown and when repeated."""
    shortest_delay: int = count_setting("Copy's shortest_delay", 5, least=0)
    """Fewest network steps between the list and the cue."""
    longest_delay: int = count_setting("Copy's longest_delay", 15, least=0)
    """Most network steps between the list and the cue."""
    head: Head = eqx.field(default="softmax", init=False, static=True)
    """Cross-entropy: one output per symbol."""

    @property
    def n_in(self) -> int:
        return self.symbols + 2

    @property
    def n_out(self) -> int:
        return self.symbols

    @property
    def timing(self) -> dict[str, tuple[int, int]]:
        items = self.items * self.hold
        return {"list": (items, items), "delay": (self.shortest_delay, self.longest_delay), "recall": (items, items)}

    def draw(self, key: PRNGKeyArray) -> Int[Array, " items"]:
        return jax.random.randint(key, (self.items,), 0, self.symbols)

    def at(self, trial: Int[Array, " items"], epoch: Int[Array, ""], step: Int[Array, ""], key: PRNGKeyArray) -> Sample:
        recall, symbol = epoch == 2, trial[step // self.hold]
        blank, cue = self.symbols, self.symbols + 1
        shown = jnp.where(epoch == 0, symbol, jnp.where(recall & (step < self.hold), cue, blank))
        return self.choice(jax.nn.one_hot(shown, self.n_in, dtype=float), symbol, recall)

    def floors(self) -> dict[str, float]:
        """Mean cross-entropy (nats) of a learner that recalls so many items of each list."""
        some = sorted({self.items * k // 5 for k in range(1, 5)} - {0})  # of a long list a few levels are enough
        known = {"nothing learned": 0} | {f"{k} of {self.items} items": k for k in some} | {"all items": self.items}
        return {what: (1 - k / self.items) * math.log(self.symbols) for what, k in known.items()}
