"""Recorded: inputs and labels of your own, from a file or from arrays."""

import hashlib
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from recredit.errors import user_path
from recredit.network.leaky import Head, LeakyRNN
from recredit.tasks.task import AbstractTask, File


class Recorded(AbstractTask):
    """Your own stream: `inputs` (T, n_in) and `targets` (T, n_out), played once, one row per network step.

    `head`: "linear" (squared error) or "softmax" (cross-entropy; each label must be a distribution). Every seed sees the same
    data; k parallel streams play the first k parts of T // k rows, one each. Raises ValueError for arrays that are not numbers,
    not finite, or of sizes that disagree.
    """

    inputs: Float[Array, "T n_in"]
    """One row per network step."""
    targets: Float[Array, "T n_out"]
    """One row per network step: the label of the same step's input."""
    head: Head = eqx.field(static=True)
    """The loss: squared error or cross-entropy."""

    def __init__(self, inputs: Any, targets: Any, head: Head = "linear"):
        arrays = {}
        for name, given in {"inputs": inputs, "targets": targets}.items():
            try:
                if np.iscomplexobj(given):
                    raise TypeError("they are complex")
                array = np.asarray(given, float)
            except (TypeError, ValueError) as error:
                raise ValueError(f"the recorded {name} are not an array of numbers: {error}.") from None
            if array.ndim != 2 or 0 in array.shape:
                raise ValueError(
                    f"the recorded {name} must be a table (steps, width) with at least one entry, not {array.shape}."
                )
            if not np.isfinite(array).all():
                row, column = np.argwhere(~np.isfinite(array))[0]
                raise ValueError(
                    f"the recorded {name} hold {array[row, column]} at step {row}, column {column}; every entry must be finite."
                )
            arrays[name] = array
        if len(arrays["inputs"]) != len(arrays["targets"]):
            raise ValueError(
                f"{len(arrays['inputs'])} recorded inputs but {len(arrays['targets'])} targets: one of each is needed."
            )
        if head == "softmax" and (arrays["targets"].min() < 0 or not np.allclose(arrays["targets"].sum(1), 1)):
            raise ValueError(
                "a softmax head needs labels that are distributions: entries of at least 0 that sum to 1 in every row."
            )
        self.inputs, self.targets, self.head = jnp.asarray(arrays["inputs"]), jnp.asarray(arrays["targets"]), head

    def digest(self) -> str:
        """A short fingerprint of the data."""
        both = b"".join(np.asarray(array).tobytes() for array in (self.inputs, self.targets))
        return hashlib.sha256(both).hexdigest()[:16]

    @property
    def n_in(self) -> int:
        return self.inputs.shape[1]

    @property
    def n_out(self) -> int:
        return self.targets.shape[1]

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> None:
        return None

    def chunk(
        self, state: Int[Array, ""] | None, start: Int[Array, ""], length: int
    ) -> tuple[Int[Array, ""] | None, Float[Array, "l n_in"], Float[Array, "l n_out"]]:
        row = start if state is None else state + start
        inputs = jax.lax.dynamic_slice_in_dim(self.inputs, row, length)
        return state, inputs, jax.lax.dynamic_slice_in_dim(self.targets, row, length)

    def stream(self, state: None, number: Int[Array, ""], count: int) -> Int[Array, ""]:
        """The row at which the stream's part begins."""
        return number * (len(self.inputs) // count)

    def check(self, steps: int, streams: int = 1) -> None:
        if steps * streams > len(self.inputs):
            asked = f"{steps}" if streams == 1 else f"{streams} streams of {steps}"
            raise ValueError(f"the recording has {len(self.inputs)} steps, fewer than the {asked} asked for.")

    def floors(self) -> dict[str, float]:
        return {}


def read_recording(file: File, head: Literal["linear", "softmax"] = "linear", digest: str | None = None) -> Recorded:
    """Your own data: a NumPy .npz `file` with arrays `inputs` (T, n_in) and `targets` (T, n_out).

    Raises ValueError for a file that is missing or unreadable or lacks one of the two, as `Recorded` does, and if a `digest`
    is given that is not the data's: the file has changed.
    """
    try:
        with np.load(user_path(file), allow_pickle=False) as data:
            arrays = {name: data[name] for name in ("inputs", "targets")}
    except KeyError:
        raise ValueError(f"{file} lacks an array: it must hold `inputs` and `targets`.") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}.") from None
    except Exception:
        raise ValueError(f"{file} is not a NumPy .npz file of arrays of numbers.") from None
    recording = Recorded(arrays["inputs"], arrays["targets"], head)
    if digest is not None and recording.digest() != digest:
        raise ValueError(f"{file} has changed: its data's digest is {recording.digest()}, not {digest}.")
    return recording
