"""Programs whose numbers are data, so that those that differ only in numbers are compiled once."""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun
from jaxtyping import Array

from recredit.jaxprs import programs_of, walk

COMPILED = 32  # programs kept, those longest unused forgotten first: each holds hundreds of the 65,530 maps Linux allows


def evaluate(program: ClosedJaxpr, given: Sequence[Any], number: Callable[[Literal], Any] | None = None) -> list[Any]:
    """What a program gives for some arguments, the equations of inner jits in their place.

    `number` gives the value of each literal, of those in the branches of conditionals too; None: what is written there.
    """

    def apply(eqn: JaxprEqn, ins: list[Any]) -> list[Any]:
        if eqn.primitive.name == "jit":
            return evaluate(eqn.params["jaxpr"], ins, number)
        if eqn.primitive.name == "cond" and number is not None:
            branches = [lambda *ins, branch=branch: evaluate(branch, ins, number) for branch in eqn.params["branches"]]
            return jax.lax.switch(ins[0], branches, *ins[1:])
        with eqn.ctx.manager:  # what a `with jax.threefry_partitionable(...)` around a draw had set, say
            out = eqn.primitive.bind(*ins, **eqn.primitive.get_bind_params(eqn.params))
        return out if eqn.primitive.multiple_results else [out]

    return walk(program.jaxpr, [*program.consts, *given], apply, number or (lambda literal: literal.val))


def _literals(jaxpr: Jaxpr) -> Iterator[Literal]:
    """The literals of a program, in the order in which `evaluate` comes to them."""
    for eqn in jaxpr.eqns:
        yield from (atom for atom in eqn.invars if isinstance(atom, Literal))
        if eqn.primitive.name in ("jit", "cond"):
            for inner in programs_of(eqn):
                yield from _literals(inner.jaxpr)
    yield from (atom for atom in jaxpr.outvars if isinstance(atom, Literal))


class Program:
    """A traced program without its numbers. Two are equal if they compute the same from the same numbers."""

    def __init__(self, jaxpr: Jaxpr, result: Any):
        text = str(jaxpr)
        self.jaxpr, self.result = jaxpr, result
        # A function that is called back has no text that tells it from others: such a program is like no other.
        unique = id(self) if " at 0x" in text or "callback" in text else None
        self._key = (hashlib.sha256(b"".join([text.encode(), *_left_out(jaxpr)])).digest(), unique, result)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _left_out(jaxpr: Any) -> Iterator[bytes]:
    """What a program's text leaves out: the settings around each equation, and the constants of the programs within."""
    for eqn in jaxpr.eqns:
        yield repr(eqn.ctx).encode()
        for inner in programs_of(eqn):
            yield from (np.asarray(const).tobytes() for const in getattr(inner, "consts", ()))
            yield from _left_out(inner)


class TracedFunction(eqx.Module):
    """A function of arrays as it was traced: its program, and apart from it its numbers.

    The numbers are the arrays that the function closes over, and the scalars that it spells out, such as a learning rate or the
    end of a schedule, if they are `lifted` and not within the body of a loop.
    """

    numbers: list[Array]
    program: Program = eqx.field(static=True)

    def __init__(self, closed: ClosedJaxpr, result: Any, lifted: Callable[[np.ndarray], bool] | None = lambda number: True):
        """`closed`, `result`: a jaxpr and the shapes of what it gives. `lifted`: which scalars are numbers; None: none."""
        found: list[Any] = []
        if lifted is not None:
            written = (np.asarray(literal.val, jax.typeof(literal.val).dtype) for literal in _literals(closed.jaxpr))
            found = [number for number in written if lifted(number)]
            given = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in closed.in_avals]

            def free(numbers: list[Any], *given: Any) -> list[Any]:
                left = iter(numbers)
                return evaluate(closed, given, lambda literal: next(left) if lifted(np.asarray(literal.val)) else literal.val)

            closed = jax.make_jaxpr(free)(found, *given)
        self.numbers = jax.device_put([*closed.consts, *found])
        self.program = Program(closed.jaxpr, jax.tree.structure(result))

    @classmethod
    def of(cls, function: Callable[..., Any], *examples: Any) -> "TracedFunction":
        """A function traced for `examples` (arrays or their shapes), with all of its numbers as data."""
        return cls(*jax.make_jaxpr(function, return_shape=True)(*examples))

    @property
    def result(self) -> Any:
        """The shapes of what it gives."""
        avals: list[Any] = [
            jax.typeof(atom.val) if isinstance(atom, Literal) else atom.aval for atom in self.program.jaxpr.outvars
        ]
        shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type) for aval in avals]
        return jax.tree.unflatten(self.program.result, shapes)

    def __call__(self, *given: Any) -> Any:
        jaxpr, arrays = self.program.jaxpr, [*self.numbers, *jax.tree.leaves(given)]
        consts = len(jaxpr.constvars)
        out = jaxpr_as_fun(ClosedJaxpr(jaxpr, arrays[:consts]))(*arrays[consts:])
        return jax.tree.unflatten(self.program.result, map(jnp.asarray, out))


def check_untraced(given: Any) -> None:
    """Raise TypeError if an array in a tree is one that JAX is tracing."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(given)):
        raise TypeError(
            "train cannot be called within jax.jit, nor with values that jax.jit, jax.vmap or jax.grad trace: call it outside "
            "of them, with plain numbers and arrays."
        )


def program_of(function: Callable[..., Any], *args: Any, jit: Callable[..., Any] | None = None) -> tuple[Any, tuple[Any, ...]]:
    """`function` compiled for such arguments, and the arrays among them: program(*arrays) is function(*args).

    Whatever is no array is part of the program. `jit`: how it is compiled; None: quickly, for what runs once.
    """
    arrays, rest = eqx.partition(args, lambda leaf: isinstance(leaf, jax.Array | np.ndarray))
    check_untraced(arrays)
    leaves, structure = jax.tree.flatten(rest)
    kinds = (*map(type, leaves), *map(jax.typeof, jax.tree.leaves(arrays)))  # types, since 1 == 1.0 == True
    return _compiled(function, structure, tuple(leaves), kinds, jit or _quick_jit()), arrays


@functools.lru_cache(maxsize=COMPILED)
def _compiled(
    function: Callable[..., Any], structure: Any, leaves: tuple[Any, ...], kinds: tuple[Any, ...], jit: Callable[..., Any]
) -> Any:
    rest = jax.tree.unflatten(structure, leaves)
    return jit(lambda *arrays: function(*eqx.combine(arrays, rest)))


@functools.cache
def _quick_jit() -> Callable[..., Any]:
    # Drawing a network is so compiled in a third of the time, to the same weights. Not all versions of XLA have the first.
    if jax.default_backend() != "cpu":
        return jax.jit
    quick = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}
    try:
        jax.jit(lambda x: x, compiler_options=quick).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        del quick["xla_cpu_use_fusion_emitters"]
    return functools.partial(jax.jit, compiler_options=quick)
