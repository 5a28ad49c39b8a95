"""What the arrays, operations and places of a rule's program are called."""

import ast
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from recredit.audit.facts.loops import Loops
from recredit.audit.facts.neurons import LARGE, SMALL
from recredit.audit.facts.products import Product
from recredit.audit.program.graph import Frame, Frames
from recredit.audit.verdicts import Evidence
from recredit.contract import returns

SHORT = {
    "net.W": "W", "net.W_out": "W_out", "net.b_out": "b_out", "step.r_prev": "r⁻", "step.r_hat": "r̂", "step.v": "v",
    "step.r": "r", "step.error": "ε", "step.target": "y*", "step.s_prev": "s⁻", "step.s": "s", "net.mask": "mask",
    "net.signs": "signs",
}  # fmt: skip
Place = tuple[str, int]
UNNAMED = "k"  # a size that is no sum of the network's


class Program(Loops):
    """A rule's program at two sizes, what it is made of, and what that is called."""

    def place(self, frames: Frames) -> Place:
        """The line of the rule's own file that leads to an operation; of another file, if the rule's has none."""
        own = [f for f in frames if f.file == self.file]
        frame = own[0] if own else frames[0] if frames else None
        return (frame.file, frame.line) if frame else (self.file, self.returns("update")[0].line)

    def named(self, path: str) -> str:
        """The name of the state array at a path: "state.B" for "B"."""
        return next((name for name in self.small.after if self.short(name).lstrip(".") == path), next(iter(self.small.after)))

    def written(self, name: str) -> Frames:
        """Where the update computes a state array; for one handed on as it is, where the update returns."""
        return self.small.written[name] or self.returns("update")

    def started(self, name: str) -> Frames:
        """Where `init` computes a state array; for one handed on as it is, where `init` returns."""
        return self.small.started[name] or self.returns("init")

    def returns(self, method: str) -> Frames:
        """Where a method of the rule returns."""
        file, line = returns(self.rule, method)
        return (Frame(file or self.file, line, method),)

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
        J_and_gain = [*self.small.known][:2]
        if found.keys() & J_and_gain and all(self.owner.get(i) is None for i in nodes):
            return next(name for name in J_and_gain if name in found)  # J's rows are αD W but on the diagonal
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
        return self.known.get(i) or self._variable(i, within)

    def _variable(self, i: int, within: Frames) -> str:
        """The variable that a number is assigned to, the library's function that computes it, or its line.

        A line assigns what no other operation of the line uses.
        """
        frames, outer = self.graph.frames[i], self.place(within) if within else None
        used = {f[:2] for k in self.parents.get(i, []) for f in self.graph.frames[k]}
        for frame in frames:
            assigned = frame.file == self.file and frame[:2] not in used and frame[:2] != outer
            if assigned and (target := _assigned(frame.file).get(frame.line)):
                return target
        inner = [f for f in frames if f not in within and f.file != self.file]
        if inner and self.file in (f.file for f in frames):
            return f"{inner[0].function.rsplit('.', 1)[-1]}(…)"
        return f"line {self.place(frames)[1]}'s value"

    def size(self, small: int, large: int) -> str:
        """The name of a dimension, from its value at both sizes."""
        (n, n_in, n_out), (N, N_in, N_out), (S, G) = SMALL, LARGE, (self.audited.S, self.audited.G)
        states = [("N", S * n, S * N), ("(N+n_out+1)", S * n + n_out + 1, S * N + N_out + 1)] if S > 1 else []
        voltages = [("P", G * n, G * N), ("Pm", G * n * (n + n_in + 1), G * N * (N + N_in + 1))] if G > 1 else []
        named = states + voltages + [
            ("n", n, N), ("n_in", n_in, N_in), ("n_out", n_out, N_out), ("m", n + n_in + 1, N + N_in + 1),
            ("(n+n_out+1)", n + n_out + 1, N + N_out + 1), ("(n+n_in)", n + n_in, N + N_in), ("(n+1)", n + 1, N + 1),
            ("(n+n_out)", n + n_out, N + N_out), ("nm", n * (n + n_in + 1), N * (N + N_in + 1)), ("n²", n * n, N * N),
        ]  # fmt: skip
        if small == large:
            return str(small)
        return next((name for name, a, b in named if (a, b) == (small, large)), UNNAMED)

    def show(self, product: Product) -> str:
        """A product in the field's notation: "J·B : (n×n)·(n×m)"."""
        matrix = self.label((i for row in product.rows for i in row), product.frames)
        vector = self.label((i for v in product.vectors for i in v), product.frames)
        named = [[self.size(a, b) for a, b in zip(product.shape, at, strict=True)] for at in product.larger]
        rows, depth, vectors = min(named, key=lambda names: names.count(UNNAMED))
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


_files: dict[str, dict[int, str]] = {}


def _assigned(file: str) -> dict[int, str]:
    """Which variable each line of a file assigns."""
    if file not in _files:
        found: dict[int, str] = {}
        try:
            tree = ast.parse(Path(file).read_bytes())
        except (OSError, SyntaxError, ValueError):
            tree = ast.Module([], [])
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name):
                    found |= dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), target.id)
        _files[file] = found
    return _files[file]
