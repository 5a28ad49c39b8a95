"""What the change of each synapse depends on (criterion ii-local).

The new value of entry (i, j) of a matrix is traced back. What only this entry needs is opened up; what other entries need too
is an ingredient. If a row or a column shares it, it is a neuron's own variable; if all entries share it, it is a global signal.
No ingredient may be the strength of another synapse.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from recredit.audit.criteria.pools import Pools
from recredit.audit.facts.named import Program
from recredit.audit.program.graph import Ids
from recredit.audit.verdicts import Evidence

Index = tuple[int, ...]


def changes(p: Program) -> tuple[list[Evidence], list[Evidence], list[str]]:
    """What is not local, what is to be judged, and what is worth saying, over all matrices (W with its gradient)."""
    bad: list[Evidence] = []
    weigh: list[Evidence] = []
    remarks: list[str] = []
    matrices = {"net.W": p.small.gradient} | {name: ids for name, ids in p.small.after.items() if p.is_matrix(name)}
    for name, ids in matrices.items():
        _Change(p, name, ids).judge(bad, weigh, remarks)
    return bad, weigh, list(dict.fromkeys(remarks))


class _Change:
    """The change of one matrix."""

    def __init__(self, p: Program, name: str, ids: Ids):
        self.p, self.graph, self.name, self.ids = p, p.graph, name, ids
        larger = p.large.gradient if name == "net.W" else p.large.after.get(name, ids)
        same_rank = ids.ndim == larger.ndim
        self.axes = [k for k in range(ids.ndim) if not same_rank or ids.shape[k] != larger.shape[k]]
        n = p.small.sizes[0]
        sides = (ids.shape[k] for k in self.axes)
        self.shape = tuple(n if p.audited.of_units(side, n) else side for side in sides)  # as `synapse` counts them
        m = p.small.inputs["net.W"].shape[1]
        if self.is_flat and not p.audited.is_simple and not self.shape[0] % (n * m):
            self.shape = n, m
        self.longest = max(p.small.inputs["net.W"].shape if len(self.shape) == 1 else self.shape, default=1)
        self.users, self.ingredients = self._open()
        self.pools = Pools(p)
        self._strengths: dict[int, tuple[str, Index] | None] = {}
        self._orders: dict[str, Callable[[Index, Index], bool]] = {}

    def synapse(self, index: Index) -> Index:
        """The synapse that an entry belongs to: its indices along the axes that grow, each unit's variables taken as one."""
        n = self.p.small.sizes[0]
        if self.is_flat and len(self.shape) == 2:
            row, column = divmod(index[self.axes[0]], self.shape[1])
            return row % n, column
        index = self.p.audited.folded(self.ids.shape, index, n)
        return tuple(index[k] for k in self.axes)

    @property
    def is_flat(self) -> bool:
        """Whether a matrix is stored along one axis."""
        return len(self.axes) == 1

    def _open(self) -> tuple[dict[int, set[Index]], list[int]]:
        users: dict[int, set[Index]] = {}
        for index in np.ndindex(*self.ids.shape):
            users.setdefault(int(self.ids[index]), set()).add(self.synapse(index))
        waiting, ingredients = set(users), []
        while waiting:
            i = max(waiting)  # arguments have lower numbers, so all users of i are known by now
            waiting.discard(i)
            if self.graph.is_constant(i):
                continue
            other = (entry := self.p.strength(i)) and entry[0] != self.name
            brought = (product := self.p.product_sums.get(i)) and product.kind == "matrix–vector product"
            if len(users[i]) > 1 or not self.graph.args[i] or other or brought:
                ingredients.append(i)
                continue
            for a in self.graph.args[i]:
                users.setdefault(a, set()).update(users[i])
                waiting.add(a)
        return users, ingredients

    def judge(self, bad: list[Evidence], weigh: list[Evidence], remarks: list[str]) -> None:
        """Add what is found."""
        symbol, said = self.p.short(self.name), set()
        for i in self.ingredients:
            everywhere = len(self.users[i]) > self.longest
            for kind, at, what in self._reads(i, self.users[i]):
                frames = self._user_frames(i) if at == i else self._frames(i, at)
                where = self.p.place(frames)
                if (kind, what, where) in said:
                    continue
                said.add((kind, what, where))
                if kind == "strength":
                    sentence = f"The change of {symbol} at one synapse needs the strengths of others, {what}."
                    bad.append(self.p.evidence(f"{symbol}_ij ← {what}", frames, sentence))
                elif kind == "sum":
                    scope = "the whole matrix, a global signal" if everywhere else "a neuron's synapses"
                    sentence = f"The change of {symbol} needs a number computed from the strengths {what} of {scope}."
                    weigh.append(self.p.evidence(f"{symbol}_ij ← f({what})", frames, sentence))
                elif kind == "total":
                    sentence = f"The change of {symbol} needs {what}, a sum over many synapses: a global signal."
                    weigh.append(self.p.evidence(f"{symbol}_ij ← {what}", frames, sentence))
                elif kind == "others":
                    why = "no synapse carries it, and it is not one signal for all"
                    sentence = f"The change of {symbol} needs {what}, computed from many neurons and different for each: {why}."
                    weigh.append(self.p.evidence(f"{symbol}_ij ← {what}", frames, sentence))
            if self._like_weights and (foreign := self._foreign(i)):
                sentence = f"The change of {symbol} at one synapse needs {foreign} of a neuron that is at neither of its ends."
                bad.append(self.p.evidence(f"{symbol}_ij ← {foreign}", self._user_frames(i), sentence))
            if everywhere and self.graph.args[i] and i not in self.p.random and not said and self._felt(i):
                remarks.append(f"One signal reaches all synapses of {symbol}: {self.p.label([i])}.")

    def _foreign(self, i: int) -> str:
        """The variable's name, if what a line of W's synapses needs belongs to a neuron at neither of their ends."""
        users = self.users[i]
        ends = {k for k in (0, 1) if len({synapse[k] for synapse in users}) == 1}
        homes = frozenset() if self.p.strength(i) else self.p.homes(i)
        if not ends or not homes or (self.name != "net.W" and ends != {0}):
            return ""  # which unit a column of a state stands for is the rule's own affair
        first = next(iter(users))
        return self.p.label([i]) if homes - {first[k] for k in ends} else ""

    def _user_frames(self, i: int) -> Any:
        """Where an ingredient is put in: the first of the operations on it that only one synapse needs."""
        users = [k for k in self.p.parents.get(i, []) if self.graph.frames[k] and len(self.users.get(k, ())) == 1]
        return self.graph.frames[min(users)] if users else self._frames(i, i)

    def _felt(self, i: int) -> bool:
        """Whether a number depends on what the network does, not on a clock alone."""
        return not self.p.timeless(i)

    def _frames(self, i: int, at: int) -> Any:
        for node in (at, i):
            if self.graph.frames[node]:
                return self.graph.frames[node]
        parents = [k for k in self.p.parents.get(i, []) if self.graph.frames[k] and self.users.get(k)]
        return self.graph.frames[max(parents)] if parents else self.p.written(self.name)

    def _reads(self, i: int, synapses: set[Index]) -> list[tuple[str, int, str]]:
        """The strengths, and the sums of others, that an ingredient is made of: (kind, node, symbol).

        What synapses transmit is no strength.
        """
        graph, p, found, seen, stack = self.graph, self.p, [], set(), [i]
        while stack:
            k = stack.pop()
            if k in seen:
                continue
            seen.add(k)
            if entry := p.strength(k):
                if not self._own(entry, synapses):
                    found.append(("strength", k, p.short(entry[0])))
                continue
            if k in p.product_sums or graph.op[k].startswith("unknown:"):
                continue
            if (after := p.following(k)) is not None:  # the state keeps what was written there
                entry = graph.data[k]
                stack += [after, int(p.small.initial[entry[0]][entry[1]])]
            if graph.op[k] == "sum" or graph.op[k].startswith("reduce"):
                names = {e[0] for a in graph.args[k] if (e := self._strength(a))} or self._of_synapses(graph.args[k])
                if names:
                    found.append(("sum", k, " and ".join(sorted(p.short(n) for n in names))))
                    continue
                if self._of_many_synapses(k):
                    found.append(("total", k, p.label([k])))
                    continue
                if self.pools.of_its_own(k) and k not in self.pools.under(i):  # in this order, since the second is slow
                    found.append(("others", k, p.label([k])))
                    continue
            stack.extend(graph.args[k])
        return found

    def _of_synapses(self, terms: tuple[int, ...]) -> set[str]:
        """The matrices whose synapses have a term each, of all that a unit, where it is several numbers, knows of it."""
        p = self.p
        made = [] if p.audited.is_simple else [{(e[0], p.folded(*e)) for e in p.made(a).entries} for a in terms]
        return {name for each in made for name, _ in each} if all(len(each) == 1 for each in made) else set()

    def _of_many_synapses(self, i: int) -> bool:
        """Whether each term of a sum belongs to two neurons, to no two terms' the same: a number for each synapse."""
        homes = [self.p.homes(a) for a in self.graph.args[i]]
        shared = frozenset.intersection(*homes)
        return any(len(each - shared) > 1 for each in homes)

    def _strength(self, i: int) -> tuple[str, Index] | None:
        """The stored entry that a term is a function of, and of nothing else."""
        while not (entry := self.p.strength(i)) and self.graph.args[i]:
            args = {a for a in self.graph.args[i] if not self.graph.is_constant(a)}
            if len(args) != 1:
                return self._shared(i, args)
            i = args.pop()
        return entry

    def _shared(self, i: int, args: set[int]) -> tuple[str, Index] | None:
        """The same for a term of several, looked at once, however many terms it is part of."""
        if i not in self._strengths:
            entries = (self._strength(a) for a in args)
            first = next(entries, None)
            self._strengths[i] = first if first and all(entries) else None
        return self._strengths[i]

    def _own(self, entry: tuple[str, Index], synapses: set[Index]) -> bool:
        """Whether a strength is the synapse's own, or one that a neuron at its ends has of itself: a bias or an autapse."""
        name, index = entry
        shape = self.p.small.inputs["net.W"].shape
        unit = self.p.folded(name, index)[0]
        if name == "net.W" and index[1] in (unit, shape[1] - 1):
            return not self._like_weights or any(all(synapse[k] == unit for synapse in synapses) for k in (0, 1))
        if name == self.name:
            return synapses == {self.synapse(index)}
        if len(synapses) > 1 or name == "net.W_out":
            return False
        synapse = next(iter(synapses))
        lives = self._lives(entry) if self._like_weights else frozenset()
        if lives - set(synapse):
            return False
        return self._placed(name)(index, synapse) or lives == set(synapse)

    @property
    def _like_weights(self) -> bool:
        """Whether entry (i, j) is known to belong to the synapse of W_ij: the shapes are alike."""
        n, m = self.p.small.sizes[0], self.p.small.inputs["net.W"].shape[1]
        return self.shape == (n, m) and (self.ids.ndim == 2 or self.ids.shape == (self.p.audited.S, self.p.audited.G, n, m))

    def _lives(self, entry: tuple[str, Index]) -> frozenset[int]:
        """The neurons that drive a stored entry, over time: the two ends of its synapse."""
        if entry[0] not in self.p.small.after:
            return frozenset()
        return self.p.homes(int(self.p.small.inputs[entry[0]][entry[1]]))

    def _placed(self, name: str) -> Callable[[Index, Index], bool]:
        """How another array's entries lie beside this one's: a test that one belongs to the same synapse as the other.

        An entry belongs to the synapse of its indices, in whatever order its axes are, folded or not, and moved by a constant
        where an array is a block of another; the first order that fits all reads of that array is taken.
        """
        if name not in self._orders:
            reads = [(self.p.strength(i), self.users[i]) for i in self.ingredients]
            pairs = [(entry[1], next(iter(users))) for entry, users in reads if entry and entry[0] == name and len(users) == 1]
            shape = (self.p.small.inputs if name.startswith("net.") else self.p.small.after)[name].shape
            ways = [_same(a, b, *pairs[0]) for a in _unfolded(shape, self.p) for b in _unfolded(self.shape, self.p)]
            tests = [test for way in ways for test in way]
            fits = (test for test in tests if all(test(*pair) for pair in pairs))
            self._orders[name] = next(fits, lambda index, synapse: False)
        return self._orders[name]


