"""How random draws enter (criterion v).

Noise and the draws that it comes from are followed through the state: slow noise is made of the draws of all steps.
"""

import math
from collections import Counter, defaultdict
from functools import cached_property

from recredit.audit.facts.named import Program
from recredit.audit.facts.neurons import LARGE, SMALL
from recredit.audit.facts.numbers import ONE
from recredit.audit.verdicts import Cell, Evidence

ADDED = ("add", "sub", "sum")


def noise(p: Program) -> Cell:
    """Each neuron's own draws, added to one of its variables, pass; one draw for a whole matrix does not."""
    if not any(p.graph.op[i] == "noise" for i in p.reached):
        return Cell("v", "pass", "It draws no random numbers.")
    bad, weigh = _Noise(p).judge()
    if bad:
        return Cell("v", "fail", bad[0].sentence, tuple(dict.fromkeys(bad)))
    if weigh:
        return Cell("v", "judgement", weigh[0].sentence, tuple(dict.fromkeys(weigh)))
    return Cell("v", "pass", "Each neuron has its own draws, which are added to a variable of that neuron.")


class _Noise:
    """Where noise meets other numbers."""

    def __init__(self, p: Program):
        self.p, self.graph = p, p.graph
        self.noisy = self._nothing_else()
        n, n_in, n_out = p.small.sizes
        self.longest = n + max(n_in, n_out) + 1  # of the network's vectors, where a unit is one number

    def judge(self) -> tuple[list[Evidence], list[Evidence]]:
        """What fails, and what is to be weighed."""
        bad: list[Evidence] = []
        weigh: list[Evidence] = []
        meetings: dict[tuple[int, bool], dict[int, int]] = defaultdict(dict)  # by equation: its place, and the noise
        for i in sorted(self.noisy):
            for parent in self.p.parents.get(i, []):
                if parent not in self.noisy:
                    meetings[self.graph.equation[parent], self._adds(i, parent)].setdefault(parent, i)
        for (equation, added), where in sorted(meetings.items()):
            parent, i = next(iter(where.items()))
            whole, what = self._of_one_draw(equation, added, where) or (False, self._to_weigh(equation, added, where))
            if what:
                (bad if whole else weigh).append(self._evidence(i, parent, what))
        return bad, weigh or self._as_a_change()

    def _of_one_draw(self, equation: int, added: bool, where: dict[int, int]) -> tuple[bool, str] | None:
        """Whether one draw reaches a whole matrix, and what to say of it; None where there is more than one."""
        (parent, i), entries = next(iter(where.items())), self.p.siblings[equation]
        shared = len(set(where.values())) == 1 and len(where) > 1
        lone = entries == 1 and self._lone(i) and not self.p.homes(parent)
        if shared and added and self._of_synapses(entries, parent):
            return True, "is one number added to all entries of a matrix"
        if (shared and self._of_synapses(entries, parent)) or (lone and not added):
            return True, "is one number for all synapses, which would all have to receive it at once"
        return (False, "is one number for all neurons: it is not independent") if shared or lone else None

    def _to_weigh(self, equation: int, added: bool, where: dict[int, int]) -> str:
        """What there is to say against noise of several draws."""
        parent, noises = next(iter(where)), [*where.values()]
        if not added and self._share({*noises}):
            return "is not independent: several neurons share a draw"
        if not added:
            multiplies = self.graph.op[parent] in ("mul", "div", "select")
            how = "multiplies other variables" if multiplies else f"meets other variables in {self.graph.op[parent]}"
            return "" if all(map(self._of_variables, noises)) else f"{how}; it should be added to one"
        if self._overlap([self.sources(i) for i in noises]) or self._between_units(where):
            return "is not independent: several neurons share a draw"
        to_synapses = self.p.siblings[equation] > self.longest and not self._like_a_vector(parent)
        return "is added to one number per synapse, not to one per neuron" if to_synapses else ""

    def _adds(self, i: int, parent: int) -> bool:
        """Whether a noise is added to something, or is one of the cases between which a clock decides."""
        if self.graph.op[parent] == "select":
            which, *cases = self.graph.args[parent]
            return i in cases and which in self.p.undisturbed
        return self.graph.op[parent] in ADDED

    def _nothing_else(self) -> set[int]:
        """Nodes that are nothing but noise, by whatever scale that neither the network nor a draw decides.

        Also what is left when all else cancels: (v + xi) - v.
        """
        graph, found = self.graph, set(self.p.random)
        for i in sorted((self.p.noisy & self.p.reached) - found):
            args = [a for a in graph.args[i] if not graph.is_constant(a) and a not in self.p.undisturbed]
            left = [a for a in self.p.weighted(i) if a != ONE]
            if (args and all(a in found for a in args)) or (left and all(a in found for a in left)):
                found.add(i)
        return found

    def sources(self, i: int) -> frozenset[int]:
        """The draws that a noise is made of, at whatever step."""
        graph, found, seen, stack = self.graph, set(), set(), [i]
        while stack:
            k = stack.pop()
            if k in seen:
                continue
            seen.add(k)
            if graph.op[k] == "noise":
                found.add(k)
            elif (after := self.p.following(k)) is not None:
                stack.append(after)
            else:
                stack.extend(a for a in graph.args[k] if a in self.noisy)
        return frozenset(found)

    def _share(self, noises: set[int]) -> bool:
        """Whether several noises are made of the same draws."""
        draws = [self.sources(i) for i in noises]
        return sum(map(len, draws)) > len(frozenset().union(*draws))

    def _overlap(self, draws: list[frozenset[int]]) -> bool:
        """Whether several units share a draw; the synapses of one unit may."""
        different = set(draws)
        if len(draws) <= self.longest and len(different) < len(draws):
            return True
        return sum(map(len, different)) > len(frozenset().union(*different)) or len(different) < min(len(draws), 2)

    def _between_units(self, where: dict[int, int]) -> bool:
        """Whether one noise is added to variables that are known to belong to several units."""
        homes: dict[frozenset[int], list[frozenset[int]]] = defaultdict(list)
        for parent, i in where.items():
            others = [self.p.homes(a) for a in self.graph.args[parent] if a != i]
            homes[self.sources(i)].append(frozenset().union(*others))
        return any(len(same) > 1 and all(same) and not frozenset.intersection(*same) for same in homes.values())

    def _of_variables(self, i: int) -> bool:
        """Whether a noise is a variable of a unit's, kept in the state, to which its draws were added."""
        stack, seen = [i], set()
        while stack:
            k = stack.pop()
            if self.graph.op[k] == "noise":
                return False
            if k not in seen and not self._kept(k):
                parts = [a for a in self.p.weighted(k) if a not in (ONE, k)]  # what is left of a difference
                parts = parts if parts and not any(map(self._kept, parts)) else self.graph.args[k]
                after = self.p.following(k)
                stack.extend(a for a in (parts if after is None else [after]) if a in self.noisy)
            seen.add(k)
        return True

    def _kept(self, i: int) -> bool:
        """Whether a number is a unit's variable that depends on what it was."""
        if not self.p.variable(i):
            return False
        name, index = self.p.owner[i]
        return int(self.p.small.inputs[name][index]) in self.p.kept

    def _lone(self, i: int) -> bool:
        """Whether a noise is one number for the whole network: its draw does not grow with it, nor is drawn for each unit."""
        once = (k for k in self.sources(i) if self._drawn[self.graph.equation[k]] == math.prod(self.graph.data[k][1]))
        t = self.p.large
        larger = {t.graph.data[k][1] for k in t.graph.reach(t.roots) if t.graph.op[k] == "noise"}
        return any(self.graph.data[k][1] in larger for k in once)

    @cached_property
    def _drawn(self) -> Counter[int]:
        """How many numbers each equation draws."""
        return Counter(self.graph.equation[i] for i in self.p.reached if self.graph.op[i] == "noise")

    def _of_synapses(self, entries: int, i: int) -> bool:
        """Whether an equation gives more numbers, i among them, than a vector holds: of some numbers a unit, say."""
        if entries <= self.longest or self.p.audited.is_simple:
            return entries > self.longest
        op, equation = self.graph.op[i], self.graph.equation[i]
        small, large = (
            sum((t.graph.op[k], t.graph.equation[k]) == (op, equation) for k in t.graph.reach(t.roots))
            for t in (self.p.small, self.p.large)
        )
        return small * LARGE[0] != large * SMALL[0]

    def _like_a_vector(self, i: int) -> bool:
        """Whether a place computes as many numbers at both sizes as so many vectors of the network's hold."""
        (n, n_in, n_out), (N, N_in, N_out) = SMALL, LARGE
        small, large = (
            sum((t.graph.frames[k], t.graph.op[k]) == (self.graph.frames[i], self.graph.op[i]) for k in t.graph.reach(t.roots))
            for t in (self.p.small, self.p.large)
        )
        sizes = ((n, N), (n_in, N_in), (n_out, N_out), (n + n_in + 1, N + N_in + 1), (n + n_out + 1, N + N_out + 1))
        return any(small * more == large * less for less, more in sizes)

    def _as_a_change(self) -> list[Evidence]:
        """Draws that are the whole change of each of W's entries."""
        if alone := [i for i in self.p.small.gradient.ravel().tolist() if i in self.noisy]:
            sentence = f"The noise {self.p.label(alone)} is added to one number per synapse, not to one per neuron."
            return [self.p.evidence(f"W + {self.p.label(alone)}", self.graph.frames[alone[0]], sentence)]
        return []

    def _evidence(self, i: int, parent: int, what: str) -> Evidence:
        name = self.p.label([i])
        others = self.p.label(a for a in self.graph.args[parent] if a != i)
        others = "another number" if others == name else others  # both are on the same line
        how = "+" if self.graph.op[parent] in ADDED else "×"
        return self.p.evidence(f"{name} {how} {others}", self.graph.frames[parent], f"The noise {name} {what}.")
