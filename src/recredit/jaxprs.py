"""Reading a jaxpr, for the audit and for training: its equations in order, what they run, and what they merely call."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
from jax.extend.core import ClosedJaxpr, Literal

V = TypeVar("V")

CALLS = {"jit", "remat2", "custom_jvp_call", "custom_vjp_call", "custom_vmap_call"}
CALLS |= {"call", "closed_call", "eval_jaxpr", "composite", "compute_on", "xla_metadata_call"}
"""The primitives that run one program on exactly their own inputs, and return what it returns."""


def programs_of(eqn: Any) -> list[Any]:
    """The programs (jaxprs, closed or not) that an equation runs: a call's, a loop's, those of all branches."""
    params = jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda param: hasattr(param, "eqns"))
    return [param for param in params if hasattr(param, "eqns")]


def called(eqn: Any) -> ClosedJaxpr | None:
    """The program that an equation merely calls; None if the equation is no call."""
    if eqn.primitive.name not in CALLS:
        return None
    program, *_ = programs_of(eqn)
    return program if isinstance(program, ClosedJaxpr) else ClosedJaxpr(program, ())


def scan_split(body: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[int, int]:
    """How many constants a scan takes and how many values it carries, from the types (avals) of its inputs and outputs.

    What is looped over, and what is stacked, has one more axis outside the body than inside. (JAX stores the two numbers too,
    but under different names in different versions.)
    """
    looped, stacked = (
        sum(outside.ndim != inside.aval.ndim for outside, inside in zip(*pair, strict=True))
        for pair in ((ins, body.jaxpr.invars), (outs, body.jaxpr.outvars))
    )
    carried = len(outs) - stacked
    return len(ins) - looped - carried, carried


def walk(jaxpr: Any, given: Sequence[V], apply: Callable[[Any, list[V]], Sequence[V]], literal: Callable[[Any], V]) -> list[V]:
    """A jaxpr's outputs, evaluated as the caller chooses: as arrays, as nodes of a graph, or anything else.

    `given`: the values of its constants, then of its inputs. `literal(atom)` gives the value of a number written in it.
    `apply(equation, inputs)` is called for each equation in order and gives the values of its outputs.
    """
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], given, strict=True))

    def read(atom: Any) -> V:
        return literal(atom) if isinstance(atom, Literal) else values[atom]

    for eqn in jaxpr.eqns:
        values |= zip(eqn.outvars, apply(eqn, [read(atom) for atom in eqn.invars]), strict=True)
    return [read(atom) for atom in jaxpr.outvars]
