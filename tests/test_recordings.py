"""Recordings: read from any kind of file, played by trials and passes, split, weighted; all against plain loops over rows."""

import itertools
import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oracles import small_net

from recredit.runs.request import request
from recredit.tasks import TASKS, Recorded

KEY = jax.random.key(3)
LENGTHS = [3, 1, 4, 2, 5, 3]
T = sum(LENGTHS)
EXACT = tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)  # earlier ones read a number of text but for its last bit
BEGINS = np.cumsum([0, *LENGTHS[:-1]])
START = np.isin(np.arange(T), BEGINS)
TRIALS = [tuple(range(begin, begin + length)) for begin, length in zip(BEGINS, LENGTHS)]
ROWS = np.arange(T)
READ = TASKS["recorded"]


def rows_played(task, cuts, key=KEY, number=0, streams=1):
    """The rows played by one of the parallel streams, read off the inputs; starts, weights and labels are those of the rows."""
    row_of = {int(row): i for i, row in enumerate(task.inputs[:, 0])}
    state, first, played = task.init(small_net(), key), 0, []
    if streams > 1:
        state = task.stream(state, jnp.array(number), streams)
    chunk = eqx.filter_jit(task.chunk)
    for length in cuts:
        state, sample = chunk(state, jnp.array(first), length)
        first += length
        rows = np.asarray(sample.x[:, 0]).astype(int)
        np.testing.assert_array_equal(sample.target[:, 0], 2.0 * rows)
        for array, given in ((sample.start, task.start), (sample.weight, task.weight)):
            assert (array is None and given is None) or np.array_equal(array, given[np.array([row_of[row] for row in rows])])
        played += rows.tolist()
    return played


def in_trials(rows):
    """The trials that some rows are, whole and in order."""
    cuts = [i for i, row in enumerate(rows) if row in BEGINS] + [len(rows)]
    assert cuts[0] == 0
    return [tuple(rows[a:b]) for a, b in itertools.pairwise(cuts)]


def test_a_recording_without_trials_or_weights_is_the_program_and_has_the_digest_that_it_always_had():
    task = Recorded(np.arange(24.0).reshape(12, 2), np.eye(2)[np.arange(12) % 2], "softmax")
    assert task.digest() == "aa2b6139ae5ad114"
    alone = task.init(small_net(), KEY)
    for state in (alone, task.stream(alone, jnp.array(1), 3)):
        program = jax.make_jaxpr(lambda state, start: task.chunk(state, start, 3))(state, jnp.array(0))
        assert [eqn.primitive.name for eqn in program.eqns].count("dynamic_slice") == 2
        assert "gather" not in str(program)
        assert task.chunk(state, jnp.array(0), 3)[1][2:] == (None, None, None)


