"""The tasks: labels recomputed from their own inputs, streams that do not depend on how they are cut, known loss floors."""

import itertools
import json
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oracles import small_net

from recredit.tasks import TASKS, Add, Mimic, Recorded

KEY = jax.random.key(3)
FLOORS = {"nothing learned": 0.6616, "t2 only": 0.6277, "t1 only": 0.5192, "both lags": 0.4545}


def played(task, cuts, key=KEY, net=None):
    """Inputs and labels of a stream asked for in chunks of the given lengths."""
    chunk = eqx.filter_jit(task.chunk)
    state, start, chunks = task.init(net or small_net(n_in=task.n_in, n_out=task.n_out, head=task.head), key), 0, []
    for length in cuts:
        state, (inputs, targets, *_) = chunk(state, jnp.array(start), length)
        chunks.append((inputs, targets))
        start += length
    return tuple(np.concatenate(arrays) for arrays in zip(*chunks, strict=True))


@pytest.mark.parametrize(("t1", "t2", "hold"), [(3, 5, 2), (2, 4, 1), (6, 1, 3), (0, 2, 2)])
def test_add_labels_are_the_weighted_sum_of_its_own_coins_at_the_true_lags(t1, t2, hold):
    inputs, targets = played(Add(t1, t2, hold), [120 * hold])
    held = inputs.reshape(120, hold, 2), targets.reshape(120, hold, 2)
    assert all(np.all(array == array[:, :1]) for array in held)
    x, y = held[0][:, 0, 0], held[1][:, 0, 0]
    assert set(x) == {0, 1}
    reach = max(t1, t2)
    expected = 0.5 + 0.5 * x[reach - t1 : 120 - t1] - 0.25 * x[reach - t2 : 120 - t2]
    np.testing.assert_array_equal(y[reach:], expected)
    np.testing.assert_array_equal(inputs.sum(1), 1)
    np.testing.assert_array_equal(targets.sum(1), 1)


def test_add_coins_before_the_first_step_are_drawn_and_not_wrapped_around():
    keys = jax.random.split(KEY, 400)
    coins, labels = jax.jit(jax.vmap(lambda key: Add(1, 2, 1).chunk(key, jnp.array(0), 12)[1][:2]))(keys)
    first = labels[:, 0, 0]
    assert set(np.asarray(first).tolist()) == {0.25, 0.5, 0.75, 1.0}
    wrapped = 0.5 + 0.5 * coins[:, -1, 0] - 0.25 * coins[:, -2, 0]
    assert abs(np.corrcoef(first, wrapped)[0, 1]) < 0.2
    assert abs(float(first.mean()) - 0.625) < 0.06


@pytest.mark.parametrize("task", [Add(), Add(1, 4, 3, "sampled"), Mimic(3, 2, 5), Mimic(3, 2, hold=3, p=0.2)], ids=str)
def test_chunks_of_any_size_are_one_stream(task):
    for whole, pieces in zip(played(task, [29]), played(task, [1, 1, 5, 1, 21]), strict=True):
        np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-14)


def test_add_never_repeats():
    inputs, _ = played(Add(hold=1), [4000])
    x = 2 * inputs[:, 0] - 1
    assert max(abs(np.mean(x[lag:] * x[:-lag])) for lag in range(1, 2000)) < 0.12


def test_sampled_labels_are_one_hot_and_average_to_the_deterministic_ones():
    keys = jax.random.split(KEY, 4000)

    def labels(kind):
        return jax.jit(jax.vmap(lambda key: Add(1, 2, 2, kind).chunk(key, jnp.array(0), 6)[1][:2]))(keys)

    (x, y), (x_sampled, sampled) = labels("deterministic"), labels("sampled")
    np.testing.assert_array_equal(x, x_sampled)
    np.testing.assert_array_equal(np.sort(sampled, axis=-1), np.broadcast_to([0.0, 1.0], y.shape))
    np.testing.assert_array_equal(sampled[:, ::2], sampled[:, 1::2])
    for level in (0.25, 0.5, 0.75, 1.0):
        drawn = sampled[..., 0][y[..., 0] == level]
        assert abs(float(drawn.mean()) - level) < 0.03
    assert not np.array_equal(sampled[:, 0], sampled[:, 2])


def conditional_entropy(y, *known):
    """Mean cross-entropy of guessing the label's mean within each group of equal `known` values."""
    total = 0.0
    for values in itertools.product((0, 1), repeat=len(known)):
        group = y[np.all([k == v for k, v in zip(known, values, strict=True)], axis=0)] if known else y
        if len(group):
            q = group.mean()
            total -= len(group) / len(y) * sum(p * np.log(p) for p in (q, 1 - q) if p > 0)
    return total


