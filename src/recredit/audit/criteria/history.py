"""Where a rule keeps the values of earlier steps (criterion locality-time).

The next value of a state entry is examined under each of its conditions. It may hold (keep its value), be moved (take another
entry's value, up to a gain or an activation), be fresh (made of this step's activity), or mix these, as a trace that leaks or
adds up does. An entry that holds what was fresh keeps an earlier step's value; so do entries that pass it on.
"""

from dataclasses import dataclass, field

import numpy as np

from recredit.audit.facts.named import Program
from recredit.audit.facts.numbers import ONE


@dataclass
class Next:
    """What the next value of one entry may be."""

    holds: bool = False
    moved: set[int] = field(default_factory=set)
    """The entries whose values it takes over."""
    fresh: set[int] = field(default_factory=set)
    """Numbers of this step that it takes as they are."""


class History:
    """What becomes of each entry of the state."""

    def __init__(self, program: Program):
        self.program = program
        self.entries = {
            int(i): name
            for name in program.small.after
            if name in program.small.floating
            for i in program.small.inputs[name].ravel().tolist()
        }
        self.next = {i: self._next(i) for i in self.entries}

    def _next(self, i: int) -> Next:
        p, found = self.program, Next()
        after = p.following(i)
        for form in p.alternatives(after) if after is not None and after != i else []:
            atoms = [a for a in form if a != ONE]
            if atoms == [i] and form == {i: 1.0}:
                found.holds = True
            elif len(atoms) == 1 and (source := self._origin(atoms[0])) != i:
                (found.moved if source in self.entries else found.fresh).add(source)
            elif atoms and i not in atoms:
                found.fresh.add(min(atoms))
        found.fresh = {a for a in found.fresh if self._active(a)}
        return found

    def _origin(self, i: int) -> int:
        """The state entry of which alone a number is a function, or the number."""
        return next((a for a in self.program.function_of(i) if a in self.entries), i)

    def _active(self, i: int) -> bool:
        """Whether a number is made of activity, not of a clock, of noise or of the strength of a synapse alone."""
        p = self.program
        alone = {i, *p.function_of(i)}
        return not (p.timeless(i) or i in p.random or i in p.fixed or any(p.strength(a) for a in alone))

    def delay_lines(self) -> dict[str, str]:
        """State arrays whose entries take over, over two steps or more, what was fresh, and from which arrays they do.

        A variable's value one step before is not history.
        """
        graph, found = self.program.graph, {}
        late = {i for i, after in self.next.items() if any(self.next[a].fresh for a in after.moved)}
        for i, after in self.next.items():
            for source in after.moved:
                copied = any(graph.op[a] == "in" for a in self.next[source].fresh)
                if source != i and (source in late or (copied and i in late)):
                    found.setdefault(self.entries[i], self.entries[source])
        return found

    def held(self) -> list[str]:
        """State arrays, one number or more for each unit, whose entries keep what was fresh until they are overwritten."""
        p, found = self.program, {}
        for i, after in self.next.items():
            name = self.entries[i]
            if after.holds and after.fresh and (p.orders.get(name, 0) >= 1 or self._in_turn(name)):
                found.setdefault(name)
        return list(found)

    def registers(self) -> list[str]:
        """State arrays of whole numbers, one or more for each unit, whose bits are shifted to make room for what is fresh."""
        p, found = self.program, []
        for name, ids in p.small.after.items():
            if name in p.small.floating or p.orders.get(name, 0) < 1:
                continue
            i, own = int(ids.ravel()[0]), int(p.small.inputs[name].ravel()[0])
            shifts = [k for k in p.graph.reach([i]) if p.graph.op[k].startswith("shift") and own in p.graph.args[k]]
            if shifts and not p.timeless(i):
                found.append(name)
        return found

    def _in_turn(self, name: str) -> bool:
        """Whether several entries of an array take the same number."""
        taken = [a for i in np.unique(self.program.small.inputs[name]) for a in self.next[int(i)].fresh]
        return len(taken) > len(set(taken))
