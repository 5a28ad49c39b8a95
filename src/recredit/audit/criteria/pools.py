"""Sums over neurons that no synapses carry: one number for all, or a different one for each neuron (criterion ii-local)."""

from collections import Counter, defaultdict
from functools import cached_property

from recredit.audit.facts.named import Program
from recredit.audit.program.graph import Frames


class Pools:
    """The sums over neurons of one program, largest and smallest numbers and orders among them."""

    def __init__(self, program: Program):
        self.p, self.graph = program, program.graph

    def under(self, i: int) -> set[int]:
        """What a number is made of only through sums and the like over the population, which are one number for all."""
        graph, p, open_, stack = self.graph, self.p, set(), [i]
        while stack:
            k = stack.pop()
            if k in open_ or k in p.product_sums:
                continue
            open_.add(k)
            if (after := p.following(k)) is not None:
                stack.append(after)
            elif not (graph.op[k] == "sum" or graph.op[k].startswith("reduce")) or self._ordered(k) or self.of_its_own(k):
                stack.extend(graph.args[k])
        return p.reached - open_

    def of_its_own(self, i: int) -> bool:
        """Whether a number is made of several neurons' numbers, and each neuron has another such number.

        A sum over all neurons but oneself is the same for all but for what is one's own.
        """
        graph, p = self.graph, self.p
        if len(frozenset().union(*(p.homes(a) for a in graph.args[i]))) < 2:
            return False
        alike, more = (found[graph.op[i], graph.frames[i]] for found in self._pools)
        if not p.small.sizes[0] - 1 <= len(alike) < len(more):
            return False
        users = Counter(a for k in alike for a in set(graph.args[k]))
        return self._ordered(i) or any(users[a] < len(alike) - 1 for a in graph.args[i] if p.homes(a))

    @cached_property
    def _pools(self) -> list[dict[tuple[str, Frames], list[int]]]:
        """At both sizes, the sums and the like that no synapses carry, by operation and place."""
        found = []
        for t, carried in ((self.p.small, self.p.product_sums.keys()), (self.p.large, set())):
            pools: dict[tuple[str, Frames], list[int]] = defaultdict(list)
            for k in t.graph.reach(t.roots) - carried:
                if t.graph.op[k] == "sum" or t.graph.op[k].startswith("reduce"):
                    pools[t.graph.op[k], t.graph.frames[k]].append(k)
            found.append(pools)
        return found

    def _ordered(self, i: int) -> bool:
        """Whether a number is one of several by their order."""
        return self.graph.data[i] is not None
