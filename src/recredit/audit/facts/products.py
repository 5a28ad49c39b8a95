"""Find the products in a graph of numbers: matrix times vector, matrix times matrix, and sums that are neither.

Every sum of products s = sum_k a_k b_k is compared with the other sums of the same operation. If they share all the b_k but
each has its own a_k, a matrix (rows a) is applied to a vector (b); if both are shared with others, two matrices are multiplied;
if nothing is shared, it is a dot product. So it does not matter how the program is written.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from recredit.audit.program.graph import Frames, Graph

Shape = tuple[int, int, int]  # rows, depth, vectors
WeightsOf = Callable[[int], Literal["fixed", "learned"] | None]  # of a layer of fixed size: which a number is a function of
Kind = Literal["matrix–vector product", "matrix–matrix product", "dot product", "sum of outer products"]


@dataclass(frozen=True)
class Sum:
    """One sum of products: its node, the two factors of each product, and the terms that are no product."""

    node: int
    equation: int
    left: tuple[int, ...]
    right: tuple[int, ...]
    single: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Product:
    """One product: `rows` are the lines of the matrix that are summed along, `vectors` what they are multiplied with."""

    kind: Kind
    frames: Frames
    sums: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]
    vectors: tuple[tuple[int, ...], ...]
    lines: dict[int, tuple[int, ...]]
    """Of each sum, the numbers of the matrix's line."""
    operands: dict[int, tuple[int, ...]]
    """Of each sum, the numbers of the vector that the line is applied to."""

    larger: tuple[Shape, ...]
    """The shapes, at the larger size, of which one is this product's."""

    @property
    def shape(self) -> Shape:
        """Rows, depth, vectors."""
        return len(self.rows), max(len(row) for row in self.rows), len(self.vectors)


def sums_of(graph: Graph, reached: set[int]) -> dict[Frames, list[list[Sum]]]:
    """All sums of at least two products, by the place in the source that they come from.

    At one place may stand several operations: those that give equally many sums, as the rounds of a loop, are taken together.
    """
    found: dict[Frames, list[Sum]] = defaultdict(list)

    def add(at: int, frames: Frames, terms: list[int]) -> None:
        if graph.is_of_one(terms):
            return
        one = _factored(graph, at, terms)
        if len(one.left) > 1:
            found[frames].append(one)

    within: set[int] = set()  # partial sums that a later addition continues
    for i in sorted(reached, reverse=True):
        if graph.op[i] == "sum":
            add(i, graph.frames[i], list(graph.args[i]))
        elif graph.op[i] in ("add", "sub") and i not in within:
            links = _chain(graph, i, within)
            places = Counter(graph.frames[_unsigned(graph, t)] for t in links)
            for frames, count in places.items():
                same = [t for t in links if graph.frames[_unsigned(graph, t)] == frames]
                if count > 2 and all(graph.op[_unsigned(graph, t)] in ("mul", "div") for t in same):
                    add(i, frames, same)
    return {frames: _by_size(sums) for frames, sums in found.items()}


def _by_size(sums: list[Sum]) -> list[list[Sum]]:
    """Sums, apart by how many of them one equation gives; the fewest first."""
    count, groups = Counter(one.equation for one in sums), defaultdict(list)
    for one in sums:
        groups[count[one.equation]].append(one)
    return [groups[size] for size in sorted(groups)]


def _chain(graph: Graph, i: int, within: set[int]) -> list[int]:
    """The terms of additions that were written in one place, as a loop's that accumulates."""
    links, stack, passed = [], [i], set()
    while stack:
        for a in reversed(graph.args[stack.pop()]):
            if graph.op[a] in ("add", "sub") and graph.frames[a] == graph.frames[i]:
                if a not in passed:
                    stack.append(a)
                passed.add(a)
                within.add(a)
            else:
                links.append(a)
    return links[::-1]


def _unsigned(graph: Graph, i: int) -> int:
    while graph.op[i] == "neg":
        i = graph.args[i][0]
    return i


def _factored(graph: Graph, at: int, terms: list[int]) -> Sum:
    """A sum's terms as products of two factors, once what all terms share (and constants) is taken out of it."""
    while True:
        outer = [
            set(graph.args[t]) if graph.op[t] == "mul" else {graph.args[t][1]} if graph.op[t] == "div" else set() for t in terms
        ]
        common = set.intersection(*outer)
        peeled = [_without(graph, t, common) for t in terms]
        if peeled == terms:
            break
        terms = peeled
    pairs = [graph.args[t] for t in terms if graph.op[t] in ("mul", "div")]
    single = tuple(t for t in terms if graph.op[t] not in ("mul", "div"))
    return Sum(at, graph.equation[at], tuple(a for a, _ in pairs), tuple(b for _, b in pairs), single)


def _without(graph: Graph, t: int, common: set[int]) -> int:
    """A product without one factor that is constant or shared, or without its sign."""
    if graph.op[t] == "neg":
        return graph.args[t][0]
    if graph.op[t] in ("mul", "div"):
        a, b = graph.args[t]
        if a != b and (graph.is_constant(b) or b in common):
            return a
        if a != b and graph.op[t] == "mul" and (graph.is_constant(a) or a in common):
            return b
    return t


