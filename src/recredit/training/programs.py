"""Programs whose numbers are data, so that those which differ in numbers alone are compiled once."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var
from jaxtyping import Array

COMPILED = 32  # programs kept, those longest unused forgotten first: each holds hundreds of the 65,530 maps Linux allows

Number = Callable[[Literal], Any]


def evaluate(eqns: list[Any], values: dict[Var, Any], wanted: list[Any], number: Number | None = None) -> list[Any]:
    """The values of some variables after some equations, those of inner jits in their place.

    `number` gives the value of each literal, of those in the branches of conditionals too; None: what is written there.
    """

    def read(atom: Any) -> Any:
        if isinstance(atom, Literal):
            return atom.val if number is None else number(atom)
        return values[atom]

    for eqn in eqns:
        given = [read(atom) for atom in eqn.invars]
        if eqn.primitive.name in ("jit", "pjit"):
            out = call(eqn.params["jaxpr"], given, number)
        elif eqn.primitive.name == "cond" and number is not None:
            branches = [lambda *given, branch=branch: call(branch, given, number) for branch in eqn.params["branches"]]
            out = jax.lax.switch(given[0], branches, *given[1:])
        else:
            with eqn.ctx.manager:  # what a `with jax.threefry_partitionable(...)` around a draw had set, say
                out = eqn.primitive.bind(*given, **eqn.primitive.get_bind_params(eqn.params))
        values |= zip(eqn.outvars, out if eqn.primitive.multiple_results else [out], strict=True)
    return [read(atom) for atom in wanted]


def call(program: ClosedJaxpr, given: Sequence[Any], number: Number | None = None) -> list[Any]:
    """What a program gives for some arguments, `number` as `evaluate` has it."""
    jaxpr = program.jaxpr
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *given], strict=True))
    return evaluate(jaxpr.eqns, values, jaxpr.outvars, number)


class Program:
    """A traced program without its numbers. Two are equal if they compute the same from the same numbers."""

    def __init__(self, jaxpr: Jaxpr, result: Any):
        text = str(jaxpr)
        self.jaxpr, self.result = jaxpr, result
        # A function that is called back has no text that tells it from others: such a program is like no other.
        self._key = (id(self) if " at 0x" in text else text, result)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


class TracedFunction(eqx.Module):
    """A function of arrays, traced for `examples` (arrays or their shapes): its program, and apart from it its numbers.

    The numbers are all that the function closes over or spells out, a learning rate or the end of a schedule, but for those
    within the body of a loop.
    """

    numbers: list[Array]
    program: Program = eqx.field(static=True)

    def __init__(self, function: Callable[..., Any], *examples: Any):
        closed, result = jax.make_jaxpr(function, return_shape=True)(*examples)
        leaves, found = jax.tree.leaves(examples), []

        def note(literal: Literal) -> Any:
            found.append(np.asarray(literal.val, jax.typeof(literal.val).dtype))
            return literal.val

        jax.eval_shape(lambda *given: call(closed, given, note), *leaves)

        def free(numbers: list[Any], *given: Any) -> list[Any]:
            left = iter(numbers)
            return call(closed, given, lambda _: next(left))

        traced = jax.make_jaxpr(free)(found, *leaves)
        self.numbers = jax.device_put([*traced.consts, *found])
        self.program = Program(traced.jaxpr, jax.tree.structure(result))

    def __call__(self, *given: Any) -> Any:
        jaxpr, arrays = self.program.jaxpr, [*self.numbers, *jax.tree.leaves(given)]
        consts = len(jaxpr.constvars)
        return jax.tree.unflatten(self.program.result, call(ClosedJaxpr(jaxpr, arrays[:consts]), arrays[consts:]))


def with_numbers_as_data(part: Any, use: Callable[[Any], Any]) -> Any:
    """`part` with its Python floats as scalars of JAX, unless `use(part)` then fails: it branches on one, say."""
    numbers, rest = eqx.partition(part, lambda leaf: isinstance(leaf, float))
    data = jax.tree.map(jnp.asarray, numbers)  # weakly typed, as Python's floats are
    try:
        jax.eval_shape(lambda data: [use(eqx.combine(data, rest)), None][1], data)
    except Exception:  # whatever else is wrong with it shows when it is used
        return part
    return eqx.combine(data, rest)


def program_of(function: Callable[..., Any], *args: Any, jit: Callable[..., Any] = jax.jit) -> tuple[Any, tuple[Any, ...]]:
    """`function` compiled by `jit` for such arguments, and the arrays among them: program(*arrays) is function(*args).

    Whatever is no array is part of the program.
    """
    arrays, rest = eqx.partition(args, lambda leaf: isinstance(leaf, jax.Array | np.ndarray))
    leaves, structure = jax.tree.flatten(rest)
    kinds = (*map(type, leaves), *map(jax.typeof, jax.tree.leaves(arrays)))  # types, since 1 == 1.0 == True
    return _compiled(function, structure, tuple(leaves), kinds, jit), arrays


@functools.lru_cache(maxsize=COMPILED)
def _compiled(
    function: Callable[..., Any], structure: Any, leaves: tuple[Any, ...], kinds: tuple[Any, ...], jit: Callable[..., Any]
) -> Any:
    rest = jax.tree.unflatten(structure, leaves)
    return jit(lambda *arrays: function(*eqx.combine(arrays, rest)))
