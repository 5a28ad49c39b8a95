"""Tasks of trials: rows retraced step by step in NumPy, timing and answers that give nothing away, floors found by counting."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import small_net

from recredit.tasks import Context, Copy, Evidence, MatchToSample, Parity, Perceptual, Romo

KEY = jax.random.key(3)
SHORT = {
    "copy": Copy(3, 3, 2, shortest_delay=0, longest_delay=4),
    "parity": Parity(3, hold=2, shortest_delay=0, longest_delay=3, decision=2),
    "match_to_sample": MatchToSample(3, dt=100),
    "romo": Romo(dt=100, fixation=0),
    "perceptual": Perceptual(dt=100),
    "context": Context(dt=100),
    "evidence": Evidence(cues=3, dt=25, shortest_delay=100, longest_delay=200),
    "rates": Evidence("rates", cues=5, dt=25, shortest_delay=100, longest_delay=200),
}


@eqx.filter_jit
def chunk(task, state, length):
    return task.chunk(state, jnp.array(0), length)


def played(task, cuts, state):
    """The rows of a stream asked for in chunks of the given lengths."""
    samples = []
    for length in cuts:
        state, sample = chunk(task, state, length)
        samples.append(sample)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *samples)


def answer_and_inputs(task, trial, epoch, step, key):
    """The answer, and the inputs of one step, by what the task's file says of them."""
    quiet = 0.0 if epoch in ("decision", "recall") else 1.0
    sd = getattr(task, "noise", 0) / np.sqrt(getattr(task, "dt", 1))
    if isinstance(task, Copy):
        symbol = int(trial[step // task.hold])
        shown = {"list": symbol, "delay": task.symbols, "recall": task.symbols + (step < task.hold)}[epoch]
        return symbol, np.eye(task.symbols + 2)[shown]
    if isinstance(task, Parity):
        each, within = divmod(step, task.hold + task.gap)
        pulse = (1 if trial[each] else -1) if epoch == "pulses" and within < task.hold else 0
        return np.count_nonzero(trial) % 2, np.array([pulse, 1 - quiet])
    if isinstance(task, MatchToSample):
        x, noise = np.zeros(task.directions), np.array(jax.random.normal(key, (task.directions,)))
        if epoch in ("sample", "test"):
            there = 2 * np.pi * int(trial[0 if epoch == "sample" else 1]) / task.directions
            x = (
                np.array([0.5 * np.cos(2 * np.pi * i / task.directions - there) + 0.5 for i in range(task.directions)])
                + sd * noise
            )
        return int(trial[0] == trial[1]), np.array([quiet, *x])
    if isinstance(task, Romo):
        v = {"f1": trial[0], "f2": trial[1]}.get(epoch)
        x = 0 if v is None else (1 + (int(v) - 10) / 24) / 2 + sd * float(jax.random.normal(key))
        return int(trial[1] > trial[0]), np.array([quiet, x])
    if isinstance(task, Perceptual):
        answer, coherence = int(trial[0]), float(trial[1])
        sign = np.array([1, -1]) if answer == 0 else np.array([-1, 1])
        x = 0.5 + sign * coherence / 200 + sd * np.array(jax.random.normal(key, (2,)))
        return answer, np.array([quiet, *(x if epoch == "stimulus" else 0 * x)])
    if isinstance(task, Context):
        x, cue = np.zeros(4), np.zeros(2)
        noise, context = np.array(jax.random.normal(key, (4,))), int(trial["context"])
        if epoch == "stimulus":
            for k, (answer, coherence) in enumerate(zip(trial["answers"], trial["coherences"], strict=True)):
                x[2 * k + int(answer)] += float(coherence) / 200
                x[2 * k + 1 - int(answer)] -= float(coherence) / 200
            x = x + 0.5 + sd * noise
        if epoch in ("fixation", "stimulus"):
            cue[context] = 1
        return int(trial["answers"][context]), np.array([quiet, *x, *cue])
    cue, period = int(task.cue / task.dt), int(task.cue / task.dt) + int(task.pause / task.dt)
    rates = np.array([0, 0, 40 if epoch == "recall" else 0, 10.0])
    if epoch == "cues" and step % period < cue:
        rates[1 if trial[step // period] else 0] = 40
    mean = rates * task.dt / 1000
    answer = int(2 * np.count_nonzero(trial) > len(trial))
    if task.inputs == "spikes":
        return answer, np.array(jax.random.uniform(key, (40,))) < np.repeat(mean, 10)
    noise = np.array(jax.random.normal(key, (4,)))
    return answer, (10 * mean + np.sqrt(10 * mean) * noise) / (10 * 40 * task.dt / 1000)


@pytest.mark.parametrize("name", SHORT)
def test_every_step_is_what_a_walk_through_its_trial_finds_it_to_be(name):
    task = SHORT[name]
    state = task.init(small_net(), KEY)
    rows = iter(zip(*played(task, [97], state), strict=True))
    for number in range(2):
        times, draws, steps = jax.random.split(jax.random.fold_in(KEY, number), 3)
        least, most = np.array([*task.timing.values()]).T
        lengths = jax.random.randint(times, least.shape, least, most + 1)
        trial, t = task.draw(draws), 0
        for index, (epoch, length) in enumerate(zip(task.epochs, lengths.tolist(), strict=True)):
            for step in range(length):
                x, target, weight, start, told = next(rows)
                answer, expected = answer_and_inputs(task, trial, epoch, step, jax.random.fold_in(steps, t))
                scored = index == len(lengths) - 1
                np.testing.assert_allclose(x, expected, rtol=0, atol=1e-13)
                np.testing.assert_array_equal(target, np.eye(task.n_out)[answer] if scored else 1 / task.n_out)
                assert (weight, start, told) == (scored, t == 0, index)
                t += 1


@pytest.mark.parametrize(
    "name", [name if name in ("copy", "romo") else pytest.param(name, marks=pytest.mark.slow) for name in SHORT]
)
def test_a_stream_of_trials_is_the_same_however_it_is_cut(name):
    task = SHORT[name]
    state = task.init(small_net(), KEY)
    whole, pieces = (played(task, cuts, state) for cuts in ([97], [1, 40, 1, 1, 1, 1, 1, 40, *[1] * 11]))
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-14)
