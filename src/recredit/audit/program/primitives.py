"""What each primitive does to the numbers of nodes: elementwise operations, layout, sums, random draws."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from recredit.audit.program.graph import Graph, Ids


class Primitives:
    """One method a primitive, p_NAME(inputs, parameters, equation), that adds to the graph and gives the outputs' nodes."""

    graph: Graph

    def convert(self, array: Ids, dtype: Any) -> Ids:
        """The same nodes; constants in their new type."""
        if dtype is None or not all(self.graph.is_constant(i) for i in array.ravel().tolist()):
            return array
        return self.graph.constants(
            np.array([self.graph.value(i) for i in array.ravel().tolist()]).astype(dtype).reshape(array.shape)
        )

    def elementwise(self, name: str, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        arrays = np.broadcast_arrays(*ins)
        data = {"integer_pow": params.get("y"), "square": 2}.get(name)
        name = "integer_pow" if name == "square" else name
        graph, out = self.graph, []
        for args in zip(*(array.ravel().tolist() for array in arrays), strict=True):
            if all(graph.is_constant(a) for a in args):
                out.append(graph.constant(self.fold(eqn, args)))
            else:
                out.append(graph.elementwise(name, args, data))
        return node_array(out, arrays[0].shape)

    def fold(self, eqn: Any, args: Sequence[int]) -> Any:
        """The value of an operation on constants."""
        values = [np.asarray(self.graph.value(a)).astype(v.aval.dtype) for a, v in zip(args, eqn.invars, strict=True)]
        simple = {"add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative, "lt": np.less,
                  "gt": np.greater, "le": np.less_equal, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
                  "max": np.maximum, "min": np.minimum, "sqrt": np.sqrt, "not": np.logical_not, "exp": np.exp}  # fmt: skip
        if eqn.primitive.name in simple:
            with np.errstate(all="ignore"):
                return simple[eqn.primitive.name](*values)
        return np.asarray(eqn.primitive.bind(*values, **eqn.params))

    def p_one_minus_square(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        one, graph = self.graph.constant(1.0), self.graph
        out = [graph.elementwise("sub", (one, self.product(i, i))) for i in ins[0].ravel().tolist()]
        return node_array(out, ins[0].shape)

    # Layout: the same primitive, on the numbers of the nodes.

    def p_broadcast_in_dim(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        shape = [1] * len(params["shape"])
        for axis, size in zip(params["broadcast_dimensions"], ins[0].shape, strict=True):
            shape[axis] = size
        return np.broadcast_to(ins[0].reshape(shape), params["shape"])

    def p_reshape(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return ins[0].reshape(params["new_sizes"])

    def p_squeeze(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return ins[0].reshape(eqn.outvars[0].aval.shape)

    p_expand_dims = p_squeeze

    def p_transpose(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return ins[0].transpose(params["permutation"])

    def p_rev(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return np.flip(ins[0], params["dimensions"])

    def p_concatenate(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return np.concatenate(ins, axis=params["dimension"])

    def p_stack(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return np.stack(ins, axis=params["axis"])

    def p_unstack(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> list[Ids]:
        return list(np.moveaxis(ins[0], params["axis"], 0))

    def p_tile(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return np.tile(ins[0], params["reps"])

    def p_split(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> list[Ids]:
        return np.split(ins[0], np.cumsum(params["sizes"])[:-1], axis=params["axis"])

    def p_slice(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        strides = params["strides"] or [1] * ins[0].ndim
        return ins[0][tuple(slice(a, b, s) for a, b, s in zip(params["start_indices"], params["limit_indices"], strides))]

    def p_iota(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return self.graph.constants(np.asarray(lax.iota_p.bind(*(), **params)))

    def p_pad(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        fill, array = int(ins[1]), ins[0]
        padded = lax.pad(jax.numpy.asarray(array, "int32"), jax.numpy.int32(fill), params["padding_config"])
        return np.asarray(padded, np.int64)

    def p_select_n(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        which, *cases = np.broadcast_arrays(*ins)
        rows = zip(which.ravel().tolist(), *(case.ravel().tolist() for case in cases), strict=True)
        return node_array([self.graph.select(w, tuple(c)) for w, *c in rows], cases[0].shape)

    # Sums.

    def p_dot_general(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        (lc, rc), (lb, rb) = params["dimension_numbers"]
        left, right = ins
        lf = [i for i in range(left.ndim) if i not in (*lc, *lb)]
        rf = [i for i in range(right.ndim) if i not in (*rc, *rb)]
        batch, graph = int(np.prod([left.shape[i] for i in lb])), self.graph
        depth = int(np.prod([left.shape[i] for i in lc]))
        a = left.transpose([*lb, *lf, *lc]).reshape(batch, -1, depth).tolist()
        b = right.transpose([*rb, *rf, *rc]).reshape(batch, -1, depth).tolist()

        def entry(row: list[int], column: list[int]) -> int:
            products = zip(row, column, strict=True)
            return graph.sum([self.product(i, j) for i, j in products])

        out = [entry(row, column) for k in range(batch) for row in a[k] for column in b[k]]
        return node_array(out, eqn.outvars[0].aval.shape)

    def product(self, i: int, j: int) -> int:
        graph = self.graph
        if graph.is_constant(i) and graph.is_constant(j):
            return graph.constant(float(graph.value(i)) * float(graph.value(j)))
        return graph.elementwise("mul", (i, j))

    def _reduced(self, array: Ids, axes: Sequence[int]) -> tuple[list[list[int]], list[int]]:
        """The numbers that are reduced to one, for each entry that is left, and the shape of these."""
        kept = [i for i in range(array.ndim) if i not in axes]
        shape = [array.shape[i] for i in kept]
        whole = int(np.prod([array.shape[i] for i in axes]))
        return array.transpose([*kept, *axes]).reshape(int(np.prod(shape)), whole).tolist(), shape

    def p_reduce_sum(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        rows, shape = self._reduced(ins[0], params["axes"])
        return node_array([self._total(row) for row in rows], shape)

    def _total(self, row: list[int]) -> int:
        graph = self.graph
        if all(graph.is_constant(i) for i in row):
            return graph.constant(sum(graph.value(i) for i in row))
        return graph.sum(row)

    def p_cumsum(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        array = np.moveaxis(ins[0], params["axis"], -1)
        array = array[..., ::-1] if params["reverse"] else array
        rows = [[self._total(row[: k + 1]) for k in range(len(row))] for row in array.reshape(-1, array.shape[-1]).tolist()]
        out = node_array([i for row in rows for i in row], array.shape)
        return np.moveaxis(out[..., ::-1] if params["reverse"] else out, -1, params["axis"])

    def _reduce(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        (rows, shape), name = self._reduced(ins[0], params["axes"]), "reduce_" + eqn.primitive.name.removeprefix("reduce_")
        if all(self.graph.is_constant(i) for row in rows for i in row):
            values = (
                np.array([self.graph.value(i) for i in ins[0].ravel().tolist()])
                .astype(eqn.invars[0].aval.dtype)
                .reshape(ins[0].shape)
            )
            return self.graph.constants(np.asarray(eqn.primitive.bind(jax.numpy.asarray(values), **params)))
        return node_array([row[0] if len(row) == 1 else self.graph.node(name, tuple(row)) for row in rows], shape)

    p_reduce_max = p_reduce_min = p_reduce_prod = p_reduce_and = p_reduce_or = p_argmax = p_argmin = _reduce

    # Randomness: a key is a number that is known to nobody; each draw from it is independent.

    def _keys(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        shape, args = eqn.outvars[0].aval.shape, tuple(int(i) for array in ins for i in array.ravel().tolist())
        name = eqn.primitive.name
        return node_array([self.graph.node("key", args, (name, index)) for index in np.ndindex(*shape)], shape)

    p_random_seed = p_random_split = p_random_fold_in = p_random_wrap = p_random_unwrap = _keys

    def p_random_bits(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        shape, key = eqn.outvars[0].aval.shape, tuple(int(i) for i in ins[0].ravel().tolist())
        return node_array([self.graph.node("noise", key, (index, shape)) for index in np.ndindex(*shape)], shape)

    def p_threefry2x32(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> list[Ids]:
        args = tuple(int(i) for array in ins for i in array.ravel().tolist())
        shapes = [v.aval.shape for v in eqn.outvars]
        return [
            node_array([self.graph.node("noise", args, ((k, *i), s)) for i in np.ndindex(*s)], s) for k, s in enumerate(shapes)
        ]

    def p_random_gamma(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return self.p_random_bits(ins, params, eqn)


def node_array(ids: list[int], shape: Sequence[int]) -> Ids:
    """An array of nodes."""
    return np.array(ids, dtype=np.int64).reshape(tuple(shape))
