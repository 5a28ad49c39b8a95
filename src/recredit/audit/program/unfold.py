"""Unfold a jaxpr into a graph of numbers: calls inlined, loops of known length unrolled, layout resolved."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jaxlib
import numpy as np

from recredit.audit.program.graph import PLAIN, Frame, Frames, Graph, Ids, TooLargeError
from recredit.audit.program.indexing import Indexing
from recredit.audit.program.opaque import Index, Opaque
from recredit.audit.program.primitives import node_array
from recredit.jaxprs import called, programs_of, scan_split, walk

_AUDIT = os.path.dirname(os.path.dirname(__file__))
_SKIP = (*(os.path.dirname(module.__file__ or "") for module in (jax, jaxlib)), _AUDIT, "<")
_LIBRARIES = tuple(os.sep + name + os.sep for name in ("equinox", "jaxtyping", "beartype", "_pytest", "pluggy"))
MOST_STEPS = 20_000
_LONGEST = 10_000  # iterations of a loop
_WIDEST = 3_000  # numbers that a loop of unknown length works on
TRANSPARENT = {"convert_element_type", "copy", "copy_p", "reduce_precision", "stop_gradient", "random_clone"}


def user_frames(eqn: Any) -> Frames:
    """Where an equation was written, without the libraries' own places."""
    if eqn.source_info.traceback is None:
        return ()
    frames = (Frame(f.file_name, f.line_num, f.function_name) for f in eqn.source_info.traceback.frames)
    return tuple(f for f in frames if not f.file.startswith(_SKIP) and not any(lib in f.file for lib in _LIBRARIES))


def check_steps(count: int) -> None:
    """Raise TooLargeError for a program of too many operations."""
    if count > MOST_STEPS:
        raise TooLargeError(f"{MOST_STEPS:,} operations")


def written(jaxpr: Any) -> int:
    """How many equations a jaxpr has, those of what it calls included."""
    return sum(1 + sum(map(written, programs_of(eqn))) for eqn in jaxpr.eqns)


