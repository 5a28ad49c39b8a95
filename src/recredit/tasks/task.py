"""The contract of a task: an endless stream of inputs and labels, in constant memory."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from recredit.contract import check_same, example_key, in_a_sentence, kind_of, trace_function
from recredit.errors import File as File
from recredit.errors import brief, check_choice, check_count, check_fields, check_instance, check_range
from recredit.network import RNN, Head


class Sample(NamedTuple):
    """What a task gives at each network step; each array has a first axis for the steps."""

    x: Float[Array, "*T n_in"]
    """Inputs."""
    target: Float[Array, "*T n_out"]
    """Labels. Head "linear": the outputs that are asked for; "softmax": a distribution over the outputs, entries of at least 0
    that sum to 1, at steps of weight 0 too."""
    weight: Float[Array, "*T"] | None = None
    """What the step's loss and error are multiplied by, at least 0; 0: no label at this step. None: 1 at every step."""
    start: Bool[Array, "*T"] | None = None
    """Whether a trial starts at this step, before which the units return to their first state and the learning state is
    restarted. None: one unbroken stream."""
    epoch: Int[Array, "*T"] | None = None
    """The part of the trial that the step belongs to, its place in the task's `epochs`. None: there are none."""


class AbstractTask(eqx.Module):
    """A stream of samples, one per network step, in the network's type of number.

    A task defines `n_in`, `n_out`, `head`, `init` and `chunk`; `stream` too if it is to have parallel streams.
    """

    n_in: eqx.AbstractVar[int]
    """Number of inputs."""
    n_out: eqx.AbstractVar[int]
    """Number of outputs, two or more with a softmax head."""
    head: eqx.AbstractVar[Head]
    """The loss: "softmax" (cross-entropy) or "linear" (half the summed squared error)."""

    @property
    def classes(self) -> bool:
        """Whether labels are classes, one of the outputs each, so that accuracy is measured beside the loss."""
        return False

    @property
    def epochs(self) -> tuple[str, ...]:
        """The names of the parts of a trial; none by default."""
        return ()

    def __check_init__(self):
        check_fields(self)

    @abstractmethod
    def init(self, net: RNN, key: PRNGKeyArray) -> Any:
        """What the stream keeps; `net` is the learner, `key` decides all of the data."""

    @abstractmethod
    def chunk(self, state: Any, start: Int[Array, ""], length: int) -> tuple[Any, Sample]:
        """The samples of network steps start ... start + length - 1; chunks are requested in order."""

    def stream(self, state: Any, number: Int[Array, ""], count: int) -> Any:
        """What the `number`-th of `count` parallel streams of one seed keeps; `state` is what the seed's only stream would.

        The task is the same in all streams, the data differ; number 0 plays what the only stream would.
        """
        raise NotImplementedError

    def check(self, steps: int, streams: int = 1) -> None:
        """Raise ValueError if `streams` parallel streams of `steps` network steps each cannot hold this task."""

    def length(self, streams: int = 1) -> int | None:
        """How many network steps each of `streams` parallel streams can play at most; None: without limit."""
        return None

    def floors(self) -> dict[str, float]:
        """Known levels of the loss, by what a learner that reaches it has learned; {} where none is known."""
        return {}

    def advice(self) -> str | None:
        """A sentence for readers of the results on what makes the data hard to learn; None: nothing is known."""
        return None

    def digest(self) -> str | None:
        """The data's part of a run's identity: a short fingerprint, for a task whose settings do not say everything.

        The registry's entry of such a task may also take it as the setting `digest`, and refuse data that have another.
        """
        return None


def check_task(task: Any) -> None:
    """Raise TypeError unless `task` is a task, ValueError if its sizes or head cannot be a network's."""
    check_instance("the task", task, AbstractTask)
    name = f"the task {type(task).__name__}"
    check_count(f"{name}'s n_in", task.n_in)
    check_count(f"{name}'s n_out", task.n_out)
    check_choice(f"{name}'s head", task.head, get_args(Head))


def check_fit(task: AbstractTask, steps: int, streams: int) -> None:
    """Raise ValueError unless `streams` parallel streams of the task can play `steps` steps each."""
    name = f"the task {type(task).__name__}"
    try:
        task.check(steps, streams)
    except ValueError:
        raise
    except Exception as error:
        with in_a_sentence(f"{name}'s check", task.check):
            raise error
    if (most := task_length(task, streams)) is not None and steps > most:
        raise ValueError(f"{name} has a length of {most:,} steps for {streams:,} streams, fewer than the {steps:,} asked for.")


