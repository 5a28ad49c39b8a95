"""What a rule does, keeps, reads and costs."""

import contextlib
import itertools
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from functools import cache, reduce
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from recredit.audit.account.symbolic import AFFINE_SIZES, SIZES, Polynomial, Sizes, dimension, fit
from recredit.audit.criteria.structural import starts
from recredit.audit.facts.named import Program
from recredit.audit.program.audited import Audited
from recredit.audit.program.graph import COMPARE, PLAIN, Frame, Frames
from recredit.audit.verdicts import Cell, Operation, StateLeaf
from recredit.contract import names_of
from recredit.jaxprs import programs_of
from recredit.rule import AbstractRule

BUILT = "matrix built at each step"
QUANTITIES = {
    True: {"J": (BUILT, "J = (1−α)I + αD∘W_rec"), "αD": ("gain", "αD"), "D": ("gain", "D = φ′(v)")},  # of leaky units
    False: {
        "J": (BUILT, "J = L + D·W_rec·R"), "D": ("gain", "D = ∂s/∂v"), "L": ("a unit's own memory", "L = ∂s/∂s⁻"),
        "R": ("gain", "R = ∂r/∂s"),
    },
}  # fmt: skip
UNKNOWN = "not a polynomial in n, n_in, n_out"


class _Sizes:
    """A rule's program at the sizes that are asked for, as far as it runs at these: a rule may ask for others."""

    def __init__(self, rule: AbstractRule, audited: Audited):
        self.rule = rule
        self._at = audited.example
        self._begun = cache(lambda sizes: jax.eval_shape(rule.init, self._at(sizes)[0], self._at(sizes)[2]))

    def states(self, choice: Iterable[Sizes]) -> dict[Sizes, Any]:
        """Its state (shapes) at each."""
        return self._each(choice, self._begun)

    def leaves(self, choice: Iterable[Sizes]) -> dict[Sizes, list[Any]]:
        """The arrays of its state (shapes) at each."""
        return {sizes: jax.tree.leaves(state) for sizes, state in self.states(choice).items()}

    def counts(self, choice: Iterable[Sizes]) -> dict[Sizes, list[tuple[int, ...]]]:
        """What its update multiplies at each."""
        return self._each(choice, self._counted)

    def _counted(self, sizes: Sizes) -> list[tuple[int, ...]]:
        net, step, key = self._at(sizes)
        return _counts(jax.make_jaxpr(self.rule.update)(net, step, self._begun(sizes), key).jaxpr)

    def _each(self, choice: Iterable[Sizes], value: Callable[[Sizes], Any]) -> dict[Sizes, Any]:
        found = {}
        for sizes in choice:
            with contextlib.suppress(Exception):  # an error of the rule's own
                found[sizes] = value(sizes)
        return found


def costs(rule: AbstractRule, audited: Audited) -> tuple[tuple[StateLeaf, ...], str, str]:
    """The arrays of the learning state with symbolic shapes, how many numbers they hold (clocks and keys apart), and how many
    multiplications and divisions one update makes as it is written; of branches, the costliest.
    """
    at = _Sizes(rule, audited)
    return *_state(at), _multiplications(at)


def _state(at: _Sizes) -> tuple[tuple[StateLeaf, ...], str]:
    arrays = at.leaves(AFFINE_SIZES)
    if len(set(map(len, arrays.values()))) > 1:  # the number of arrays grows
        return (), _fitted({sizes: sum(a.size for a in found) for sizes, found in at.leaves(SIZES).items()}, 4)
    leaves, total = [], Polynomial()
    tree = next(iter(at.states(AFFINE_SIZES).values()))
    for k, name in enumerate(names_of(tree, "state")):
        same = {sizes: found[k] for sizes, found in arrays.items()}
        first = next(iter(same.values()))
        axes = [_axis(at, k, axis, {sizes: a.shape[axis] for sizes, a in same.items()}) for axis in range(first.ndim)]
        size = _product(axes)
        order = max((sum(powers) for powers in size), default=0)
        shape = tuple("?" if a is None else dimension(a) for a in axes)
        leaves.append(StateLeaf(name.removeprefix("state").lstrip("."), shape, order))
        if jnp.issubdtype(first.dtype, jnp.floating):
            total += size
    return tuple(leaves), str(total)


