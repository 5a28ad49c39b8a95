"""Which numbers of a program are the strengths of synapses, or made of them entry by entry."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recredit.audit.facts.numbers import Entry, Numbers


@dataclass(frozen=True)
class Made:
    """What a number is made of, by elementwise operations."""

    entries: frozenset[Entry] = frozenset()
    """Stored entries of matrices."""
    activity: int | None = None
    """A number among them that moves with the network's activity."""
    noise: bool = False

    def __or__(self, other: "Made") -> "Made":
        activity = self.activity if self.activity is not None else other.activity
        return Made(self.entries | other.entries, activity, self.noise or other.noise)


class Synapses(Numbers):
    """Facts about stored matrices: the network's, the state's, and the weights of layers of a fixed number of neurons."""

    orders: dict[str, int]

    @cached_property
    def owner(self) -> dict[int, tuple[str, tuple[int, ...]]]:
        """Of each node that is an entry of a stored array, before or after its update: the array and the index."""
        graph, found = self.graph, {}
        for i in self.reached:
            if graph.op[i] == "in":
                found[i] = graph.data[i]
        for name, ids in self.small.after.items():
            for index in np.ndindex(*ids.shape):
                i = int(ids[index])
                if graph.op[i] not in ("in", "const"):
                    found.setdefault(i, (name, index))
        return found

    def is_matrix(self, name: str) -> bool:
        """Whether an array is a matrix (or more): its size grows with the square of n, or it is the weights of a layer."""
        return name in ("net.W", "net.W_out") or self.orders.get(name, 0) >= 2 or name in self.layers

    @cached_property
    def layers(self) -> set[str]:
        """State arrays that are weights to or from a population whose size does not grow.

        They have two axes, and never change, or change at each entry by what its row shares and what its column shares.
        """
        found = set()
        for name, ids in self.small.inputs.items():
            plane = np.squeeze(ids) if name in self.small.floating else ids
            if name not in self.small.floating or self.orders.get(name, 0) >= 2 or plane.ndim != 2:
                continue
            if self.fixed.issuperset(plane.ravel().tolist()) or self._woven(plane, np.squeeze(self.small.after[name])):
                found.add(name)
        return found

    def _woven(self, before: np.ndarray, after: np.ndarray) -> bool:
        """Whether each entry of an array needs activity that its row alone shares, and some that its column alone shares."""
        graph, own = self.graph, set(before.ravel().tolist())
        needed = np.empty(after.shape, object)
        for index in np.ndindex(*after.shape):
            parts, stack = set(), [int(after[index])]
            while stack:
                k = stack.pop()
                if k not in parts and k in self.driven and k not in own:
                    parts.add(k)
                    stack.extend(() if graph.op[k] == "sum" else graph.args[k])
            needed[index] = parts
        everywhere = set.intersection(*needed.ravel())
        lines = [*needed, *needed.T]
        return min(after.shape) > 1 and all(set.intersection(*line) - everywhere for line in lines)

    def made(self, i: int) -> Made:
        """What a number is made of, by elementwise operations; what synapses transmit is activity."""
        found, stack = self._made, [i]
        while stack:
            k = stack[-1]
            if k in found:
                stack.pop()
            elif (leaf := self._leaf(k)) is not None:
                found[k] = leaf
            elif missing := [a for a in self.graph.args[k] if a not in found]:
                stack.extend(missing)
            else:
                total = Made()
                for a in self.graph.args[k]:
                    total |= found[a]
                found[k] = total
        return found[i]

    @cached_property
    def _made(self) -> dict[int, Made]:
        return {}

    def _leaf(self, i: int) -> Made | None:
        """What a number is by itself; None for what is opened up."""
        graph = self.graph
        if (entry := self.owner.get(i)) and self.is_matrix(entry[0]):
            return Made(frozenset([entry]))
        if graph.is_constant(i) or (graph.op[i] == "in" and i in self.fixed):
            return Made()
        if graph.op[i] == "noise" or i in self.random:
            return Made(noise=True)
        if graph.op[i] == "in":
            return Made(activity=None if self.following(i) is not None and graph.data[i][1] == () else i)
        return Made(activity=i) if i in self.product_sums or graph.op[i].startswith("unknown:") else None

    def stored(self, i: int) -> Entry | None:
        """The stored matrix entry that a number is a function of; None for one that also moves with activity or noise.

        Of several entries (a strength and its fixed sign), one that changes.
        """
        made = self.made(i)
        if made.activity is not None or made.noise or not made.entries:
            return None
        return min(made.entries, key=lambda entry: (int(self.small.inputs[entry[0]][entry[1]]) in self.fixed, entry))

    def stored_rows(self, rows: Iterable[tuple[int, ...]]) -> dict[int, Entry | None]:
        """Of each number in a matrix's rows, the stored entry that it is a function of, up to one gain that all share.

        Each entry must be its own synapse's: one that several places of the matrix are made of is none of theirs.
        """
        rows = list(rows)
        nodes = {i for row in rows for i in row}
        found = {i: self.stored(i) for i in nodes}
        missing = [i for i, entry in found.items() if entry is None]
        if missing and len(missing) == len(nodes) and all(self.graph.op[i] in ("mul", "div") for i in missing):
            shared = set.intersection(*(set(self.graph.args[i]) for i in missing))
            for i in missing if shared else ():
                rest = [a for a in self.graph.args[i] if a not in shared]
                found[i] = self.stored(rest[0]) if len(rest) == 1 else None
        users: dict[Entry, set[int]] = defaultdict(set)
        for i, entry in found.items():
            for one in self.made(i).entries if entry else ():
                users[one].add(i)
        moving = {one for one in users if int(self.small.inputs[one[0]][one[1]]) not in self.fixed}
        for i in nodes:
            made = self.made(i).entries
            if len(made) > 1 and any(len(users[one]) > 1 for one in made & moving):
                found[i] = None
        return found
