"""Which rules work on which networks."""

from typing import Any

import jax

from recredit.contract import example_key, random_key
from recredit.network import UNITS, Network
from recredit.registry import resolve_network
from recredit.rule import AbstractRule


def unfit(rule: AbstractRule, network: Any) -> str | None:
    """Why a rule does not work on a network, as `resolve_network` takes one; None: it does."""
    net = jax.eval_shape(lambda: resolve_network(network).create(1, 2, "softmax", random_key(0)))
    try:
        rule.check_network(net)
        jax.eval_shape(rule.init, net, example_key())
    except ValueError as error:
        return str(error)
    return None


def unfit_by_units(rule: AbstractRule) -> dict[str, str | None]:
    """Of each kind of units, as they come, why a rule is not for a network of them; None: it is."""
    noise = 1.0 if rule.needs_noise else 0.0
    return {units: unfit(rule, Network(2, units=make(), noise=noise)) for units, make in UNITS.items()}
