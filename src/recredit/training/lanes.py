"""Learners vectorised together: seeds of one trainer, or of several that differ only in numbers. Each learner is a lane."""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from recredit.training.carried import is_key
from recredit.training.learner import Learner
from recredit.training.measured import Measured
from recredit.training.programs import program_of
from recredit.training.step import Trainer
from recredit.training.traced import seed_axes
from recredit.training.untrained import loss_at_start

Differing = tuple[int, ...]
"""Which of a trainer's leaves have a first axis for the lanes, by their place among all; of one trainer's seeds, none."""
Weights = dict[str, Any] | None
"""W, W_out and b_out that lanes begin with, with an axis for them; None: those that are drawn."""


def pack_key(trainer: Trainer) -> Hashable:
    """What trainers have in common if their learners can be trained together: all but the numbers of rules and optimiser.

    Learning rates and the rates of a rule are such numbers. Whatever is not an array in the compiled program is not: sizes,
    alpha, the task. The key is valid within one process.
    """
    kinds = tuple(map(jax.typeof, jax.tree.leaves(eqx.filter(trainer, eqx.is_array))))
    leaves, structure = jax.tree.flatten(trainer.task)
    task = tuple((type(leaf), as_bytes(leaf) if eqx.is_array(leaf) else leaf) for leaf in leaves)
    return jax.tree.structure(trainer.with_task(None)), structure, task, kinds


def as_bytes(leaf: Any) -> bytes:
    """An array's numbers, those of a key too."""
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf).tobytes()


def stacked(trainers: Sequence[Trainer], counts: Sequence[int]) -> tuple[Trainer, Differing]:
    """One trainer for `counts` lanes of each of several: arrays that differ have a first axis for the lanes."""
    structure = jax.tree.structure(trainers[0])
    lanes = np.repeat(np.arange(len(trainers)), counts)
    together: list[Any] = []
    differing: list[int] = []
    for place, leaves in enumerate(zip(*map(jax.tree.leaves, trainers), strict=True)):
        first = leaves[0]
        same = all(leaf is first or as_bytes(leaf) == as_bytes(first) for leaf in leaves[1:])
        together.append(first if same else jnp.stack(leaves)[lanes])
        if not same:
            differing.append(place)
    return jax.tree.unflatten(structure, together), tuple(differing)


def over_lanes(
    call: Callable[..., Any], trainer: Trainer, differing: Differing, in_axes: tuple[Any, ...], out_axes: Any
) -> Callable[..., Any]:
    """`call(trainer, ...)` vectorised over lanes."""
    leaves, structure = jax.tree.flatten(trainer)

    def one(own: list[Any], *given: Any) -> Any:
        mine = dict(enumerate(leaves)) | dict(zip(differing, own, strict=True))
        return call(jax.tree.unflatten(structure, list(mine.values())), *given)

    return functools.partial(jax.vmap(one, (0, *in_axes), out_axes), [leaves[place] for place in differing])


def unequipped(
    trainer: Trainer, seeds: Int[Array, " lanes"], steps: int, weights: Weights = None
) -> tuple[Learner, Float[Array, " lanes"]]:
    """`Trainer.unequipped` of each lane, with these weights if there are some, and the loss of its network over `steps` steps
    before it learns."""
    learners = jax.vmap(trainer.unequipped)(seeds)
    if weights is not None:
        learners = eqx.tree_at(lambda each: each.net, learners, learners.net.with_weights(**weights))
    return learners, jax.vmap(lambda learner: loss_at_start(trainer, learner, steps))(learners)


def equipped(trainer: Trainer, learners: Learner, seeds: Int[Array, " lanes"], differing: Differing = ()) -> Learner:
    """`Trainer.equipped` of each lane."""

    def equip(out_axes: Any) -> Any:
        call = over_lanes(lambda trainer, *now: trainer.equipped(*now), trainer, differing, (0, 0), out_axes)
        return call(learners, seeds)

    return equip(seed_axes(jax.eval_shape(lambda: equip(0))))


def start(
    trainer: Trainer, seeds: Int[Array, " lanes"], steps: int, differing: Differing = (), weights: Weights = None
) -> tuple[Learner, Float[Array, " lanes"]]:
    """Each lane's learner before the first step, with these weights if there are some, and the loss of its network over `steps`
    steps before it learns."""
    learners, losses = unequipped(trainer.without_rules(), seeds, steps, weights)
    return equipped(trainer, learners, seeds, differing), losses


def fast_start(
    trainer: Trainer, seeds: Int[Array, " lanes"], steps: int, differing: Differing = (), weights: Weights = None
) -> tuple[Learner, Float[Array, " lanes"]]:
    """What `start` gives, by two compiled programs, the first of which all rules share."""
    make, given = program_of(unequipped, trainer.without_rules(), seeds, steps, weights)
    learners, losses = make(*given)
    equip, given = program_of(equipped, trainer, learners, seeds, differing)
    return equip(*given), losses


def segment(
    trainer: Trainer, learners: Learner, first: Int[Array, ""], length: int, differing: Differing = ()
) -> tuple[Learner, Measured]:
    """`Trainer.segment` of each lane."""
    axes = seed_axes(learners)
    go = over_lanes(
        lambda trainer, *now: trainer.segment(*now), trainer, differing, in_axes=(axes, None, None), out_axes=(axes, 0)
    )
    return go(learners, first, length)


def fast_segment(
    trainer: Trainer, learners: Learner, first: int, length: int, differing: Differing = ()
) -> tuple[Any, tuple[Any, ...]]:
    """The compiled `segment`, and its arguments; it uses up the learners."""
    return program_of(segment, trainer, learners, jnp.array(first), length, differing, jit=_fast_jit())


@functools.cache
def _fast_jit() -> Callable[..., Any]:
    # LLVM's higher levels unroll every loop over some 37 elements or fewer whole and then do not vectorise it: at n = 32
    # the elementwise work takes five times as long. Vectors of 512 bits, where the processor has them, save a tenth or more.
    processor = {"xla_backend_optimization_level": 1, "xla_cpu_prefer_vector_width": 512}
    options = processor if jax.default_backend() == "cpu" else {}
    return functools.partial(jax.jit, donate_argnums=1, compiler_options=options)
