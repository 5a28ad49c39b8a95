"""The contract of a task: an endless stream of inputs and labels, in constant memory."""

from abc import abstractmethod
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from recredit.network.leaky import Head, LeakyRNN

File = Annotated[str, "the path of a file"]  # a setting of this type: in a TOML file it is seen from that file's folder


class AbstractTask(eqx.Module):
    """A stream of inputs (n_in,) and labels (n_out,), one of each per network step."""

    n_in: eqx.AbstractVar[int]
    """Number of inputs."""
    n_out: eqx.AbstractVar[int]
    """Number of outputs."""
    head: eqx.AbstractVar[Head]
    """The loss: "softmax" (cross-entropy) or "linear" (half the summed squared error)."""

    @abstractmethod
    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> Any:
        """What the stream keeps; `net` is the learner, `key` decides all of the data."""

    @abstractmethod
    def chunk(
        self, state: Any, start: Int[Array, ""], length: int
    ) -> tuple[Any, Float[Array, "length n_in"], Float[Array, "length n_out"]]:
        """The inputs and labels of network steps start ... start + length - 1; chunks are asked for in order."""

    def stream(self, state: Any, number: Int[Array, ""], count: int) -> Any:
        """What the `number`-th of `count` parallel streams of one seed keeps; `state` is what the seed's only stream would.

        The task is the same in all streams, the data differ; number 0 plays what the only stream would.
        """
        raise ValueError(f"the task {type(self).__name__} has no parallel streams: it does not define `stream`.")

    @abstractmethod
    def check(self, steps: int, streams: int = 1) -> None:
        """Raise ValueError if `streams` parallel streams of `steps` network steps each cannot hold this task."""

    @abstractmethod
    def floors(self) -> dict[str, float]:
        """Known levels of the loss, by what a learner that reaches it has learned; {} where none is known."""

    def digest(self) -> str | None:
        """What of the data belongs to a run's identity: a short fingerprint, for a task whose settings do not say it all.

        The registry's entry of such a task also takes it as the setting `digest`, and refuses data that have another.
        """
        return None


def stream_key(key: PRNGKeyArray, number: Int[Array, ""]) -> PRNGKeyArray:
    """The key that the `number`-th parallel stream has in place of `key`, which number 0 keeps.

    The numbers folded in lie above all that a split, a rule, or a step folds in, so that no two draws share a key.
    """
    return jnp.where(number == 0, key, jax.random.fold_in(key, jnp.uint32(2**31) + number.astype(jnp.uint32)))


def bernoulli_stream(key: PRNGKeyArray, p: float, start: Int[Array, ""], count: int, width: int) -> Float[Array, "count width"]:
    """Rows start ... start + count - 1 of an endless table of independent 0/1 draws: row i depends on `key` and i alone."""
    rows = jax.vmap(lambda i: jax.random.bernoulli(jax.random.fold_in(key, i), float(p), (width,)))(start + jnp.arange(count))
    return rows.astype(float)
