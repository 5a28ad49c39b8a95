"""Gradients of several rules compared: each observer's with the driver's, or every pair, part by part of W.

Two gradients are compared at the step that both belong to. Rules have different delays, and some give sums. So the gradients of
the rule that is less late wait for the other's, and if one gives sums, both are summed from one step that ends a window of both
to the next. What is left is a difference between the rules: a past-facing and a future-facing one (RTRL and F-BPTT) distribute
the same total over the steps of a run in two ways, and agree only in sums.

Where a trial ends, what a rule with sums owes is a part of its sum; what a late rule owes (F-BPTT) belongs to no single step
and is not compared.

For a rule with randomness of its own, copies watch too: K draws X_1 ... X_K of its gradient at the weights of the step, which
differ only in their keys. With their mean X and s^2 = sum_k |X_k - X|^2 / (K - 1), which estimates the variance (the trace of
the covariance), and G another rule's gradient at that step,

    |X - G|^2 - s^2 / K                                                                                          (1)

estimates the squared norm of the rule's bias relative to the other, |E[X] - G|^2. This estimate is itself unbiased, so it can
fall below 0. For two rules with draws, both variances are subtracted; for two without, it is the squared norm of their
difference.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from recredit.blocks.buffers import put
from recredit.errors import check_choice, check_count
from recredit.training.traced import Draws, TracedRule

PARTS = ("W", "W_rec", "W_in", "b_rec")
"""All of W, and its columns from the units, from the inputs and of the biases."""


class View(NamedTuple):
    """A rule's gradients as they are compared with another's."""

    rule: int
    """Which rule's."""
    lag: int
    """For how many steps each waits."""
    late: int
    """By how many steps it is late then."""
    ends: tuple[tuple[int, int], ...]
    """(period, remainder) of the steps at which windows end: a gradient is due where all do. (): at every step."""

    def due(self, t: Int[Array, ""]) -> Bool[Array, ""]:
        """Whether step t ends a window."""
        due = t >= self.late
        for period, remainder in self.ends:
            due &= t % period == remainder
        return due


class Waiting(eqx.Module):
    """What is kept of gradients until they are compared."""

    late: tuple[Float[Array, "_ P m"] | None, ...]
    """Of each rule that is less late than another a ring buffer: the gradients for which the other's are still to come."""
    sums: tuple[Float[Array, "P m"], ...]
    """Of each view with windows the sum since the last one's end."""


class Comparison(eqx.Module):
    """Gradients beside each other, summed over steps: of each pair, and if every pair is compared of each part of W."""

    cosine: Float[Array, "pairs *parts"]
    """Of the two gradients, where they are compared: where one is due, both are finite, and neither is 0."""
    first_norm: Float[Array, "pairs *parts"]
    """The norm of the first one's gradient, where they are compared; the driver's, beside an observer's."""
    second_norm: Float[Array, "pairs *parts"]
    """The norm of the second one's gradient, where they are compared."""
    compared: Int[Array, "pairs *parts"]
    """How often they are compared."""
    not_finite: Int[Array, "pairs *parts"]
    """How often one of them was due and not finite."""
    not_finite_at: Int[Array, "pairs *parts"]
    """The step that the first of these belongs to; -1: none."""

    def __add__(self, later: "Comparison") -> "Comparison":
        total = jax.tree.map(jnp.add, self, later)
        at = jnp.where(self.not_finite_at < 0, later.not_finite_at, self.not_finite_at)
        return eqx.tree_at(lambda each: each.not_finite_at, total, at)


class Expected(eqx.Module):
    """What each rule's gradient is on average over its randomness, and how far it varies, summed over steps, of each part."""

    difference: Float[Array, "pairs parts"]
    """Of each pair the squared norm of the difference of what both expect (1), where it is known and finite."""
    differences: Int[Array, "pairs parts"]
    """How often that is so."""
    first_square: Float[Array, "pairs parts"]
    """The squared norm of the first one's gradient there."""
    second_square: Float[Array, "pairs parts"]
    """The squared norm of the second one's gradient there."""
    variance: Float[Array, "rules parts"]
    """The variance of each rule's gradient, where it is due and finite; 0 where it is not known."""
    gradients: Int[Array, "rules parts"]
    """How often that is so."""

    def __add__(self, later: "Expected") -> "Expected":
        return jax.tree.map(jnp.add, self, later)


