"""What is measured along a run, kept as sums so that memory does not grow with the steps."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from recredit.training.comparison import Comparing, Comparison, Expected


class Scores(NamedTuple):
    """What is measured of one step."""

    loss: Float[Array, "*streams"]
    """The loss, times the step's weight."""
    weight: Float[Array, "*streams"] | None = None
    """The step's weight; None: 1."""
    correct: Float[Array, "*streams"] | None = None
    """The weight if the largest output is the label's, else 0; None if labels are not classes."""


class Measured(eqx.Module):
    """What is kept of some steps of one seed: sums, so that memory does not grow with the steps, and what is recorded."""

    scores: Scores
    """The sums of the steps'."""
    comparison: Comparison
    """Of gradients with each other: of each observer's with the driver's, or of every pair."""
    expected: Expected | None
    """What the rules expect, where every pair is compared."""
    diverged_at: Int[Array, ""]
    """The first step whose loss is not a finite number; -1: none."""
    finite_data: Bool[Array, ""]
    """Whether all inputs and labels are finite."""
    has_loss: Bool[Array, ""]
    """Whether the head has a loss for all labels."""
    are_weights: Bool[Array, ""]
    """Whether no step's weight is below 0."""
    lost_gradient: Bool[Array, ""]
    """Whether the driver returned a gradient other than 0 at a step for which its period has none: W ignores it."""
    recorded: dict[str, Float[Array, "rows *_"]] = eqx.field(default_factory=dict)
    """What is recorded of the steps (`recording`), a row for each interval that they lie in; the last may be unused."""

    @classmethod
    def nothing(
        cls,
        comparing: Comparing,
        checked: tuple[Any, Any, Any],
        measures: Sequence[str] = (),
    ) -> "Measured":
        """Before the first step; `checked`: what is true of the data; `measures`: which scores there are beside the loss."""
        scores = Scores(jnp.zeros(()), *(jnp.zeros(()) if name in measures else None for name in Scores._fields[1:]))
        return cls(scores, *comparing.nothing(), jnp.array(-1), *checked, jnp.array(False))

    def add(
        self,
        t: Int[Array, ""],
        scores: Scores,
        compared: tuple[Comparison, Expected | None] | None,
        lost_gradient: Bool[Array, ""] | bool,
    ) -> "Measured":
        """One more step, and what was compared at it; None: nothing is."""
        comparison, expected = self.comparison, self.expected
        if compared is not None:
            comparison = comparison + compared[0]
            expected = compared[1] if expected is None or compared[1] is None else expected + compared[1]
        return Measured(
            jax.tree.map(jnp.add, self.scores, scores),
            comparison,
            expected,
            jnp.where((self.diverged_at < 0) & ~jnp.isfinite(scores.loss), t, self.diverged_at),
            self.finite_data,
            self.has_loss,
            self.are_weights,
            self.lost_gradient | lost_gradient,
        )