def products(small: list[list[Sum]], large: list[list[Sum]], frames: Frames, weights: WeightsOf, simple: bool) -> list[Product]:
    """The products that the sums of one place make, from the same program at a small and at a larger size.

    A dimension that does not grow is no dimension of the network: a sum over a fixed number of steps is no transmission, and a
    few vectors side by side are no matrix. But a vector of a few numbers through what `weights` says to be those of a layer
    is transmitted, and what multiplies them is multiplied.
    """
    if len(small) != len(large):
        small, large = [[one for group in small for one in group]], [[one for group in large for one in group]]
    found = []
    for group, other in zip(small, large, strict=True):
        members = _components(group, simple)
        shapes, larger = [_shape(m) for m in members], [_shape(m) for m in _components(other, simple)]
        if len(shapes) == len(larger):
            pairs = [(shape, (at,)) for shape, at in zip(shapes, larger, strict=True)]
        else:  # rounds of a loop over the network's units: compare the largest
            pairs = [(_largest(shapes), (_largest(larger), *larger))] * len(members)
        for one, (shape, at) in zip(members, pairs, strict=True):
            grows = tuple(a != b for a, b in zip(shape, at[0], strict=True))
            found.append(_product(one, frames, grows, at, weights))
    return found


def _shape(members: list[Sum]) -> Shape:
    rows, vectors, _ = _sides(members)
    return len(rows), max(len(s.left) + len(s.single) for s in members), len(vectors)


def _largest(shapes: list[Shape]) -> Shape:
    rows, depths, vectors = zip(*shapes, strict=True) if shapes else [(0,)] * 3
    return max(rows), max(depths), max(vectors)


def _sides(members: list[Sum]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]], bool]:
    """The matrix's rows (with the terms that are no product), the vectors, and whether these are the right factors."""
    lefts, rights = {s.left: s.single for s in members}, {s.right: s.single for s in members}
    right = len(rights) == 1 or (len(lefts) > 1 and (not _overlapping(list(lefts)) or _overlapping(list(rights))))
    lines, others = (lefts, rights) if right else (rights, lefts)
    return _whole([line + single for line, single in lines.items()]), _whole(list(others)), right


def _whole(lines: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Lines, those put together that are parts of one: where the diagonal is left out each row sees a part of one vector."""
    groups = _Groups(len(lines))
    groups.join_parts(lines)
    return [tuple(dict.fromkeys(i for k in part for i in lines[k])) for part in groups.members()]


def _product(
    members: list[Sum], frames: Frames, grows: tuple[bool, ...], larger: tuple[Shape, ...], weights: WeightsOf
) -> Product:
    (rows, vectors, right), (rows_grow, depth_grows, vectors_grow) = _sides(members), grows
    kind: Kind = "dot product"
    if len(rows) > 1:
        kind = "matrix–vector product"
        kinds = [{weights(i) for line in side for i in line} for side in (rows, vectors)]
        many = len(vectors) > 1 and rows_grow and vectors_grow
        if not depth_grows and many and ({"fixed"} in kinds or None not in kinds[0] | kinds[1]):
            kind = "matrix–matrix product"
        elif not depth_grows and (None in kinds[0] or len(vectors) > 1):
            kind = "sum of outer products"
        elif len(vectors) > 1 and rows_grow and vectors_grow:
            kind = "matrix–matrix product"
        elif len(vectors) > 1 and not rows_grow:
            rows, vectors, right = vectors, rows, not right
    sides = {s.node: (s.left + s.single, s.right) if right else (s.right + s.single, s.left) for s in members}
    of_lines, operands = ({node: side[k] for node, side in sides.items()} for k in (0, 1))
    return Product(kind, frames, tuple(sides), tuple(rows), tuple(vectors), of_lines, operands, larger)


def _overlap(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two lines consist of the same numbers by more than half, as parts of one vector do."""
    a, b = set(one), set(other)
    return min(len(a), len(b)) > 1 and 2 * len(a & b) > min(len(a), len(b))


def _overlapping(lines: list[tuple[int, ...]]) -> bool:
    """Whether some different lines are parts of one vector."""
    different = list(dict.fromkeys(lines))
    return any(_overlap(a, b) for k, a in enumerate(different[:40]) for b in different[:k])


class _Groups:
    """Things by number, put together step by step."""

    def __init__(self, count: int):
        self.parent = list(range(count))

    def root(self, k: int) -> int:
        while self.parent[k] != k:
            self.parent[k] = self.parent[self.parent[k]]
            k = self.parent[k]
        return k

    def join(self, k: int, other: int) -> None:
        self.parent[self.root(k)] = self.root(other)

    def join_same(self, lines: list[tuple[int, ...]]) -> None:
        first: dict[tuple[int, ...], int] = {}
        for k, line in enumerate(lines):
            self.join(k, first.setdefault(line, k))

    def join_parts(self, lines: list[tuple[int, ...]]) -> None:
        users: dict[int, list[int]] = defaultdict(list)
        for k, line in enumerate(lines):
            for other in {other for i in set(line) for other in users[i]}:
                if self.root(k) != self.root(other) and _overlap(line, lines[other]):
                    self.join(k, other)
            for i in set(line):
                users[i].append(k)

    def members(self) -> list[list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for k in range(len(self.parent)):
            found[self.root(k)].append(k)
        return list(found.values())


def _components(sums: list[Sum], simple: bool) -> list[list[Sum]]:
    """Sums that share a row or a vector, together; those that are no matrix by that, with others that share most of one.

    Where a unit is several numbers (not `simple`), each with a row of the matrix, these share a part of the vector: what is a
    matrix by itself may then be a part of one.
    """
    groups = _Groups(len(sums))
    for keys in ([s.left for s in sums], [s.right for s in sums]):
        groups.join_same(keys)
    exact = [[sums[k] for k in part] for part in groups.members()]
    found = [one for one in exact if simple and min(len({s.left for s in one}), len({s.right for s in one})) > 1]
    lines = [s for one in exact if one not in found for s in one]
    groups = _Groups(len(lines))
    for keys in ([s.left for s in lines], [s.right for s in lines]):
        groups.join_same(keys)
        groups.join_parts(keys)
    return found + [[lines[k] for k in part] for part in groups.members()]
