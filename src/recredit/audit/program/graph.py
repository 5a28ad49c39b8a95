"""A traced program as a graph of single numbers.

Each entry of each array is a node. So it makes no difference how a program is written: loops, einsum, explicit sums, vmap,
transposed or flattened storage all unfold into the same sums of products, and what is multiplied by a constant zero is gone.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from operator import and_, or_
from typing import Any, NamedTuple

import numpy as np


class Frame(NamedTuple):
    """A place in the source."""

    file: str
    line: int
    function: str


Frames = tuple[Frame, ...]  # innermost first
Ids = np.ndarray  # of node numbers, in the shape of the array that they are

COMPARE = {"lt", "gt", "le", "ge", "eq", "ne", "lt_to", "le_to", "and", "or", "not", "xor", "is_finite"}
# Elementwise primitives of which only what they depend on matters.
PLAIN = {
    *COMPARE, "sqrt", "rsqrt", "cbrt", "exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "erf", "erfc", "erf_inv",
    "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh", "atanh", "abs", "sign", "floor",
    "ceil", "round", "rem", "pow", "max", "min", "clamp", "nextafter", "lgamma", "digamma", "population_count", "clz", "conj",
    "shift_left", "shift_right_logical", "shift_right_arithmetic", "integer_pow", "real", "imag", "square", "complex",
    "bessel_i0e", "bessel_i1e", "igamma", "igammac", "polygamma", "zeta", "regularized_incomplete_beta", "random_gamma_grad",
    "bitcast_convert_type",
}  # fmt: skip


MOST_NODES = 60_000
ENDS = 3  # of a synapse, and an output or the like


class TooLargeError(Exception):
    """A program works on more numbers, or in more steps, than the audit follows."""

    def __init__(self, what: str):
        super().__init__(
            f"The program has more than {what} at n = 5, the most that the audit follows; "
            "it could judge a shorter window, or fewer iterations of a loop."
        )


class Graph:
    """Nodes: an operation, its arguments (nodes), a payload, and where it was written first. Equal nodes are one node."""

    def __init__(self, owners: Callable[[tuple[int, ...], tuple[int, ...]], int] | None = None, parts: int = 1) -> None:
        """`owners`: whose an entry of an input array is (`Audited.owners`); `parts`: as many numbers a unit may sum up."""
        self.owners, self.parts = owners, parts
        self.whose: list[int] = []  # of each node, whose numbers it is made of
        self.op: list[str] = []
        self.args: list[tuple[int, ...]] = []
        self.data: list[Any] = []
        self.frames: list[Frames] = []
        self.equation: list[int] = []
        self.unknown: dict[str, Frames] = {}  # primitives that the audit does not know
        self._table: dict[Any, int] = {}
        self.here: tuple[Frames, int] = ((), 0)  # the equation now being read: where it stands, and its number

    def node(self, op: str, args: tuple[int, ...] = (), data: Any = None) -> int:
        """The node of this operation."""
        key = (op, args, data)
        if (found := self._table.get(key)) is None:
            found = self._table[key] = len(self.op)
            if found > MOST_NODES:
                raise TooLargeError(f"{MOST_NODES:,} numbers")
            self.op.append(op)
            self.args.append(args)
            self.data.append(data)
            self.frames.append(self.here[0])
            self.equation.append(self.here[1])
            if self.owners:
                summed = op == "sum" or op.startswith("reduce")  # the axes summed over are gone
                self.whose.append(reduce(and_ if summed else or_, (self.whose[a] for a in args)) if args else 0)
        return found

    def constant(self, value: Any) -> int:
        """The node of a constant; booleans and whole numbers apart from others."""
        value = value.item() if isinstance(value, np.generic | np.ndarray) else value
        if isinstance(value, float) and value != value:
            return self.node("const", (), "nan")
        return self.node("const", (), (type(value).__name__, value))

    def is_constant(self, i: int) -> bool:
        """Whether a node is a constant."""
        return self.op[i] == "const"

    def value(self, i: int) -> Any:
        """The value of a constant node."""
        data = self.data[i]
        return float("nan") if data == "nan" else data[1]

    def constants(self, array: Any) -> Ids:
        """The nodes of an array of constants."""
        array = np.asarray(array)
        return np.array([self.constant(v) for v in array.ravel()], dtype=np.int64).reshape(array.shape)

    def leaves(self, name: str, shape: Iterable[int]) -> Ids:
        """The nodes of an input array."""
        shape, found = tuple(shape), []
        for index in np.ndindex(*shape):
            found.append(self.node("in", (), (name, index)))
            if self.owners:
                self.whose[found[-1]] = self.owners(shape, index)
        return np.array(found, dtype=np.int64).reshape(shape)

    def sum(self, terms: list[int]) -> int:
        """The sum of several nodes, without those that are a constant zero."""
        terms = [t for t in terms if not (self.is_constant(t) and self.value(t) == 0)]
        if not terms:
            return self.constant(0.0)
        if self.is_of_one(terms):
            return reduce(lambda total, term: self.elementwise("add", (total, term)), terms)
        return terms[0] if len(terms) == 1 else self.node("sum", tuple(terms))

    def is_of_one(self, terms: list[int]) -> bool:
        """Whether some numbers are parts of one unit, or of one synapse: a unit adds up its own, as no population does."""
        whose = {self.whose[t] for t in terms} if self.owners and len(terms) <= self.parts else set()
        return len(whose) == 1 and 0 < whose.pop().bit_count() <= ENDS

    def elementwise(self, op: str, args: tuple[int, ...], data: Any = None) -> int:
        """One entry of an elementwise operation, simplified where a constant decides it."""
        number = [self.value(a) if self.is_constant(a) else None for a in args]
        if op in ("add", "sub"):
            if number[1] == 0 and number[1] is not False:
                return args[0]
            if number[0] == 0 and number[0] is not False:
                return args[1] if op == "add" else self.elementwise("neg", (args[1],))
            if op == "sub" and args[0] == args[1]:
                return self.constant(0.0)
        elif op in ("eq", "ne") and args[0] == args[1]:
            return self.constant(op == "eq")
        elif op == "mul":
            for mine, other in ((0, 1), (1, 0)):
                if number[mine] is not None and not isinstance(number[mine], bool):
                    if number[mine] == 0:
                        return self.constant(0.0)
                    if number[mine] == 1:
                        return args[other]
        elif op == "div":
            if number[1] == 1:
                return args[0]
            if number[0] == 0 and not isinstance(number[0], bool):
                return self.constant(0.0)
        elif op == "neg" and self.op[args[0]] == "neg":
            return self.args[args[0]][0]
        elif op == "integer_pow" and data == 2:
            return self.elementwise("mul", (args[0], args[0]))
        elif (op == "integer_pow" and data == 1) or (op in ("max", "min") and args[0] == args[1]):
            return args[0]
        return self.node(op, args, data)

    def select(self, which: int, cases: tuple[int, ...]) -> int:
        """One of several nodes, by another's value."""
        if len(set(cases)) == 1:
            return cases[0]
        return cases[int(self.value(which))] if self.is_constant(which) else self.node("select", (which, *cases))

    def reach(self, roots: Iterable[int]) -> set[int]:
        """All nodes that some nodes depend on, themselves included."""
        seen = set(roots)
        stack = list(seen)
        while stack:
            new = set(self.args[stack.pop()]) - seen
            seen |= new
            stack.extend(new)
        return seen
