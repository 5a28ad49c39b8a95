"""How random draws enter (criterion v).

What is noise, and from which draws, is followed through the state: a slow noise is made of the draws of all steps.
"""

from collections import defaultdict

from recredit.audit.facts.named import Program
from recredit.audit.verdicts import Cell, Evidence

ADDED = ("add", "sub", "select", "sum")


def noise(p: Program) -> Cell:
    """Draws of each neuron's own that are added to a variable of it pass; what multiplies or is shared does not."""
    if not any(p.graph.op[i] == "noise" for i in p.reached):
        return Cell("v", "pass", "It draws no random numbers.")
    found = _Noise(p)
    bad, weigh = found.judge()
    if bad:
        return Cell("v", "fail", bad[0].sentence, tuple(dict.fromkeys(bad)))
    if weigh:
        return Cell("v", "judgement", weigh[0].sentence, tuple(dict.fromkeys(weigh)))
    return Cell("v", "pass", "Its noise is drawn for each neuron and added to a variable of that neuron.")


class _Noise:
    """Where noise meets other numbers."""

    def __init__(self, p: Program):
        self.p, self.graph = p, p.graph
        self.noisy = self._scaled()
        self.natural = self._own_fluctuations()
        n, n_in, n_out = p.small.sizes
        self.longest = n + max(n_in, n_out) + 1  # of the network's vectors

    def judge(self) -> tuple[list[Evidence], list[Evidence]]:
        """What fails, and what is to be weighed."""
        bad: list[Evidence] = []
        weigh: list[Evidence] = []
        meetings: dict[tuple[int, bool], dict[int, int]] = defaultdict(dict)  # by equation: where, and the noise
        for i in sorted(self._edge(self.noisy)):
            for parent in self.p.parents.get(i, []):
                if parent not in self.noisy:
                    added = self.graph.op[parent] in ADDED and not self._gates(i, parent)
                    meetings[self.graph.equation[parent], added].setdefault(parent, i)
        for (equation, added), where in sorted(meetings.items()):
            parent, i = next(iter(where.items()))
            draws = [self.sources(i) for i in where.values()]
            entries = self.p.siblings[equation]
            shared = len(set(draws)) == 1 and len(draws) > 1
            if added:
                if shared and entries > self.longest:
                    bad.append(self._evidence(i, parent, "is one number added to all entries of a matrix"))
                elif shared:
                    weigh.append(self._evidence(i, parent, "is one number for all neurons: it is not independent"))
                elif self._overlap(draws) or self._between_units(where):
                    weigh.append(self._evidence(i, parent, "is not independent: several neurons share a draw"))
            elif self._scalar(i) and not self._lone(i):
                continue  # the noise's own scale, as of its norm
            elif shared or (entries == 1 and self._lone(i)):
                bad.append(self._evidence(i, parent, "is one number for all synapses, which would have to hear it at once"))
            elif not all(own <= self.natural for own in draws) and not all(map(self._of_variables, where.values())):
                weigh.append(self._evidence(i, parent, "multiplies other variables, where it should be added to one"))
        return bad, weigh

    def _gates(self, i: int, parent: int) -> bool:
        return self.graph.op[parent] == "select" and self.graph.args[parent][0] == i

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

    def _scaled(self) -> set[int]:
        """Nodes that are noise, up to a scale that is one number for the whole network."""
        graph, found = self.graph, set(self.p.random)
        for i in sorted(self.p.reached - self.p.random):
            if graph.op[i] in ("mul", "div"):
                noisy = [a for a in graph.args[i] if a in found]
                other = [a for a in graph.args[i] if a not in found]
                if noisy and all(graph.is_constant(a) or self._scalar(a) for a in other):
                    found.add(i)
        return found

    def _edge(self, noisy: set[int]) -> set[int]:
        """The last nodes that are nothing but noise."""
        return {i for i in noisy if any(k not in noisy for k in self.p.parents.get(i, []))}

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

    def _of_variables(self, i: int) -> bool:
        """Whether a noise is a variable of a unit's, kept in the state, to which its draws were added."""
        stack, seen = [i], set()
        while stack:
            k = stack.pop()
            if self.graph.op[k] == "noise":
                return False
            if k not in seen and not self.p.variable(k):
                stack.extend(a for a in self.graph.args[k] if a in self.noisy)
            seen.add(k)
        return True

    def _lone(self, i: int) -> bool:
        """Whether a noise is one number for the whole network: its draw does not grow with it."""
        shapes = {self.graph.data[k][1] for k in self.sources(i)}
        t = self.p.large
        return bool(shapes & {t.graph.data[k][1] for k in t.graph.reach(t.roots) if t.graph.op[k] == "noise"})

    def _scalar(self, i: int) -> bool:
        """Whether a number is one for the whole network: its equation computes no other."""
        return self.graph.op[i] != "in" and self.p.siblings[self.graph.equation[i]] == 1

    def _own_fluctuations(self) -> set[int]:
        """Noise that is added to the network's own voltages or rates: what a neuron then senses of it is its own activity."""
        graph, found = self.graph, set()
        for i in self._edge(self.p.random):
            for parent in self.p.parents.get(i, []):
                others = [a for a in graph.args[parent] if a != i]
                own = all(graph.op[a] == "in" and graph.data[a][0] in ("step.v", "step.r", "step.r_prev") for a in others)
                if graph.op[parent] in ("add", "sub") and others and own:
                    found |= self.sources(i)
        return found

    def _evidence(self, i: int, parent: int, what: str) -> Evidence:
        name = self.p.label([i])
        others = self.p.label(a for a in self.graph.args[parent] if a != i)
        return self.p.evidence(f"{name} × {others}", self.graph.frames[parent], f"The noise {name} {what}.")
