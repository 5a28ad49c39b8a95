"""The loss of guesses that know only the labels."""

import numpy as np
from jaxtyping import Bool, Float

from recredit.network import Head


def levels(
    labels: Float[np.ndarray, "T n_out"],
    head: Head,
    weight: Float[np.ndarray, " T"] | None = None,
    start: Bool[np.ndarray, " T"] | None = None,
) -> dict[str, float]:
    """The mean loss, weighted as the steps are, of two guesses: the mean label, and what follows from the last one.

    For trials, only the first: within a trial the label often stays the same, so the second would say nothing.
    """
    scored = np.full(len(labels), True) if weight is None else weight > 0
    given, weights = labels[scored], None if weight is None else weight[scored]
    last, now, weights_now = given[:-1], given[1:], None if weights is None else weights[1:]
    mean, unbroken = np.average(given, 0, weights), start is None and len(now) > 0
    if head == "linear":
        errors = {"mean label": (given - mean, weights)}
        if unbroken:
            errors["repeat the last label"] = now - last, weights_now
        return {what: float(np.average(0.5 * (e**2).sum(1), weights=w)) for what, (e, w) in errors.items()}
    found = {"mean label": cross_entropy(given, mean, weights)}
    if unbroken:
        counts = last.T @ (now if weights_now is None else weights_now[:, None] * now)  # how often each label follows each
        guess = last @ (counts / np.maximum(counts.sum(1, keepdims=True), 1e-300))
        found["guess from the last label"] = cross_entropy(now, guess, weights_now)
    return found


def cross_entropy(
    labels: Float[np.ndarray, "T n_out"], guess: Float[np.ndarray, "*T n_out"], weights: Float[np.ndarray, " T"] | None = None
) -> float:
    """Mean over steps, in nats; a guess of 0 counts only where the label is not."""
    return float(np.average(-(labels * np.log(np.where(labels > 0, guess, 1))).sum(1), weights=weights))
