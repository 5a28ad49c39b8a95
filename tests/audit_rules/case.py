"""How a small rule says what the audit must find: the cells that fail and the cells left to judgement; all others pass."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp

from recredit.rule import AbstractRule


@dataclass(frozen=True)
class Case:
    """A rule and the cells of its audit that are no `pass`."""

    make: Callable[[], AbstractRule]
    fails: frozenset[str]
    weighs: frozenset[str]
    measured: bool


CASES: dict[str, Case] = {}


def case(*fails: str, weighs: tuple[str, ...] = (), measured: bool = False):
    """Keep a rule with the cells that fail and those left to judgement (`measured`: with ii-continuous)."""

    def keep(rule):
        assert rule.__name__ not in CASES
        CASES[rule.__name__] = Case(rule, frozenset(fails), frozenset(weighs), measured)
        return rule

    return keep


def credit(net, step):
    """The read-out's error at the units, c_bar."""
    return step.error @ net.W_out


def immediate(net, step):
    """The change of each voltage's rate with each weight, alpha D_i r_hat_j."""
    return net.gain(step.v)[:, None] * step.r_hat[None, :]


def gated(net, step, u):
    """A delta rule whose post-synaptic factor also has the signal u: (c_bar_i alpha D_i + u_i / 10) r_hat_j."""
    return jnp.outer(credit(net, step) * net.gain(step.v) + 0.1 * u, step.r_hat)