@pytest.mark.parametrize("given", [{}, {"start": START, "weight": ROWS % 3}], ids=["plain", "trials"])
def test_passes_follow_each_other_in_order(given):
    task = Recorded(ROWS, 2 * ROWS, passes=3, **given)
    assert rows_played(task, [3 * T]) == [*range(T)] * 3
    assert rows_played(task, [1, T, 5, 2 * T - 6]) == [*range(T)] * 3
    assert (task.length(), task.length(4)) == (3 * T, 3 * (T // 4))
    with pytest.raises(
        ValueError, match=r"has 18 steps, fewer than the 55 asked for: it is played 3 times, so .* 54 steps, or"
    ):
        task.check(55)


def test_shuffled_passes_hold_each_trial_once_in_an_order_of_their_own_that_the_key_decides():
    task = Recorded(ROWS, 2 * ROWS, start=START, weight=ROWS % 3, passes=4, shuffle=True)
    rows = rows_played(task, [4 * T])
    passes = [in_trials(rows[p * T : (p + 1) * T]) for p in range(4)]
    assert all(sorted(each) == TRIALS for each in passes)
    assert len({tuple(each) for each in passes}) == 4
    assert rows == rows_played(task, [4 * T]) == rows_played(task, [1, 2, T, 40, 11]) == rows_played(task, [8] * 9)
    assert rows != rows_played(task, [4 * T], jax.random.key(4))
    firsts = jax.jit(jax.vmap(lambda key: task.chunk(task.init(small_net(), key), jnp.array(T), 1)[1].x[0, 0]))(
        jax.random.split(KEY, 600)
    )
    found, counts = np.unique(firsts, return_counts=True)
    np.testing.assert_array_equal(found, BEGINS)
    assert abs(counts - 100).max() < 40  # each of six trials begins the second pass as often


def test_parallel_streams_play_parts_of_each_pass_from_the_beginning_of_a_trial():
    share = T // 3
    plain = Recorded(ROWS, 2 * ROWS, passes=2)
    trials = Recorded(ROWS, 2 * ROWS, start=START, passes=2)
    for number in range(3):
        begin = number * share
        assert rows_played(plain, [5, 7], number=number, streams=3) == [*range(begin, begin + share)] * 2
        begin = max(row for row in BEGINS if row <= begin)
        assert rows_played(trials, [12], number=number, streams=3) == [*range(begin, begin + share)] * 2
    even = Recorded(ROWS, 2 * ROWS, start=ROWS // 3 + 1, passes=2, shuffle=True)
    parts = [rows_played(even, [4, 8], number=number, streams=3) for number in range(3)]
    for p in range(2):  # together the streams play each pass as the only stream would
        together = [row for part in parts for row in part[p * share : (p + 1) * share]]
        assert together == rows_played(even, [2 * T])[p * T : (p + 1) * T]
    uneven = Recorded(ROWS, 2 * ROWS, start=START, passes=9, shuffle=True)
    for number in range(5):
        assert {*rows_played(uneven, [27], number=number, streams=5)[::3]} <= {*BEGINS}  # parts of three rows


def test_starts_are_marks_or_the_numbers_of_trials():
    numbers = np.repeat([7, 8, 7, 9, 1, 2], LENGTHS)
    for start in (START, START.astype(int), numbers, numbers[:, None], pd.Series(numbers)):
        task = Recorded(ROWS, ROWS, start=start)
        np.testing.assert_array_equal(task.start, START)
        np.testing.assert_array_equal(task.begins, BEGINS)
        assert task.digest() == Recorded(ROWS, ROWS, start=START).digest()


def test_the_digest_sees_starts_and_weights():
    made = [{}, {"start": START}, {"start": START[::-1] | (ROWS == 0)}, {"weight": START}, {"weight": 1.0 * ROWS}]
    digests = {Recorded(ROWS, ROWS, **each).digest() for each in [*made, made[1] | made[3]]}
    assert len(digests) == 6
    settings = {"passes": 3, "shuffle": True, "part": "test", "split_seed": 4}  # which a run's own identity holds
    assert Recorded(ROWS, ROWS, start=START, **settings).digest() == Recorded(ROWS, ROWS, start=START).digest()


@pytest.mark.parametrize(("test", "apart"), [(0.2, 1), (0.5, 3), (0.75, 4)])
def test_a_split_keeps_whole_trials_apart_and_depends_on_its_seed_alone(test, apart):
    def trials(part, seed):
        task = Recorded(ROWS, 2 * ROWS, start=START, part=part, test=test, split_seed=seed)
        return in_trials(task.inputs[:, 0].tolist())

    tested = {seed: trials("test", seed) for seed in range(40)}
    for seed, found in tested.items():
        assert len(found) == apart
        assert sorted(found + trials("train", seed)) == TRIALS
        assert found == sorted(found) == trials("test", seed)
    assert {trial for found in tested.values() for trial in found} == {*TRIALS}


def test_a_split_without_trials_is_at_one_point_in_time():
    train, tested = (Recorded(ROWS, ROWS, part=part, test=0.25).inputs[:, 0].tolist() for part in ("train", "test"))
    assert (train, tested) == ([*range(14)], [14, 15, 16, 17])


def test_the_split_stays_what_it_is():
    task = Recorded(np.arange(40), np.arange(40), start=np.arange(40) // 2 + 1, part="test")
    assert task.inputs[::2, 0].tolist() == [0, 4, 10, 28]


def test_steps_without_a_label_have_no_weight_and_a_uniform_label():
    labels = np.eye(3)[ROWS % 3] * (ROWS % 4 > 0)[:, None]
    sample = Recorded(ROWS, labels, "softmax", weight=ROWS).chunk(Recorded(ROWS, ROWS).init(small_net(), KEY), jnp.array(0), T)[
        1
    ]
    given = ROWS % 4 > 0
    np.testing.assert_array_equal(sample.weight, ROWS * given)
    np.testing.assert_array_equal(sample.target, np.where(given[:, None], labels, 1 / 3))
    np.testing.assert_array_equal(Recorded(ROWS, labels, "softmax").weight, given)
    classes = Recorded(ROWS, ROWS % 3, "softmax")
    np.testing.assert_array_equal(classes.targets, np.eye(3)[ROWS % 3])
    assert classes.weight is None


@pytest.mark.parametrize("head", ["linear", "softmax"])
def test_levels_are_the_weighted_losses_of_guesses(head):
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 3, T) * 0.5
    labels = rng.dirichlet([1, 1, 1], T) if head == "softmax" else rng.normal(size=(T, 3))
    task = Recorded(ROWS, labels, head, weight=weight)

    def loss(label, guess):
        return -(label * np.log(guess)).sum() if head == "softmax" else 0.5 * ((label - guess) ** 2).sum()

    mean = sum(w * label for w, label in zip(weight, labels)) / weight.sum()
    of_mean = sum(w * loss(label, mean) for w, label in zip(weight, labels)) / weight.sum()
    pairs = [*itertools.pairwise(row for row in range(T) if weight[row] > 0)]
    follow = np.zeros((3, 3))
    for last, now in pairs:
        follow += weight[now] * np.outer(labels[last], labels[now])
    follow /= follow.sum(1, keepdims=True)
    guesses = {now: labels[last] @ follow if head == "softmax" else labels[last] for last, now in pairs}
    of_last = sum(weight[now] * loss(labels[now], guess) for now, guess in guesses.items()) / sum(
        weight[now] for now in guesses
    )
    np.testing.assert_allclose([*task.floors().values()], [of_mean, of_last], rtol=1e-12)
    in_trials = Recorded(ROWS, labels, head, weight=weight, start=START)  # where the last label may be the same answer
    assert in_trials.floors() == {"mean label": task.floors()["mean label"]}


def test_every_kind_of_file_gives_the_same_recording(tmp_path):
    rng = np.random.default_rng(2)
    x, y, weight = rng.normal(size=(T, 3)), rng.normal(size=(T, 2)), ROWS % 3
    wanted = Recorded(x, y, start=START, weight=weight)
    columns = {"trial": START.cumsum(), "note": ["text"] * T, "x1": x[:, 0], "y_a": y[:, 0], "x2": x[:, 1], "x_3": x[:, 2]}
    table = pd.DataFrame(columns | {"y_b": y[:, 1], "w": weight})
    table.to_csv(tmp_path / "data.csv", index=False)
    table.to_csv(tmp_path / "data.tsv", sep="\t")
    table.to_parquet(tmp_path / "data.parquet")
    time = ("time", np.arange(T), {"units": "seconds since 2020-01-01"})
    arrays = {name: ("time", array) for name, array in columns.items() if name != "note"}
    arrays |= {"y_a": ("time", y[:, 0], {"units": "ms"}), "y_b": ("time", y[:, 1], time[2]), "w": ("time", weight)}
    xr.Dataset(arrays, {"time": time}).to_netcdf(tmp_path / "data.nc")
    np.savez(tmp_path / "data.npz", x=x, y_a=y[:, 0], y_b=y[:, 1:], trial=START.cumsum(), w=weight)
    for kind in ("csv", "tsv", "parquet", "nc", "npz"):
        task = READ(str(tmp_path / f"data.{kind}"), "linear", "x", "y_a, y_b", "trial", "w")
        for which in ("inputs", "targets", "weight", "start"):
            found, right = (np.asarray(getattr(each, which), float) for each in (task, wanted))
            np.testing.assert_allclose(found, right, rtol=0 if EXACT else 1e-14)
        assert not EXACT or task.digest() == wanted.digest()
    np.savez(tmp_path / "named.npz", inputs=x, targets=y, start=START, weight=weight)
    assert READ(str(tmp_path / "named.npz")).digest() == wanted.digest()  # read by their own names
    table.to_csv(tmp_path / "own.csv", index=False, columns=["x1", "y_a"], header=["inputs", "targets"])
    assert READ(str(tmp_path / "own.csv")).weight is READ(str(tmp_path / "own.csv")).start is None


BAD = {
    "18 recorded inputs but 17 starts": {"start": START[1:]},
    "18 recorded inputs but 19 weights": {"weight": np.ones(19)},
    "starts must be 1 at step 0, .* count from 1": {"start": ROWS > 2},
    "starts are 1 at every step": {"start": np.ones(T)},
    "starts must be one column, not 2": {"start": np.ones((T, 2))},
    "starts hold nan at step 4": {"start": np.where(ROWS == 4, np.nan, START)},
    "starts are not an array of numbers: their type is <U": {"start": ROWS.astype(str)},
    "weights must be at least 0, not -1 as at step 0": {"weight": ROWS - 1.0},
    "weights are 0 everywhere": {"weight": 0 * ROWS},
    "the weight is 0 at every step of the part test": {"weight": ROWS < 5, "part": "test"},
    "the weight is 0 at every step": {"targets": np.eye(2)[ROWS % 2] * [1, 0], "weight": ROWS % 2, "head": "softmax"},
    "passes must be a whole number of at least 1, not 0": {"passes": 0},
    "shuffle plays trials in another order, but the recording has no trials": {"shuffle": True},
    r"the share of trials for testing must lie in \(0, 1\], not 0": {"test": 0},
    "a share of 0.01 of 6 trials for testing leaves 0 for testing and 6 for training": {
        "start": START,
        "test": 0.01,
        "part": "train",
    },
    "a share of 1 of 18 steps for testing leaves 18 for testing and 0 for training": {"test": 1, "part": "test"},
    "split_seed must be a whole number of at least 0": {"split_seed": -1},
}


@pytest.mark.parametrize("message", BAD)
def test_trials_weights_and_splits_that_make_no_sense_are_refused_in_a_sentence(message):
    with pytest.raises(ValueError, match=message) as caught:
        Recorded(**{"inputs": ROWS, "targets": ROWS} | BAD[message])
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


def test_a_trial_longer_than_the_stream_is_refused():
    task = Recorded(ROWS, ROWS, start=START)
    task.check(5)
    with pytest.raises(ValueError, match="the recording has a trial of 5 steps, longer than the stream of 4"):
        task.check(4)
    with pytest.raises(ValueError, match=r"the part train of the recording has 14 steps, fewer than the 18 asked for"):
        Recorded(ROWS, ROWS, part="train").check(18)


WRONG_FILES = {
    'data.csv has no column "z"; its columns: x1, x2, inputs, t, d, g.': (
        "x1,x2,inputs,t,d,g\n1,2,3,a,4,5\n",
        {"inputs": "x,z"},
    ),
    'data.csv has no column "X1"; its columns: x1. Name .* Did you mean "x1"': ("x1\n1\n", {"inputs": "X1"}),
    'data.csv has no column "weigth"; its columns: x, y, weight. Did you mean "weight"': (
        "x,y,weight\n1,2,3\n",
        {"weight": "weigth"},
    ),
    "data.csv's column x must hold numbers, or true and false, not .* such as 'b'": ("x,y\n1,2\nb,3\n", {}),
    "inputs hold nan at step 1, column 0": ("x,y\n1,2\n,3\n", {}),
    "data.csv cannot be read as CSV: its first line must name the columns, and holds the number 0.5": ("0.5,1\n1,2\n", {}),
    'its first line must name each column once, and has "x" 2 times': ("x,x,y\n1,2,3\n4,5,6\n", {}),
    "data.csv's column x has no rows": ("x,y\n", {}),
    "inputs must be a name in .*data.csv, or several with commas between them, not ''": ("x,y\n1,2\n", {"inputs": ""}),
    "data.csv cannot be read as CSV: its rows have more entries than its first line has names": ("x,y\n1,2,3\n4,5,6\n", {}),
    "data.csv cannot be read as CSV: Error tokenizing data. .*line 3": ("x,y\n1,2\n4,5,6\n", {}),
    "data.csv cannot be read as CSV: No columns": ("", {}),
    "data.csv cannot be read as CSV": (b"\xff\xfe\x00x,y", {}),
    "data.csv cannot be read: Is a directory": (None, {}),
    "data.nc cannot be read as netCDF": ("x,y\n1,2\n", {}),
    "data.parquet cannot be read as Parquet": ("x,y\n1,2\n", {}),
}


@pytest.mark.parametrize("message", WRONG_FILES)
def test_files_that_lack_something_are_refused_in_a_sentence(message, tmp_path):
    content, names = WRONG_FILES[message]
    file = tmp_path / re.match(r"(data\.\w+)?", message)[0].ljust(1, "?").replace("?", "data.csv")
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        READ(str(file), **{"inputs": "x", "targets": "y"} | names)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


def test_arrays_side_by_side_must_be_as_long_as_each_other(tmp_path):
    np.savez(tmp_path / "data.npz", a=ROWS, b=ROWS[1:], targets=ROWS, cube=np.ones((2, 2, 2)))
    with pytest.raises(ValueError, match="put side by side must be as long as each other, but b has 17 rows and a 18"):
        READ(str(tmp_path / "data.npz"), inputs="a,b")
    with pytest.raises(ValueError, match="cube has 0 rows"):
        READ(str(tmp_path / "data.npz"), inputs="a,cube")


def test_the_commands_of_the_page_on_data_are_asked_for(tmp_path, monkeypatch):
    page = (Path(__file__).parent.parent / "docs/data.md").read_text()
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {})
    commands = re.findall(r"^    \.venv/bin/recredit train --rule rflo --task recorded --set (.*)$", page, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        run = request(None, {"rule": "rflo", "task": "recorded"}, command.split()).runs["rflo"]
        assert run.steps == run.build_task().length() > 1000
