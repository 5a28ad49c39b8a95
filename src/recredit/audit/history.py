"""Where a rule keeps the values of earlier steps (criterion locality-time)."""

from collections import defaultdict

import numpy as np

from recredit.audit.facts import ACTIVATIONS
from recredit.audit.graph import COMPARE
from recredit.audit.program import Program

Entry = tuple[str, tuple[int, ...]]
_OPEN = ("add", "sub", "mul", "neg", "select")


def delay_lines(p: Program) -> dict[str, str]:
    """State arrays whose entries take over what others held, over two steps or more, and from which arrays they do.

    A variable as it was one step before is no history.
    """
    ids = {(name, index): int(ids[index]) for name, ids in p.small.after.items() for index in np.ndindex(*ids.shape)}
    moved = {entry: source for entry, i in ids.items() if (source := _origin(p, i)) not in (None, entry)}
    found: dict[str, str] = {}
    for entry, source in moved.items():
        seen, moves = {entry}, 1
        while source in moved and source not in seen:
            seen.add(source)
            source, moves = moved[source], moves + 1
        fresh = source not in seen and source in ids and _origin(p, ids[source]) != source  # not a circle, not a constant
        if fresh and (moves > 1 or p.graph.op[ids[source]] == "in"):
            found.setdefault(entry[0], moved[entry][0])
    return found


def _origin(p: Program, i: int) -> Entry | None:
    """The state entry that a number is, up to a gain and an activation function."""
    graph, after = p.graph, p.small.after
    while graph.op[i] in ("mul", "div", "neg") or graph.op[i] in ACTIVATIONS:
        states = [a for a in graph.args[i] if any(graph.op[k] == "in" and graph.data[k][0] in after for k in graph.reach([a]))]
        if len(states) != 1 or i in p.product_sums:
            return None
        i = states[0]
    return graph.data[i] if graph.op[i] == "in" and graph.data[i][0] in after else None


def ring_buffers(p: Program) -> list[str]:
    """State arrays in which a new value goes to one of several places, told by a clock."""
    return [name for name, ids in p.small.after.items() if _by_index(p, name, ids) or _by_mask(p, name, ids)]


def _by_index(p: Program, name: str, ids: np.ndarray) -> bool:
    """Whether several entries either stay or take the same number."""
    graph, given = p.graph, defaultdict(int)
    for index in np.ndindex(*ids.shape):
        i = int(ids[index])
        cases = graph.args[i][1:] if graph.op[i] == "select" else ()
        if any(graph.op[k] == "in" and graph.data[k] == (name, index) for k in cases):
            for k in set(cases):
                given[k] += not graph.is_constant(k) and graph.data[k] != (name, index)
    return any(count > 1 for count in given.values())


def _by_mask(p: Program, name: str, ids: np.ndarray) -> bool:
    """The same in arithmetic: the same number enters three entries or more, each by a comparison of its own with a clock."""
    graph, gates = p.graph, defaultdict(set)
    for index in np.ndindex(*ids.shape):
        parts = p.parts(int(ids[index]), lambda k: graph.op[k] in _OPEN)
        clocks = frozenset(k for k in parts if graph.op[k] in COMPARE and _clocked(p, k))
        if clocks and any(graph.op[k] == "in" and graph.data[k] == (name, index) for k in parts):
            for k in parts - clocks:
                if graph.op[k] not in _OPEN and not graph.is_constant(k):
                    gates[k].add(clocks)
    return any(len(told) > 2 for told in gates.values())


def _clocked(p: Program, i: int) -> bool:
    """Whether a number depends on counts in the state, and on nothing else."""
    read = [p.graph.data[k] for k in p.graph.reach([i]) if p.graph.op[k] in ("in", "noise")]
    return bool(read) and all(where[0] in p.small.after and where[1] == () for where in read)
