"""Thousands of trials of each task: nothing but the stimuli tells the answer, and floors are what counting finds."""

from functools import lru_cache
from math import log, sqrt
from types import SimpleNamespace

import jax
import numpy as np
import pandas as pd
import pytest
from oracles import small_net
from test_trials import SHORT, played

from recredit.tasks import Context, Copy, Evidence, MatchToSample, Parity, Perceptual, Romo

TRIALS = 10_000
TASKS = {**SHORT, "romo": Romo(dt=100, fixation=0, noise=2)}
del TASKS["evidence"]  # as `rates`, with ten times as many inputs


@lru_cache
def drawn(name):
    """Inputs, epochs and trials of many steps; the answer of each trial, and the steps of each of its epochs."""
    task = TASKS[name]
    x, target, _, start, epoch = played(task, [sum(task.bounds) // 2 * TRIALS], task.init(small_net(), jax.random.key(5)))
    trial = np.cumsum(start) - 1
    whole = trial < trial[-1]
    x, target, start, epoch, trial = (array[whole] for array in (x, target, start, epoch, trial))
    lengths = np.zeros((trial[-1] + 1, len(task.epochs)), int)
    np.add.at(lengths, (trial, epoch), 1)
    last = np.append(np.flatnonzero(start)[1:], len(start)) - 1
    return SimpleNamespace(x=x, epoch=epoch, trial=trial, answer=target[last].argmax(1), lengths=lengths, start=start)


@pytest.mark.parametrize("name", TASKS)
def test_neither_timing_nor_the_trial_before_tells_the_answer(name):
    task, data = TASKS[name], drawn(name)
    size = len(data.answer)
    share = np.bincount(data.answer, minlength=task.n_out) / size
    np.testing.assert_allclose(share, 1 / task.n_out, atol=4 * sqrt(0.25 / size))
    told = [data.answer[:-1]]
    for lengths, (least, most) in zip(data.lengths.T, task.timing.values(), strict=True):
        assert set(lengths) == set(range(least, most + 1))
        if most > least:
            counts = np.bincount(lengths - least) / size
            np.testing.assert_allclose(counts, 1 / (most - least + 1), atol=4 * sqrt(0.25 / size))
            told += [lengths[1:], lengths[:-1]]
    assert len(told) == 3
    assert np.abs(np.corrcoef([data.answer[1:], *told]) - np.eye(4)).max() < 4.5 / sqrt(size)


def mean_of(data, epoch, column, steps=slice(None)):
    """Each trial's mean of an input over an epoch of constant length, or some of its steps."""
    rows = data.x[data.epoch == epoch][:, column]
    return rows.reshape(len(data.answer), -1)[:, steps].mean(1)


def counted(answer, *features):
    """Mean loss of the best guess from features of each trial: shares of answers, counted where features fall together."""
    count = 40 if len(features) == 1 else 12
    bins = [each if len(np.unique(each)) < count else pd.qcut(each, count, labels=False) for each in features]
    _, group = np.unique(np.stack([*bins, 0 * answer]), axis=1, return_inverse=True)
    joint = np.zeros((group.max() + 1, answer.max() + 1))
    np.add.at(joint, (group.ravel(), answer), 1 / len(answer))
    return -sum(p * log(p / row.sum()) for row in joint for p in row if p)


def floors_of_copy(task, data):
    shown = data.x[(data.epoch == 0)].argmax(1).reshape(-1, task.items, task.hold)[:, :, 0]
    return [np.mean([counted(shown[:, place], *shown[:, :k].T) for place in range(3)]) for k in range(4)]


def floors_of_parity(task, data):
    pulses = data.x[data.epoch == 0][:, 0].reshape(-1, 3, 3)[:, :, 0]
    return [counted(data.answer, *pulses[:, list(known)].T) for known in ((), (0, 2), (0, 1, 2))]


def floors_of_match_to_sample(task, data):
    sample, test = (np.argmax([mean_of(data, epoch, column) for column in (1, 2, 3)], axis=0) for epoch in (1, 3))
    assert counted(data.answer, sample) == pytest.approx(counted(data.answer, test), abs=2e-3)
    return [counted(data.answer, *known) for known in ((), (sample,), (sample, test))]


def floors_of_romo(task, data):
    f1, f2 = mean_of(data, 1, 1), mean_of(data, 3, 1)
    assert counted(data.answer, f1) == pytest.approx(counted(data.answer, f2), abs=0.02)
    return [counted(data.answer, *known) for known in ((), (f1,), (f1 - f2,))]


def floors_of_perceptual(task, data):
    last, whole = (mean_of(data, 1, 1, steps) - mean_of(data, 1, 2, steps) for steps in (slice(-1, None), slice(None)))
    return [counted(data.answer, *known) for known in ((), (last,), (whole,))]


def floors_of_context(task, data):
    first, second = (mean_of(data, 1, column) - mean_of(data, 1, column + 1) for column in (1, 3))
    context = data.x[data.start][:, 5:].argmax(1)
    last = [mean_of(data, 1, column, slice(-1, None)) - mean_of(data, 1, column + 1, slice(-1, None)) for column in (1, 3)]
    known = (), (first, second), (np.choose(context, last),), (np.choose(context, [first, second]),)
    return [counted(data.answer, *features) for features in known]


def floors_of_rates(task, data):
    x = data.x[data.epoch == 0].reshape(-1, 5, 6, 4).sum(2)
    right = (x[:, :, 1] > x[:, :, 0]).astype(int)
    return [counted(data.answer, *right[:, :k].T) for k in (0, 1, 3, 5)]


@pytest.mark.parametrize("name", TASKS)
def test_floors_are_the_losses_of_the_best_guesses_counted_over_many_trials(name):
    found = globals()[f"floors_of_{name}"](TASKS[name], drawn(name))
    np.testing.assert_allclose([*TASKS[name].floors().values()], found, atol=0.01)


PUBLISHED = {  # found by simulation, apart from this program
    Romo(noise=0): [log(2), 0.6 * log(2), 0],
    Perceptual(): [log(2), 0.570, 0.196],
    Perceptual(dt=100): [log(2), 0.414, 0.196],
    Context(): [log(2), 0.422, None, 0.131],
    Evidence(): [log(2), 0.586, 0.400, 0.227, 0],
    Evidence(likelier=0.5): [log(2), 0.644, None, None, 0],
    MatchToSample(5): [log(2), log(2), 0],
    Parity(4): [log(2), log(2), 0],
    Parity(40): [log(2), log(2), 0],  # as quickly, and in as little memory
    MatchToSample(3000): [log(2), log(2), 0],
    Copy(8, 1000): [log(8), 0.8 * log(8), 0.6 * log(8), 0.4 * log(8), 0.2 * log(8), 0],
    Evidence(cues=51): [log(2), None, None, None, None, 0],
    Copy(8, 2): [log(8), log(8) / 2, 0],
}


@pytest.mark.parametrize("task", PUBLISHED, ids=str)
def test_floors_are_the_known_numbers(task):
    for level, known in zip(task.floors().values(), PUBLISHED[task], strict=True):
        assert known is None or level == pytest.approx(known, abs=1.1e-3)
