"""The loss of guesses that know labels alone."""

import numpy as np
from jaxtyping import Bool, Float

from recredit.network import Head


def levels(
    labels: Float[np.ndarray, "T n_out"],
    head: Head,
    weight: Float[np.ndarray, " T"] | None = None,
    start: Bool[np.ndarray, " T"] | None = None,
) -> dict[str, float]:
    """The mean loss, weighted as the steps are, of two guesses: the mean label, and what follows from the last label of the
    same trial; of this, over the steps that have one."""
    scored = np.full(len(labels), True) if weight is None else weight > 0
    given, trial = labels[scored], np.zeros(scored.sum()) if start is None else start.cumsum()[scored]
    weights = None if weight is None else weight[scored]
    follows = np.flatnonzero(trial[1:] == trial[:-1]) + 1  # steps with a last label
    last, now, weights_now = given[follows - 1], given[follows], None if weights is None else weights[follows]
    mean = np.average(given, 0, weights)
    if head == "linear":
        errors = {"mean label": (given - mean, weights), "repeat the last label": (now - last, weights_now)}
        return {what: float(np.average(0.5 * (e**2).sum(1), weights=w)) for what, (e, w) in errors.items() if len(e)}
    found = {"mean label": cross_entropy(given, mean, weights)}
    if len(now):
        counts = last.T @ (now if weights_now is None else weights_now[:, None] * now)  # how often each label follows each
        guess = last @ (counts / np.maximum(counts.sum(1, keepdims=True), 1e-300))
        found["guess from the last label"] = cross_entropy(now, guess, weights_now)
    return found


def cross_entropy(
    labels: Float[np.ndarray, "T n_out"], guess: Float[np.ndarray, "*T n_out"], weights: Float[np.ndarray, " T"] | None = None
) -> float:
    """Mean over steps, in nats; a guess of 0 counts only where the label is not."""
    return float(np.average(-(labels * np.log(np.where(labels > 0, guess, 1))).sum(1), weights=weights))
