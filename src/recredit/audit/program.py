"""What the criteria ask about a traced rule: what is stored, what is a firing rate, what a place in the source is called."""

import ast
import inspect
import math
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import jax
import numpy as np

from recredit.audit.graph import Frame, Frames, Graph
from recredit.audit.products import Product, products, sums_of
from recredit.audit.trace import Sizes, example, names_of, trace
from recredit.audit.verdicts import Evidence
from recredit.rule import AbstractRule

SMALL: Sizes = (5, 2, 3)
LARGE: Sizes = (7, 3, 2)  # every size differs from SMALL's, so that what does not grow shows
RATES = {"step.r_prev", "step.r_hat", "step.r", "step.target", "step.error"}  # error: error neurons
ACTIVATIONS = {"tanh", "logistic", "erf", "exp", "log1p", "atan", "clamp"}
SHORT = {
    "net.W": "W", "net.W_out": "W_out", "net.b_out": "b_out", "step.r_prev": "r⁻", "step.r_hat": "r̂", "step.v": "v",
    "step.r": "r", "step.error": "ε", "step.target": "y*",
}  # fmt: skip
Place = tuple[str, int]


class Program:
    """A rule's program at two sizes, and what it is made of (at the small size)."""

    def __init__(self, rule: AbstractRule, name: str):
        self.rule, self.name = rule, name
        self.file = inspect.getsourcefile(type(rule)) or "?"
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
            elif graph.op[k] != "sum":
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

    # What things are called.

    def place(self, frames: Frames) -> Place:
        """The line of the rule's own file that leads to an operation; of another file, if the rule's has none."""
        own = [f for f in frames if f.file == self.file]
        frame = own[0] if own else frames[0] if frames else None
        return (frame.file, frame.line) if frame else (self.file, inspect.getsourcelines(type(self.rule))[1])

    def named(self, path: str) -> str:
        """The name of the state array at a path: "state.B" for "B"."""
        return next((name for name in self.small.after if self.short(name).lstrip(".") == path), next(iter(self.small.after)))

    def written(self, name: str) -> Frames:
        """Where the update computes a state array; for one handed on as it is, where the update returns."""
        return self.small.written[name] or self._returns("update")

    def started(self, name: str) -> Frames:
        """Where `init` computes a state array; for one handed on as it is, where `init` returns."""
        return self.small.started[name] or self._returns("init")

    def _returns(self, method: str) -> Frames:
        lines, first = inspect.getsourcelines(getattr(type(self.rule), method))
        at = [k for k, line in enumerate(lines) if line.lstrip().startswith("return")]
        return (Frame(self.file, first + (at[-1] if at else 0), method),)

    def evidence(self, operation: str, frames: Frames, sentence: str) -> Evidence:
        """Evidence at the place of an operation."""
        return Evidence(operation, *self.place(frames), sentence)

    def short(self, name: str) -> str:
        """An array's symbol."""
        return SHORT.get(name) or name.removeprefix("state.")

    @cached_property
    def known(self) -> dict[int, str]:
        """Of each entry of a quantity that has a symbol of its own, the symbol."""
        graph = self.graph
        pairs = ((int(i), name) for name, ids in reversed(self.small.known.items()) for i in ids.ravel().tolist())
        return {i: name for i, name in pairs if not graph.is_constant(i) and graph.op[i] != "in"}

    def label(self, nodes: Iterable[int], within: Frames = ()) -> str:
        """What some numbers are called: their array's symbol, or the variable that they were assigned to.

        `within`: the operation that uses them; its line assigns its own result, not them.
        """
        nodes = list(nodes)
        found = dict.fromkeys(self._symbol(i, within) for i in nodes if not self.graph.is_constant(i))
        if {"J", "αD"} & found.keys() and all(self.owner.get(i) is None for i in nodes):
            found = {name: None for name in ("J", "αD") if name in found}  # J's rows are αD W but on the diagonal
            return next(iter(found))
        one = ["1"] if any(self.graph.is_constant(i) and self.graph.value(i) == 1 for i in nodes) else []
        names = [*found, *one]
        if not found:
            values = {self.graph.value(i) for i in nodes}
            return f"{values.pop():.4g}" if len(values) == 1 else "constants"
        if len(found) == 1:
            return names[0] if not one or names[0] in ("W", "r̂") else f"[{'; '.join(names)}]"
        return f"[{'; '.join(names)}]" if len(names) <= 3 else list(found)[-1]

    def _symbol(self, i: int, within: Frames) -> str:
        if entry := self.stored(i) or self.owner.get(i):
            return self.short(entry[0])
        return self.known.get(i) or self._variable(self.graph.frames[i], within)

    def _variable(self, frames: Frames, within: Frames) -> str:
        """The variable that a line assigns, or the function that it stands in."""
        outer = self.place(within) if within else None
        for frame in (f for f in frames if f.file == self.file):
            if (frame.file, frame.line) != outer and (target := _assigned(frame.file).get(frame.line)):
                return target
        inner = [f for f in frames if f not in within and f.file != self.file]
        if inner:
            return f"{inner[0].function.rsplit('.', 1)[-1]}(…)"
        targets = [target for f in frames if (target := _assigned(f.file).get(f.line))]
        return targets[0] if targets else f"what line {self.place(frames)[1]} computes"

    def size(self, small: int, large: int) -> str:
        """The name of a dimension, from its value at both sizes."""
        (n, n_in, n_out), (N, N_in, N_out) = SMALL, LARGE
        named = [
            ("n", n, N), ("n_in", n_in, N_in), ("n_out", n_out, N_out), ("m", n + n_in + 1, N + N_in + 1),
            ("(n+n_out+1)", n + n_out + 1, N + N_out + 1), ("(n+n_in)", n + n_in, N + N_in), ("(n+1)", n + 1, N + 1),
            ("(n+n_out)", n + n_out, N + N_out), ("nm", n * (n + n_in + 1), N * (N + N_in + 1)), ("n²", n * n, N * N),
        ]  # fmt: skip
        if small == large:
            return str(small)
        return next((name for name, a, b in named if (a, b) == (small, large)), f"{small}…")

    @cached_property
    def _large_shapes(self) -> dict[Frames, list[tuple[int, int, int]]]:
        sums = sums_of(self.large.graph, self.large.graph.reach(self.large.roots))
        found = {frames: sorted(products(these, these, frames), key=lambda p: min(p.sums)) for frames, these in sums.items()}
        return {frames: [p.shape for p in these] for frames, these in found.items()}

    def show(self, product: Product) -> str:
        """A product in the field's notation: "J·B : (n×n)·(n×m)"."""
        matrix = self.label((i for row in product.rows for i in row), product.frames)
        vector = self.label((i for v in product.vectors for i in v), product.frames)
        same = [p for p in self.products if p.frames == product.frames]
        larger = self._large_shapes.get(product.frames, [])
        at = larger[same.index(product)] if len(larger) == len(same) else max(larger, default=product.shape)
        rows, depth, vectors = (self.size(a, b) for a, b in zip(product.shape, at, strict=True))
        if product.kind == "matrix–matrix product":
            return f"{matrix}·{vector} : ({rows}×{depth})·({depth}×{vectors})"
        if product.kind == "dot product":
            return f"{matrix}·{vector} : ({depth})·({depth})"
        if product.kind == "sum of outer products":
            return f"Σ {matrix}⊗{vector} : {depth} × ({rows})⊗({vectors})"
        times = f" × {vectors}" if len(product.vectors) > 1 else ""
        if self._backwards(product.rows[0]):
            return f"{vector}·{matrix} : ({depth})·({depth}×{rows}){times}"
        return f"{matrix}·{vector} : ({rows}×{depth})·({depth}){times}"

    def _backwards(self, row: tuple[int, ...]) -> bool:
        """Whether a matrix's line runs along its first axis, as in c·J."""
        J = self.small.known["J"]
        places = {int(J[index]): index for index in np.ndindex(*J.shape)}
        entries = [((entry := self.stored(i)) and entry[1]) or places.get(i) for i in row]
        known = [entry for entry in entries if entry]
        return len(known) > 1 and known[0][0] != known[1][0]


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


_files: dict[str, dict[int, str]] = {}


def _assigned(file: str) -> dict[int, str]:
    """Which variable each line of a file assigns."""
    if file not in _files:
        found: dict[int, str] = {}
        try:
            tree = ast.parse(Path(file).read_text())
        except (OSError, SyntaxError, UnicodeDecodeError):
            tree = ast.Module([], [])
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                if all(isinstance(name, ast.Name) for name in names):
                    for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                        found[line] = ", ".join(ast.unparse(name) for name in names)
        _files[file] = found
    return _files[file]
