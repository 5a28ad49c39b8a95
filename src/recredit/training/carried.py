"""What is carried from one compiled call to the next: everything that a checkpoint must hold, as arrays by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from recredit.contract import kind_of, names_of
from recredit.errors import nearest
from recredit.training.comparison import Comparing, Comparison, Expected
from recredit.training.learner import Learner, weights
from recredit.training.measured import Measured
from recredit.training.step import Trainer
from recredit.training.traced import is_clock

if TYPE_CHECKING:
    import xarray as xr

Arrays = dict[str, np.ndarray]


class UnfitError(ValueError):
    """Arrays that are not what these learners carry from one compiled call to the next."""


@dataclass
class Carried:
    """Where the lanes of a pack stand between two compiled calls."""

    step: int
    """Network steps done; also all of them as soon as every lane has diverged."""
    learners: Learner
    """With an axis for the lanes."""
    loss_at_start: np.ndarray
    """Of each lane's untrained network."""
    diverged_at: np.ndarray
    """The first step of each lane whose loss was not finite; -1: none."""
    not_finite_at: np.ndarray
    """(lane, pair, ...): the first step at which two gradients could not be compared; -1: none."""
    sums: Arrays
    """Sums over each bin, the last axis: "loss", "weight" and "correct" (lane, bin), and what is compared."""

    @classmethod
    def at_start(
        cls, learners: Learner, loss_at_start: Any, comparing: Comparing, bins: int, measures: Sequence[str]
    ) -> Carried:
        """Before the first step. `measures`: what is measured beside the loss (`Trainer.measures`)."""
        lanes = len(loss_at_start)
        sums = {name: np.zeros((lanes, bins)) for name in ("loss", *measures)}
        compared = sums_of(*comparing.nothing())
        never = np.broadcast_to(compared.pop("not_finite_at"), (lanes, *compared["not_finite"].shape)).copy()
        sums |= {name: np.zeros((lanes, *values.shape, bins)) for name, values in compared.items()}
        return cls(0, learners, np.array(loss_at_start), np.full(lanes, -1), never, sums)

    def add(self, learners: Learner, measured: Measured, length: int, bin: int) -> None:
        """One more compiled call; nothing is added to lanes that had diverged before it."""
        now, going = self.step // bin, self.diverged_at < 0
        told = {name: score for name, score in measured.scores._asdict().items() if score is not None}
        told |= sums_of(measured.comparison, measured.expected)
        first = (going & (self.not_finite_at.T < 0)).T
        self.not_finite_at = np.where(first, told.pop("not_finite_at"), self.not_finite_at)
        for name, values in told.items():
            self.sums[name][going, ..., now] += np.asarray(values, float)[going]
        self.diverged_at = np.where(going, measured.diverged_at, self.diverged_at)
        self.learners, self.step = learners, self.step + length

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], start: Any, like: Trainer, steps: int, bin: int, most: int) -> Carried:
        """What `arrays()` gave. `start`: the shapes of the learners and of their losses at the start; `like`: their trainer.

        Raises UnfitError, one sentence, unless names, shapes and types are those of such learners, and the step is one at which
        a compiled call of at most `most` steps ends.
        """
        learners, loss_at_start = start
        step, (lanes,) = arrays.get("step"), loss_at_start.shape
        if (
            step is None
            or (step.shape, step.dtype) != ((), np.int64)
            or not 0 < step <= steps
            or (step != steps and step % bin % most)
        ):
            raise UnfitError("the checkpoint has no step at which training could go on.")
        at_start = np.zeros(lanes, loss_at_start.dtype)
        new = cls.at_start(learners, at_start, like.comparing, -(-steps // bin), like.measures)
        new.step, begun = int(step), -(-int(step) // bin)
        named = dict(zip(names_of(learners, "learner"), jax.tree.leaves(learners), strict=True))
        own = new._own_arrays(begun)
        expected = {"step": step} | own | jax.tree.map(_stored, jax.eval_shape(lambda tree: jax.tree.map(_data, tree), named))
        for name in (*expected, *arrays):
            if name not in arrays:
                raise UnfitError(f"the checkpoint has no {name}.")
            if name not in expected:
                raise UnfitError(f"the checkpoint has a {name}, which these learners do not have.{nearest(name, expected)}")
            if kind_of(arrays[name]) != kind_of(expected[name]):
                raise UnfitError(f"the checkpoint's {name} is {kind_of(arrays[name])} but must be {kind_of(expected[name])}.")
        leaves = [_restored(arrays[name], like) for name, like in named.items()]
        new.learners = jax.tree.unflatten(jax.tree.structure(learners), leaves)
        for name, values in own.items():
            values[...] = arrays[name]
        return new

    def arrays(self, bin: int) -> Arrays:
        """Everything by name, as copies that can be written to a file; of the bins, only those that have begun."""
        names = names_of(self.learners, "learner")
        leaves = (np.asarray(_data(leaf)) for leaf in jax.tree.leaves(self.learners))
        learners = {name: leaf.view(_stored(leaf).dtype) for name, leaf in zip(names, leaves, strict=True)}
        everything = {"step": np.array(self.step, np.int64)} | learners | self._own_arrays(-(-self.step // bin))
        return {name: array.copy() for name, array in everything.items()}

    def _own_arrays(self, begun: int) -> Arrays:
        """Views of all but the learners; of the bins those that have `begun`."""
        lanes = {name: getattr(self, name) for name in ("loss_at_start", "diverged_at", "not_finite_at")}
        return lanes | {f"sums.{name}": values[..., :begun] for name, values in self.sums.items()}

    def dataset(self, seeds: np.ndarray, steps: int, bin: int, comparing: Comparing) -> xr.Dataset:
        """What was measured in each lane, and its final weights; nothing (nan, or a count of 0) after it has diverged."""
        import xarray as xr

        first = np.arange(0, steps, bin)
        ends = np.minimum(first + bin, steps)
        lost = self.diverged_at >= 0
        over = lost[:, None] & (first > self.diverged_at[:, None])
        sums = self.sums
        scored = sums.get("weight", np.broadcast_to(ends - first, sums["loss"].shape))
        scores = {"loss": ratio(np.where(over, np.nan, sums["loss"]), scored)}
        if "weight" in sums:
            scores["scored"] = scored
        if "correct" in sums:
            scores["accuracy"] = ratio(np.where(over, np.nan, sums["correct"]), scored)
        rows, columns = ("unit", "unit") if self.learners.net.units.is_simple else ("voltage", "reading")
        final = {"W": ("seed", rows, "source"), "W_out": ("seed", "output", columns), "b_out": ("seed", "output")}
        arrays = {name: np.array(array) for name, array in weights(self.learners.net).items()}
        for array in arrays.values():
            array[lost] = np.nan
        return xr.Dataset(
            {name: (("seed", "step"), array) for name, array in scores.items()}
            | {
                "loss_at_start": ("seed", self.loss_at_start),
                "diverged_at": ("seed", self.diverged_at),
            }
            | (every_pair(sums, self.not_finite_at, comparing) if comparing.every else each_observer(sums, self.not_finite_at))
            | {name: (final[name], array) for name, array in arrays.items()},
            coords={"seed": seeds, "step": ends},
        )


def shared_by_lanes(trainer: Trainer) -> set[str]:
    """The names of the arrays that have no axis for the lanes: the step, and the count of a Clock."""
    paths, _ = jax.tree_util.tree_flatten_with_path(jax.eval_shape(trainer.start, 0), is_leaf=is_clock)
    clocks = [(f"learner{jax.tree_util.keystr(path)}", node) for path, node in paths if is_clock(node)]
    return {"step"} | {name for prefix, clock in clocks for name in names_of(clock, prefix)}


def one_lane(arrays: Arrays, lane: int, shared: set[str]) -> Arrays:
    """One lane's part of what `Carried.arrays` gave; `shared`: as `shared_by_lanes` says."""
    return {name: array if name in shared else array[lane : lane + 1] for name, array in arrays.items()}


def together(lanes: Sequence[Arrays], shared: set[str]) -> Arrays:
    """The lanes, from `one_lane` each, as `Carried.arrays` gives them."""
    going = next((lane for lane in lanes if lane["diverged_at"] < 0), lanes[0])  # the clocks of others may have stopped
    names = set.intersection(*map(set, lanes))
    return {name: going[name] if name in shared else np.concatenate([lane[name] for lane in lanes]) for name in names}


def sums_of(comparison: Comparison, expected: Expected | None) -> dict[str, Any]:
    """What is compared, by name."""
    return {field.name: getattr(each, field.name) for each in (comparison, expected) if each for field in fields(each)}


Variables = dict[str, tuple[tuple[str, ...], np.ndarray]]


def each_observer(sums: Arrays, not_finite_at: np.ndarray) -> Variables:
    """What a dataset holds on each observer's gradient compared with the driver's."""
    found = {
        "cosine": ratio(sums["cosine"], sums["compared"]),
        "norm_ratio": ratio(sums["second_norm"], sums["first_norm"]),
        "compared": sums["compared"].astype(int),
        "not_finite": sums["not_finite"].astype(int),
    }
    over_time: Variables = {name: (("seed", "observer", "step"), array) for name, array in found.items()}
    return over_time | {"not_finite_at": (("seed", "observer"), not_finite_at)}


def every_pair(sums: Arrays, not_finite_at: np.ndarray, comparing: Comparing) -> Variables:
    """What a dataset holds on every pair, in both orders, and on every rule."""
    first, second = np.array(comparing.pairs).T
    rules = len(comparing.rules)

    def whole(of_first: np.ndarray, of_second: np.ndarray | None = None) -> np.ndarray:
        found = np.empty((len(of_first), rules, rules, *of_first.shape[2:]), of_first.dtype)
        found[:, second, first] = of_first if of_second is None else of_second
        found[:, first, second] = of_first
        return found

    counts = {name: whole(sums[name]).astype(int) for name in ("compared", "not_finite", "differences")}
    pairs = {
        "cosine": whole(ratio(sums["cosine"], sums["compared"])),
        "norm": whole(ratio(sums["first_norm"], sums["compared"]), ratio(sums["second_norm"], sums["compared"])),
        "difference": whole(ratio(sums["difference"], sums["differences"])),
        "square": whole(*(ratio(sums[name], sums["differences"]) for name in ("first_square", "second_square"))),
        **counts,
    }
    own = {"variance": ratio(sums["variance"], sums["gradients"]), "gradients": sums["gradients"].astype(int)}
    told: Variables = {name: (("seed", "gradient", "beside", "part", "step"), array) for name, array in pairs.items()}
    told |= {name: (("seed", "gradient", "part", "step"), array) for name, array in own.items()}
    return told | {"not_finite_at": (("seed", "gradient", "beside", "part"), whole(not_finite_at))}


def ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """over / under; nan where `under` is 0."""
    return np.divide(over, under, out=np.full(under.shape, np.nan), where=under > 0)


def is_key(leaf: Any) -> bool:
    """Whether an array is one of JAX's typed keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> Any:
    """A key's raw data; any other array as it is."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def _stored(leaf: Any) -> Any:
    """The shape and type of an array in a file: of a type that only JAX knows, bfloat16 say, the bits."""
    return jax.ShapeDtypeStruct(leaf.shape, f"u{leaf.dtype.itemsize}" if leaf.dtype.kind == "V" else leaf.dtype)


def _restored(stored: np.ndarray, like: Any) -> Any:
    """The array of JAX that was stored, a copy; `like`: its shape and type."""
    if not is_key(like):
        return jnp.array(stored.view(like.dtype))
    kinds: list[Any] = []
    jax.eval_shape(lambda key: kinds.append(jax.random.key_impl(key)), like)
    return jax.random.wrap_key_data(jnp.array(stored), impl=kinds[0])
