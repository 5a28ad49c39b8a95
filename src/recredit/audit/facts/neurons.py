"""Which products a traced rule makes, and whose each of its numbers is: a neuron's, a synapse's, the population's."""

import inspect
import math
from collections.abc import Callable
from functools import cached_property
from typing import Literal

import jax

from recredit.audit.facts.numbers import Entry
from recredit.audit.facts.products import Product, products, sums_of
from recredit.audit.facts.synapses import Synapses
from recredit.audit.program.audited import Audited, Sizes
from recredit.audit.program.graph import Graph
from recredit.audit.program.trace import trace
from recredit.contract import names_of
from recredit.rule import AbstractRule

SMALL: Sizes = (5, 2, 3)
LARGE: Sizes = (7, 3, 2)  # every size differs from SMALL's, so that arrays which do not grow are recognised
OF_UNITS = {"step.v", "step.r", "step.r_prev", "step.r_hat", "step.s", "step.s_prev"}
RATES = {"step.r_prev", "step.r_hat", "step.r", "step.target", "step.error"}  # the error is carried by error neurons
ROUNDS = 12  # at most, of following the state from step to step


class Facts(Synapses):
    """A rule's program at two sizes, and what it is made of (at the small size)."""

    def __init__(self, rule: AbstractRule, name: str, audited: Audited | None = None):
        """`audited`: the network that it is to train; None: the paper's."""
        self.rule, self.name, self.audited = rule, name, audited or Audited()
        try:
            self.file = inspect.getsourcefile(type(rule)) or "?"
        except OSError:  # typed in, so that there is no source file
            self.file = "?"
        self.small, self.large = (trace(rule, sizes, name, self.audited) for sizes in (SMALL, LARGE))
        self.graph: Graph = self.small.graph
        self.reached = self.graph.reach(self.small.roots)
        self.orders, self.order = _orders(rule, self.audited)

    # What the program contains.

    @cached_property
    def products(self) -> list[Product]:
        """All products of the update, in the order of the program."""
        small, large = (sums_of(t.graph, t.graph.reach(t.roots)) for t in (self.small, self.large))
        found = [
            p
            for frames, these in small.items()
            for p in products(these, large.get(frames, []), frames, self._of_layer, self.audited.is_simple)
        ]
        return sorted(found, key=lambda p: min(p.sums))

    def _of_layer(self, i: int) -> Literal["fixed", "learned"] | None:
        """Which weight of a layer of fixed size a number is a function of, if it is of one."""
        entry = self.owner.get(i)
        while not (entry and entry[0] in self.layers):
            args = [a for a in self.graph.args[i] if not self.graph.is_constant(a)]
            if len(args) != 1 or self.graph.op[i] == "sum":
                return None
            i = args[0]
            entry = self.owner.get(i)
        return "fixed" if i in self.fixed else "learned"

    @property
    def transmissions(self) -> list[Product]:
        """The products in which a matrix transmits signals."""
        return [p for p in self.products if p.kind in ("matrix–vector product", "matrix–matrix product")]

    def timeless(self, i: int) -> bool:
        """Whether a number depends on single numbers of the state alone, as on a clock."""
        graph, found = self.graph, self._timeless
        for k in range(len(found), i + 1):  # arguments have lower numbers
            found.append(graph.data[k][1] == () if graph.op[k] == "in" else all(found[a] for a in graph.args[k]))
        return found[i]

    @cached_property
    def _timeless(self) -> list[bool]:
        return []

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

    @cached_property
    def parents(self) -> dict[int, list[int]]:
        """Which nodes use a node."""
        found: dict[int, list[int]] = {}
        for i in self.reached:
            for a in self.graph.args[i]:
                found.setdefault(a, []).append(i)
        return found

    def strength(self, i: int) -> Entry | None:
        """The stored matrix entry that a node is: as it was, or updated (not: put there anew)."""
        return self._strengths[i] if i in self._strengths else self._strengths.setdefault(i, self._strength(i))

    @cached_property
    def _strengths(self) -> dict[int, Entry | None]:
        return {}

    def _strength(self, i: int) -> Entry | None:
        entry = self.owner.get(i)
        if entry is None or not self.is_matrix(entry[0]):
            return None
        own = int(self.small.inputs[entry[0]][entry[1]])
        if self.graph.op[i] != "in" and own not in self.kept:
            return None
        # An array that stores a matrix flat may also hold numbers of the whole network.
        apart = len(entry[1]) == 1 and own not in self.fixed and not self.homes(own)
        return None if apart and any(map(self.homes, self.small.inputs[entry[0]].tolist())) else entry

    def variable(self, i: int) -> bool:
        """Whether a node is an entry, as it was or updated, of a vector with one number a unit."""
        entry = self.owner.get(i)
        return entry is not None and not self.is_matrix(entry[0]) and self.orders.get(entry[0]) == 1

    def homes(self, i: int) -> frozenset[int]:
        """The neurons whose variables a number is made of, as far as the trace shows; what synapses bring is their target's.

        Inputs count as neurons behind the network's own: j is the neuron, or the input, of W's column j. A sum over several
        neurons is the population's, none of theirs. A vector's entry is what comes of it over time.
        """
        return self._homes.get(i, frozenset())

    @cached_property
    def _homes(self) -> dict[int, frozenset[int]]:
        found: dict[int, frozenset[int]] = {}
        states = set(self.state_nodes)
        for _ in range(ROUNDS):
            before = {i: found.get(i) for i in states}
            for i in range(len(self.graph.op)):  # arguments have lower numbers; a state's next value is known a round later
                homes = frozenset().union(self._lives(i), *(found.get(a, frozenset()) for a in self._made_at(i)))
                summed = self.graph.op[i] == "sum" or self.graph.op[i].startswith("reduce")
                found[i] = frozenset() if summed and len(homes) > 1 else homes
            if before == {i: found[i] for i in states}:
                break
        return found

    def folded(self, name: str, index: tuple[int, ...]) -> tuple[int, ...]:
        """The index of an array's entry, with the unit in place of its variables: i of i, i + n, i + 2n, ..."""
        ids = self.small.inputs[name]
        return self.audited.folded(ids.shape, index, self.small.sizes[0])

    def _lives(self, i: int) -> frozenset[int]:
        """Whose variable a number is by itself."""
        if i in self.product_sums:
            return frozenset(self._target(i))
        if self.graph.op[i] != "in" or self.graph.data[i][0] not in OF_UNITS:
            return frozenset()
        return frozenset(self.folded(*self.graph.data[i]))

    def _made_at(self, i: int) -> tuple[int, ...]:
        """What a number is made of at its own place: nothing that synapses bring, and nothing that is not known."""
        if i in self.product_sums or self.graph.op[i].startswith("unknown:"):
            return ()
        after = self.following(i)
        return self.graph.args[i] if after is None else (after,)

    def _target(self, k: int) -> set[int]:
        """The neuron that a transmission reaches, where W_out or W carries it."""
        product = self.product_sums[k]
        row = next((row for row in product.rows if set(self._row_of(k)) & set(row)), ())
        entries = [entry for i in row if (entry := self.stored(i))]
        if not entries or any(e[0] not in ("net.W", "net.W_out") for e in entries):
            return set()
        free = [axis for axis in (0, 1) if len({e[1][axis] for e in entries}) == 1]
        return {self.folded(*entries[0])[free[0]]} if len(free) == 1 else set()

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
    def product_sums(self) -> dict[int, Product]:
        """The sum nodes of all transmissions."""
        return {i: p for p in self.transmissions for i in p.sums}


def _orders(rule: AbstractRule, audited: Audited) -> tuple[dict[str, int], int]:
    """The power in which each state array's size grows with the network, and that of the whole state."""
    sizes = []
    for scale in (30, 300):
        net, _, key = audited.example((scale, scale, scale))
        state = jax.eval_shape(rule.init, net, key)
        sizes.append(dict(zip(names_of(state, "state"), (leaf.size for leaf in jax.tree.leaves(state)), strict=True)))
    small, large = sizes
    orders = {name: round(math.log10(large.get(name, size) / max(size, 1) or 1)) for name, size in small.items()}
    return orders, round(math.log10(max(sum(large.values()), 1) / max(sum(small.values()), 1)))
