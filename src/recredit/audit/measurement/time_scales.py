"""Which arrays of a rule's state keep the time of its steps, and which the network's: where refining a step must help.

A rate that is a number in the program belongs to a step, whatever the network's own time step alpha is: 0.9 S + P leaks by a
tenth each step. Such an array is refined at the value that its program computes from it, before that is bounded, rounded,
chosen or reset, so that the jumps that these make stay what they are. An array whose own strength alpha enters (the factor
1 - alpha, a product with J) is refined by alpha itself. One that is built anew with alpha at each step, as J is, has no time
step: J -> I is no smoothness, so it is looked at with alpha as it was.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from recredit.audit.measurement.flat_program import FlatProgram, Op
from recredit.jaxprs import scan_split

MOVED, ADDED, SCALED, BY_ALPHA = range(4)  # how a value was made from an array of the state

SUMMED = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "dot_general", "cumsum", "sort", "conv_general_dilated"}
ADDS = {"add", "add_any", "sub", "neg", "max", "min", "clamp", "scatter-add", "reduce_sum", "cumsum"}
CHOOSES = {"select_n", "gather", "scatter", "dynamic_slice", "dynamic_update_slice"}  # by a condition or an index
MOVES = {"reshape", "squeeze", "expand_dims", "convert_element_type", "copy", "copy_p", "transpose", "broadcast_in_dim", "rev"}
MOVES |= {"slice", "concatenate", "stack", "pad", "reduce_precision", "optimization_barrier"}
BOUNDS = {"max", "min", "clamp", "convert_element_type", "copy", "copy_p", "select_n", "reduce_precision"}
ROUNDS = {"round", "floor", "ceil", "reduce_precision"}
SWITCHES = {"sign", "eq", "ne", "lt", "le", "gt", "ge"}


@dataclass(frozen=True)
class Known:
    """What is known of a value: the ways by which it has come of the array in question, entry by entry and through sums over
    entries; and whether alpha has entered it.
    """

    entry: frozenset[int] = frozenset()
    sums: frozenset[int] = frozenset()
    alpha: bool = False

    def __or__(self, other: "Known") -> "Known":
        return Known(self.entry | other.entry, self.sums | other.sums, self.alpha or other.alpha)

    @property
    def ways(self) -> frozenset[int]:
        """All of them."""
        return self.entry | self.sums

    @property
    def by_steps(self) -> bool:
        """Whether it is what the array was, entry by entry, changed by so much a step, whatever alpha."""
        if self.entry & {SCALED, BY_ALPHA}:
            return BY_ALPHA not in self.entry
        # A bare sum: in A - eta (A r - J A r) r^T the rate is told by A r; in A + P, by whether alpha enters P.
        return bool(self.entry) and (SCALED in self.sums or (BY_ALPHA not in self.sums and not self.alpha))


def follow(program: FlatProgram, ins: list[Known], differ: set[int], cut: set[int]) -> dict[int, Known]:
    """What is known of every value; what is in `differ` depends on alpha, what is in `cut` is an array of its own."""
    known = {i: Known(alpha=i in differ) for i in program.constants} | dict(zip(program.inputs, ins, strict=True))
    for op in program.ops:
        found = _through(program, op, [known[i] for i in op.ins], not differ.isdisjoint(op.outs))
        known |= {out: Known() if out in cut else x for out, x in zip(op.outs, found, strict=True)}
    return known


def _through(program: FlatProgram, op: Op, ins: list[Known], differs: bool) -> list[Known]:
    """What is known of an operation's results. `differs`: the operation itself depends on alpha."""
    if op.name == "scan" and not differs:
        body, avals = op.params["jaxpr"], program.avals
        consts, carried = scan_split(body, [avals[i] for i in op.ins], [avals[i] for i in op.outs])
        return _round(FlatProgram.of(body), ins, consts, carried)
    if op.name == "while" and not differs:
        body, first = FlatProgram.of(op.params["body_jaxpr"]), op.params["cond_nconsts"]
        consts = op.params["body_nconsts"]
        return _round(body, ins[first:], consts, len(ins) - first - consts)
    elsewhere = _sums(op) or _displaces(program, op)  # what it reads of an entry goes to other entries
    result = Known(alpha=differs or any(x.alpha for x in ins))
    for k, x in enumerate(ins):
        if op.name == "select_n" and k == 0:
            continue  # the condition
        others = any(y.alpha for y in ins[:k] + ins[k + 1 :])
        still = MOVED if op.name in MOVES | CHOOSES else ADDED if op.name in ADDS else BY_ALPHA if others else SCALED
        level = BY_ALPHA if differs else still
        entry, sums = (frozenset(max(way, level) for way in ways) for ways in (x.entry, x.sums))
        result |= Known(sums=entry | sums) if elsewhere else Known(entry, sums)
    return [result] * len(op.outs)