def check_told(task: AbstractTask) -> None:
    """Raise ValueError unless a task's floors, advice and digest are what they must be."""
    told = {}
    for what in ("floors", "advice", "digest"):
        with in_a_sentence(f"the task {type(task).__name__}'s {what}", method := getattr(task, what)):
            told[what] = method()
    floors = told.pop("floors")
    if not isinstance(floors, Mapping) or not all(isinstance(what, str) for what in floors):
        raise ValueError(
            f"the task {type(task).__name__}'s floors must be levels of the loss by their meaning, as in "
            f'{{"nothing learned": 0.69}}, not {brief(floors)}.'
        )
    for meaning, level in floors.items():
        check_range(f"the task {type(task).__name__}'s floor {meaning}", level)
    for what, words in told.items():
        if words is not None and not isinstance(words, str):
            raise ValueError(f"the task {type(task).__name__}'s {what} must be words or None, not {brief(words)}.")


def task_length(task: AbstractTask, streams: int) -> int | None:
    """What the task says of its length, checked; None: without limit."""
    what = f"the task {type(task).__name__}'s length"
    with in_a_sentence(what, task.length):
        given = task.length(streams)
    return None if given is None else check_count(what, given, 0)


def check_chunk(task: AbstractTask, net: RNN, length: int, streams: int) -> list[tuple[Any, Any]]:
    """The jaxprs of the task's methods for chunks of this length and `net` (or its shapes), with the shapes of their results:
    of `init`, of `stream` if there are several, and of `chunk`.

    Raises ValueError unless these have the shapes and types they must.
    """
    name, start = f"the task {type(task).__name__}", jax.eval_shape(lambda: jnp.array(0))
    traced = [trace_function(f"{name}'s init", task.init, net, example_key())]
    if streams > 1:
        if type(task).stream is AbstractTask.stream:
            raise ValueError(f"{name} has no parallel streams: it does not define `stream`.")
        stream = partial(task.stream, count=streams)
        traced.append(trace_function(f"{name}'s stream", stream, traced[0][1], start))
    state = traced[-1][1]
    what = f"{name}'s chunk" if length == 1 else f"{name}'s chunk of {length} steps"
    traced.append(trace_function(what, partial(task.chunk, length=length), state, start))
    result = traced[-1][1]
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Sample)):
        raise ValueError(f"{what} must return the state and a Sample, not {kind_of(result)}.")
    check_same(what, "stream" if streams > 1 else "init", state, result[0])
    sample, number = result[1], net.W.dtype
    wanted = {"inputs": ((length, task.n_in), number), "labels": ((length, task.n_out), number), "weights": ((length,), number)}
    wanted |= {"starts": ((length,), jnp.bool_), "epochs": ((length,), start.dtype)}
    for (what, (shape, dtype)), given, field in zip(wanted.items(), sample, Sample._fields, strict=True):
        if given is None and field in Sample._field_defaults:
            continue
        if (getattr(given, "shape", None), getattr(given, "dtype", None)) != (shape, dtype):
            like = kind_of(jax.ShapeDtypeStruct(shape, dtype))
            raise ValueError(f"{name}'s {what} of {length} steps must be {like}, not {kind_of(given)}.")
    if (sample.epoch is not None) != bool(task.epochs):
        raise ValueError(f"{name} must give each step's epoch if, and only if, it names its epochs.")
    return traced


def stream_key(key: PRNGKeyArray, number: Int[Array, ""]) -> PRNGKeyArray:
    """The key that the `number`-th parallel stream has in place of `key`, which number 0 keeps.

    The numbers folded in lie above all that a split, a rule, or a step folds in, so that no two draws share a key.
    """
    return jnp.where(number == 0, key, jax.random.fold_in(key, jnp.uint32(2**31) + number.astype(jnp.uint32)))


def bernoulli_stream(key: PRNGKeyArray, p: float, start: Int[Array, ""], count: int, width: int) -> Float[Array, "count width"]:
    """Rows start ... start + count - 1 of an endless table of independent 0/1 draws: row i depends on `key` and i alone."""
    rows = jax.vmap(lambda i: jax.random.bernoulli(jax.random.fold_in(key, i), float(p), (width,)))(start + jnp.arange(count))
    return rows.astype(float)
