"""What single numbers of a program are: weighted sums of others, functions of one other, fixed, noise, either 0 or 1."""

import itertools
from collections.abc import Mapping
from functools import cached_property, reduce
from math import prod
from operator import or_

from recredit.audit.facts.products import Product
from recredit.audit.program.graph import COMPARE, Graph
from recredit.audit.program.trace import Trace

ONE = -1  # stands for a node: the constant term of a weighted sum
Weights = dict[int, float | None]  # of nodes; None: a fixed number that the trace does not show
Entry = tuple[str, tuple[int, ...]]
MOST = 64  # terms of a sum, or alternatives of a number, that are told apart
AT_ONCE = 512  # entries that are followed together
SUMS = ("add", "sub", "neg", "sum", "mul", "div")


class Numbers:
    """Facts about the nodes of a program's graph, over any number of steps: an entry of the state is what comes of it."""

    graph: Graph
    small: Trace
    reached: set[int]
    product_sums: Mapping[int, Product]

    def following(self, i: int) -> int | None:
        """The node of a state entry's next value; None for what is no state entry."""
        entry = self.graph.data[i] if self.graph.op[i] == "in" else ("", ())
        return int(self.small.after[entry[0]][entry[1]]) if entry[0] in self.small.after else None

    @cached_property
    def state_nodes(self) -> list[int]:
        """The nodes of all entries of the state."""
        return [int(i) for name in self.small.after for i in self.small.inputs[name].ravel().tolist()]

    @cached_property
    def kept(self) -> set[int]:
        """The entries of the state whose next value depends on what they were."""
        states, found = {i: self.following(i) for i in self.state_nodes}, set()
        for first in range(0, len(states), AT_ONCE):
            marks = {i: 1 << k for k, i in enumerate([*states][first : first + AT_ONCE])}
            leads: list[int] = []  # of each node, the entries that lead to it, as bits
            for i, args in enumerate(self.graph.args):  # arguments have lower numbers
                leads.append(reduce(or_, (leads[a] for a in args), marks.get(i, 0)))
            found.update(i for i, mark in marks.items() if leads[states[i] or 0] & mark)
        return found

    @cached_property
    def fixed(self) -> set[int]:
        """Nodes made of constants, of the network's mask and signs, and of state entries that never change."""
        return self._made_of({i for i in self.state_nodes if self.following(i) == i} | self.given)

    @cached_property
    def given(self) -> set[int]:
        """Which synapses there are, and their signs: facts of the network, which no rule changes."""
        arrays = (ids for name, ids in self.small.inputs.items() if name in ("net.mask", "net.signs"))
        return {int(i) for ids in arrays for i in ids.ravel().tolist()}

    @cached_property
    def random(self) -> set[int]:
        """Nodes made of noise and of what neither the network nor noise disturbs alone, over any number of steps."""
        noise = {i for i in range(len(self.graph.op)) if self.graph.op[i] == "noise"}
        if not noise:
            return set()
        started = {name: ids.ravel().tolist() for name, ids in self.small.initial.items()}
        states = {
            i
            for name, starts in started.items()
            for i, start in zip(self.small.inputs[name].ravel().tolist(), starts, strict=True)
            if i not in self.undisturbed and not any(self.graph.op[k] == "in" for k in self.graph.reach([start]) if k != start)
        }
        while True:  # an entry is noise if its next value is made of noise and of such entries alone
            found = self._made_of(noise | states, but=self.undisturbed) - self.undisturbed
            left = {i for i in states if self.following(i) in found}
            if left == states:
                return found & self.noisy
            states = left

    @cached_property
    def noisy(self) -> set[int]:
        """Nodes that depend on noise, over any number of steps."""
        return self._depending({i for i in range(len(self.graph.op)) if self.graph.op[i] == "noise"})

    @cached_property
    def undisturbed(self) -> set[int]:
        """Nodes that depend on no noise and on nothing of the network, over any number of steps: clocks, what never changes."""
        graph = self.graph
        inputs = {i for i in range(len(graph.op)) if graph.op[i] == "in"} - self.given
        network = {i for i in inputs if not graph.data[i][0].startswith("state")}
        return set(range(len(graph.op))) - self._depending(network) - self.noisy

    @cached_property
    def driven(self) -> set[int]:
        """Nodes that depend on what the network does, over any number of steps."""
        inputs = {
            i for i in range(len(self.graph.op)) if self.graph.op[i] == "in" and self.graph.data[i][0].startswith("step.")
        }
        return self._depending(inputs)

    def _depending(self, leaves: set[int]) -> set[int]:
        found, more = set(leaves), -1
        while more != len(found):
            more = len(found)
            found |= {i for i in self.state_nodes if self.following(i) in found}
            for i in range(len(self.graph.op)):  # arguments have lower numbers
                if any(a in found for a in self.graph.args[i]):
                    found.add(i)
        return found

    def _made_of(self, leaves: set[int], but: set[int] | frozenset[int] = frozenset()) -> set[int]:
        """Nodes all of whose arguments, constants and `but` apart, are of some kind, from the kind's leaves on."""
        graph, found = self.graph, set(leaves)
        for i in range(len(graph.op)):  # arguments have lower numbers
            if graph.args[i] and graph.op[i] not in ("key", "noise"):
                args = [a for a in graph.args[i] if not graph.is_constant(a) and a not in but]
                if (args or not but) and all(a in found for a in args):
                    found.add(i)
        return found

    @cached_property
    def binary(self) -> set[int]:
        """Nodes that are 0 or 1: comparisons, what is chosen or multiplied of such, and state entries that stay so."""
        graph = self.graph
        starts = {
            i: start
            for name in self.small.after
            for i, start in zip(
                self.small.inputs[name].ravel().tolist(), self.small.initial[name].ravel().tolist(), strict=True
            )
        }
        states = {i for i, start in starts.items() if self._is_bit(start, set())}
        while True:
            found = states | {i for i in self.given if graph.data[i][0] == "net.mask"}
            for i in range(len(graph.op)):
                if self._is_bit(i, found):
                    found.add(i)
            left = {i for i in states if self.following(i) in found}
            if left == states:
                return found
            states = left

    def _is_bit(self, i: int, found: set[int]) -> bool:
        graph, op, args = self.graph, self.graph.op[i], self.graph.args[i]
        if op == "const":
            return graph.value(i) in (0, 1)
        if op == "select":
            return all(a in found or self._is_bit(a, found) for a in args[1:])
        if op in ("mul", "max", "min") or (op == "sub" and self._is_bit(args[0], found) and graph.is_constant(args[0])):
            return all(a in found or (graph.is_constant(a) and graph.value(a) in (0, 1)) for a in args)
        if op == "rem":
            return graph.is_constant(args[1]) and graph.value(args[1]) in (1, 2) and isinstance(graph.value(args[1]), int)
        return op in COMPARE or i in found

    def weighted(self, i: int) -> Weights:
        """A number as a weighted sum of others that are no sums themselves, with fixed weights."""
        if i not in self._weighted:
            for k in self._pending(i):
                self._weighted[k] = self._sum_of(k)
        return self._weighted[i]

    @cached_property
    def _weighted(self) -> dict[int, Weights]:
        return {}

    def _pending(self, i: int) -> list[int]:
        """What has to be known before a node's weighted sum, arguments first."""
        found, stack = set(), [i]
        while stack:
            k = stack.pop()
            if k not in found and k not in self._weighted:
                found.add(k)
                if self.graph.op[k] in SUMS:
                    stack.extend(self.graph.args[k])
        return sorted(found)

    def _sum_of(self, i: int) -> Weights:
        graph, op, args = self.graph, self.graph.op[i], self.graph.args[i]
        if op == "const":
            return {ONE: float(graph.value(i))} if isinstance(graph.value(i), int | float) else {i: 1.0}
        if i in self.product_sums:
            return {i: 1.0}
        if i in self.fixed:
            return {ONE: None}
        parts = [self._weighted.get(a, {}) for a in args]
        if op in ("add", "sub", "neg", "sum") and sum(map(len, parts)) <= MOST:
            total: Weights = {}
            for k, part in enumerate(parts):
                sign = -1.0 if op == "neg" or (op == "sub" and k == 1) else 1.0
                for a, weight in part.items():
                    before = total.get(a, 0.0)
                    total[a] = None if weight is None or before is None else before + sign * weight
            return {a: weight for a, weight in total.items() if weight is None or abs(weight) > 1e-12}
        if op in ("mul", "div"):
            scales = [k for k in (0, 1) if parts[k].keys() <= {ONE} and not (op == "div" and k == 0)]
            if scales:
                scale, other = parts[scales[-1]].get(ONE, 0.0), parts[1 - scales[-1]]
                if scale is not None and op == "div":
                    scale = 1 / scale if scale else None
                return {a: None if weight is None or scale is None else weight * scale for a, weight in other.items()}
        return {i: 1.0}

    def function_of(self, i: int) -> frozenset[int]:
        """The numbers of each of which alone a number is a function that is not affine; none if it is one of several."""
        atoms = [a for a in self.weighted(i) if a != ONE]
        shared = frozenset.intersection(*map(self._alone, atoms)) if atoms else frozenset()
        return shared - {atoms[0]} if len(atoms) == 1 else shared

    @cached_property
    def _found_alone(self) -> dict[int, frozenset[int]]:
        return {}

    def _alone(self, i: int) -> frozenset[int]:
        """The numbers of which a number is a function alone, itself among them."""
        found = self._found_alone
        stack = [i]
        while stack:
            k = stack[-1]
            if k in found:
                stack.pop()
                continue
            args = self._opened(k)
            if missing := [a for a in args if a not in found]:
                stack.extend(missing)
                continue
            shared = frozenset.intersection(*(found[a] for a in args)) if args else frozenset()
            found[k] = shared | {k}
            stack.pop()
        return found[i]

    def _opened(self, i: int) -> list[int]:
        """The arguments of an elementwise operation that may change."""
        graph = self.graph
        closed = ("in", "const", "noise", "key", "index", "sum")
        if i in self.product_sums or graph.op[i] in closed or graph.op[i].startswith(("unknown:", "reduce")):
            return []
        return [a for a in graph.args[i] if not graph.is_constant(a) and a not in self.fixed]

    def alternatives(self, i: int) -> list[Weights]:
        """What a number may be, as weighted sums, under its conditions and the zeros and ones that it is multiplied by."""
        gates: dict[int, int] = {}  # each gate, with the number of its values
        stack, seen = [i], set()
        while stack:
            k = stack.pop()
            if k in seen or self.graph.is_constant(k):
                continue
            seen.add(k)
            if k in self.binary:
                gates.setdefault(k, 2)
            elif self.graph.op[k] == "select":
                gates[self.graph.args[k][0]] = len(self.graph.args[k]) - 1
                stack.extend(self.graph.args[k][1:])
            elif self.graph.op[k] in SUMS:
                stack.extend(self.graph.args[k])
        if prod(gates.values()) <= MOST:
            settings = [dict(zip(gates, values, strict=True)) for values in itertools.product(*map(range, gates.values()))]
        else:  # one is open at a time, the others are 0
            settings = [dict.fromkeys(gates, 0) | {gate: k} for gate, count in gates.items() for k in range(count)]
        opened = sorted(seen)
        return [self.weighted(self._under(i, opened, setting)) for setting in settings]

    def _under(self, i: int, opened: list[int], setting: dict[int, int]) -> int:
        """The node of a number whose conditions have these values."""
        graph = self.graph
        now = {gate: graph.constant(value) for gate, value in setting.items()}
        for k in opened:  # arguments come first
            if k in setting or now.keys().isdisjoint(graph.args[k]):
                continue
            op, args = graph.op[k], tuple(now.get(a, a) for a in graph.args[k])
            if op == "select":
                now[k] = args[1 + min(setting[graph.args[k][0]], len(args) - 2)]
            elif op == "sum":
                now[k] = graph.sum(list(args))
            elif op in SUMS:
                now[k] = graph.elementwise(op, args)
        return now.get(i, i)
