"""Any optax optimiser at work on a network's weights, one online step at a time."""

import contextlib
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.extend.core import Var
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from recredit.errors import check_instance
from recredit.training.programs import TracedFunction, program_of

Weights = dict[str, Any]
PROBED = 3  # steps in which an optimiser shows what it does to weights without a gradient


class Memory(eqx.Module):
    """What an optimiser carries from step to step."""

    state: Any
    """optax's own state."""
    learned: dict[str, Bool[Array, "..."]] | None
    """Which weights have had a gradient other than 0: only they are moved. None if the optimiser leaves others alone anyway."""


class Part(eqx.Module):
    """An optimiser of the weights of some `names`; in place of the others it sees `optax.MaskedNode`s."""

    names: tuple[str, ...] = eqx.field(static=True)
    period: int = eqx.field(static=True)
    """It moves the weights at every period-th step and does nothing at the others."""
    begin: TracedFunction
    """optax's `init`: weights to state."""
    move: TracedFunction
    """optax's `update`: gradient, state, weights and loss to updates and the next state."""
    moves_all: bool = eqx.field(static=True)
    """Whether it moves weights that have never had a gradient: by weight decay or noise, say."""

    def __init__(self, given: optax.GradientTransformationExtraArgs, names: tuple[str, ...], period: int, weights: Weights):
        self.names, self.period = names, period
        own = self._own(weights)
        self.begin, self.move, state = _traced(given, own)
        probe, arrays = program_of(_probe, *_of_few(given, self.begin, self.move, own))
        moves, finite = probe(*arrays)
        if not finite:
            raise ValueError(
                "the optimiser's updates are not finite where weights, gradient and loss are 1: check its numbers."
            )
        self.moves_all = (
            bool(moves) or _may_move(self.begin, self.move, len(names)) or any(map(_is_key, jax.tree.leaves(state)))
        )

    def _own(self, weights: Weights) -> Weights:
        return {name: array if name in self.names else optax.MaskedNode() for name, array in weights.items()}

    def init(self, weights: Weights, key: PRNGKeyArray) -> Memory:
        """What is carried before the first step; `key` decides the optimiser's noise."""
        own = self._own(weights)
        learned = {name: jnp.zeros(own[name].shape, bool) for name in self.names} if self.moves_all else None
        return Memory(_with_own_keys(self.begin(own), key), learned)

    def step(
        self, t: Any, gradient: Weights, memory: Memory, weights: Weights, loss: Float[Array, ""]
    ) -> tuple[Weights, Memory]:
        """The weights after step t, and what is carried on."""

        def go() -> tuple[Weights, Memory]:
            updates, state = self.move(self._own(gradient), memory.state, self._own(weights), loss)
            updates, learned = {name: updates[name] for name in self.names}, memory.learned
            if learned is not None:
                learned = {name: learned[name] | (gradient[name] != 0) for name in self.names}
                updates = {name: jnp.where(learned[name], update, 0) for name, update in updates.items()}
            after: Any = optax.apply_updates(mine, updates)
            return after, Memory(state, learned)

        mine = {name: weights[name] for name in self.names}
        return go() if self.period == 1 else jax.lax.cond((t + 1) % self.period == 0, go, lambda: (mine, memory))


class Optimizer(eqx.Module):
    """Any optax optimiser, of all weights together if a gradient for W comes at every step.

    If it comes at every `period`-th step only, W and the read-out have a state each, and W's is stepped when there is a
    gradient: decay, noise and schedules of W count periods.
    """

    parts: tuple[Part, ...]

    def __init__(self, given: Any, weights: Weights, period: int):
        check_instance("the optimizer", given, optax.GradientTransformation)
        given = optax.with_extra_args_support(given)
        readout = tuple(name for name in weights if name != "W")
        groups = {("W",): period, readout: 1} if period > 1 else {tuple(weights): 1}
        self.parts = tuple(Part(given, names, every, weights) for names, every in groups.items())

    def init(self, weights: Weights, key: PRNGKeyArray) -> tuple[Memory, ...]:
        """What is carried before the first step; `key` decides the optimiser's noise."""
        return tuple(part.init(weights, jax.random.fold_in(key, i)) for i, part in enumerate(self.parts))

    def step(
        self, t: Any, gradient: Weights, memories: tuple[Memory, ...], weights: Weights, loss: Float[Array, ""]
    ) -> tuple[Weights, tuple[Memory, ...]]:
        """The weights after step t, and what is carried on."""
        done = [part.step(t, gradient, memory, weights, loss) for part, memory in zip(self.parts, memories, strict=True)]
        after = {name: array for moved, _ in done for name, array in moved.items()}
        return after, tuple(memory for _, memory in done)


