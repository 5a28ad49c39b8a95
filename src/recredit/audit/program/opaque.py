"""Primitives that work on many numbers at once: which of them each result depends on, where the audit cannot say how."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from recredit.audit.program.graph import Ids
from recredit.audit.program.primitives import Primitives, node_array

Index = tuple[int, ...]
# Of matrices, the last two axes of an array; what stands before them are matrices side by side.
MATRICES = ("cholesky", "qr", "geqrf", "geqp3", "householder_product", "ormqr", "svd", "eig", "eigh", "lu", "schur",
            "hessenberg", "tridiagonal", "triangular_solve", "tridiagonal_solve")  # fmt: skip
_CALLED = {"while": "while_loop", "custom_linear_solve": "solve"}  # the names that users call them by
_CONVOLVED = ("window_strides", "padding", "lhs_dilation", "rhs_dilation", "dimension_numbers", "feature_group_count",
              "batch_group_count")  # fmt: skip


class Opaque(Primitives):
    """Adds one method a primitive to those of Primitives."""

    def opaque(self, eqn: Any, ins: list[Ids], reads: Callable[[int, Index], Sequence[Ids]] | None = None) -> list[Ids]:
        """The outputs of a primitive that the audit does not know.

        `reads` gives what one entry of an output depends on, from the output's place and the entry's index; None: on all.
        """
        number, primitive = self.graph.here[1], str(eqn.primitive.name)
        called = _CALLED.get(primitive, primitive)
        self.graph.unknown.setdefault(called, self.graph.here[0])
        memo: dict[tuple[Index, ...], Index] = {}

        def entry(k: int, index: Index) -> int:
            read = tuple(tuple(part.ravel().tolist()) for part in (reads(k, index) if reads else ins))
            args = memo.setdefault(read, tuple(i for part in read for i in part))
            return self.graph.node(f"unknown:{called}", args, (number, k, index))

        return [
            node_array([entry(k, index) for index in np.ndindex(*v.aval.shape)], v.aval.shape)
            for k, v in enumerate(eqn.outvars)
        ]

    def _matrices(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> list[Ids]:
        batch = ins[0].ndim - 2
        return self.opaque(eqn, ins, lambda k, index: [array[index[:batch]] for array in ins])

    def p_lu_pivots_to_permutation(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> list[Ids]:
        return self.opaque(eqn, ins, lambda k, index: [ins[0][index[:-1]]])

    def p_fft(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> list[Ids]:
        batch = ins[0].ndim - len(params["fft_lengths"])
        return self.opaque(eqn, ins, lambda k, index: [ins[0][index[:batch]]])

    def p_sort(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> list[Ids]:
        """Order, and by it the places (argsort); what is carried along with an order of other numbers is not known."""
        axis, others = params["dimension"], [i for array in ins[1:] for i in array.ravel().tolist()]
        if all(map(self.graph.is_constant, others)):
            return self._ordered(eqn, ins[0], axis)
        return self.opaque(eqn, ins, lambda k, index: [_line(array, index, axis) for array in ins])

    def p_top_k(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> list[Ids]:
        return self._ordered(eqn, ins[0], params.get("axis", -1) % ins[0].ndim)

    def p_approx_top_k(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> list[Ids]:
        return self._ordered(eqn, ins[0], params["reduction_dimension"] % ins[0].ndim)

    def _ordered(self, eqn: Any, array: Ids, axis: int) -> list[Ids]:
        """The outputs of an operation that puts all along an axis in order: each is computed from all of them."""

        def entry(k: int, index: Index) -> int:
            line = tuple(_line(array, index, axis).tolist())
            return self.graph.node(f"reduce_{eqn.primitive.name}", line, (k, index[axis]))

        shapes = [v.aval.shape for v in eqn.outvars]
        return [node_array([entry(k, index) for index in np.ndindex(*s)], s) for k, s in enumerate(shapes)]

    def _cumulative(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        array = np.moveaxis(ins[0], params["axis"], -1)
        array = array[..., ::-1] if params["reverse"] else array
        name = eqn.primitive.name.removeprefix("cum")
        rows = [[*accumulate(row, partial(self._pair, name))] for row in array.reshape(-1, array.shape[-1]).tolist()]
        out = node_array([i for row in rows for i in row], array.shape)
        return np.moveaxis(out[..., ::-1] if params["reverse"] else out, -1, params["axis"])

    p_cummax = p_cummin = p_cumprod = p_cumlogsumexp = _cumulative

    def _pair(self, name: str, i: int, j: int) -> int:
        """Two numbers that a cumulative operation takes together."""
        graph = self.graph
        if name == "prod":
            return self.product(i, j)
        if name == "logsumexp":
            return graph.node("log", (graph.node("add", (graph.node("exp", (i,)), graph.node("exp", (j,)))),))
        return graph.node(name, (i, j))

    def p_conv_general_dilated(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        """Sums of products: a kernel of the numbers 1, 2, ... tells for each input which entry leads to an output."""
        numbers = jnp.arange(1.0, ins[1].size + 1).reshape(ins[1].shape)
        keep = {name: params[name] for name in _CONVOLVED}
        table = _responses(ins[0].shape, lambda one: lax.conv_general_dilated(one, numbers, **keep))
        left, right = ins[0].ravel().tolist(), ins[1].ravel().tolist()
        sums = [[self.product(left[i], right[int(row[i]) - 1]) for i in np.flatnonzero(row)] for row in table]
        return node_array([self._total(terms) for terms in sums], eqn.outvars[0].aval.shape)

    def _windows(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        window = [params[k] for k in ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation")]
        table = _responses(ins[0].shape, lambda one: lax.reduce_window(one, 0.0, lax.add, *window))
        flat, name = ins[0].ravel().tolist(), eqn.primitive.name.replace("_window", "")
        rows = [tuple(flat[i] for i in np.flatnonzero(row)) for row in table]
        out = [self._total(list(row)) if name == "reduce_sum" else self.graph.node(name, row) for row in rows]
        return node_array(out, eqn.outvars[0].aval.shape)

    p_reduce_window_sum = p_reduce_window_max = p_reduce_window_min = _windows


def _line(array: Ids, index: Index, axis: int) -> Ids:
    """All along one axis, at an entry's place on the others."""
    return array[(*index[:axis], slice(None), *index[axis + 1 :])]


def _responses(shape: Index, linear: Callable[[Any], Any]) -> np.ndarray:
    """What each output of a linear map gives for each input that is 1 where all others are 0: (outputs, inputs)."""
    ones = jnp.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.asarray(jax.vmap(linear)(ones)).reshape(len(ones), -1).T


for _name in MATRICES:
    setattr(Opaque, "p_" + _name, Opaque._matrices)
