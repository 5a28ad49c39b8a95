"""How a rule says which verdicts are right for it, and what the rules share."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from recredit.audit.verdicts import CRITERIA
from recredit.rule import AbstractRule

PASS, FAIL, JUDGED = frozenset({"pass"}), frozenset({"fail"}), frozenset({"judgement"})
NOT_FAIL, NOT_PASS = frozenset({"pass", "judgement"}), frozenset({"fail", "judgement"})


@dataclass(frozen=True)
class Case:
    """A rule and the verdicts that are right for it; on the criteria that it does not name the audit is free."""

    make: Callable[[], AbstractRule]
    allowed: dict[str, frozenset[str]]


CASES: dict[str, Case] = {}


def expects(**verdicts: frozenset[str]):
    """Keep a rule with the verdicts that are right for it, by criterion (`ii_local` for ii-local)."""
    allowed = {criterion.replace("_", "-"): right for criterion, right in verdicts.items()}
    assert {*allowed} <= {*CRITERIA}, allowed

    def keep(rule):
        assert rule.__name__ not in CASES, rule.__name__
        CASES[rule.__name__] = Case(rule, allowed)
        return rule

    return keep


def random_feedback(net, key):
    """A fixed random W_FB (n_out, n), as in feedback alignment."""
    return jax.random.normal(key, (net.n_out, net.n), net.W.dtype) / net.n_out**0.5


def random_matrix(key, rows, columns):
    """Random synapses (rows, columns) of strengths that keep the size of what they carry."""
    return jax.random.normal(key, (rows, columns)) / columns**0.5


def leaky(old, new, rate):
    """A leaky average."""
    return old + rate * (new - old)


def immediate(net, step):
    """alpha D_i r_hat_j, the immediate influence."""
    return jnp.outer(net.gain(step.v), step.r_hat)


def eligibility(net, step, B):
    """RFLO's trace."""
    return (1 - net.alpha) * B + jnp.outer(net.gain(step.v), step.r_hat)
