"""Flip-flop, cued sine and Mackey-Glass: rows from plain NumPy, any cut, parallel streams, floors by trying the guesses."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import small_net

from recredit.tasks import FlipFlop, MackeyGlass, Sine

KEY = jax.random.key(3)
TASKS = {
    "flip_flop": FlipFlop(2, 0.3),
    "sine": Sine(2, 5, 4, duration=600, dt=20),
    "mackey_glass": MackeyGlass(5, 30),
    "far": MackeyGlass(horizon=100),
}


@eqx.filter_jit
def chunk(task, state, start, length):
    return task.chunk(state, start, length)


def played(task, cuts, key=KEY, number=None):
    """The rows of a stream asked for in chunks of the given lengths."""
    state, first, samples = task.init(small_net(), key), 0, []
    if number is not None:
        state = task.stream(state, jnp.array(number), 3)
    for length in cuts:
        state, sample = chunk(task, state, jnp.array(first), length)
        first += length
        samples.append(sample)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *samples)


@pytest.mark.parametrize("name", TASKS)
def test_chunks_of_any_size_are_one_stream_and_parallel_streams_differ(name):
    task = TASKS[name]
    whole = played(task, [90])
    for other in (played(task, [1, 30, 1, 58]), played(task, [90], number=0)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), other, whole)
    others = [played(task, [90], number=1), played(task, [90], number=2), played(task, [90], jax.random.key(4))]
    assert len({sample.target.tobytes() for sample in (whole, *others)}) == 4


@pytest.mark.parametrize("p", [0.05, 0.3, 1.0])
def test_flip_flop_asks_for_the_last_pulse_of_each_channel(p):
    x, y = played(FlipFlop(3, p), [700, 1, 299])[:2]
    last = [None] * 3
    for t in range(1000):
        for channel in range(3):
            if x[t, channel] != 0:
                last[channel] = x[t, channel]
            assert y[t, channel] == last[channel]
    assert {*x.ravel()} <= {-1, 0, 1}
    assert abs((x[1:] != 0).mean() - p) < 0.03
    assert abs(x[x != 0].mean()) < 0.2


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_flip_flop_floors_are_the_losses_of_these_guesses(p):
    x, y = (array[100:, 0] for array in played(FlipFlop(1, p), [30_000])[:2])
    guesses = {"nothing learned": 0 * y, "this step": x, "last 10 steps": y * 0}
    for back in range(10):
        earlier = np.concatenate([np.zeros(back), x[: len(x) - back]])
        guesses["last 10 steps"] = np.where(guesses["last 10 steps"] == 0, earlier, guesses["last 10 steps"])
    losses = {what: 0.5 * ((y - guess) ** 2).mean() for what, guess in guesses.items()}
    trials = []
    for keep in np.arange(0, 1, 0.02):
        average, value = np.empty_like(x), 0.0
        for t, pulse in enumerate(x[:8000]):
            value = keep * value + pulse
            average[t] = value
        a, b = average[:8000], y[:8000]
        trials.append(0.5 * ((b - a * (a @ b) / (a @ a)) ** 2).mean())
    floors = FlipFlop(1, p).floors()
    for what, loss in (losses | {"best leaky average": min(trials)}).items():
        assert floors[what] == pytest.approx(loss, abs=0.01)
    assert {what: 3 * level for what, level in floors.items()} == pytest.approx(FlipFlop(3, p).floors())


def test_a_trial_of_sine_is_a_wave_of_the_frequency_that_its_cue_asks_for_scored_from_the_second_period_on():
    task = Sine(2, 5, 4, duration=600, dt=20)
    x, y, weight, start, epoch = played(task, [3000])
    assert {*epoch} == {0}
    cues = x.reshape(100, 30)
    assert (cues == cues[:, :1]).all()
    assert {*cues[:, 0]} == {0, 1 / 3, 2 / 3, 1}
    for t in range(3000):
        f = 2 + 3 * x[t, 0]
        seconds = 0.02 * (t % 30)
        assert start[t] == (t % 30 == 0)
        assert y[t, 0] == pytest.approx(np.sin(2 * np.pi * f * seconds), abs=1e-12)
        assert weight[t] == (f * seconds >= 1)
    y, weight = (array.reshape(1000, 30) for array in (played(task, [30_000])[k] for k in (1, 2)))
    scored = weight > 0
    common = [y[scored[:, k], k].mean() if scored[:, k].any() else 0 for k in range(30)]
    losses = [0.5 * (y[scored] ** 2).mean(), 0.5 * ((y - common)[scored] ** 2).mean()]
    assert list(task.floors().values()) == pytest.approx(losses, rel=0.01)


def series_by_loops(x0, tau, count):
    """Mackey-Glass from a constant past, all in plain floats."""

    def slope(x, delayed):
        return 0.2 * delayed / (1 + delayed**10) - 0.1 * x

    xs = [x0] * (10 * tau + 1)
    for _ in range(10 * count):
        x, d0, d1 = xs[-1], xs[-1 - 10 * tau], xs[-10 * tau]
        d = (d0 + d1) / 2
        k1 = slope(x, d0)
        k2 = slope(x + 0.05 * k1, d)
        k3 = slope(x + 0.05 * k2, d)
        k4 = slope(x + 0.1 * k3, d1)
        xs.append(x + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
    return np.array(xs[10 * tau + 10 :: 10])


def test_mackey_glass_is_the_series_of_a_plain_loop():
    x, y = played(MackeyGlass(6), [100])[:2]
    expected = (series_by_loops(float(jax.random.uniform(KEY, minval=0.5, maxval=1.5)), 17, 1106)[1000:] - 0.930) / 0.226
    np.testing.assert_allclose(x[:, 0], expected[:100], rtol=0, atol=1e-9)
    np.testing.assert_allclose(y[:, 0], expected[6:], rtol=0, atol=1e-9)


def test_mackey_glass_is_standardised_and_its_floors_are_known_levels_of_nmse():
    x = played(MackeyGlass(), [8000])[0]
    assert (abs(x.mean()), abs(x.std() - 1)) < (0.05, 0.03)
    levels = {6: (0.67, 0.137, 0.035), 15: (2.6, 0.44, 0.33)}  # no change, AR(2), AR(5)
    for horizon, known in levels.items():
        nmse = {what: 2 * level for what, level in MackeyGlass(horizon).floors().items()}
        assert nmse["mean"] == pytest.approx(1, abs=0.01)
        assert [nmse[what] for what in ("no change", "AR(2)", "AR(5)")] == pytest.approx(known, rel=0.03)


BAD = {
    "FlipFlop's bits must be a whole number of at least 1, not 0": lambda: FlipFlop(0),
    "FlipFlop's p must lie in (0, 1], not 0": lambda: FlipFlop(p=0),
    "MackeyGlass's horizon must be a whole number of at least 1": lambda: MackeyGlass(0),
    "MackeyGlass's tau must be a whole number of at least 1": lambda: MackeyGlass(tau=0.5),
    "must rise from lowest to highest, and the highest be below 50 Hz, half of one over dt, not 3 and 2 Hz": lambda: Sine(3, 2),
    "be below 50 Hz, half of one over dt, not 1 and 50 Hz": lambda: Sine(1, 50),
    "more than a period of its lowest frequency, 1000 ms, since the first": lambda: Sine(duration=1000),
    "Sine's values must be a whole number of at least 2": lambda: Sine(values=1),
}


@pytest.mark.parametrize("message", BAD)
def test_settings_that_make_no_task_are_refused_in_a_sentence(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        BAD[message]()
