"""How a rule says which kind of fault it shows, and which verdicts on one criterion are right for it.

Kinds 1 to 10 were passed and must not be, 11 to 17 were failed and must not be, 18 and 19 could not be judged; of later
kinds each file tells it. A twin looks like the rules of its kind and must be judged the other way.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from recredit.rule import AbstractRule


@dataclass(frozen=True)
class Case:
    """A rule and what is right to say of it on one criterion; what the audit says on the others is free."""

    make: Callable[[], AbstractRule]
    kind: int
    criterion: str
    """One of the audit's, or "contract": a rule is either accepted or refused."""
    allowed: frozenset[str]
    """The verdicts that are right; of the contract "accepted" or "refused"."""
    twin: bool
    named: str
    """What a refusal must name: a pattern."""


CASES: dict[str, Case] = {}


def keep(name, make, kind, criterion, allowed, *, twin=False, named=""):
    """Keep a rule under its kind and a name of its own."""
    name = f"kind{kind:02}-{name}"
    assert name not in CASES, name
    CASES[name] = Case(make, kind, criterion, frozenset(allowed), twin, named)


def shows(kind, criterion, *allowed, named=""):
    """Keep a rule, a class or a factory, that shows a kind of fault, with the verdicts that are right."""

    def kept(make):
        keep(make.__name__, make, kind, criterion, allowed, named=named)
        return make

    return kept


def twin(kind, criterion, *allowed, named=""):
    """Keep a rule that looks like those of a kind and must be judged the other way."""

    def kept(make):
        keep(make.__name__, make, kind, criterion, allowed, twin=True, named=named)
        return make

    return kept


class Plain(AbstractRule):
    """A rule that keeps nothing."""

    def init(self, net, key):
        return None


class Traced(AbstractRule):
    """A rule with one number a synapse."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)


class Recurrent(AbstractRule):
    """A rule with random synapses of its own between the units."""

    def init(self, net, key):
        return jax.random.normal(key, (net.n, net.n)) / net.n**0.5


class TwoRecurrent(AbstractRule):
    """A rule with two such sets of synapses."""

    def init(self, net, key):
        return jax.random.normal(key, (2, net.n, net.n)) / net.n**0.5


def credit(net, step):
    """The read-out's error at the units, c_bar."""
    return step.error @ net.W_out


def influence(net, step):
    """The change of each unit's rate with each of its weights, alpha D_i r_hat_j."""
    return net.gain(step.v)[:, None] * step.r_hat[None, :]


def gated(net, step, u):
    """A delta rule whose post-synaptic factor also has the signal u: (c_bar_i alpha D_i + u_i / 10) r_hat_j."""
    return jnp.outer(credit(net, step) * net.gain(step.v) + 0.1 * u, step.r_hat)


def drive(net, step):
    """[x; 1], what the units read beside each other's rates."""
    return step.r_hat[net.n :]