class Unfolding(Indexing, Opaque):
    """Reads equations in order, and adds what they compute to a graph."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.steps = 0
        self.numbers: dict[int, int] = {}  # of equations, by identity: the rounds of a loop share one

    def run(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Ids], outer: Frames = (), name: str = "") -> list[Ids]:
        """The nodes of a jaxpr's outputs, from those of its inputs. `outer`, `name`: the call that it is the body of."""
        self.steps += len(jaxpr.eqns)
        check_steps(self.steps)

        def apply(eqn: Any, ins: list[Ids]) -> list[Ids]:
            frames = _composed(user_frames(eqn), outer, name)
            self.graph.here = (frames, self.numbers.setdefault(id(eqn), len(self.numbers)))
            return self.equation(eqn, ins, frames)

        return walk(jaxpr, [*map(self.graph.constants, consts), *inputs], apply, lambda v: self.graph.constants(v.val))

    def equation(self, eqn: Any, ins: list[Ids], frames: Frames) -> list[Ids]:
        """The outputs of one equation."""
        name, params = eqn.primitive.name, eqn.params
        if name in ("scan", "while", "cond"):
            return {"scan": self.scan, "while": self.while_, "cond": self.cond}[name](params, ins, frames, eqn)
        if inner := called(eqn):
            return self.run(inner.jaxpr, inner.consts, ins, frames, str(params.get("name", "")))
        if name == "optimization_barrier":
            return ins
        if (rule := getattr(self, "p_" + name.replace("-", "_"), None)) is not None:
            out = rule(ins, params, eqn)
            return out if isinstance(out, list) else [out]
        if name in TRANSPARENT:
            return [self.convert(ins[0], params.get("new_dtype"))]
        if name in ("add", "add_any", "sub", "mul", "div", "neg") or name in PLAIN:
            return [self.elementwise("add" if name == "add_any" else name, ins, params, eqn)]
        return self.opaque(eqn, ins)

    # Control flow.

    def scan(self, params: dict[str, Any], ins: list[Ids], frames: Frames, eqn: Any) -> list[Ids]:
        """A loop of known length, unrolled."""
        body, length = params["jaxpr"], params["length"]
        rounds = range(length)
        n_consts, n_carry = scan_split(body, [v.aval for v in eqn.invars], [v.aval for v in eqn.outvars])
        consts, carry, xs = ins[:n_consts], ins[n_consts : n_consts + n_carry], ins[n_consts + n_carry :]
        stacked: list[Any] = [None] * length
        for k in reversed(rounds) if params["reverse"] else rounds:
            outs = self.run(body.jaxpr, body.consts, [*consts, *carry, *(x[k] for x in xs)], frames)
            carry, stacked[k] = outs[:n_carry], outs[n_carry:]
        shapes = [v.aval.shape for v in eqn.outvars[n_carry:]]
        ys = [np.array([row[i] for row in stacked], np.int64).reshape(shape) for i, shape in enumerate(shapes)]
        return [*carry, *ys]

    def cond(self, params: dict[str, Any], ins: list[Ids], frames: Frames, eqn: Any) -> list[Ids]:
        """One branch where the trace knows which; else each output is one of the branches'."""
        which, branches = int(ins[0]), params["branches"]
        if self.graph.is_constant(which):
            branches = [branches[min(max(int(self.graph.value(which)), 0), len(branches) - 1)]]
        outs = [self.run(branch.jaxpr, branch.consts, ins[1:], frames) for branch in branches]

        def merge(options: tuple[Ids, ...]) -> Ids:
            cells = zip(*(option.ravel().tolist() for option in options), strict=True)
            return node_array(
                [self.graph.select(which, cell) if len(set(cell)) > 1 else cell[0] for cell in cells], options[0].shape
            )

        return [merge(options) for options in zip(*outs, strict=True)]

    def while_(self, params: dict[str, Any], ins: list[Ids], frames: Frames, eqn: Any) -> list[Ids]:
        """A loop whose every round the trace can foresee, unrolled; of another, what each output may depend on."""
        n_cond, n_body = params["cond_nconsts"], params["body_nconsts"]
        cond, body = params["cond_jaxpr"], params["body_jaxpr"]

        def goes_on(ins: list[Ids]) -> Ids:
            return self.run(cond.jaxpr, cond.consts, [*ins[:n_cond], *ins[n_cond + n_body :]], frames)[0]

        def one_round(ins: list[Ids]) -> list[Ids]:
            return [*ins[: n_cond + n_body], *self.run(body.jaxpr, body.consts, ins[n_cond:], frames)]

        now = ins
        for _ in range(_LONGEST):
            known = {self.graph.value(i) if self.graph.is_constant(i) else None for i in goes_on(now).ravel().tolist()}
            if known == {False}:
                return now[n_cond + n_body :]
            if known != {True}:
                break
            now = one_round(now)
        return self._settled(eqn, ins, goes_on, one_round)

    def _settled(self, eqn: Any, ins: list[Ids], goes_on: Callable[..., Ids], one_round: Callable[..., list[Ids]]) -> list[Ids]:
        """The outputs of a loop of unknown length: each may depend on what leads to it within any number of rounds.

        They also depend on a last round, so that what is done in a round is seen to be done.
        """
        graph, here = self.graph, self.graph.here
        flat = [int(i) for array in ins for i in array.ravel().tolist()]
        if len(flat) > _WIDEST:
            return self.opaque(eqn, ins)
        marks = [graph.leaves(f"entry {k} of equation {here[1]}", array.shape) for k, array in enumerate(ins)]
        place = {int(i): k for k, i in enumerate(i for array in marks for i in array.ravel().tolist())}
        ends, end = one_round(marks), goes_on(marks)
        graph.here = here
        leads = np.eye(len(flat), dtype=np.float32)  # which entry leads to which, within at most one iteration
        first = len(ins) - len(eqn.outvars)
        for before, after in zip(marks[first:], ends[first:], strict=True):
            for index, i in np.ndenumerate(after):
                reached = graph.reach((int(i), int(end[index[: end.ndim]])))
                leads[place[int(before[index])], [place[k] for k in reached if k in place]] = 1
        while not np.array_equal(more := np.minimum(leads @ leads, 1), leads):  # within twice as many iterations
            leads = more

        def read(k: int, index: Index) -> list[Ids]:
            return [np.array(flat)[np.flatnonzero(leads[place[int(marks[first + k][index])]])]]

        given = [*ins[:first], *self.opaque(eqn, ins, read)]
        which, last = goes_on(given), one_round(given)[first:]
        graph.here = here
        return self.opaque(eqn, ins, lambda k, index: [*read(k, index), which[index[: which.ndim]], last[k][index]])


def _composed(inner: Frames, outer: Frames, name: str) -> Frames:
    """Where an equation of a called function was written: in the function's own lines, then where it was called now.

    JAX keeps the trace of a compiled function from its first call, which may have been another rule's.
    """
    if not outer:
        return inner
    if inner[len(inner) - len(outer) :] == outer:
        return inner
    own = [k for k, frame in enumerate(inner) if frame.function.rsplit(".", 1)[-1] == name]
    return (*inner[: own[-1] + 1], *outer) if own else (outer if name else inner or outer)