@pytest.mark.parametrize("labels", ["deterministic", "sampled"])
def test_add_floors_are_the_published_numbers_and_the_empirical_conditional_entropies(labels):
    task, T = Add(3, 5, 1, labels), 40_000
    assert {what: round(level, 4) for what, level in task.floors().items()} == FLOORS
    inputs, targets = played(task, [T])
    x1, x2, y = inputs[2 : T - 3, 0], inputs[: T - 5, 0], targets[5:, 0]
    empirical = [conditional_entropy(y, *known) for known in ((), (x2,), (x1,), (x1, x2))]
    np.testing.assert_allclose(list(task.floors().values()), empirical, atol=6e-3)


def test_add_with_equal_lags_has_only_the_floors_that_make_sense():
    task = Add(3, 3, 1)
    inputs, targets = played(task, [4000])
    floors = task.floors()
    assert list(floors) == ["nothing learned", "both lags"]
    empirical = [conditional_entropy(targets[3:, 0]), conditional_entropy(targets[3:, 0], inputs[:-3, 0])]
    np.testing.assert_allclose(list(floors.values()), empirical, atol=6e-3)


@pytest.mark.parametrize(("n_target", "activation"), [(None, "tanh"), (6, "relu")])
def test_mimic_targets_are_those_of_its_target_network(n_target, activation):
    task, net = Mimic(3, 2, n_target), small_net(n=4, n_in=3, n_out=2, alpha=0.3, activation=activation, head="linear")
    target = task.init(net, KEY).target
    assert target.n == (n_target or net.n)
    assert not np.array_equal(target.W_rec[:4, :4], net.W_rec)
    inputs, targets = played(task, [9, 31], net=net)
    W, phi = np.asarray(target.W), {"tanh": np.tanh, "relu": lambda v: np.maximum(v, 0)}[activation]
    r = np.zeros(target.n)
    for x, expected in zip(inputs, targets, strict=True):
        r = 0.7 * r + 0.3 * phi(W @ np.concatenate([r, x, [1.0]]))
        np.testing.assert_allclose(np.asarray(target.W_out) @ r + np.asarray(target.b_out), expected, rtol=0, atol=1e-13)


def test_mimic_draws_its_biases_and_holds_independent_coins_of_the_chance_p():
    task, net = Mimic(8, 8, 400, p=0.2), small_net(n_in=8, n_out=8, head="linear")
    target = task.init(net, KEY).target
    np.testing.assert_allclose(np.std(target.W[:, -1]), 0.1, rtol=0.15)
    inputs, _ = played(Mimic(8, 8, 4, p=0.2), [4000])
    np.testing.assert_array_equal(inputs[::2], inputs[1::2])
    np.testing.assert_allclose(inputs.mean(0), 0.2, atol=0.04)
    assert np.abs(np.corrcoef(inputs[::2].T) - np.eye(8)).max() < 0.1
    for p in (0, 1):
        assert np.all(played(Mimic(3, 2, 4, p=p), [9])[0] == p)