def _product(dims: Iterable[Polynomial | None]) -> Polynomial:
    return reduce(operator.mul, (d for d in dims if d is not None), Polynomial({(0, 0, 0): Fraction(1)}))


def _axis(at: _Sizes, leaf: int, axis: int, values: dict[Sizes, int]) -> Polynomial | None:
    """A dimension as a polynomial: affine, or, as of a flattened matrix, of degree 2."""
    if (found := fit([*values], [*values.values()], 1)) is not None:
        return found
    more = {sizes: arrays[leaf].shape[axis] for sizes, arrays in at.leaves(SIZES).items()}
    return fit([*more], [*more.values()], 3)


def _fitted(values: dict[Sizes, int], degree: int) -> str:
    found = fit([*values], [*values.values()], degree)
    return UNKNOWN if found is None else str(found)


def _multiplications(at: _Sizes) -> str:
    counted = at.counts(AFFINE_SIZES)
    total = Polynomial()
    if len(set(map(len, counted.values()))) == 1:
        for same in zip(*counted.values(), strict=True):
            dims = (
                [fit([*counted], values, 1) for values in zip(*same, strict=True)] if len(set(map(len, same))) == 1 else [None]
            )
            if None in dims:
                break
            total += _product(dims)
        else:
            return str(total)
    return _fitted({sizes: sum(map(prod, counts)) for sizes, counts in at.counts(SIZES).items()}, 4)