def _sums(op: Op) -> bool:
    return op.name in SUMMED and (op.name != "dot_general" or bool(op.params["dimension_numbers"][0][0]))


def _displaces(program: FlatProgram, op: Op) -> bool:
    """Whether an operation turns an array round, or puts pieces of it together in another order."""
    pieces = [piece for i in op.ins if (piece := program.by.get(i)) is not None and piece.name == "slice"]
    starts = [piece.params["start_indices"][op.params["dimension"]] for piece in pieces] if op.name == "concatenate" else []
    return op.name in ("rev", "sort") or starts != sorted(starts)


def _round(body: FlatProgram, ins: list[Known], consts: int, carried: int) -> list[Known]:
    """What is known of a loop's results, from its constants, what it carries and the rest."""
    while True:
        known = follow(body, ins, set(), set())
        outs = [known[i] for i in body.outputs]
        carry = [a | b for a, b in zip(ins[consts : consts + carried], outs, strict=False)]
        if carry == ins[consts : consts + carried]:
            return outs
        ins = [*ins[:consts], *carry, *ins[consts + carried :]]


@dataclass(frozen=True)
class TimeScales:
    """Where a rule's program keeps the time of its steps."""

    points: dict[int, int]
    """The values to be refined, and the array of the state (by its place) that each is the next value of."""
    held: set[int]
    """The arrays, by their places, that are built anew with alpha."""


def time_scales(program: FlatProgram, differ: set[int], first: int, floating: list[int]) -> TimeScales:
    """Of a program with the state's arrays from its `first` input on, those of floating-point numbers (by their places)."""
    points, held = {}, set()
    outputs = {out for out in program.outputs if out in program.by}
    for leaf in floating:
        out, own = program.outputs[leaf], program.inputs[first + leaf]
        ins = [Known(frozenset({MOVED} if i == own else ())) for i in program.inputs]
        known = follow(program, ins, differ, outputs - {out})
        if known[out].alpha and known[out].ways <= {MOVED}:
            held.add(leaf)
        for point in _points(program, out, known):
            if program.avals[point].shape == program.avals[out].shape and known[point].by_steps:
                points.setdefault(point, leaf)
    return TimeScales(points, held)


def _points(program: FlatProgram, value: int, known: dict[int, Known]) -> Iterator[int]:
    """The values computed from the array before the result is bounded, rounded or chosen."""
    op = program.by.get(value)
    if op is None or not known[value].ways:
        return
    whole = [i for i in op.ins if known[i].ways]
    if op.name in BOUNDS:
        for i in whole[1:] if op.name == "select_n" and op.ins[0] == whole[0] else whole:
            yield from _points(program, i, known)
    elif op.name in ("scatter", "dynamic_update_slice") and whole == op.ins[:1]:
        yield from _points(program, whole[0], known)  # some entries are replaced
    elif (inner := _unrounded(program, value, known)) is not None:
        yield from _points(program, inner, known)
    else:
        yield value


def _unrounded(program: FlatProgram, value: int, known: dict[int, Known]) -> int | None:
    """L of a value such as round(8 L) / 8: what is rounded, in the units of the result."""
    factors, rounded = Counter(), False
    scale = 1.0
    while (op := program.by.get(value)) is not None:
        if rounded and abs(scale - 1) < 1e-6 and not any(factors.values()):
            return value
        own = [i for i in op.ins if known[i].entry]
        if len(own) != 1:
            return None
        [value], others = own, [i for i in op.ins if i not in own]
        to_integer = op.name == "convert_element_type" and jnp.issubdtype(op.params["new_dtype"], jnp.integer)
        rounded = rounded or op.name in ROUNDS | SWITCHES or to_integer
        if op.name in SWITCHES:
            scale, factors = 1.0, Counter()
        elif op.name == "neg" or (op.name == "sub" and op.ins[1] == value):
            scale = -scale
        elif op.name in ("mul", "div") and (op.name == "mul" or op.ins[0] == value):
            power, [other] = (1 if op.name == "mul" else -1), others or [value]
            number = _number(program, other)
            scale *= number**power if number else 1.0
            if number is None:
                factors[_source(program, other)] += power
        elif op.name not in ROUNDS | BOUNDS | ADDS:
            return None
    return None


def _source(program: FlatProgram, value: int) -> int:
    """The value that another is a copy of, in whatever shape."""
    while (op := program.by.get(value)) is not None and op.name in ("broadcast_in_dim", "convert_element_type", "reshape"):
        value = op.ins[0]
    return value


def _number(program: FlatProgram, value: int) -> float | None:
    """The number that a value holds throughout."""
    found = np.asarray(program.constants.get(_source(program, value), ()))
    return float(found.flat[0]) if found.size and np.all(found == found.flat[0]) and found.flat[0] else None
