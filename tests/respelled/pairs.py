"""Which registered rule each respelled rule is."""

from collections.abc import Callable

from recredit.rule import AbstractRule

PAIRS: dict[str, tuple[Callable[[], AbstractRule], Callable[[], AbstractRule]]] = {}


def respells(registered):
    """Keep a rule with the registered one whose gradients it computes in other words."""

    def keep(rule):
        PAIRS[f"{rule.__name__} respells {registered.__name__}"] = (registered, rule)
        return rule

    return keep
