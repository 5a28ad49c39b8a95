"""Characters: a text of your own, character by character; the label is the next character.

Input and label are one-hot over the characters that occur in the whole text, in the order of their code points. The text is one
unbroken stream: there are no trials.
"""

import hashlib
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from recredit.errors import File, check_count, check_digest, check_instance, real_file, unreadable, user_path
from recredit.network import Head
from recredit.tasks.recording.order import Part, Share, rows_of_part
from recredit.tasks.recording.rows import AbstractRows
from recredit.tasks.task import Sample


class Characters(AbstractRows):
    """Predict the next character of a text.

    In each pass, each of k parallel streams plays one of k parts of the text. Raises ValueError for a text of fewer than two
    different characters, and for an impossible split.
    """

    what = "the text"
    vocabulary: str = eqx.field(static=True)
    """The characters, in the order of the inputs and of the outputs."""
    now: Int[Array, " T"]
    """The number of the character at each step."""
    following: Int[Array, " T"]
    """The number of the next one."""
    fingerprint: str = eqx.field(static=True)
    """Of the text."""
    passes: int = eqx.field(converter=partial(check_count, "Characters' passes"))
    """How often the text is played."""
    part: Part = eqx.field(static=True)
    """What is played: the text for training ("train"), its last share, for testing ("test"), or all of it ("all")."""
    begins: None = eqx.field(default=None, init=False)
    """There are no trials."""
    shuffle: bool = eqx.field(default=False, init=False)
    """There are no trials to be shuffled."""
    head: Head = eqx.field(default="softmax", init=False, static=True)
    """Cross-entropy: one output per character."""

    def __init__(self, text: str, *, passes: int = 1, part: Part = "all", test: float = 0.2):
        """`test`: the share of the text that is for testing."""
        codes, numbers = np.unique(np.array([*map(ord, check_instance("the text", text, str))], int), return_inverse=True)
        if len(codes) < 2:
            raise ValueError(f"a text needs at least two different characters, not {len(codes)}.")
        rows = rows_of_part(None, len(numbers) - 1, part, test, 0)
        self.vocabulary, self.passes, self.part = "".join(map(chr, codes)), passes, part
        self.now, self.following = jnp.asarray(numbers[:-1][rows]), jnp.asarray(numbers[1:][rows])
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def n_in(self) -> int:
        return len(self.vocabulary)

    @property
    def n_out(self) -> int:
        return len(self.vocabulary)

    @property
    def classes(self) -> bool:
        return True

    @property
    def rows(self) -> int:
        return len(self.now)

    def sample(self, take: Callable[[Array], Array]) -> Sample:
        x, label = (jax.nn.one_hot(take(numbers), self.n_in, dtype=float) for numbers in (self.now, self.following))
        return Sample(x, label)

    def floors(self) -> dict[str, float]:
        """Mean cross-entropy (nats) of guesses by how often a character comes in what is played: at all, or after this one."""
        counts = np.zeros((self.n_in, self.n_in))
        np.add.at(counts, (np.asarray(self.now), np.asarray(self.following)), 1)

        def loss(counts: np.ndarray) -> float:
            chances = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
            return float(0 - (counts * np.log(np.where(counts > 0, chances, 1))).sum() / counts.sum())  # never -0

        return {"nothing learned": float(np.log(self.n_in)), "order 0": loss(counts.sum(0)), "order 1": loss(counts)}

    def digest(self) -> str:
        """A short fingerprint of the text."""
        return self.fingerprint


def read_characters(
    file: File, passes: int = 1, part: Part = "all", test: Share = 0.2, digest: str | None = None
) -> Characters:
    """Predict the next character of a text of your own.

    `file`: the text, in UTF-8. `test`: the share of the text, at its end, that is for testing. `digest`: the fingerprint that
    the text must have; none: whatever the file holds now.

    Raises ValueError for a file that is missing or no such text, as `Characters` does, and if the text has another digest: the
    file has changed.
    """
    try:
        text = real_file(user_path(file)).read_text("utf-8-sig")
    except OSError as error:
        raise unreadable(file, file, error) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a text in UTF-8: {error.reason} at byte {error.start:,}.") from None
    task = Characters(text, passes=passes, part=part, test=test)
    check_digest(f"the text {file}", task.digest(), digest)
    return task