def _counts(jaxpr: Any, times: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """The dimensions whose product is the number of multiplications, of each equation that multiplies floats."""
    found = []
    for eqn in jaxpr.eqns:
        if inner := programs_of(eqn):
            bodies = [
                _counts(getattr(j, "jaxpr", j), (*times, *([eqn.params["length"]] if "length" in eqn.params else [])))
                for j in inner
            ]
            found += max(bodies, key=lambda b: sum(map(prod, b))) if eqn.primitive.name == "cond" else itertools.chain(*bodies)
        elif eqn.primitive.name == "dot_general":
            (left, _), _ = eqn.params["dimension_numbers"]
            found.append((*times, *eqn.outvars[0].aval.shape, *(eqn.invars[0].aval.shape[k] for k in left)))
        elif eqn.primitive.name in ("mul", "div", "integer_pow", "square", "one_minus_square"):
            out = eqn.outvars[0].aval
            found += [(*times, *out.shape)] if jnp.issubdtype(out.dtype, jnp.floating) else []
    return found


def reads(p: Program) -> tuple[str, ...]:
    """What the update reads of the network and of the step."""
    names = {p.graph.data[i][0] for i in p.reached if p.graph.op[i] == "in"}
    return tuple(name for name in p.small.inputs if name in names and name.startswith(("net.", "step.")))


def operations(p: Program, cells: Iterable[Cell]) -> tuple[Operation, ...]:
    """Every operation of the update, in the order of the program, with the criteria that it fails or leaves to judgement."""
    graph, by = p.graph, defaultdict(list)
    for i in sorted(p.reached):
        if graph.args[i] and graph.op[i] not in COMPARE and graph.op[i] not in ("key", "neg", "index"):
            by[graph.equation[i]].append(i)
    of_sum = {i: product for product in p.products for i in product.sums}
    found: dict[tuple[str, str, Frames], None] = {}
    for nodes in by.values():
        found |= dict.fromkeys(_describe(p, nodes, of_sum))
    for name, array in p.small.after.items():
        if array.ndim and any(graph.op[int(i)] != "in" or graph.data[int(i)][0] != name for i in array.ravel().tolist()):
            found[(*_kept(p, name), p.written(name))] = None
    for e in itertools.chain(*(found.values() for found in starts(p))):
        found["start", e.operation, (Frame(e.file, e.line, "init"),)] = None
    return _marked([Operation(kind, text, *p.place(frames)) for kind, text, frames in found], cells)


def _describe(p: Program, nodes: list[int], of_sum: dict[int, Any]) -> list[tuple[str, str, Frames]]:
    """What the numbers that one equation computes are: building blocks, in the field's notation."""
    graph, first = p.graph, nodes[0]
    op, frames, args = graph.op[first], graph.frames[first], graph.args[first]
    if products := dict.fromkeys(of_sum[i] for i in nodes if i in of_sum):
        return [(product.kind, p.show(product), product.frames) for product in products]
    quantity = {p.known.get(i) for i in nodes}
    if None not in quantity:
        name = "J" if "J" in quantity else quantity.pop()
        return [(*QUANTITIES["αD" in p.small.known][name or ""], frames)]
    result = p.label(nodes)
    if op == "noise":
        drawn = {k for i in nodes for k in p.parents.get(i, [])} & p.random
        return [("noise draw", p.label(drawn or nodes), frames)]
    if p.function_of(first) and op in PLAIN and len(args) == 1:
        return [("activation function", f"{op}({p.label((graph.args[i][0] for i in nodes), frames)})", frames)]
    if op == "mul":
        left, right = ({graph.args[i][k] for i in nodes} for k in (0, 1))
        if len(left) * len(right) == len(nodes) > max(len(left), len(right)):
            return [("outer product", f"{p.label(left, frames)} ⊗ {p.label(right, frames)}", frames)]
    if op == "sum" or op.startswith("reduce"):
        sign = "Σ" if op == "sum" else f"{op.removeprefix('reduce_')} of"
        return [("sum over entries", f"{sign} {p.label((a for i in nodes for a in graph.args[i]), frames)}", frames)]
    if op == "select" and len({p.label([a], frames) for a in args[1:]}) > 1:
        return [("switch", f"one of {', '.join(dict.fromkeys(p.label([a], frames) for a in args[1:]))}", frames)]
    if op.startswith("unknown:"):
        return [("unknown operation", op.removeprefix("unknown:"), frames)]
    plain = first in p.random or op == "select" or result in p.known.values() or all(p.timeless(i) for i in nodes)
    return [] if plain else [("elementwise", result, frames)]


def _kept(p: Program, name: str) -> tuple[str, str]:
    """How a state array goes on: as a copy, a trace that decays, a sum that grows."""
    graph, symbol = p.graph, p.short(name)
    i = int(p.small.after[name].ravel()[-1])
    own = graph.leaves(name, p.small.after[name].shape).ravel()[-1]
    if graph.op[i] == "in" or (graph.op[i] == "select" and own not in graph.args[i]):
        return "copy", f"{symbol} ← {p.label([i])}"
    if graph.op[i] in ("add", "sub"):
        if own in graph.args[i]:
            return "integrator", f"{symbol} ← {symbol} + change"
        if any(graph.op[a] == "mul" and own in graph.args[a] for a in graph.args[i]):
            return "trace", f"{symbol} ← decay·{symbol} + new"
    if graph.op[i] == "select" and own in graph.args[i]:
        return "switch", f"{symbol} ← {symbol}, or anew"
    return "state", f"{symbol} ← new {symbol}"


def _marked(operations: list[Operation], cells: Iterable[Cell]) -> tuple[Operation, ...]:
    """The operations, each with the criteria that it fails or leaves to judgement.

    What decides a cell is the operation of its line that says the same, or begins with the same symbol; if none does, the last
    one of the line, and of a line without operations a dependence of its own.
    """
    marks: dict[Operation, dict[str, list[str]]] = {one: {"fail": [], "judgement": []} for one in operations}
    for cell in cells:
        for e in cell.evidence if cell.verdict in ("fail", "judgement") else ():
            here = [one for one in marks if (one.file, one.line) == (e.file, e.line)]
            same = [one for one in here if e.operation in (one.text, "") or e.operation.split(" ")[0] == one.text.split(" ")[0]]
            for one in same or here[-1:] or [Operation("dependence", e.operation, e.file, e.line)]:
                marks.setdefault(one, {"fail": [], "judgement": []})[cell.verdict].append(cell.criterion)
    return tuple(
        replace(one, fails=tuple(dict.fromkeys(of["fail"])), weighs=tuple(dict.fromkeys(of["judgement"])))
        for one, of in marks.items()
    )