@dataclass(frozen=True)
class Comparing:
    """Which gradients are compared with which."""

    rules: tuple[tuple[int, int], ...]
    """Delay and period of each rule that drives or watches."""
    every: bool
    """Whether every pair is compared, each part of W apart; else each observer with the driver."""
    expected: tuple[int | None, ...]
    """Of each rule, which of all gradients tells what it expects: its own, or its draws'; None: neither does."""

    @classmethod
    def of(cls, rules: Sequence[TracedRule | Draws], every: bool) -> "Comparing":
        """Of rules of which the first drives, and after them the draws of those with randomness, or none."""
        alone = [rule for rule in rules if not rule.copies]
        draws = iter(range(len(alone), len(rules)))
        expected = (
            None if rule.needs_noise else next(draws, None) if rule.is_random else place for place, rule in enumerate(alone)
        )
        return cls(tuple((rule.delay, rule.period) for rule in alone), every, tuple(expected))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The two rules of each pair."""
        rules = range(len(self.rules))
        return [*itertools.combinations_with_replacement(rules, 2)] if self.every else [(0, rule) for rule in rules[1:]]

    def views(self) -> list[tuple[View, View]]:
        """How the gradients of each pair are compared."""
        found: list[tuple[View, View]] = []
        for pair in self.pairs:
            late = max(self.rules[rule][0] for rule in pair)
            told = (self.rules[rule] for rule in pair)
            ends = tuple(sorted({(period, (late - delay - 1) % period) for delay, period in told if period > 1}))
            first, second = (View(rule, late - self.rules[rule][0], late, ends) for rule in pair)
            found.append((first, second))
        return found

    def _unique(self) -> list[View]:
        return list(dict.fromkeys(itertools.chain(*self.views())))

    def start(self, W: Float[Array, "P m"]) -> Waiting:
        """Before the first step."""
        lags = [max((view.lag for view in self._unique() if view.rule == rule), default=0) for rule in range(len(self.rules))]
        late = tuple(jnp.zeros((lag, *W.shape), W.dtype) if lag else None for lag in lags)
        return Waiting(late, tuple(jnp.zeros_like(W) for view in self._unique() if view.ends))

    def nothing(self) -> tuple[Comparison, Expected | None]:
        """Before the first step."""
        parts = (len(PARTS),) if self.every else ()
        zero, count = jnp.zeros((len(self.pairs), *parts)), jnp.zeros((len(self.pairs), *parts), int)
        own = jnp.zeros((len(self.rules), *parts))
        expected = Expected(zero, count, zero, zero, own, own.astype(int)) if self.every else None
        return Comparison(zero, zero, zero, count, count, count - 1), expected

    @property
    def size(self) -> int:
        """Numbers that are kept of each bin."""
        return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(self.nothing)))

    def add(
        self, waiting: Waiting, t: Int[Array, ""], grads: Sequence[Array], n: int
    ) -> tuple[Waiting, tuple[Comparison, Expected | None]]:
        """One more step of all rules, whose W has its first `n` columns from the units; `grads`: draws after the rules'."""
        shown: dict[View, Array] = {}
        sums: list[Array] = []
        for view in self._unique():
            G, ring = grads[view.rule], waiting.late[view.rule]
            if view.lag:
                assert ring is not None
                G = ring[(t - view.lag) % len(ring)]
            if view.ends:
                G = waiting.sums[len(sums)] + G
                sums.append(jnp.where(view.due(t), 0, G))
            shown[view] = G
        late = tuple(
            None if ring is None else put(ring, t % len(ring), G) for ring, G in zip(waiting.late, grads, strict=False)
        )
        expected = self._expected(shown, t, grads, n) if self.every else None
        return Waiting(late, tuple(sums)), (self._compared(shown, t, n), expected)

    def _compared(self, shown: Mapping[View, Array], t: Int[Array, ""], n: int) -> Comparison:
        def summed(products: Array) -> Array:
            return _by_part(products, n) if self.every else products.sum(0).sum()

        squares = {view: summed(G * G) for view, G in shown.items()}
        dues = {view: view.due(t) for view in shown}
        first, second = ([pair[k] for pair in self.views()] for k in (0, 1))
        due, step = jnp.stack([dues[view] for view in first]), t - jnp.array([view.late for view in first])
        return compare(
            jnp.stack([summed(shown[a] * shown[b]) for a, b in self.views()]),
            (jnp.stack([squares[view] for view in first]), jnp.stack([squares[view] for view in second])),
            due[:, None] if self.every else due,
            step[:, None] if self.every else step,
        )

    def _expected(self, shown: Mapping[View, Array], t: Int[Array, ""], grads: Sequence[Array], n: int) -> Expected:
        mean = [*grads[: len(self.rules)]]
        variance = [jnp.zeros(len(PARTS))] * len(mean)
        of_mean = [*variance]  # of that mean over draws
        for rule, place in enumerate(self.expected):
            if place is None:
                variance[rule] = of_mean[rule] = jnp.full(len(PARTS), jnp.nan)
            elif place != rule:
                X = grads[place]
                mean[rule] = X.mean(0)
                variance[rule] = _by_part(((X - mean[rule]) ** 2).sum(0), n) / (len(X) - 1)
                of_mean[rule] = variance[rule] / len(X)
        differences: list[Array] = []
        squares = {view: _by_part(G * G, n) for view, G in shown.items()}
        for views in self.views():
            at_once = not any(view.lag or view.ends for view in views)  # draws do not wait, nor are they summed
            a, b = (mean[view.rule] if at_once else shown[view] for view in views)
            off = [of_mean[view.rule] if at_once or self.expected[view.rule] == view.rule else jnp.nan for view in views]
            differences.append(_by_part((a - b) ** 2, n) - (0 if views[0] == views[1] else off[0] + off[1]))  # (1)
        difference = jnp.stack(differences)
        first, second = (jnp.stack([squares[pair[k]] for pair in self.views()]) for k in (0, 1))
        due = jnp.stack([one.due(t) for one, _ in self.views()])[:, None]
        known = due & jnp.isfinite(difference) & jnp.isfinite(first) & jnp.isfinite(second)
        variances = jnp.stack(variance)
        own = [View(rule, 0, late, ((period, period - 1),)) for rule, (late, period) in enumerate(self.rules)]
        told = jnp.stack([view.due(t) for view in own])[:, None] & jnp.isfinite(variances)
        return Expected(
            jnp.where(known, difference, 0),
            known.astype(int),
            jnp.where(known, first, 0),
            jnp.where(known, second, 0),
            jnp.where(told, variances, 0),
            told.astype(int),
        )


