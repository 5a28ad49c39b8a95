"""Add: report a weighted sum of two past inputs.

Coins x(tau) in {0, 1}, and the label y(tau) = 0.5 + 0.5 x(tau - t1) - 0.25 x(tau - t2); the network sees (x, 1 - x) and is to
report (y, 1 - y). Each pair is held for `hold` network steps, "time rescaled to match alpha".

Source: Marschall et al. 2019, after Pitis 2016. The published program's lags are (2, 4) where the paper prints (3, 5).
"""

import itertools
import math
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from recredit.errors import check_count
from recredit.network import RNN, Head
from recredit.tasks.task import AbstractTask, Sample, bernoulli_stream, stream_key

Labels = Literal["deterministic", "sampled"]


class Add(AbstractTask):
    """Report a weighted sum of two past coin flips.

    Lags count task steps, of `hold` network steps each. No wrap-around: coins before the first step are drawn too.
    """

    t1: int = eqx.field(default=3, converter=partial(check_count, "Add's lag t1", least=0))
    """Lag of the coin that raises the label by 0.5, in task steps; the paper's 3."""
    t2: int = eqx.field(default=5, converter=partial(check_count, "Add's lag t2", least=0))
    """Lag of the coin that lowers the label by 0.25, in task steps; the paper's 5."""
    hold: int = eqx.field(default=2, converter=partial(check_count, "Add's hold"))
    """Network steps that each task step lasts; the published program's 2."""
    labels: Labels = "deterministic"
    """The chances (y, 1 - y) themselves, or a one-hot draw from them at each task step ("sampled")."""
    n_in: int = eqx.field(default=2, init=False)
    """The coin x and 1 - x."""
    n_out: int = eqx.field(default=2, init=False)
    """The label y and 1 - y."""
    head: Head = eqx.field(default="softmax", init=False, static=True)
    """Cross-entropy: the label is a distribution."""

    def init(self, net: RNN, key: PRNGKeyArray) -> PRNGKeyArray:
        return key

    def chunk(self, state: PRNGKeyArray, start: Int[Array, ""], length: int) -> tuple[PRNGKeyArray, Sample]:
        reach = max(self.t1, self.t2)
        first = start // self.hold
        count = (length - 1) // self.hold + 2  # task steps that the chunk may touch
        k_coin, k_label = jax.random.split(state)
        coins = bernoulli_stream(k_coin, 0.5, first, count + reach, 1)[:, 0]  # row i is the coin of task step first - reach + i
        x, x1, x2 = (coins[reach - lag : reach - lag + count] for lag in (0, self.t1, self.t2))
        y = label(x1, x2)
        if self.labels == "sampled":
            draws = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(k_label, i)))(first + jnp.arange(count))
            y = (draws < y).astype(y.dtype)
        held = (start + jnp.arange(length)) // self.hold - first
        return state, Sample(jnp.stack([x, 1 - x], axis=1)[held], jnp.stack([y, 1 - y], axis=1)[held])

    def stream(self, state: PRNGKeyArray, number: Int[Array, ""], count: int) -> PRNGKeyArray:
        return stream_key(state, number)

    def check(self, steps: int, streams: int = 1) -> None:
        reach = max(self.t1, self.t2) * self.hold
        if reach >= steps:
            raise ValueError(
                f"Add's longest lag reaches back {reach} network steps ({max(self.t1, self.t2)} task steps of {self.hold}), "
                f"but the stream has only {steps}; take a longer stream or a shorter lag."
            )

    def floors(self) -> dict[str, float]:
        """Mean cross-entropy (nats) of the best guess that knows no past coin, x(tau - t2), x(tau - t1), or both."""
        same = self.t1 == self.t2
        pairs = [(a, b) for a, b in itertools.product((0, 1), repeat=2) if a == b or not same]

        def entropy_given(known) -> float:
            groups: dict[Any, list[float]] = {}
            for pair in pairs:
                groups.setdefault(known(*pair), []).append(float(label(*pair)))
            means = [(sum(g) / len(g), len(g) / len(pairs)) for g in groups.values()]
            return sum(-w * sum(p * math.log(p) for p in (q, 1 - q) if p > 0) for q, w in means)

        levels = {"nothing learned": lambda a, b: 0}
        if not same:
            levels |= {"t2 only": lambda a, b: b, "t1 only": lambda a, b: a}
        return {what: entropy_given(known) for what, known in (levels | {"both lags": lambda a, b: (a, b)}).items()}


def label(x1, x2):
    """y = 0.5 + 0.5 x(tau - t1) - 0.25 x(tau - t2)."""
    return 0.5 + 0.5 * x1 - 0.25 * x2
