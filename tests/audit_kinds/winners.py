"""Kind 23, ii-local does not pass: what a neuron needs is made of the others, another for each. The twins hear one number."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import credit, keep
from recredit.rule import AbstractRule


class Factor(AbstractRule):
    """A rule whose post-synaptic factor is a function of the rates."""

    factor: Callable[..., jax.Array]

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        return jnp.outer(credit(net, step) * self.factor(step.r), step.r_hat), None


class SlowFactor(Factor):
    """The same, the factor averaged over time."""

    def init(self, net, key):
        return jnp.zeros(net.n)

    def update(self, net, step, state, key):
        slow = 0.9 * state + 0.1 * self.factor(step.r)
        return jnp.outer(credit(net, step) * slow, step.r_hat), slow


def one_after_another(r):
    return jnp.stack([jnp.sum(r[: k + 1]) for k in range(len(r))])


def by_distance(r):
    places = jnp.arange(len(r))
    return jnp.exp(-jnp.abs(places[:, None] - places)) @ r


OF_THEIR_OWN = {
    "Prefix": jnp.cumsum,
    "PrefixByTriangle": lambda r: jnp.tril(jnp.ones((len(r), len(r)))) @ r,
    "PrefixByScan": lambda r: lax.scan(lambda total, x: (total + x, total + x), jnp.zeros_like(r[0]), r)[1],
    "PrefixBySlices": one_after_another,
    "LargestSoFar": lax.cummax,
    "Window": lambda r: jnp.roll(r, 1) + r + jnp.roll(r, -1),
    "WindowByConvolution": lambda r: jnp.convolve(r, jnp.ones(3), mode="same"),
    "ByDistance": by_distance,
    "InOrder": jnp.sort,
    "Rank": lambda r: jnp.argsort(jnp.argsort(r)) * 1.0,
    "RankByPairs": lambda r: (r[:, None] <= r).sum(1) * 1.0,
}
FOR_ALL = {
    "LargestWins": lambda r: r * (r >= r.max()),
    "LargestByItsPlace": lambda r: r * jax.nn.one_hot(jnp.argmax(r), len(r)),
    "LargestIsSet": lambda r: jnp.zeros_like(r).at[jnp.argmax(r)].set(1.0),
    "TwoLargestWin": lambda r: r * (r >= lax.top_k(r, 2)[0][-1]),
    "TwoLargestByTheirPlaces": lambda r: jnp.zeros_like(r).at[lax.top_k(r, 2)[1]].set(1.0),
    "TwoLargestByOrder": lambda r: r * (r >= jnp.sort(r)[-2]),
    "AboveTheMedian": lambda r: r * (r > jnp.median(r)),
    "WithoutTheMean": lambda r: r - r.mean(),
    "AllButOneself": lambda r: r.sum() - r,
    "AllButOneselfByMask": lambda r: (1 - jnp.eye(len(r))) @ r,
    "ShareOfTheFullestBin": lambda r: r * jnp.max((r[:, None] > jnp.linspace(-0.5, 0.5, 4)).mean(0)),
    "Shares": lambda r: r / (1 + r.sum()),
}
for name, factor in OF_THEIR_OWN.items():
    keep(name, partial(Factor, factor), 23, "ii-local", ["fail", "judgement"])
keep("SlowPrefix", partial(SlowFactor, jnp.cumsum), 23, "ii-local", ["fail", "judgement"])
for name, factor in FOR_ALL.items():
    keep(name, partial(Factor, factor), 23, "ii-local", ["pass"], twin=True)
    keep(f"{name}InTime", partial(SlowFactor, factor), 23, "locality-time", ["pass"], twin=True)