Unfold = Callable[[Index], Index]


def _unfolded(shape: Index, p: Program) -> list[tuple[int, Unfold]]:
    """The ways to read indices of an array: as they are, or with an axis of a folded matrix taken apart."""
    n, m = p.small.sizes[0], p.small.inputs["net.W"].shape[1]
    ways: list[tuple[int, Unfold]] = [(len(shape), lambda index: p.audited.folded(shape, index, n))]
    for axis, size in enumerate(shape):
        for inner in {d for d in (n, m) if size > max(n, m) and size % d == 0}:

            def unfold(index: Index, axis: int = axis, inner: int = inner) -> Index:
                outer, rest = divmod(index[axis], inner)
                return (*index[:axis], outer if p.audited.is_simple else outer % n, rest, *index[axis + 1 :])

            ways.append((len(shape) + 1, unfold))
    return ways


def _same(a: tuple[int, Unfold], b: tuple[int, Unfold], index: Index, synapse: Index) -> list[Callable[[Index, Index], bool]]:
    """Tests that an index of one array names the synapse of another's, for each choice and order of the first's axes.

    `index`, `synapse`: one read, which tells how far the one array lies inside the other.
    """
    (rank, one), (needed, other) = a, b

    def test(order: Index) -> Callable[[Index, Index], bool]:
        def apart(index: Index, synapse: Index) -> Index:
            return tuple(t - one(index)[k] for k, t in zip(order, other(synapse), strict=True))

        offset = apart(index, synapse)
        return lambda index, synapse: apart(index, synapse) == offset

    return [test(order) for order in itertools.permutations(range(rank), needed)]
