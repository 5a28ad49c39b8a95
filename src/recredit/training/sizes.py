"""How much is computed at once: steps per compiled call, learners vectorised together, bytes of memory."""

import math
import os

import jax

from recredit.contract import example_key
from recredit.errors import MOST_SEEDS
from recredit.training.recording import RECORDED, most_rows
from recredit.training.step import Trainer
from recredit.training.untrained import AT_START

SEGMENT = 10_000  # steps per compiled call: what is held of the stream at once, and how often progress is told
CACHE = 4_000_000  # bytes of learners vectorised together on a processor: beyond it they drive each other from the cache

PACK = 600_000  # bytes of learners in a pack, on a processor: they stay in a core's own cache, and more lanes are no faster
LANES = 20  # below which vectorising pays in any case


def segment_steps(size: int) -> int:
    """The most steps per compiled call, of learners of `size` bytes: fewer of those larger than the cache, which are slow, so
    that a call ends within seconds. It divides `SEGMENT`, and depends on nothing else: the data may depend on it."""
    parts = min(-(-size // CACHE), SEGMENT)
    return next(SEGMENT // k for k in range(max(1, parts), SEGMENT + 1) if SEGMENT % k == 0)


def segment_at(step: int, steps: int, bin: int, most: int) -> int:
    """The length of the compiled call that begins after `step` of a run's steps: to the end of the bin, and at most `most`."""
    return min(most, bin - step % bin, steps - step)


def chunk_lengths(steps: int, bin: int, most: int) -> set[int]:
    """How long the chunks are that a run asks its task for: of the start, of whole segments, and of the last of each bin."""
    bins = {min(bin, steps), steps % bin}
    return {
        min(steps, AT_START),
        *(most for length in bins if length >= most),
        *(length % most for length in bins),
    } - {0}


def passing_size(trainer: Trainer, length: int) -> int:
    """Bytes of what one seed works out on the way: all streams' gradients of one step, and of `length` steps their data and
    what is recorded."""
    net = jax.eval_shape(trainer.create, example_key())
    rows = sum(
        most_rows(every, length) * math.prod(RECORDED[name].shape(net, trainer.streams)) for name, every in trainer.record
    )
    grads = sum(jax.eval_shape(rule.nothing, net.W).size for rule in trainer.rules)
    numbers = trainer.streams * (grads + length * (net.n_in + net.n_out)) + rows
    return numbers * net.W.dtype.itemsize


def fitting_seeds(size: int) -> int:
    """How many seeds to vectorise together, of learners of `size` bytes: on a processor as many as fit its cache, at least one;
    on a GPU all."""
    return max(1, CACHE // size) if jax.default_backend() == "cpu" else MOST_SEEDS


def pack_lanes(size: int, lanes: int) -> int:
    """How many of `lanes` learners of `size` bytes to put into a pack: on a processor as many as its core's own cache holds, or
    `LANES` if the larger cache holds them, or down to half as many if packs are equal then, and so share one compiled program;
    on a GPU all."""
    most = max(1, min(CACHE // size, max(PACK // size, LANES))) if jax.default_backend() == "cpu" else MOST_SEEDS
    return lanes if lanes <= most else max((k for k in range(-(-most // 2), most + 1) if lanes % k == 0), default=most)


def check_memory(learners: int, bins: int) -> None:
    """Raise ValueError if learners with what they compute, or bins, of so many bytes could never fit this machine's memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    for size, ways in ((learners, "network.n, streams or seeds_at_once"), (bins, "the number of seeds, or take longer bins")):
        if size > memory:
            raise ValueError(f"this run needs {size / 1e9:,.0f} GB, but this machine has {memory / 1e9:,.0f}: lower {ways}.")
