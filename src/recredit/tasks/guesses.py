"""The loss of the best guess of a learner that knows only a part of what a label depends on."""

import itertools
from collections.abc import Hashable, Iterable

import numpy as np


def guess_loss(cases: Iterable[tuple[float, tuple[float, ...], Hashable]], sd: float = 0.0) -> float:
    """Mean cross-entropy (nats) of the best guess.

    Each case is its chance (in any unit), the numbers that the learner knows in it, and the answer. With `sd` above 0 it sees
    each of these numbers through Gaussian noise of this standard deviation, of its own and known to the learner.
    """
    chances, known, answers = zip(*cases, strict=True)
    seen, row = np.unique(np.array(known, float), axis=0, return_inverse=True)
    column = np.array([[*dict.fromkeys(answers)].index(answer) for answer in answers])
    joint = np.zeros((len(seen), column.max() + 1))  # of what is known, and the answer
    np.add.at(joint, (row.ravel(), column), np.array(chances, float) / sum(chances))
    noise, weight = np.zeros((1, seen.shape[1])), np.ones(1)
    if sd > 0:
        axis = np.arange(-7, 7.01, 0.2)  # the trapezoidal rule is exact to many digits for what is smooth and ends in zeros
        noise = np.array([*itertools.product(axis, repeat=seen.shape[1])])
        weight = np.exp(-0.5 * (noise**2).sum(1))
        weight /= weight.sum()
    loss = 0.0
    for mean, chance in zip(seen, joint, strict=True):
        distance = (((mean - seen[:, None]) / max(sd, 1e-9) + noise) ** 2).sum(2)  # (seen, noise), in variances of the noise
        posterior = joint.T @ np.exp(-0.5 * (distance - distance.min(0)))
        posterior /= posterior.sum(0)
        loss -= sum(each * (weight @ np.log(p)) for each, p in zip(chance, posterior, strict=True) if each > 0)
    return float(loss)
