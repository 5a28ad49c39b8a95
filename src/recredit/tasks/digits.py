"""Digits: a handwritten digit is shown row by row, from the top; at the last row, say which it is.

Images of 8 x 8 pixels from 0 to 1, one row per network step, so a trial has 8 steps, of which only the last counts.

Source: Alpaydin & Kaynak 1998, "Optical recognition of handwritten digits", as scikit-learn has them; 1,797 images.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, get_args

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from recredit.errors import check_choice, check_count
from recredit.network import Head
from recredit.tasks.recording.order import Part, rows_of_part
from recredit.tasks.recording.rows import AbstractRows
from recredit.tasks.task import Sample


class Digits(AbstractRows):
    """Say which handwritten digit was shown, row by row; needs scikit-learn.

    Raises ValueError without it, for an unknown part, and if `passes` is not a count.
    """

    what = "the set of digits"
    part: Part = eqx.field(static=True)
    """Which images are played: 1,400 for training, drawn once and for all, the other 397 ("test"), or "all"."""
    passes: int = eqx.field(converter=partial(check_count, "Digits' passes"))
    """How often each image is shown; 20 times 1,400 images of 8 rows are 224,000 steps."""
    shuffle: bool
    """Whether each pass shows the images in an order of its own, which differs between seeds."""
    pixels: Float[Array, "T 8"]
    """The rows of the images, one after another."""
    labels: Float[Array, "T 10"]
    """The digit at an image's last row, nothing (the uniform distribution) before."""
    begins: Int[Array, " images"]
    """The row at which each image begins."""
    n_in: int = eqx.field(default=8, init=False)
    """The pixels of a row."""
    n_out: int = eqx.field(default=10, init=False)
    """The digits."""
    head: Head = eqx.field(default="softmax", init=False, static=True)
    """Cross-entropy: one output per digit."""

    def __init__(self, part: Part = "train", passes: int = 20, shuffle: bool = True):
        check_choice("part", part, get_args(Part))
        self.part, self.passes, self.shuffle = part, passes, shuffle
        images, digits = images_of(self.part)
        labels = np.full((len(images), 8, 10), 0.1)
        labels[:, -1] = np.eye(10)[digits]
        self.pixels, self.labels = jnp.asarray(images.reshape(-1, 8)), jnp.asarray(labels.reshape(-1, 10))
        self.begins = 8 * jnp.arange(len(images))

    @property
    def classes(self) -> bool:
        return True

    @property
    def rows(self) -> int:
        return len(self.pixels)

    def sample(self, take: Callable[[Array], Array]) -> Sample:
        row = take(jnp.arange(self.rows)) % 8
        return Sample(take(self.pixels), take(self.labels), (row == 7).astype(float), row == 0)

    def floors(self) -> dict[str, float]:
        """Mean cross-entropy (nats) at the images that are played: of equal chances, and of logistic regressions from the last
        rows, fitted to the images for training."""
        from sklearn.linear_model import LogisticRegression

        (images, digits), (shown, answers) = images_of("train"), images_of(self.part)
        levels = {"nothing learned": float(np.log(10))}
        for name, rows in {"last row": 1, "last 2 rows": 2, "last 4 rows": 4, "all rows": 8}.items():
            model = LogisticRegression(max_iter=1000).fit(images[:, -rows:].reshape(len(images), -1), digits)
            guess = model.predict_log_proba(shown[:, -rows:].reshape(len(shown), -1))
            levels[name] = float(-guess[np.arange(len(answers)), answers].mean())
        return levels


@cache
def images_of(part: Part) -> tuple[Float[np.ndarray, "images 8 8"], Int[np.ndarray, " images"]]:
    """The images of a part, from 0 to 1, and their digits. Raises ValueError without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ValueError('the task digits needs scikit-learn: pip install "recredit[digits]".') from None
    found: Any = load_digits()
    digits, images = found["target"], found["images"]
    mine = rows_of_part(np.full(len(digits), True), len(digits), part, 397 / 1797, 0)
    return images[mine] / 16, digits[mine]