def test_data_depend_on_the_key_alone():
    first, again, other = (played(Add(), [200], key)[0] for key in (KEY, KEY, jax.random.key(4)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_recorded_plays_the_rows_once_in_order():
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(11, 3)), rng.normal(size=(11, 2))
    task = Recorded(inputs, targets)
    task.check(11)
    for given, got in zip((inputs, targets), played(task, [4, 1, 6]), strict=True):
        np.testing.assert_array_equal(got, given)
    with pytest.raises(ValueError, match=r"has 11 steps, fewer than the 12 asked for: .* ask for at most 11 steps"):
        task.check(12)
    with pytest.raises(ValueError, match=r"fewer than the 2 streams of 6 asked for: .* ask for at most 5 steps"):
        task.check(6, streams=2)
    with pytest.raises(ValueError, match="ask for at most 11 streams"):
        task.check(1, streams=12)
    assert (task.length(), task.length(2), Add().length(), Mimic().length()) == (11, 5, None, None)


GOOD = np.full((4, 2), 0.5)
DATES = np.array([["2020-01-01"], ["2020-01-02"], ["2020-01-03"], ["2020-01-04"]], "datetime64[D]")
BAD = {
    "nan at step 1, column 0": (np.array([[0, 0], [np.nan, 1]]), GOOD[:2]),
    "inf at step 0, column 1": (GOOD[:1], np.array([[0, np.inf]])),
    "4 recorded inputs but 3 targets": (GOOD, GOOD[:3]),
    r"must be a table .*, not \(2, 2, 1\)": (GOOD.reshape(2, 2, 2)[:, :, :1], GOOD),
    r"must be a table .*, not \(\)": (3.0, GOOD),
    r"at least one entry, not \(0, 2\)": (GOOD[:0], GOOD[:0]),
    "inputs are not an array of numbers: their type is <U3": ("abc", GOOD),
    "numbers: their type is <U1": ([["1", "2"]] * 4, GOOD),
    "targets are not an array of numbers": (GOOD, [[1, 2], [3]]),
    "numbers: their type is complex128": (GOOD * 1j, GOOD),
    r"numbers: their type is datetime64\[D\]": (DATES, GOOD),
    r"targets are not an array of numbers: their type is timedelta64\[D\]": (GOOD, DATES - DATES[0]),
    "numbers: their type is object": ([[None, 1]] * 4, GOOD),
    r"numbers: their type is \[\('x', '<f8'\)\]": (np.zeros((4, 1), [("x", float)]), GOOD),
    "inputs are masked at step 2, column 1": (np.ma.masked_array(GOOD, GOOD * [[0, 0], [0, 0], [0, 1], [0, 0]]), GOOD),
    "targets are masked at step 0, column 1": (GOOD, [np.ma.masked_array([1.0, 2.0], [False, True])] * 4),
    "entries of at least 0 that sum to 1, .* at step 0 the sum is 1.2": (GOOD, GOOD + 0.1, "softmax"),
    "labels that are distributions, .* the least entry -0.5": (GOOD, GOOD + np.array([-1, 1]), "softmax"),
    "numbers, 0, 1, 2 and so on, not 0.5 as at step 1; give weight 0": (GOOD, [0, 0.5, 1, 0], "softmax"),
    "numbers, 0, 1, 2 and so on, not -1 as at step 2": (GOOD, [0, 1, -1, 0], "softmax"),
    "class 0 is at no step, and the largest number is 2": (GOOD, [1, 2, 1, 2], "softmax"),
    "class 1 is at no step, and the largest number is 0": (GOOD, [0, 0, 0, 0], "softmax"),
    "0 everywhere": (GOOD, 0 * GOOD, "softmax"),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_recording_gives_one_clear_sentence(message):
    with pytest.raises(ValueError, match=message) as caught:
        Recorded(*BAD[message])
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


@pytest.mark.parametrize("kind", [pd.DataFrame, xr.DataArray, np.ma.masked_array, lambda x: x.tolist(), jnp.asarray])
def test_tables_of_any_library_are_read_and_their_gaps_refused(kind):
    np.testing.assert_array_equal(Recorded(kind(GOOD), kind(GOOD)).inputs, GOOD)
    with pytest.raises(ValueError, match="hold nan at step 3, column 0"):
        Recorded(kind(np.where([[0], [0], [0], [1]] * np.array([[1, 0]]), np.nan, GOOD)), GOOD)


def test_tables_with_missing_values_are_refused():
    for gaps in (pd.array([1, None, 2, 3], "Int64"), pd.DataFrame({"a": pd.array([1, None, 2, 3], "Int64")})):
        with pytest.raises(ValueError, match=r"(are masked|hold nan) at step 1, column 0|their type is object"):
            Recorded(gaps, GOOD)


def test_numbers_beyond_the_precision_are_refused_and_not_rounded_to_infinity():
    with jax.enable_x64(False):
        with pytest.raises(
            ValueError, match=r"targets hold 1e\+300, beyond the 3.4e\+38 that float32 holds, at step 1, column 1"
        ):
            Recorded(GOOD, np.where([[0, 0], [0, 1], [1, 1], [0, 0]], 1e300, 0))
        assert Recorded(GOOD, 1e38 * GOOD).targets.dtype == np.float32
    assert Recorded(GOOD, 1e300 * GOOD).targets.max() == 0.5e300


def test_one_dimension_is_one_column_and_truth_is_one():
    task = Recorded(np.arange(4), [True, False, False, True])
    np.testing.assert_array_equal(task.inputs, [[0], [1], [2], [3]])
    np.testing.assert_array_equal(task.targets, [[1], [0], [0], [1]])
    assert (task.n_in, task.n_out) == (1, 1)
    one_hot = Recorded(GOOD, np.eye(2, dtype=int)[[0, 1, 1, 0]], "softmax")
    np.testing.assert_array_equal(one_hot.targets[:, 0], [1, 0, 0, 1])


def test_the_digest_sees_values_and_shapes_and_not_the_precision():
    rows = np.random.default_rng(0).normal(size=(6, 4))
    digests = [Recorded(rows, y).digest() for y in (rows, rows + 1e-12, rows[:, :3], rows[:, 0])]
    digests += [Recorded(rows[:, :3], rows).digest(), Recorded(rows.reshape(12, 2), rows.reshape(12, 2)).digest()]
    assert len(set(digests)) == 6
    assert all(re.fullmatch("[0-9a-f]{16}", digest) for digest in digests)
    with jax.enable_x64(False):
        assert Recorded(rows, rows).digest() == digests[0]


def test_a_recording_is_read_from_a_file(tmp_path, monkeypatch):
    np.savez(tmp_path / "good.npz", inputs=GOOD, targets=GOOD)
    np.savez(tmp_path / "named.npz", x=GOOD, y=2 * GOOD)
    np.savez(tmp_path / "objects.npz", inputs=np.array([{}]), targets=GOOD)
    np.save(tmp_path / "one.npy", GOOD)
    for name in ("text.npz", "table.txt", "cells.mat"):
        (tmp_path / name).write_text(json.dumps([1]))
    read = TASKS["recorded"]
    np.testing.assert_array_equal(read(str(tmp_path / "good.npz"), "softmax").targets, GOOD)
    np.testing.assert_array_equal(read(str(tmp_path / "named.npz"), inputs="x", targets="y").targets, 2 * GOOD)
    monkeypatch.setenv("HOME", str(tmp_path))
    np.testing.assert_array_equal(read("~/named.npz", inputs="y", targets="x").inputs, 2 * GOOD)
    for name, message in {
        "named.npz": 'no array "inputs"; its arrays: x, y. Name the two that are meant, as in task.inputs=x task.targets=y.',
        "text.npz": "is not a NumPy .npz file",
        "objects.npz": "is not a NumPy .npz file of arrays of numbers",
        "none.npz": "No such file",
        "one.npy": "x = np.load('one.npy'); np.savez('one.npz', inputs=x[:, :-1], targets=x[:, -1:])",
        "table.txt": "x = np.loadtxt('table.txt')",
        "cells.mat": "x = scipy.io.loadmat('cells.mat')",
    }.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            read(str(tmp_path / name))
    with pytest.raises(ValueError, match=re.escape('no array "z"; its arrays: x, y.')):
        read(str(tmp_path / "named.npz"), inputs="x", targets="z")


def test_the_levels_of_a_recording_are_the_losses_of_these_guesses():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 2)).cumsum(0)
    levels = Recorded(y, y).floors()
    assert levels["repeat the last label"] == pytest.approx(
        np.mean([0.5 * ((y[t] - y[t - 1]) ** 2).sum() for t in range(1, 50)])
    )
    assert levels["mean label"] == pytest.approx(0.5 * y.var(0).sum())
    assert levels["repeat the last label"] < levels["mean label"] / 5
    assert Recorded(y[:1], y[:1]).floors() == {"mean label": 0}

    sticky = np.eye(3)[[0] * 30 + [1] * 30 + [0] * 10]  # a label is followed by itself but for two changes
    levels = Recorded(sticky[:, :1], sticky, "softmax").floors()
    assert levels["mean label"] == pytest.approx(-(40 * np.log(4 / 7) + 30 * np.log(3 / 7)) / 70)
    stays = 38 * np.log(38 / 39) + np.log(1 / 39) + 29 * np.log(29 / 30) + np.log(1 / 30)
    assert levels["guess from the last label"] == pytest.approx(-stays / 69)

    half = sticky.copy()
    half[::2] = 0  # no label: no loss
    masked = Recorded(sticky[:, :1], half, "softmax").floors()
    assert masked["mean label"] == pytest.approx(levels["mean label"])


def test_advice_is_given_for_numbers_far_from_one_only():
    rng = np.random.default_rng(0)
    near, labels = rng.normal(size=(100, 3)), np.eye(3)[rng.integers(0, 3, 100)]
    assert Recorded(near, near).advice() is None
    assert Recorded(near < -2, labels, "softmax").advice() is None  # rare spikes are 0 or 1 all the same
    assert Recorded(0 * near, near).advice() is None
    far = Recorded(near * [1, 30, 1], near * 1e-3).advice()
    assert re.match(
        r"The recording has inputs of root mean square \d+(\.\d)? in column 1 and targets of at most 0.00\d+, but networks", far
    )
    assert far.endswith("standardise it, for example (x - x.mean(0)) / x.std(0).")
    assert "inputs of root mean square 1e+03 in column 2" in Recorded(near + np.array([0, 0, 1000]), near).advice()
