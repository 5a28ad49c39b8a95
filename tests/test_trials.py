"""Tasks of trials: rows retraced step by step in NumPy, timing and answers that give nothing away, floors found by counting."""

import re

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


def test_parallel_streams_have_trials_of_their_own_and_the_first_those_of_the_only_one():
    task = SHORT["romo"]
    only = task.init(small_net(), KEY)
    first, second, third = (played(task, [97], task.stream(only, jnp.array(number), 3)) for number in range(3))
    for one, other in zip(first, played(task, [97], only), strict=True):
        np.testing.assert_array_equal(one, other)
    shown = [np.flatnonzero(each.x[:, 1])[0] for each in (first, second, third)]
    assert len({float(each.x[step, 1]) for each, step in zip((first, second, third), shown, strict=True)}) == 3
    assert len({tuple(np.flatnonzero(each.start)) for each in (first, second, third)}) > 1


def test_a_stream_too_short_for_a_trial_is_refused():
    task = Romo()
    task.check(task.bounds[1])
    sentence = (
        "Romo's longest trial has 150 network steps, but the stream has only 149; take a longer stream or shorter epochs."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        task.check(task.bounds[1] - 1)


def test_times_are_whole_steps_rounded_down():
    assert Romo(dt=30).timing == {"fixation": (16, 16), "f1": (16, 16), "delay": (20, 46), "f2": (16, 16), "decision": (3, 3)}
    assert Perceptual(dt=0.1, decision=0.3).timing["decision"] == (3, 3)
    assert Romo(fixation=0, shortest_delay=0, longest_delay=0).bounds == (55, 55)
    assert Evidence(cue=19, pause=0, dt=2).timing["cues"] == (63, 63)


REFUSED = {
    "Romo's f1 must last at least one step of dt = 20 ms, not 10 ms.": lambda: Romo(stimulus=10),
    "Romo's stimulus must lie in (0, inf), not 0.": lambda: Romo(stimulus=0),
    "Romo's dt must lie in (0, inf), not 0.": lambda: Romo(dt=0),
    "Romo's noise must lie in [0, inf), not -1.": lambda: Romo(noise=-1),
    "Romo's shortest delay must have at most as many steps as its longest, 70, not 100.": lambda: Romo(shortest_delay=2000),
    "Copy's shortest delay must have at most as many steps as its longest, 3, not 9.": lambda: Copy(
        shortest_delay=9, longest_delay=3
    ),
    "Context's longest trial, in steps, must be at most 2,147,483,647, not 50000000057.": lambda: Context(longest_delay=1e12),
    "MatchToSample's directions must be a whole number of at least 2, not 1.": lambda: MatchToSample(1),
    "Evidence's cues must be an odd number, for one side to have more, not 4.": lambda: Evidence(cues=4),
    "Evidence's rate must be at most one spike a step, 1000 Hz, not 2000 Hz.": lambda: Evidence(rate=2000),
    "Evidence's likelier must lie in [0.5, 1], not 0.3.": lambda: Evidence(likelier=0.3),
    "Evidence's cue must last at least one step of dt = 1 ms, not 0.5 ms.": lambda: Evidence(cue=0.5),
    'Evidence\'s inputs "spike" is unknown; allowed: spikes, rates. Did you mean "spikes"?': lambda: Evidence("spike"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_settings_that_no_trial_can_have_are_refused_in_one_sentence(sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        REFUSED[sentence]()
