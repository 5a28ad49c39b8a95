"""Which arrays of a rule's state are leaks or integrators whose rate per step is a number in the program (ii-continuous)."""

from collections.abc import Sequence

from recredit.audit.graph import Graph
from recredit.audit.products import sums_of
from recredit.audit.trace import Sizes, trace
from recredit.rule import AbstractRule

SIZES: Sizes = (5, 2, 3)


def leaks(rule: AbstractRule) -> set[int]:
    """The state's arrays, by their place in it, whose every entry S goes on as c S + ... with a number 0 < c <= 1.

    The number must not depend on alpha: then a step of the program is a step of time, whatever the network's own time step.
    """
    traces = [trace(rule, SIZES, "the rule", alpha) for alpha in (0.5, 0.25)]
    found: list[dict[str, list[float] | None]] = []
    for t in traces:
        transmitted = {s.node for sums in sums_of(t.graph, t.graph.reach(t.roots)).values() for s in sums}
        arrays = {name: (ids.ravel().tolist(), t.inputs[name].ravel().tolist()) for name, ids in t.after.items()}
        found.append({name: _numbers(t.graph, *arrays[name], transmitted) for name in arrays if name in t.floating})
    one, other = found
    return {k for k, name in enumerate(traces[0].after) if one.get(name) is not None and one[name] == other[name]}


def _numbers(graph: Graph, after: list[int], before: list[int], transmitted: set[int]) -> list[float] | None:
    """The number c of every entry of an array; None if one entry has none with 0 < c <= 1."""
    numbers = []
    for new, old in zip(after, before, strict=True):
        c = _coefficient(graph, new, old, transmitted)
        if c is None or not 0 < c <= 1:
            return None
        numbers.append(c)
    return numbers


def _coefficient(graph: Graph, i: int, own: int, transmitted: set[int]) -> float | None:
    """The number that an entry is multiplied by in a sum; None if it enters in any other way but through synapses."""
    reached, found = graph.reach([i]), {}
    if own not in reached:
        return 0.0
    for k in sorted(reached):  # arguments have lower numbers
        parts = [] if k in transmitted else [found[a] for a in graph.args[k]]
        found[k] = 1.0 if k == own else _combined(graph, k, parts)
    return found[i]


def _combined(graph: Graph, i: int, parts: Sequence[float | None]) -> float | None:
    """The number for an operation's result, from those for what it reads."""
    op, args = graph.op[i], graph.args[i]
    if all(p == 0 for p in parts):
        return 0.0
    known = [p for p in parts if p is not None]
    if len(known) < len(parts):
        return None
    if op in ("add", "sum"):
        return sum(known)
    if op == "sub":
        return known[0] - known[1]
    if op == "neg":
        return -known[0]
    if op == "mul" and any(graph.is_constant(a) for a in args):
        k = 0 if graph.is_constant(args[0]) else 1
        return float(graph.value(args[k])) * known[1 - k]
    if op == "div" and graph.is_constant(args[1]):
        return known[0] / float(graph.value(args[1]))
    return None
