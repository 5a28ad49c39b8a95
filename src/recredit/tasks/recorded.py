"""Recorded: inputs and labels of your own, from a file or from arrays."""

import hashlib
from pathlib import Path
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from recredit.errors import check_choice, nearest, user_path
from recredit.network.leaky import Head, LeakyRNN
from recredit.tasks.task import AbstractTask, File, Sample


class Recorded(AbstractTask):
    """Your own stream: `inputs` (T, n_in) and `targets` (T, n_out), played once, one row per network step.

    An array of one dimension is one column; true and false are 1 and 0. Every seed sees the same data; k parallel streams play
    the first k parts of T // k rows, one each. Raises ValueError for arrays that are not real numbers, masked, not finite,
    beyond what the precision holds, or of sizes that disagree, and for labels that do not fit the head.
    """

    inputs: Float[Array, "T n_in"]
    """One row per network step."""
    targets: Float[Array, "T n_out"]
    """The label of each step: with a softmax head a distribution, or all 0 for no label at this step."""
    head: Head = eqx.field(static=True)
    """The loss: "linear" (half the summed squared error) or "softmax" (cross-entropy)."""
    fingerprint: UInt8[Array, "8"]
    """Of the data as given, before rounding to the precision; an array, so that other data do not compile anew."""

    def __init__(self, inputs: Any, targets: Any, head: Head = "linear"):
        check_choice("head", head, get_args(Head))
        x, y = _table("inputs", inputs), _table("targets", targets)
        if len(x) != len(y):
            raise ValueError(f"{len(x)} recorded inputs but {len(y)} targets: one of each is needed.")
        if head == "softmax":
            _check_labels(y)
        self.inputs, self.targets, self.head = jnp.asarray(x), jnp.asarray(y), head
        data = b"".join(str(array.shape).encode() + array.tobytes() for array in (x, y))
        self.fingerprint = jnp.asarray(np.frombuffer(hashlib.sha256(data).digest()[:8], np.uint8))

    def digest(self) -> str:
        """A short fingerprint of the data, shapes included."""
        return np.asarray(self.fingerprint).tobytes().hex()

    @property
    def n_in(self) -> int:
        return self.inputs.shape[1]

    @property
    def n_out(self) -> int:
        return self.targets.shape[1]

    def init(self, net: LeakyRNN, key: PRNGKeyArray) -> None:
        return None

    def chunk(self, state: Int[Array, ""] | None, start: Int[Array, ""], length: int) -> tuple[Int[Array, ""] | None, Sample]:
        row = start if state is None else state + start
        inputs = jax.lax.dynamic_slice_in_dim(self.inputs, row, length)
        return state, Sample(inputs, jax.lax.dynamic_slice_in_dim(self.targets, row, length))

    def stream(self, state: None, number: Int[Array, ""], count: int) -> Int[Array, ""]:
        """The row at which the stream's part begins."""
        return number * (len(self.inputs) // count)

    def length(self, streams: int = 1) -> int:
        return len(self.inputs) // streams

    def check(self, steps: int, streams: int = 1) -> None:
        if steps > self.length(streams):
            asked = f"{steps:,}" if streams == 1 else f"{streams:,} streams of {steps:,}"
            most = (
                f"at most {self.length(streams):,} steps" if self.length(streams) else f"at most {len(self.inputs):,} streams"
            )
            raise ValueError(
                f"the recording has {len(self.inputs):,} steps, fewer than the {asked} asked for: it is played once, so "
                f"ask for {most}, or repeat its rows."
            )

    def floors(self) -> dict[str, float]:
        """The loss of guesses that know the recording's labels but nothing of its inputs; labels of 0 everywhere count as 0."""
        labels = np.asarray(self.targets, float)
        last, now = labels[:-1], labels[1:]
        if self.head == "linear":
            levels = {"mean label": labels - labels.mean(0), "repeat the last label": now - last}
            return {what: float(0.5 * (error**2).sum(1).mean()) for what, error in levels.items() if len(error)}
        given = labels[labels.any(1)]
        share = len(given) / len(labels)
        levels = {"mean label": share * _cross_entropy(given, given.mean(0))}
        if len(given) > 1:
            follows = given[:-1].T @ given[1:]  # how often each label follows each
            guess = given[:-1] @ (follows / np.maximum(follows.sum(1, keepdims=True), 1e-300))
            levels["guess from the last label"] = share * _cross_entropy(given[1:], guess)
        return levels

    def advice(self) -> str | None:
        """Whether inputs or targets are far from the size that networks and learning rates are made for, and what to do."""
        found = []
        for what, array in {"inputs": self.inputs, "targets": self.targets}.items():
            size = np.sqrt(np.mean(np.square(np.asarray(array, float)), axis=0))
            largest = float(np.abs(array).max())
            if size.max() > 10:
                found.append(f"{what} of root mean square {size.max():.3g} in column {size.argmax()}")
            elif 0 < largest < 0.1:
                found.append(f"{what} of at most {largest:.3g}")
        if not found:
            return None
        return (
            f"The recording has {' and '.join(found)}, and networks and learning rates are made for numbers near 1: "
            "standardise it, for example (x - x.mean(0)) / x.std(0)."
        )


def _table(what: str, given: Any) -> Float[np.ndarray, "T width"]:
    """The recorded numbers as a table (steps, width)."""
    try:
        array = np.ma.asarray(given)  # keeps a mask, even one of a row in a list
    except Exception as error:  # whatever an object of another library does
        raise ValueError(f"the recorded {what} are not an array of numbers: {' '.join(str(error).split())}") from None
    if array.dtype.kind not in "biuf" and not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"the recorded {what} are not an array of numbers: their type is {array.dtype}, and must be that of integers, real "
            "numbers or true and false."
        )
    table = array[:, None] if array.ndim == 1 else array
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"the recorded {what} must be a table (steps, width) with at least one entry, not {array.shape}.")
    precision = jnp.finfo(jnp.zeros(()).dtype)
    with np.errstate(over="ignore"):
        numbers = np.ma.getdata(table).astype(float)
    for wrong, why in {
        "are masked": np.ma.getmaskarray(table),
        "hold {}": ~np.isfinite(numbers),
        f"hold {{}}, beyond the {float(precision.max):.2g} that {precision.dtype} holds,": np.abs(numbers) > precision.max,
    }.items():
        if why.any():
            row, column = np.argwhere(why)[0]
            raise ValueError(
                f"the recorded {what} {wrong.format(numbers[row, column])} at step {row}, column {column}; every entry must be "
                "a finite number."
            )
    return numbers


