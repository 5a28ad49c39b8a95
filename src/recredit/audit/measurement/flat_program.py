"""A function of arrays as a flat list of operations, which can be run, or run again in part with some values changed."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recredit.jaxprs import called, walk

Values = dict[int, Any]  # by number
Written = Mapping[int, Callable[[Values, Any], Any]]


class Op(NamedTuple):
    """One operation: the numbers of the values that it reads and writes."""

    primitive: Any
    params: dict[str, Any]
    ins: list[int]
    outs: list[int]

    @property
    def name(self) -> str:
        """The name of its primitive."""
        return self.primitive.name

    def of(self, ins: list[Any]) -> list[Any]:
        """What it makes of these."""
        result = self.primitive.bind(*ins, **self.primitive.get_bind_params(self.params))
        return list(result) if self.primitive.multiple_results else [result]


@dataclass(eq=False)
class FlatProgram:
    """A function of arrays as a flat list of operations on numbered values, its sub-programs inlined."""

    inputs: list[int]
    outputs: list[int]
    constants: Values = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    avals: dict[int, Any] = field(default_factory=dict)
    """Of each value, its shape and type."""

    @classmethod
    def trace(cls, function: Callable[..., Any], *arguments: Any) -> "FlatProgram":
        """The program of `function` at these arguments (arrays or their shapes)."""
        return cls.of(jax.make_jaxpr(function)(*arguments))

    @classmethod
    def of(cls, closed: Any) -> "FlatProgram":
        """The same of a closed jaxpr. What reaches no output is left out."""
        count = itertools.count()
        program = cls([next(count) for _ in closed.jaxpr.invars], [])
        program.avals |= zip(program.inputs, (v.aval for v in closed.jaxpr.invars), strict=True)

        def constant(value: Any) -> int:
            program.constants[number := next(count)] = value
            program.avals[number] = jax.typeof(value)
            return number

        def write(primitive: Any, params: dict[str, Any], ins: list[int], *outvars: Any) -> list[int]:
            outs = [next(count) for _ in outvars]
            program.avals |= zip(outs, (v.aval for v in outvars), strict=True)
            program.ops.append(Op(primitive, params, ins, outs))
            return outs

        def apply(eqn: Any, ins: list[int]) -> list[int]:
            if inner := called(eqn):
                return inline(inner, ins)
            if eqn.primitive.name == "cond":  # every branch is computed, and one is chosen
                cases = zip(*[inline(branch, ins[1:]) for branch in eqn.params["branches"]], strict=True)
                return [write(jax.lax.select_n_p, {}, [ins[0], *c], v)[0] for c, v in zip(cases, eqn.outvars, strict=True)]
            return write(eqn.primitive, eqn.params, ins, *eqn.outvars)

        def inline(closed: Any, ins: list[int]) -> list[int]:
            given = [*map(constant, closed.consts), *ins]
            return walk(closed.jaxpr, given, apply, lambda v: constant(np.asarray(v.val, jnp.result_type(v.aval))))

        program.outputs = inline(closed, program.inputs)
        needed, kept = set(program.outputs), []
        for op in reversed(program.ops):
            if needed.intersection(op.outs):
                needed.update(op.ins)
                kept.append(op)
        program.ops = kept[::-1]
        return program

    @cached_property
    def by(self) -> dict[int, Op]:
        """Of each value that an operation writes, the operation."""
        return {out: op for op in self.ops for out in op.outs}

    def after(self, changed: Iterable[int], cut: Iterable[int] = ()) -> set[int]:
        """The values that depend on the changed ones, those included, by ways that do not pass through a value of `cut`."""
        found, cut = set(changed), set(cut)
        for op in self.ops:
            if not found.isdisjoint(op.ins):
                found.update(out for out in op.outs if out not in cut)
        return found

    def before(self, target: int) -> set[int]:
        """The values that a value depends on, itself included."""
        found = {target}
        for op in reversed(self.ops):
            if not found.isdisjoint(op.outs):
                found.update(op.ins)
        return found

    def values(self, arguments: list[Any], lifted: Values, written: Written) -> Values:
        """All values, with other constants where `lifted` has them, and some changed as soon as they are written.

        `written`: of a value by its number, the function of all values so far and itself that it is replaced by.
        """
        values = {**self.constants, **lifted, **dict(zip(self.inputs, arguments, strict=True))}
        for op in self.ops:
            for out, value in zip(op.outs, op.of([values[i] for i in op.ins]), strict=True):
                values[out] = written[out](values, value) if out in written else value
        return values

    def run(self, arguments: list[Any], lifted: Values | None = None) -> list[Any]:
        """The outputs, with other constants where `lifted` has them."""
        values = self.values(arguments, lifted or {}, {})
        return [values[i] for i in self.outputs]

    def again(self, target: int, values: Values, changed: Values, cut: Iterable[int] = ()) -> Any:
        """What a value would be with some others changed, those of `cut` apart."""
        cut = {*cut} - {target}
        touched, needed = self.after(changed, cut), self.before(target)
        values = values | changed
        for op in self.ops:
            if not touched.isdisjoint(op.ins) and not needed.isdisjoint(op.outs):
                for out, value in zip(op.outs, op.of([values[i] for i in op.ins]), strict=True):
                    if out not in cut and out not in changed:
                        values[out] = value
        return values[target]


def that_differ(programs: list[FlatProgram]) -> tuple[set[int], set[int]]:
    """The constants that differ between the programs, and what is written by operations that do (all, if their number does)."""
    first, texts = programs[0], [[f"{op.name} {op[1:]} {[p.avals[i] for i in op.outs]}" for op in p.ops] for p in programs]
    if any(p.constants.keys() != first.constants.keys() or len(p.ops) != len(first.ops) for p in programs):
        return set(), {out for op in first.ops for out in op.outs}
    constants = {i for i, value in first.constants.items() if any(not np.array_equal(p.constants[i], value) for p in programs)}
    return constants, {out for op, *same in zip(first.ops, *texts, strict=True) if len(set(same)) > 1 for out in op.outs}
