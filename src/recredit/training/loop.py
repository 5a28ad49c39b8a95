"""Online training: scan over time, vmap over seeds."""

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, SupportsFloat

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array, Float, Int

from recredit.contract import check_finite, example_key, names_of
from recredit.errors import MOST_SEEDS, brief, check_count, check_seeds
from recredit.network import Network
from recredit.registry import resolve_network, resolve_observers, resolve_optimizer, resolve_rule, resolve_task
from recredit.rule import AbstractRule
from recredit.tasks.task import AbstractTask, task_length
from recredit.training.described import described
from recredit.training.measured import Measured
from recredit.training.programs import check_untraced, program_of
from recredit.training.step import Learner, Trainer, weights
from recredit.training.traced import seed_axes
from recredit.training.untrained import AT_START, loss_at_start

SEGMENT = 10_000  # steps per compiled call: what is held of the stream at once, and how often progress is told
CACHE = 4_000_000  # bytes of learners vectorised together on a processor: beyond it they drive each other from the cache
Progress = Callable[[int], None]
Named = str | Mapping[str, Any]  # a name, or a table {name, settings...}


def _start(trainer: Trainer, seeds: Int[Array, " seeds"], steps: int) -> tuple[Learner, Float[Array, " seeds"]]:
    axes = seed_axes(jax.eval_shape(trainer.start, seeds[0]))
    learners = jax.vmap(trainer.start, out_axes=axes)(seeds)
    return learners, jax.vmap(loss_at_start, in_axes=(None, axes, None))(trainer, learners, steps)


def fast_segment(trainer: Trainer, learners: Learner, first: int, length: int) -> tuple[Any, tuple[Any, ...]]:
    """The compiled `Trainer.segment` of several seeds at once, and its arguments; it uses up the learners."""
    return program_of(_segment, trainer, learners, jnp.array(first), length, jit=_fast_jit())


@functools.cache
def _fast_jit() -> Callable[..., Any]:
    # LLVM's higher levels unroll every loop over some 37 elements or fewer whole and then do not vectorise it: at n = 32
    # the elementwise work takes five times as long. Vectors of 512 bits, where the processor has them, save a tenth or more.
    processor = {"xla_backend_optimization_level": 1, "xla_cpu_prefer_vector_width": 512}
    options = processor if jax.default_backend() == "cpu" else {}
    return functools.partial(jax.jit, donate_argnums=1, compiler_options=options)


def _segment(trainer: Trainer, learners: Learner, first: Int[Array, ""], length: int) -> tuple[Learner, Measured]:
    axes = seed_axes(learners)
    return jax.vmap(trainer.segment, in_axes=(axes, None, None), out_axes=(axes, 0))(learners, first, length)


@contextlib.contextmanager
def _outermost() -> Iterator[None]:
    """Train whatever JAX is set to. Raises TypeError where JAX traces all that is computed."""
    with jax.transfer_guard("allow"), jax.threefry_partitionable(True):  # a seed's numbers are the same in any setting
        check_untraced(jnp.zeros(()))
        yield


