"""Recorded: inputs and labels of your own, from a file or from arrays."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from recredit.errors import File, check_choice, check_count, check_digest, check_instance
from recredit.network import Head
from recredit.tasks.recording.arrays import check_lengths, check_some, distributions, loss_weights, table, trial_starts
from recredit.tasks.recording.files import read_arrays
from recredit.tasks.recording.levels import levels
from recredit.tasks.recording.order import Part, Share, SplitSeed, rows_of_part
from recredit.tasks.recording.rows import AbstractRows
from recredit.tasks.task import Sample


class Recorded(AbstractRows):
    """Your own stream: `inputs` (T, n_in) and `targets` (T, n_out), one row per network step.

    An array of one dimension is one column; true and false are 1 and 0. Every seed sees the same data, except for the order of
    shuffled trials. In each pass, each of k parallel streams plays one of k parts of T // k rows; a part that would begin
    within a trial begins with it. Raises ValueError for arrays that are not real numbers, masked, not finite, beyond what the
    precision holds, or of sizes that disagree, for labels that do not fit the head, and for impossible trials, weights or
    splits.
    """

    what = "the recording"
    inputs: Float[Array, "T n_in"]
    """One row per network step."""
    targets: Float[Array, "T n_out"]
    """The label of each step. With a softmax head it is given as a distribution, or all 0 for no label at this step (here
    uniform, with weight 0), or as the class's number in one column, from 0 on."""
    head: Head = eqx.field(static=True)
    """The loss: "linear" (half the summed squared error) or "softmax" (cross-entropy)."""
    fingerprint: UInt8[Array, "8"]
    """Of the data as given, before rounding to the precision; an array, so that other data do not compile anew."""
    weight: Float[Array, " T"] | None
    """What each step's loss is multiplied by, at least 0; None: 1 at every step."""
    start: Bool[Array, " T"] | None
    """Whether a trial starts at each step. It is given so, or as the number of the step's trial. None: no trials."""
    begins: Int[Array, " trials"] | None
    """The row at which each trial begins."""
    passes: int = eqx.field(converter=partial(check_count, "Recorded's passes"))
    """How often the rows are played."""
    shuffle: bool
    """Whether each pass shuffles the trials, in an order that differs between seeds; the steps of a trial stay in order."""
    part: Part = eqx.field(static=True)
    """Which part of a split into trials for training and for testing is played: "train", "test" or "all". Without trials the
    last share of the rows is for testing."""

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        head: Head = "linear",
        *,
        start: Any = None,
        weight: Any = None,
        passes: int = 1,
        shuffle: bool = False,
        part: Part = "all",
        test: float = 0.2,
        split_seed: int = 0,
    ):
        """`test`: the share of the trials that is for testing; `split_seed` decides which they are."""
        check_choice("head", head, get_args(Head))
        x, y = table("inputs", inputs), table("targets", targets)
        check_lengths(len(x), "targets", len(y))
        starts = None if start is None else trial_starts(start, len(x))
        weights = None if weight is None else loss_weights(weight, len(x))
        data = (("", x), ("", y), ("start", starts), ("weight", weights))
        said = b"".join(f"{name}{array.shape}".encode() + array.tobytes() for name, array in data if array is not None)
        if head == "softmax":
            y, given = distributions(y)
            weights = weights if given.all() else given * (1.0 if weights is None else weights)
        rows = rows_of_part(starts, len(x), part, test, split_seed)
        if weights is not None:
            check_some(weights[rows], "the weight is 0 at every step" + (f" of the part {part}" if part != "all" else ""))
        if check_instance("Recorded's shuffle", shuffle, bool) and starts is None:
            raise ValueError("shuffle plays trials in another order, but the recording has no trials: say where they start.")
        self.inputs, self.targets, self.head = jnp.asarray(x[rows]), jnp.asarray(y[rows]), head
        self.weight = None if weights is None else jnp.asarray(weights[rows], float)
        self.start = None if starts is None else jnp.asarray(starts[rows])
        self.begins = None if starts is None else jnp.asarray(np.flatnonzero(starts[rows]))
        self.passes, self.shuffle, self.part = passes, shuffle, part
        self.fingerprint = jnp.asarray(np.frombuffer(hashlib.sha256(said).digest()[:8], np.uint8))

    def digest(self) -> str:
        """A short fingerprint of the data, shapes included."""
        return np.asarray(self.fingerprint).tobytes().hex()

    @property
    def n_in(self) -> int:
        return self.inputs.shape[1]

    @property
    def n_out(self) -> int:
        return self.targets.shape[1]

    @property
    def classes(self) -> bool:
        """Whether each scored label is one of the classes."""
        scored = slice(None) if self.weight is None else self.weight > 0
        return self.head == "softmax" and bool(jnp.isin(self.targets[scored], jnp.array([0, 1])).all())

    @property
    def rows(self) -> int:
        return len(self.inputs)

    def sample(self, take: Callable[[Array], Array]) -> Sample:
        weight, start = (None if array is None else take(array) for array in (self.weight, self.start))
        return Sample(take(self.inputs), take(self.targets), weight, start)

    def floors(self) -> dict[str, float]:
        """The loss of guesses that know the labels but nothing of the inputs, at the steps that count."""
        weight, start = (None if array is None else np.asarray(array) for array in (self.weight, self.start))
        return levels(np.asarray(self.targets, float), self.head, weight, start)

    def advice(self) -> str | None:
        """Whether inputs or targets are far from the size that networks and learning rates are made for, and what to do."""
        found = []
        scored = slice(None) if self.weight is None else np.asarray(self.weight) > 0
        for what, array in {"inputs": self.inputs, "targets": self.targets[scored]}.items():
            size = np.sqrt(np.mean(np.square(np.asarray(array, float)), axis=0))
            largest = float(np.abs(array).max())
            if size.max() > 10:
                found.append(f"{what} of root mean square {size.max():.3g} in column {size.argmax()}")
            elif 0 < largest < 0.1:
                found.append(f"{what} of at most {largest:.3g}")
        if not found:
            return None
        return (
            f"The recording has {' and '.join(found)}, but networks and learning rates are made for numbers near 1: "
            "standardise it, for example (x - x.mean(0)) / x.std(0)."
        )


def read_recording(
    file: File,
    head: Head = "linear",
    inputs: str = "inputs",
    targets: str = "targets",
    start: str | None = None,
    weight: str | None = None,
    passes: int = 1,
    shuffle: bool = False,
    part: Part = "all",
    test: Share = 0.2,
    split_seed: SplitSeed = 0,
    digest: str | None = None,
) -> Recorded:
    """Inputs and labels of your own, from a file.

    `file`: a .npz, .csv, .tsv, .parquet or .nc file. `inputs`: the name of the array or column of inputs, or x1,x2 for several
    columns. `targets`: the name of the array or column of labels, likewise. `start`: the name of what marks where trials start;
    none: "start" if the file has it. `weight`: the name of each step's weight in the loss; none: "weight" if the file has it.
    `test`: the share of the trials that is for testing. `split_seed`: decides which trials those are. `digest`: the fingerprint
    that the data must have; none: whatever the file holds now.

    Raises ValueError for a file that is missing or unreadable or lacks what is named, as `Recorded` does, and if the data have
    another digest: the file has changed.
    """
    found = read_arrays(file, {"inputs": inputs, "targets": targets, "start": start, "weight": weight})
    split = {"part": part, "test": test, "split_seed": split_seed}
    recording = Recorded(**found, head=head, passes=passes, shuffle=shuffle, **split)
    check_digest(f"the recording {file}", recording.digest(), digest)
    return recording
