"""Compute, ahead of a loop, what each step needs that does not depend on earlier steps: the random numbers."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Var

from recredit.training.programs import evaluate


def split(function: Callable, early: Any, late: Any) -> tuple[Callable, Callable]:
    """Split `function(early, late)` into `first(early)`, all that needs `early` alone, and `then(first(early), early, late)`.

    Random numbers drawn for many steps at once, by `jax.vmap(first)`, cost a fraction of as many single draws. `early` and
    `late` are examples: arrays or their shapes.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(early, late)
    jaxpr, consts, count = closed.jaxpr, set(closed.jaxpr.constvars), len(jax.tree.leaves(early))
    told, made = set(jaxpr.invars[:count]), set()
    ahead, after = [], []
    for eqn in jaxpr.eqns:
        read = {v for v in eqn.invars if isinstance(v, Var)} - consts
        if read and read <= told | made and not eqn.effects:
            ahead.append(eqn)
            made |= set(eqn.outvars)
        else:
            after.append(eqn)
    wanted = [v for v in (*(v for eqn in after for v in eqn.invars), *jaxpr.outvars) if isinstance(v, Var)]
    handed = [v for v in dict.fromkeys(wanted) if v in made]
    before = ClosedJaxpr(jaxpr.replace(invars=jaxpr.invars[:count], outvars=handed, eqns=ahead), closed.consts)
    rest = ClosedJaxpr(jaxpr.replace(invars=[*handed, *jaxpr.invars], eqns=after), closed.consts)

    def first(early: Any) -> list[Any]:
        return evaluate(before, jax.tree.leaves(early))

    def then(drawn: list[Any], early: Any, late: Any) -> Any:
        return jax.tree.unflatten(jax.tree.structure(shapes), evaluate(rest, [*drawn, *jax.tree.leaves((early, late))]))

    return first, then
