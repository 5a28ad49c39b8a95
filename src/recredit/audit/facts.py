"""What the criteria ask about a traced rule: what is stored, what is random, what belongs to which neuron."""

import inspect
import math
from collections.abc import Callable, Iterable
from functools import cached_property

import jax
import numpy as np

from recredit.audit.graph import Graph
from recredit.audit.products import Product, products, sums_of
from recredit.audit.trace import Sizes, example, trace
from recredit.contract import names_of
from recredit.rule import AbstractRule

SMALL: Sizes = (5, 2, 3)
LARGE: Sizes = (7, 3, 2)  # every size differs from SMALL's, so that what does not grow shows
RATES = {"step.r_prev", "step.r_hat", "step.r", "step.target", "step.error"}  # error: error neurons
ACTIVATIONS = {"tanh", "logistic", "erf", "exp", "expm1", "log1p", "atan", "clamp", "sinh", "cosh", "sin", "cos"}


class Facts:
    """A rule's program at two sizes, and what it is made of (at the small size)."""

    def __init__(self, rule: AbstractRule, name: str):
        self.rule, self.name = rule, name
        try:
            self.file = inspect.getsourcefile(type(rule)) or "?"
        except OSError:  # typed in, not written in a file
            self.file = "?"
        self.small, self.large = trace(rule, SMALL, name), trace(rule, LARGE, name)
        self.graph: Graph = self.small.graph
        self.reached = self.graph.reach(self.small.roots)
        self.orders, self.order = _orders(rule)

    # What is there.

    @cached_property
    def products(self) -> list[Product]:
        """All products of the update, in the order of the program."""
        sums = [sums_of(t.graph, t.graph.reach(t.roots)) for t in (self.small, self.large)]
        found = [p for frames, these in sums[0].items() for p in products(these, sums[1].get(frames, []), frames)]
        return sorted(found, key=lambda p: min(p.sums))

    @property
    def transmissions(self) -> list[Product]:
        """The products in which a matrix transmits signals."""
        return [p for p in self.products if p.kind in ("matrix–vector product", "matrix–matrix product")]

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
        """Whether an array is a matrix (or more): its size grows with the square of n."""
        return name in ("net.W", "net.W_out") or self.orders.get(name, 0) >= 2

    def strength(self, i: int) -> tuple[str, tuple[int, ...]] | None:
        """The stored matrix entry that a node is: as it was, or updated (not: put there anew)."""
        entry = self.owner.get(i)
        if entry is None or not self.is_matrix(entry[0]):
            return None
        kept = self.graph.op[i] == "in" or int(self.small.inputs[entry[0]][entry[1]]) in self.graph.reach([i])
        return entry if kept else None

    def timeless(self, i: int) -> bool:
        """Whether a number depends on single numbers of the state alone, as on a clock."""
        return all(self.graph.data[k][1] == () for k in self.graph.reach([i]) if self.graph.op[k] == "in")

    def parts(self, i: int, through: Callable[[int], bool]) -> set[int]:
        """The numbers that a number is made of, opened up as far as `through` says; what synapses transmit is not opened."""
        found, stack = set(), [i]
        while stack:
            k = stack.pop()
            if k in found:
                continue
            found.add(k)
            if k not in self.product_sums and through(k):
                stack.extend(self.graph.args[k])
        return found

    def stored(self, i: int) -> tuple[str, tuple[int, ...]] | None:
        """The stored matrix entry that a node is, up to sign and a constant gain."""
        graph = self.graph
        while True:
            if (entry := self.owner.get(i)) and self.is_matrix(entry[0]):
                return entry
            args = graph.args[i]
            if graph.op[i] == "neg" or (graph.op[i] in ("mul", "div") and graph.is_constant(args[1])):
                i = args[0]
            elif graph.op[i] == "mul" and graph.is_constant(args[0]):
                i = args[1]
            elif graph.op[i] == "select":
                entries = {self.stored(a) for a in args[1:]}
                return next(iter(entries)) if None not in entries else None
            else:
                return None

    def stored_rows(self, rows: Iterable[tuple[int, ...]]) -> dict[int, tuple[str, tuple[int, ...]] | None]:
        """Of each number in a matrix's rows, the stored entry that it is, up to one gain that all of them share."""
        nodes = {i for row in rows for i in row}
        found = {i: self.stored(i) for i in nodes}
        missing = [i for i, entry in found.items() if entry is None]
        if missing and len(missing) == len(nodes) and all(self.graph.op[i] in ("mul", "div") for i in missing):
            shared = set.intersection(*(set(self.graph.args[i]) for i in missing))
            for i in missing if shared else ():
                rest = [a for a in self.graph.args[i] if a not in shared]
                found[i] = self.stored(rest[0]) if len(rest) == 1 else None
        return found

    @cached_property
    def parents(self) -> dict[int, list[int]]:
        """Which nodes use a node."""
        found: dict[int, list[int]] = {}
        for i in self.reached:
            for a in self.graph.args[i]:
                found.setdefault(a, []).append(i)
        return found

    def homes(self, i: int) -> set[int]:
        """The neurons whose variables a number is made of, as far as the trace shows; what synapses bring is their target's."""
        graph, found, seen, stack = self.graph, set(), set(), [i]
        while stack:
            k = stack.pop()
            if k in seen:
                continue
            seen.add(k)
            if k in self.product_sums:
                found |= self._target(k)
            elif graph.op[k] == "in":
                name, index = graph.data[k]
                if name in ("step.v", "step.r", "step.r_prev", "step.r_hat"):
                    found.add(index[0])
            elif graph.op[k] != "sum" and not graph.op[k].startswith("reduce"):
                stack.extend(graph.args[k])
        return found

    def _target(self, k: int) -> set[int]:
        """The neuron that a transmission reaches, where W_out or W carries it."""
        product = self.product_sums[k]
        row = next((row for row in product.rows if set(self._row_of(k)) & set(row)), ())
        entries = [entry for i in row if (entry := self.stored(i))]
        if not entries or any(e[0] not in ("net.W", "net.W_out") for e in entries):
            return set()
        free = [axis for axis in (0, 1) if len({e[1][axis] for e in entries}) == 1]
        return {entries[0][1][free[0]]} if len(free) == 1 else set()

    def _row_of(self, k: int) -> tuple[int, ...]:
        """The numbers that a sum multiplies."""
        return tuple(a for t in self.graph.args[k] for a in (t, *self.graph.args[t]))

    @cached_property
    def siblings(self) -> dict[int, int]:
        """How many different numbers each equation computes."""
        found: dict[int, int] = {}
        for i in self.reached:
            found[self.graph.equation[i]] = found.get(self.graph.equation[i], 0) + 1
        return found

    @cached_property
    def random(self) -> set[int]:
        """Nodes that are made of noise and constants alone."""
        graph, found = self.graph, set()
        for i in sorted(self.reached):
            if graph.op[i] == "noise":
                found.add(i)
            elif graph.args[i] and graph.op[i] != "key":
                args = [a for a in graph.args[i] if not graph.is_constant(a)]
                if args and all(a in found for a in args):
                    found.add(i)
        return found

    @cached_property
    def product_sums(self) -> dict[int, Product]:
        """The sum nodes of all transmissions."""
        return {i: p for p in self.transmissions for i in p.sums}


def _orders(rule: AbstractRule) -> tuple[dict[str, int], int]:
    """The power in which each state array's size grows with the network, and that of the whole state."""
    sizes = []
    for scale in (30, 300):
        net, _, key = example((scale, scale, scale))
        state = jax.eval_shape(rule.init, net, key)
        sizes.append(dict(zip(names_of(state, "state"), (leaf.size for leaf in jax.tree.leaves(state)), strict=True)))
    small, large = sizes
    orders = {name: round(math.log10(large.get(name, size) / max(size, 1) or 1)) for name, size in small.items()}
    return orders, round(math.log10(max(sum(large.values()), 1) / max(sum(small.values()), 1)))