def _traced(given: optax.GradientTransformationExtraArgs, weights: Weights) -> tuple[TracedFunction, TracedFunction, Any]:
    """An optimiser's two functions traced for such weights, and the shapes of its state.

    Raises ValueError if it cannot be used online, or does not keep its shapes.
    """
    loss = jax.ShapeDtypeStruct((), jax.tree.leaves(weights)[0].dtype)

    def update(gradient: Weights, state: Any, weights: Weights, loss: Float[Array, ""]) -> Any:
        return given.update(gradient, state, weights, value=loss)

    try:
        with usual_settings():
            begin = TracedFunction.of(given.init, weights)
            state = begin.result
            move = TracedFunction.of(update, weights, state, weights, loss)
            updates, after = move.result
    except Exception as error:
        raise ValueError(
            "the optimiser needs more than an online step provides, the weights, their gradient and the loss (`value`): "
            f"{str(error).splitlines()[0].rstrip('.') if str(error) else type(error).__name__}."
        ) from None
    if _form(after) != _form(state):
        raise ValueError("the optimiser's state must keep its shapes and types from step to step.")
    real = all(jnp.issubdtype(update.dtype, jnp.floating) for update in jax.tree.leaves(updates))
    if not real or jax.tree.map(jnp.shape, updates) != jax.tree.map(jnp.shape, weights):
        raise ValueError("the optimiser's updates must be real numbers in the shapes of the weights.")
    return begin, move, state


_FEW: dict[Any, Any] = {}  # what an optimiser is traced to for a few weights, by what it is for all; without its numbers


def _of_few(
    given: optax.GradientTransformationExtraArgs, begin: TracedFunction, move: TracedFunction, weights: Weights
) -> tuple[TracedFunction, TracedFunction, Weights]:
    """An optimiser's two functions for a few of its weights, which show what it does as well as all."""
    few = jax.tree.map(lambda a: jax.ShapeDtypeStruct(tuple(min(k, 4) for k in a.shape), a.dtype), weights)
    numbers, structure = jax.tree.flatten((begin, move))
    if structure in _FEW:  # optimisers that differ in numbers alone are traced once
        return *jax.tree.unflatten(_FEW[structure], numbers), few
    try:
        fewer = _traced(given, few)[:2]
    except ValueError:  # it holds arrays of the weights' own shapes
        return begin, move, weights
    theirs, structure_of_few = jax.tree.flatten(fewer)
    if len(theirs) == len(numbers) and all(a.shape == b.shape and (a == b).all() for a, b in zip(theirs, numbers, strict=True)):
        _FEW[structure] = structure_of_few  # none of the numbers is a size
    return *fewer, few


@contextlib.contextmanager
def usual_settings() -> Iterator[None]:
    """JAX as it comes, whatever it is set to: optax mixes types of number, and draws from the generator that JAX is set to."""
    types, ranks = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")
    with types, ranks, jax.default_prng_impl("threefry2x32"), jax.threefry_partitionable(True):
        yield


def _probe(begin: TracedFunction, move: TracedFunction, weights: Weights) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
    """Whether weights move that have no gradient, and whether updates are finite where weights, gradient and loss are 1."""
    ones, unravel = ravel_pytree(jax.tree.map(lambda a: jnp.ones(a.shape, a.dtype), weights))

    @jax.vmap
    def updates(gradient: Float[Array, " k"]) -> Float[Array, "steps k"]:
        def go(state: Any, _: None) -> tuple[Any, Float[Array, " k"]]:
            update, state = move(unravel(gradient), state, unravel(ones), ones[0])
            return state, ravel_pytree(update)[0]

        return jax.lax.scan(go, begin(unravel(ones)), None, length=PROBED)[1]

    gradients = jnp.stack([0 * ones, ones.at[::3].set(0), ones])
    told = updates(gradients)
    return ((gradients[:, None] == 0) & (told != 0)).any(), jnp.isfinite(told[2]).all()


def _may_move(begin: TracedFunction, move: TracedFunction, count: int) -> bool:
    """Whether an optimiser of `count` arrays makes any use of the weights, or has a branch, which may sleep for long."""
    programs = (begin.program.jaxpr, slice(-count, None)), (move.program.jaxpr, slice(-count - 1, -1))
    for jaxpr, weights in programs:
        read = {v for v in (*(v for eqn in jaxpr.eqns for v in eqn.invars), *jaxpr.outvars) if isinstance(v, Var)}
        if read & set(jaxpr.invars[weights]) or any(eqn.primitive.name == "cond" for eqn in jaxpr.eqns):
            return True
    return False


def _is_key(leaf: Any) -> bool:
    """A key of JAX, or one as it was before they had a type: 2 or 4 unsigned integers."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) or (leaf.dtype == jnp.uint32 and leaf.shape[-1:] in ((2,), (4,)))


def _with_own_keys(state: Any, key: PRNGKeyArray) -> Any:
    """optax's state with each random key in it made one of this run's own: optax itself begins all runs with the same."""
    leaves, structure = jax.tree.flatten(state)
    for i, leaf in enumerate(leaves):
        if _is_key(leaf):
            typed = leaf.dtype != jnp.uint32
            data = jax.random.key_data(leaf) if typed else leaf
            data ^= jax.random.bits(jax.random.fold_in(key, i), data.shape, data.dtype)
            leaves[i] = jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf)) if typed else data
    return jax.tree.unflatten(structure, leaves)


def _form(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
