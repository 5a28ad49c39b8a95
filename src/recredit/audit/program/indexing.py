"""Primitives that read and write entries of arrays by indices, which the trace knows or not."""

import itertools
from collections.abc import Callable
from functools import reduce
from typing import Any

import jax
import numpy as np
from jax import lax

from recredit.audit.program.graph import Ids
from recredit.audit.program.primitives import Primitives, node_array

_MOST_GUESSES = 1_000  # of what unknown indices are


class Indexing(Primitives):
    """Adds one method a primitive to those of Primitives."""

    def _indexed(self, indices: Ids, limit: int, move: Callable[[np.ndarray], Ids], row_of: np.ndarray | int = 0) -> Ids:
        """Layout by indices, known or not: then what is read or written is one of all that they may give.

        `row_of`: of each entry of the result, the row of the indices that it goes by; else it goes by all of them.
        """
        graph, shape = self.graph, indices.shape
        rows = indices.reshape(-1, shape[-1]) if np.ndim(row_of) else indices.reshape(1, -1)
        unknown = [[*dict.fromkeys(i for i in row if not graph.is_constant(i))] for row in rows.tolist()]
        count = max(map(len, unknown), default=0)

        def at(guess: tuple[int, ...]) -> Ids:
            numbers = [
                [guess[own.index(i)] if i in own else int(graph.value(i)) for i in row]
                for row, own in zip(rows.tolist(), unknown, strict=True)
            ]
            return move(np.array(numbers, np.int32).reshape(shape))

        if not count:
            return at(())
        many = limit**count > _MOST_GUESSES
        guesses = ((k,) * count for k in range(limit)) if many else itertools.product(range(limit), repeat=count)
        options = [at(guess) for guess in guesses]
        which = [own[0] if len(own) == 1 else graph.node("index", tuple(sorted(own))) for own in unknown]
        goes_by = np.broadcast_to(row_of, options[0].shape).ravel().tolist()
        cells = zip(*(option.ravel().tolist() for option in options), strict=True)
        merged = [
            cell[0] if len(set(cell)) == 1 else graph.node("select", (which[row], *dict.fromkeys(cell)))
            for cell, row in zip(cells, goes_by, strict=True)
        ]
        return node_array(merged, options[0].shape)

    def p_dynamic_slice(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        array, sizes = ins[0], params["slice_sizes"]

        def move(starts: np.ndarray) -> Ids:
            low = [min(max(int(s), 0), whole - size) for s, whole, size in zip(starts, array.shape, sizes, strict=True)]
            return array[tuple(slice(a, a + size) for a, size in zip(low, sizes, strict=True))]

        return self._indexed(_scalars(ins[1:]), max(array.shape), move)

    def p_dynamic_update_slice(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        array, update = ins[:2]

        def move(starts: np.ndarray) -> Ids:
            low = [min(max(int(s), 0), whole - size) for s, whole, size in zip(starts, array.shape, update.shape, strict=True)]
            out = array.copy()
            out[tuple(slice(a, a + size) for a, size in zip(low, update.shape, strict=True))] = update
            return out

        return self._indexed(_scalars(ins[2:]), max(array.shape), move)

    def p_gather(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        array, indices = jax.numpy.asarray(ins[0], "int32"), ins[1]
        keep = {k: params[k] for k in ("dimension_numbers", "slice_sizes", "mode")}
        rows = np.arange(indices.size // max(indices.shape[-1], 1)).reshape(indices.shape[:-1])
        rows = np.expand_dims(rows, params["dimension_numbers"].offset_dims)
        return self._indexed(
            indices,
            max(array.shape),
            lambda at: np.asarray(lax.gather(array, jax.numpy.asarray(at), **keep), np.int64),
            np.broadcast_to(rows, eqn.outvars[0].aval.shape),
        )

    def p_scatter(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return self._scatter(ins, params, lambda old, new: new[0])

    def p_scatter_add(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return self._scatter(ins, params, lambda old, new: self._total([old, *new]))

    def p_scatter_mul(self, ins: list[Ids], params: dict[str, Any], eqn: Any) -> Ids:
        return self._scatter(ins, params, lambda old, new: reduce(self.product, new, old))

    def _scatter(self, ins: list[Ids], params: dict[str, Any], combine: Callable[[int, list[int]], int]) -> Ids:
        """Entries put in their places; `combine` is given what stood there and all that comes, the last first."""
        array, indices, updates = ins
        numbers = np.arange(1, updates.size + 1, dtype=np.int32)
        flat = updates.ravel().tolist()

        def move(at: np.ndarray) -> Ids:
            new: dict[tuple[int, ...], list[int]] = {}
            left = numbers.copy()
            while left.any():  # of all writes to one place, the last that is left
                zeros, rest = jax.numpy.zeros(array.shape, "int32"), jax.numpy.asarray(left.reshape(updates.shape))
                placed = lax.scatter_max(zeros, jax.numpy.asarray(at), rest, params["dimension_numbers"], mode=params["mode"])
                found = np.asarray(placed)
                if not found.any():  # the rest falls outside
                    break
                for where in zip(*np.nonzero(found), strict=True):
                    new.setdefault(tuple(int(k) for k in where), []).append(flat[int(found[where]) - 1])
                left[np.isin(left, found)] = 0
            out = array.copy()
            for where, values in new.items():
                out[where] = combine(int(out[where]), values)
            return out

        return self._indexed(indices, max(array.shape), move)


def _scalars(ins: list[Ids]) -> Ids:
    return np.array([int(i) for i in ins], dtype=np.int64)