def check_pairs(pairs: Any, draws: Any) -> int:
    """The number of draws. Raises ValueError unless `pairs` and `draws` are what `Trainer` takes."""
    check_choice("pairs", pairs, ("driver", "all"))
    count = check_count("the number of draws", draws, 0)
    if count == 1:
        raise ValueError("the number of draws must be 0, or at least 2, enough for a variance, not 1.")
    if count and pairs != "all":
        raise ValueError(f'draws are useful only if every pair is compared: give pairs = "all" with the {count} draws.')
    return count


def check_apart(labels: Sequence[str]) -> None:
    """Raise ValueError unless the rules have different labels, the driver's first."""
    if labels[0] in labels[1:]:
        raise ValueError(f'{labels[0]} drives, and another rule has the same name: rename that one, as in {{"other": "rtrl"}}.')


def _by_part(products: Float[Array, "P m"], n: int) -> Float[Array, " parts"]:
    """The sums over all of W, and over its first `n` columns, the next, and the last one."""
    columns = products.sum(0)
    return jnp.stack([part.sum() for part in (columns, columns[:n], columns[n:-1], columns[-1:])])


def compare(
    dot: Float[Array, "pairs *parts"],
    squares: tuple[Float[Array, "pairs *parts"], Float[Array, "pairs *parts"]],
    due: Bool[Array, "pairs *_"],
    step: Int[Array, "pairs *_"],
) -> Comparison:
    """Pairs of gradients, by their products and squares, if they are `due`; `step` is the one that they belong to."""
    norms = jnp.sqrt(squares[0]), jnp.sqrt(squares[1])
    finite = jnp.isfinite(norms[0]) & jnp.isfinite(norms[1])
    both = due & finite & (norms[0] > 0) & (norms[1] > 0)
    safe = [jnp.where(both, norm, 1) for norm in norms]
    lost = due & ~finite
    return Comparison(
        jnp.where(both, dot / safe[0] / safe[1], 0),
        jnp.where(both, norms[0], 0),
        jnp.where(both, norms[1], 0),
        both.astype(int),
        lost.astype(int),
        jnp.where(lost, step, -1),
    )
