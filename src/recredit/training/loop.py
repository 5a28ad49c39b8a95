"""Online training: scan over time, vmap over seeds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat

import jax
import numpy as np
import optax
from jaxtyping import Array

from recredit.contract import example_key
from recredit.errors import brief, check_count, check_seeds
from recredit.network import Network
from recredit.optimizers import resolve_optimizer
from recredit.registry import resolve_network, resolve_observers, resolve_rule, resolve_task
from recredit.rule import AbstractRule
from recredit.tasks.task import AbstractTask, task_length
from recredit.training.bar import Bar
from recredit.training.comparison import check_apart
from recredit.training.pack import Member, labelled, outermost, train_together
from recredit.training.programs import check_untraced
from recredit.training.recording import Recording, check_record, intervals, missing
from recredit.training.sizes import check_memory, chunk_lengths, fitting_seeds, passing_size, segment_steps
from recredit.training.step import Trainer

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[int], None]
Named = str | Mapping[str, Any]  # a name, or a table {name, settings...}


@outermost()
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
    across_trials: bool = False,
    seeds_at_once: SupportsFloat | None = None,
    observers: Mapping[str, AbstractRule | Named] | Sequence[AbstractRule | Named] | None = None,
    record: Mapping[str, Any] | None = None,
    pairs: Literal["driver", "all"] = "driver",
    draws: SupportsFloat = 0,
    progress: Progress | Literal[False] | None = None,
) -> xr.Dataset:
    """Train `rule` on `task` online, one step per sample, on this process's device.

    On a CPU, small networks train faster, some rules by a quarter, if XLA_FLAGS holds `recredit.runs.environment.FAST` before
    JAX starts, as in the command line's workers.

    `rule`, `task`: a name, "dni"; a table of a name and settings, {"name": "dni", "jacobian": "learned"}; or the object itself.
    The name may be that of a class of your own, "path/to/file.py:MyRule". `network`: its settings in a table, {"n": 64}, or a
    `Network`. `optimizer`: a name or table likewise, {"name": "adam", "learning_rate": 1e-3}; a number, the learning rate of
    SGD; or any optax optimiser (None: SGD at 1e-4). A table may hold, as `recredit optimizers` lists them, a "clip" and a
    "schedule", and learning rates of the parts "W_rec", "W_in", "b_rec", "W_out" and "b_out": a part with rate 0 stays fixed.
    An optax optimiser sees the leaves {"W": [W_rec | W_in | b_rec], "W_out": ..., "b_out": ...}, of which
    optax.partition({"still": optax.set_to_zero(), "moving": optax.adam(1e-3)}, {"W": "moving", "W_out": "still", "b_out":
    "still"}) keeps two fixed. `observers`: further rules, in a list or by names of your own in a table, that see the same steps
    without touching weights or randomness.

    Under every optimiser, a weight that has never had a gradient stays fixed, whatever its decay or noise; each seed has its
    own noise; and a rule with one gradient per window moves W once per window, and W's decay and schedule count windows. Except
    in that last case, all of W, W_out and b_out are optimised together. Runs that differ only in numbers, such as learning
    rates, share one compiled program.

    `seeds`: a count (seeds 0, 1, ...) or the seeds themselves. A seed's numbers do not depend on the other seeds, except for
    rounding: the compiler may sum in another order if it vectorises another number of seeds. `steps`: network steps (None:
    1,000,000, or all of a recording). `bin`: network steps over which the loss is averaged; the last bin may be shorter (None:
    10,000, or a hundredth of a shorter run). `streams`: how many data streams share a seed's weights, each with its own rates,
    learning states and data; at each step their gradients are averaged and one update is made, and results are for their mean
    loss and mean gradients. `across_trials`: let units and traces run on across the borders of trials, as if there were none.
    `seeds_at_once`: how many seeds are vectorised together; the others follow (None: as many as fit the cache). `record`: what
    to keep along the way, each quantity after every so many steps or at the end of every "bin": {"r": 100, "W": "bin"}.
    `recredit.training.recording.RECORDED` lists them: inputs, labels, firing rates, states, outputs, gradients and weights.
    `pairs`: with "all", every pair of gradients is compared, each part of W separately, and this many `draws` of each rule with
    randomness watch too, which give its bias and variance (docs/alignment.md). `progress` is called with the number of steps
    done, the mean over the seeds (None: a notebook or a terminal shows the progress of a training that takes longer than a
    second; False: nothing does).

    Returns `loss` (seed, step), the mean of each bin labelled by its last step; the final `W` (seed, unit, source), `W_out`
    (seed, output, unit) and `b_out` (seed, output), with coordinates that name each row and column; `loss_at_start` (seed), of
    the untrained network over the first `AT_START` steps; `diverged_at` (seed), the first step whose loss was not a finite
    number or -1. A seed that has diverged has nan in place of later bins and weights, and seeds trained together are not
    computed further once all of them have diverged. With observers there are also, each (seed, observer, step), `cosine` of the
    observer's gradient with the driver's, averaged over the bin; `norm_ratio`, the mean norm of the observer's gradient over
    that of the driver's; `compared`, how often the two were compared in the bin; `not_finite`, how often they were not, because
    one of them was not finite; and `not_finite_at` (seed, observer), the first such step or -1. With `pairs` "all" there is the
    same, and more, for every two rules (seed, gradient, beside, part, step), with the mean `norm` of each in place of the
    ratio. Two gradients are compared at the step that both belong to or, if one of the rules gives sums of several steps, both
    summed over the same steps (`training.comparison`); they count, if neither is 0, in the bin in which the later of the two
    was given. What is recorded has names such as `recorded_r` (seed, step_100, unit), or (seed, step, ...) at every bin:
    `step_100` holds the steps done, 100, 200 and so on to the last; after a seed has diverged the values are missing, nan or
    -1. Every variable describes itself. Memory does not grow with `steps`, except for the bins and what is recorded; `recredit
    train --record` keeps that on disk.

    Raises ValueError for an unknown name or setting, a number out of its range, a run that needs more memory than there is, a
    task that does not fit the stream, or a task whose data are not finite; TypeError for what is not a rule, task, ... at all.
    """
    check_untraced((rule, task, network, optimizer, seeds, steps, bin, streams, seeds_at_once, observers, record, draws))
    chosen = check_seeds(seeds)
    if progress not in (None, False) and not callable(progress):
        raise TypeError(f"progress must be a function of the number of steps done, not {brief(progress)}.")
    watching = resolve_observers(observers)
    rules = resolve_rule(rule), *watching.values()
    labels = [rule if isinstance(rule, str) else type(rules[0]).__name__, *watching]
    task = resolve_task(task)
    steps = default_steps(task, streams) if steps is None else check_count("steps", steps)
    bin = default_bin(steps) if bin is None else check_count("the bin", bin)
    network = resolve_network(network)
    every = intervals(check_record({} if record is None else record), bin)
    optimizer = resolve_optimizer(optimizer, network.n)
    trainer = Trainer(rules, task, network, optimizer, streams, steps, across_trials, every, pairs, draws)
    if trainer.every_pair:
        check_apart(labels)
    recording = Recording(every, steps, bin, trainer.streams, jax.eval_shape(trainer.network, example_key()), task.epochs)
    size = trainer.size
    at_once = fitting_seeds(size) if seeds_at_once is None else check_count("the number of seeds at once", seeds_at_once)
    most = segment_steps(size)
    lengths = chunk_lengths(steps, bin, most)
    check_memory(
        min(at_once, len(chosen)) * (size + passing_size(trainer, max(lengths))),
        len(chosen) * (-(-steps // bin) * (1 + trainer.comparing.size) * 8 + recording.size()),
    )
    players = {length: trainer.playing(length) for length in lengths}

    parts: list[xr.Dataset] = []
    rows: dict[str, np.ndarray] = {}
    before = 0

    def keep(name: str, first: int, values: np.ndarray) -> None:
        if name not in rows:
            rows[name] = np.full((len(chosen), *recording.shape(name)), missing(values.dtype), values.dtype)
        rows[name][before : before + len(values), first : first + values.shape[1]] = values

    with Bar(labels[0], steps) if progress is None else contextlib.nullcontext(progress or None) as told:
        for group in np.array_split(chosen, -(-len(chosen) // at_once)):

            def tell(done: int, _: object, before: int = before, size: int = len(group)) -> None:
                if told:
                    told((before * steps + done * size) // len(chosen))

            parts.append(train_together(players, most, [Member(trainer, group.tolist())], steps, bin, None, tell, keep))
            before += len(group)
    import xarray as xr

    return recording.dataset(labelled(xr.concat(parts, "seed"), labels, trainer), rows)


def default_steps(task: AbstractTask, streams: SupportsFloat) -> int:
    """Network steps of a run for which nobody asked for a number: all that the task's data have, or the paper's 1,000,000."""
    length = task_length(task, check_count("the number of streams", streams))
    return 1_000_000 if length is None else max(1, length)  # a task that has none is refused for one


def default_bin(steps: int) -> int:
    """Network steps over which the loss of a run of `steps` is averaged: 10,000, as in the paper, or a hundredth."""
    return min(10_000, max(1, steps // 100))
