"""What is measured along a run, kept as sums so that memory does not grow with the steps.

An observer's gradient is compared with the driver's at the step that both belong to. Rules are late by different delays, and
some give sums: so the gradient of the one that is less late waits for the other's, and where one gives sums, both are summed
from one step that ends a window of both to the next. What is left is a difference of the rules: a past-facing and a
future-facing one (RTRL and F-BPTT) share out the same total among the steps of a run in two ways, and agree in sums alone.

Where a trial ends, what a rule with sums owes is a part of its sum; what a rule that is late owes (F-BPTT) belongs to no one
step and is not compared.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from recredit.blocks.buffers import put
from recredit.training.traced import TracedRule


class Pair(eqx.Module):
    """What is kept to compare an observer's gradient with the driver's at the step that both belong to."""

    waiting: Float[Array, "lag P m"]
    """A ring buffer: of the rule that is less late, the gradients for which the other's are still to come."""
    sums: Float[Array, "two P m"] | None
    """Where a rule gives sums of several steps: both rules' sums since the last step at which both gave theirs."""

    @classmethod
    def start(cls, driver: TracedRule, observer: TracedRule, W: Float[Array, "P m"]) -> "Pair":
        lag, summed = abs(driver.delay - observer.delay), max(driver.period, observer.period) > 1
        return cls(jnp.zeros((lag, *W.shape), W.dtype), jnp.zeros((2, *W.shape), W.dtype) if summed else None)

    def add(
        self, rules: tuple[TracedRule, TracedRule], t: Int[Array, ""], G: tuple[Float[Array, "P m"], Float[Array, "P m"]]
    ) -> tuple["Pair", "Comparison"]:
        """One more step of the driver and the observer."""
        (driver, observer), waiting, sums = rules, self.waiting, self.sums
        if lag := len(waiting):
            early = 0 if driver.delay < observer.delay else 1
            oldest, waiting = waiting[t % lag], put(waiting, t % lag, G[early])
            G = (oldest, G[1]) if early == 0 else (G[0], oldest)
        step = t - max(driver.delay, observer.delay)
        due = step >= 0
        if sums is not None:
            for rule in rules:
                due &= (step + rule.delay + 1) % rule.period == 0
            G = (sums[0] + G[0], sums[1] + G[1])
            sums = jnp.where(due, 0, jnp.stack(G))
        return Pair(waiting, sums), compare(*G, due, step)


class Comparison(eqx.Module):
    """An observer's gradients beside the driver's, summed over steps; the arrays may have an axis for several observers."""

    cosine: Float[Array, "*observers"]
    """Of the two gradients, where they are compared: where one is due, both are finite, and neither is 0."""
    driver_norm: Float[Array, "*observers"]
    """The norm of the driver's gradient, where they are compared."""
    observer_norm: Float[Array, "*observers"]
    """The norm of the observer's gradient, where they are compared."""
    compared: Int[Array, "*observers"]
    """How often they are compared."""
    not_finite: Int[Array, "*observers"]
    """How often one of them was due and not finite."""
    not_finite_at: Int[Array, "*observers"]
    """The step that the first of these belongs to; -1: none."""

    def __add__(self, later: "Comparison") -> "Comparison":
        total = jax.tree.map(jnp.add, self, later)
        at = jnp.where(self.not_finite_at < 0, later.not_finite_at, self.not_finite_at)
        return eqx.tree_at(lambda each: each.not_finite_at, total, at)


def compare(
    driver: Float[Array, "P m"], observer: Float[Array, "P m"], due: Bool[Array, ""], step: Int[Array, ""]
) -> Comparison:
    """Two gradients beside each other, if they are `due`; `step` is the one that they belong to."""
    norms = jnp.linalg.norm(driver), jnp.linalg.norm(observer)
    finite = jnp.isfinite(norms[0]) & jnp.isfinite(norms[1])
    both = due & finite & (norms[0] > 0) & (norms[1] > 0)
    safe = [jnp.where(both, norm, 1) for norm in norms]
    cosine = jnp.sum(driver / safe[0] * (observer / safe[1]))
    lost = due & ~finite
    return Comparison(
        jnp.where(both, cosine, 0),
        jnp.where(both, norms[0], 0),
        jnp.where(both, norms[1], 0),
        both.astype(int),
        lost.astype(int),
        jnp.where(lost, step, -1),
    )


class Scores(NamedTuple):
    """What is measured of one step."""

    loss: Float[Array, "*streams"]
    """The loss, times the step's weight."""
    weight: Float[Array, "*streams"] | None = None
    """The step's weight; None: 1."""
    correct: Float[Array, "*streams"] | None = None
    """The weight where the largest output is the label's, 0 elsewhere; None where labels are no classes."""


class Measured(eqx.Module):
    """What is kept of some steps of one seed: sums, so that memory does not grow with the steps, and what is recorded."""

    scores: Scores
    """The sums of the steps'."""
    comparison: Comparison
    """Of each observer with the driver."""
    diverged_at: Int[Array, ""]
    """The first step whose loss is not a finite number; -1: none."""
    finite_data: Bool[Array, ""]
    """Whether all inputs and labels are finite."""
    has_loss: Bool[Array, ""]
    """Whether the head has a loss for all labels."""
    are_weights: Bool[Array, ""]
    """Whether no step's weight is below 0."""
    lost_gradient: Bool[Array, ""]
    """Whether the driver told a gradient other than 0 at a step for which its period has none: W is not moved by it."""
    recorded: dict[str, Float[Array, "rows *_"]] = eqx.field(default_factory=dict)
    """What is recorded of the steps (`recording`), a row for each interval that they lie in; the last may be unused."""

    @classmethod
    def nothing(cls, observers: int, checked: tuple[Any, Any, Any], measures: Sequence[str] = ()) -> "Measured":
        """Before the first step; `checked`: what is true of the data; `measures`: which scores there are beside the loss."""
        scores = Scores(jnp.zeros(()), *(jnp.zeros(()) if name in measures else None for name in Scores._fields[1:]))
        zero, count = jnp.zeros(observers), jnp.zeros(observers, int)
        comparison = Comparison(zero, zero, zero, count, count, count - 1)
        return cls(scores, comparison, jnp.array(-1), *checked, jnp.array(False))

    def add(
        self, t: Int[Array, ""], scores: Scores, comparisons: list[Comparison], lost_gradient: Bool[Array, ""] | bool
    ) -> "Measured":
        """One more step, and each observer's comparison."""
        return Measured(
            jax.tree.map(jnp.add, self.scores, scores),
            self.comparison + jax.tree.map(lambda *each: jnp.stack(each), *comparisons) if comparisons else self.comparison,
            jnp.where((self.diverged_at < 0) & ~jnp.isfinite(scores.loss), t, self.diverged_at),
            self.finite_data,
            self.has_loss,
            self.are_weights,
            self.lost_gradient | lost_gradient,
        )