@_outermost()
def train(
    rule: AbstractRule | Named,
    task: AbstractTask | Named,
    *,
    network: Network | Mapping[str, Any] | None = None,
    optimizer: optax.GradientTransformation | Named | SupportsFloat | None = None,
    seeds: SupportsFloat | Sequence[SupportsFloat] | np.ndarray | Array | xr.DataArray = 20,
    steps: SupportsFloat | None = None,
    bin: SupportsFloat | None = None,
    streams: SupportsFloat = 1,
    seeds_at_once: SupportsFloat | None = None,
    observers: Mapping[str, AbstractRule | Named] | Sequence[AbstractRule | Named] | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Train `rule` on `task` online, one step a sample, on this process's device.

    On a processor, small networks train faster, some rules by a quarter, with `recredit.runs.local.FAST` in XLA_FLAGS
    before JAX starts, as the command line's workers have it.

    `rule`, `task`: a name, "dni"; a table of a name and settings, {"name": "dni", "jacobian": "learned"}; or the object itself.
    A rule's name may be that of your own, "path/to/file.py:MyRule". `network`: its settings in a table, {"n": 64}, or a
    `Network`. `optimizer`: a name or table likewise, {"name": "adam", "learning_rate": 1e-3}; a number, the learning rate of
    SGD; or any optax optimiser (None: SGD at 1e-4). `observers`: further rules, in a list or by names of your own in a table,
    that see the same steps without touching weights or randomness.

    Under every optimiser, a weight that has never had a gradient stands still, whatever its decay or noise; each seed has noise
    of its own; and a rule with a gradient once a window moves W once a window, W's decay and schedule counting windows. All of
    W, W_out and b_out are optimised together but in that last case. Runs that differ in numbers alone, such as learning rates,
    share one compiled program.

    `seeds`: a count (seeds 0, 1, ...) or the seeds themselves. A seed's numbers do not depend on the seeds beside it, but for
    rounding: the compiler may sum in another order where it vectorises another number of seeds. `steps`: network steps (None:
    1,000,000, or all of a recording). `bin`: network steps over which the loss is averaged, the last bin may be shorter (None:
    10,000, or a hundredth of a shorter run). `streams`: how many data streams share a seed's weights, each with its own rates,
    learning states and data; at each step their gradients are averaged and one update is made, and what is returned is of their
    mean loss and mean gradients. `seeds_at_once`: how many seeds are vectorised together, the others after them (None: as many
    as fit the cache). `progress` is called with the number of steps done, the mean over the seeds.

    Returns `loss` (seed, step), the mean of each bin labelled by its last step; the final `W` (seed, unit, source), `W_out`
    (seed, output, unit) and `b_out` (seed, output), with coordinates that name each row and column; `loss_at_start` (seed), of
    the untrained network over the first `AT_START` steps; `diverged_at` (seed), the first step whose loss was not a finite
    number or -1. With observers also, each (seed, observer, step), `cosine` of the observer's gradient with the driver's,
    averaged over the bin; `norm_ratio`, the mean norm of the observer's gradient over that of the driver's; `compared`, how
    often the two were compared in the bin; `not_finite`, how often they were not since one of them was not finite; and
    `not_finite_at` (seed, observer), the first step of these or -1. Two gradients are compared at the step that both belong to,
    or, where one of the rules gives sums of several steps, both summed over the same steps (`training.measured`); if neither is
    0, in the bin in which the later of the two was given. Every variable says what it is. Memory does not grow with `steps`,
    but for the bins.

    Raises ValueError for an unknown name or setting, a number out of its range, a run that needs more memory than there is, a
    task that does not fit the stream, or a task whose data are not finite; TypeError for what is no rule, task, ... at all.
    """
    check_untraced((rule, task, network, optimizer, seeds, steps, bin, streams, seeds_at_once, observers))
    chosen = check_seeds(seeds)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be a function of the number of steps done, not {brief(progress)}.")
    watching = resolve_observers(observers)
    rules = resolve_rule(rule), *watching.values()
    task = resolve_task(task)
    steps = default_steps(task, streams) if steps is None else check_count("steps", steps)
    bin = default_bin(steps) if bin is None else check_count("the bin", bin)
    trainer = Trainer(rules, task, resolve_network(network), resolve_optimizer(optimizer), streams, steps)
    size = learner_size(trainer)
    at_once = fitting_seeds(size) if seeds_at_once is None else check_count("the number of seeds at once", seeds_at_once)
    lengths = chunk_lengths(steps, bin)
    check_memory(
        min(at_once, len(chosen)) * (size + passing_size(trainer, max(lengths))),
        -(-steps // bin) * len(chosen) * (1 + 5 * len(watching)) * 8,
    )
    players = {length: trainer.playing(length) for length in lengths}

    parts, before = [], 0
    for group in np.array_split(chosen, -(-len(chosen) // at_once)):

        def tell(done: int, before: int = before, size: int = len(group)) -> None:
            if progress:
                progress((before * steps + done * size) // len(chosen))

        parts.append(_train_together(players, group, steps, bin, tell))
        before += len(group)
    data = xr.concat(parts, "seed")
    data = data.assign_coords(observer=list(watching)) if watching else data.drop_dims("observer")
    return described(data, task.head)


def default_steps(task: AbstractTask, streams: SupportsFloat) -> int:
    """Network steps of a run for which nobody asked for a number: all that the task's data have, or the paper's 1,000,000."""
    length = task_length(task, check_count("the number of streams", streams))
    return 1_000_000 if length is None else max(1, length)  # a task that has none is refused for one


def default_bin(steps: int) -> int:
    """Network steps over which the loss of a run of `steps` is averaged: 10,000, as in the paper, or a hundredth."""
    return min(10_000, max(1, steps // 100))


def chunk_lengths(steps: int, bin: int) -> set[int]:
    """How long the chunks are that a run asks its task for: of the start, of whole segments, and of the last of each bin."""
    bins = {min(bin, steps), steps % bin}
    return {
        min(steps, AT_START),
        *(SEGMENT for length in bins if length >= SEGMENT),
        *(length % SEGMENT for length in bins),
    } - {0}


def learner_size(trainer: Trainer) -> int:
    """Bytes of one seed's learner."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(jax.eval_shape(trainer.start, 0)))


def passing_size(trainer: Trainer, length: int) -> int:
    """Bytes of what one seed works out on the way: all streams' gradients of one step, and their data of `length` steps."""
    net = jax.eval_shape(trainer.create, example_key())
    return trainer.streams * (net.W.size * len(trainer.rules) + length * (net.n_in + net.n_out)) * net.W.dtype.itemsize


def fitting_seeds(size: int) -> int:
    """How many seeds to vectorise together, of learners of `size` bytes: on a processor as many as fit its cache, at least one;
    on a GPU all."""
    return max(1, CACHE // size) if jax.default_backend() == "cpu" else MOST_SEEDS


def check_memory(learners: int, bins: int) -> None:
    """Raise ValueError if learners with what they work out, or bins, of so many bytes could never fit this machine's memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    for size, ways in ((learners, "network.n, streams or seeds_at_once"), (bins, "the number of seeds, or take longer bins")):
        if size > memory:
            raise ValueError(f"this run needs {size / 1e9:,.0f} GB where this machine has {memory / 1e9:,.0f}: lower {ways}.")


def ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """over / under; nan where `under` is 0."""
    return np.divide(over, under, out=np.full(under.shape, np.nan), where=under > 0)


def _train_together(players: dict[int, Trainer], seeds: np.ndarray, steps: int, bin: int, progress: Progress) -> xr.Dataset:
    """Train some seeds, vectorised together; `players`: the trainer for each length of chunk."""
    trainer = players[min(steps, AT_START)]
    start, arrays = program_of(_start, trainer, jnp.asarray(seeds), min(steps, AT_START))
    learners, at_start = start(*arrays)
    for rule, state in zip(trainer.rules, learners.states, strict=True):
        arrays = zip(names_of(state, "state"), jax.tree.leaves(state), strict=True)
        check_finite(rule.name, {name: a for name, a in arrays if jnp.issubdtype(a.dtype, jnp.inexact)})
    diverged_at, not_finite_at = np.full(len(seeds), -1), np.full((len(seeds), len(trainer.rules) - 1), -1)
    sums = ("cosine", "driver_norm", "observer_norm", "compared", "not_finite")
    bins: dict[str, list[np.ndarray]] = {name: [] for name in ("loss", *sums)}
    ends = [min(first + bin, steps) for first in range(0, steps, bin)]
    for begin, end in zip([0, *ends], ends, strict=False):
        total = dict.fromkeys(bins, np.zeros(()))
        for first in range(begin, end, SEGMENT):
            length = min(SEGMENT, end - first)
            segment, arrays = fast_segment(players[length], learners, first, length)
            learners, measured = segment(*arrays)
            if not np.all(measured.finite_data):
                raise ValueError(f"the task gave data that are not finite between steps {first} and {first + length}.")
            if not np.all(measured.has_loss):
                raise ValueError(
                    f"the task gave labels below 0 between steps {first} and {first + length}; a softmax head's are at least 0."
                )
            if np.any(measured.lost_gradient):
                rule = trainer.rules[0]
                raise ValueError(
                    f"{rule.name} told a gradient between steps {first} and {first + length} at a step for which its period, "
                    f"{rule.period}, has none."
                )
            diverged_at = np.where(diverged_at < 0, measured.diverged_at, diverged_at)
            not_finite_at = np.where(not_finite_at < 0, measured.comparison.not_finite_at, not_finite_at)
            total["loss"] = total["loss"] + np.asarray(measured.loss, float)
            for name in sums:
                total[name] = total[name] + np.asarray(getattr(measured.comparison, name), float)
            progress(first + length)
        for name, parts in bins.items():
            parts.append(total[name])

    final = {"W": ("seed", "unit", "source"), "W_out": ("seed", "output", "unit"), "b_out": ("seed", "output")}
    by_bin = {name: np.stack(parts, axis=-1) for name, parts in bins.items()}
    alignment = {
        "cosine": ratio(by_bin["cosine"], by_bin["compared"]),
        "norm_ratio": ratio(by_bin["observer_norm"], by_bin["driver_norm"]),
        "compared": by_bin["compared"].astype(int),
        "not_finite": by_bin["not_finite"].astype(int),
    }
    return xr.Dataset(
        {
            "loss": (("seed", "step"), by_bin["loss"] / np.diff([0, *ends])),
            "loss_at_start": ("seed", np.asarray(at_start)),
            "diverged_at": ("seed", diverged_at),
        }
        | {name: (("seed", "observer", "step"), array) for name, array in alignment.items()}
        | {"not_finite_at": (("seed", "observer"), not_finite_at)}
        | {name: (final[name], np.asarray(array)) for name, array in weights(learners.net).items()},
        coords={"seed": seeds, "step": ends},
    )