def _check_labels(labels: Float[np.ndarray, "T n_out"]) -> None:
    if labels.shape[1] == 1:
        raise ValueError(
            "a softmax head needs two outputs or more, and the recorded targets have one column; make a column for each class, "
            "as np.eye(classes)[numbers] does from the classes' numbers."
        )
    wrong = (labels < 0).any(1) | ~(np.isclose(labels.sum(1), 1) | ~labels.any(1))
    if wrong.any():
        raise ValueError(
            "a softmax head needs labels that are distributions, entries of at least 0 that sum to 1, or all 0 where there is "
            f"none; at step {wrong.argmax()} the sum is {labels[wrong.argmax()].sum():g} and the least entry "
            f"{labels[wrong.argmax()].min():g}."
        )
    if not labels.any():
        raise ValueError("the recorded targets are 0 everywhere, so that a softmax head has no label at any step.")


def _cross_entropy(labels: Float[np.ndarray, "T n_out"], guess: Float[np.ndarray, "*T n_out"]) -> float:
    """Mean over steps, in nats; a guess of 0 counts only where the label is not."""
    return float(-(labels * np.log(np.where(labels > 0, guess, 1))).sum(1).mean())


def read_recording(
    file: File, head: Head = "linear", inputs: str = "inputs", targets: str = "targets", digest: str | None = None
) -> Recorded:
    """Your own data: a NumPy .npz `file` with two arrays, `inputs` (T, n_in) and `targets` (T, n_out) or as you name them.

    Raises ValueError for a file that is missing or unreadable or lacks one of the two, as `Recorded` does, and if a `digest`
    is given that is not the data's: the file has changed.
    """
    try:
        with np.load(user_path(file), allow_pickle=False) as data:
            names = list(data.files)
            found = {name: data[name] for name in (inputs, targets) if name in names}
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}.") from None
    except Exception:
        raise ValueError(f"{file} is not a NumPy .npz file of arrays of numbers; {_way_in(Path(file))}.") from None
    for name in (inputs, targets):
        if name not in found:
            raise ValueError(
                f'{file} has no array "{name}"; its arrays: {", ".join(names) or "none"}. Name the two that are meant, as in '
                f"task.inputs=x task.targets=y.{nearest(name, names)}"
            )
    recording = Recorded(found[inputs], found[targets], head)
    if digest is not None and recording.digest() != digest:
        raise ValueError(f"{file} has changed: its data's digest is {recording.digest()}, not {digest}.")
    return recording


def _way_in(file: Path) -> str:
    """How other files become one that can be read."""
    readers = {
        ".csv": f"np.loadtxt({file.name!r}, delimiter=',')",
        ".tsv": f"np.loadtxt({file.name!r})",
        ".txt": f"np.loadtxt({file.name!r})",
        ".npy": f"np.load({file.name!r})",
        ".mat": f"scipy.io.loadmat({file.name!r})['NAME']",
    }
    read = readers.get(file.suffix.lower())
    if read is None:
        return "np.savez('data.npz', inputs=x, targets=y) makes one"
    saved = file.with_suffix(".npz").name
    return f"two lines of Python make one: x = {read}; np.savez({saved!r}, inputs=x[:, :-1], targets=x[:, -1:])"
