"""What is recorded on the way is what the steps were, whatever interrupts the run, and changes nothing."""

import errno
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from commands import refused
from test_trained import computed

from recredit import TASKS, load, train
from recredit.registry import resolve_network, resolve_rule
from recredit.runs import checkpoint, recorded, work
from recredit.runs.files import read_dataset, reserve, write_dataset
from recredit.runs.identity import Cell
from recredit.runs.origin import request_from
from recredit.runs.recorded import path_of, recording_of
from recredit.runs.settings import Run
from recredit.runs.store import missing, read_recorded
from recredit.studies.comparison import combined
from recredit.training import sizes
from recredit.training.recording import RECORDED
from recredit.training.step import Trainer

TABLE = {"rule": "rflo", "task": "add", "network": {"n": 4}, "steps": 50, "bin": 20, "optimizer": {"learning_rate": 0.1}}
RECORD = {"r": 7, "W": "bin"}


def by_hand(trainer, seed, steps):
    """Every quantity at each of a seed's steps, made one by one."""
    learner = trainer.start(seed)
    _, sample = trainer.chunk(learner.stream, jnp.array(0), steps)
    step = jax.jit(lambda *given: trainer.stepped(*given))
    rows = []
    for t in range(steps):
        now = jax.tree.map(lambda a, t=t: a[t], sample)
        before = learner
        learner, _, (G, *_) = step(learner, t, now._replace(epoch=None))
        s = learner.s if trainer.streams > 1 else learner.s[None]
        own = {name: getattr(now, name) for name in ("x", "target", "weight", "start", "epoch")}
        own |= {"s": learner.s, "r": jnp.stack([before.net.rates(each) for each in s]), "G": G}
        own |= {"z": jnp.stack([before.net.W_out @ before.net.out(each) + before.net.b_out for each in s])}
        own |= {name: getattr(learner.net, name) for name in ("W", "W_out", "b_out")}
        rows.append({name: np.asarray(value) for name, value in own.items() if value is not None})
    return rows


CASES = {
    "the paper's network": ("rflo", "add", {"n": 3}, 1),
    "sums of windows, trials and streams": ({"name": "e_bptt", "window": 7}, "copy", {"n": 2}, 2),
}


@pytest.mark.parametrize("what", [*[*CASES][:1], pytest.param([*CASES][1], marks=pytest.mark.slow)])
def test_rows_are_what_the_steps_were(what, monkeypatch):
    monkeypatch.setattr(sizes, "SEGMENT", 10)  # so that calls begin and end within intervals
    rule, task, network, streams = CASES[what]
    there = [name for name in RECORDED if task == "copy" or name not in ("weight", "start", "epoch")]
    record = dict(zip(there, [1, 3, 7, 10, 13, "bin", 50, 100, 4, 2, 6, 5]))
    settings = {"network": network, "steps": 50, "bin": 20, "streams": streams, "optimizer": 0.1, "seeds": [2, 5]}
    data = train(rule, task, record=record, **settings)
    trainer = Trainer(
        (resolve_rule(rule),),
        TASKS[task](),
        resolve_network(network),
        optax.sgd(0.1),
        streams,
        record={"epoch": 1} if task == "copy" else None,
    )
    for place, seed in enumerate([2, 5]):
        steps = by_hand(trainer, seed, 50)
        for name, every in record.items():
            found, every = data[f"recorded_{name}"][place], 20 if every == "bin" else every
            ends = [*range(every, 50, every), 50]
            assert found[found.dims[0]].values.tolist() == ends
            wanted = np.stack([steps[end - 1][name] for end in ends])
            np.testing.assert_allclose(found.values, wanted.reshape(found.shape), rtol=1e-10, atol=1e-12, err_msg=name)
    plain = train(rule, task, **settings)
    for name, variable in plain.data_vars.items():
        np.testing.assert_array_equal(variable, data[name])
    assert data.recorded_W.dims[:2] == ("seed", "step" if record["W"] in (20, "bin") else f"step_{record['W']}")


def test_every_dimension_and_variable_says_what_it_is():
    table = {"task": "copy", "network": {"n": 2, "units": "lstm"}, "streams": 3, "record": dict.fromkeys(RECORDED, 10)}
    recording = recording_of(Run.create(TABLE | table))
    assert recording.dims("s") == ("step_10", "stream", "state")
    assert recording.dims("W") == recording.dims("G") == ("step_10", "voltage", "source")
    assert recording.shape("r") == (5, 3, 2)
    assert recording.attributes("epoch")["flag_meanings"].split() == [*TASKS["copy"]().epochs]
    assert recording.attributes("epoch")["flag_values"].dtype == np.int16  # that of the variable, as CF has it
    assert all(recording.attributes(name)["long_name"] for name in RECORDED)
    assert recording.coordinates()["state"][1] == ["unit 0: h", "unit 1: h", "unit 0: c", "unit 1: c"]


def test_what_comes_after_a_seed_has_diverged_is_missing():
    settings = {"network": {"n": 2}, "optimizer": 1e30, "steps": 40, "seeds": 2}
    data = train("rflo", "mimic", record={"x": 5, "r": 1, "G": 40}, **settings)
    at = int(data.diverged_at[0])
    assert 4 < at < 30
    assert np.isnan(data.recorded_G[0]).all()
    assert (np.isfinite(data.recorded_x[0]).all("input") == (data.step_5 <= at + 1)).all()
    assert np.isfinite(data.recorded_r[0, : at - 1]).all()
    assert np.isnan(data.recorded_r[0, at + 1 :]).all()


def run_of(**table):
    return Run.create(TABLE | {"record": RECORD} | table)


def recorded_in(folder, run, seeds=(0, 3)):
    _, large = read_recorded(folder, {"mine": run}, seeds)
    found = {}
    for name, each in large.items():
        found[name] = np.empty(each.shape, each.dtype)
        for place, part in each.parts():
            found[name][place] = part
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return computed(tmp_path_factory.mktemp("whole"), {"mine": run_of()}, [0, 3])


def test_on_the_disk_it_is_as_in_memory_and_loaded_without(folder):
    data = train("rflo", "add", network={"n": 4}, steps=50, bin=20, seeds=[0, 3], optimizer=0.1, record=RECORD)
    found = recorded_in(folder, run_of())
    for name in ("recorded_r", "recorded_W"):
        np.testing.assert_array_equal(found[name][0], data[name])
    assert [*load(folder)["mine"]] == [0, 3]


def test_run_nc_holds_it_as_memory_does_and_is_read_without(folder, tmp_path):
    data = train("rflo", "add", network={"n": 4}, steps=50, bin=20, seeds=[0, 3], optimizer=0.1, record=RECORD)
    coordinates, large = read_recorded(folder, {"mine": run_of()}, [0, 3])
    losses, file = combined(folder, {"mine": run_of()}, [0, 3]), tmp_path / "run.nc"
    write_dataset(file, losses.assign_coords(coordinates), large)
    with xr.open_dataset(file) as found:
        for name in ("recorded_r", "recorded_W"):
            xr.testing.assert_identical(found[name].sel(rule="mine", drop=True), data[name])
    assert not {"step_7", "recorded_r"} & set(read_dataset(file).variables)


def test_on_the_disk_too_what_comes_after_a_seed_has_diverged_is_missing(tmp_path):
    settings = {"network": {"n": 2}, "optimizer": {"name": "sgd", "learning_rate": 1e30}, "steps": 40, "record": {"x": 5}}
    right = train("rflo", "mimic", seeds=[0, 3], **settings)
    run = Run.create({"rule": "rflo", "task": "mimic", **settings})
    found = recorded_in(computed(tmp_path, {"mine": run}, [0, 3]), run)["recorded_x"][0]
    assert np.isnan(found).any()
    np.testing.assert_array_equal(found, right.recorded_x)


@pytest.mark.parametrize("calls", [1, 3, 5])
def test_cut_off_after_any_call_it_ends_bit_identically(calls, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sizes, "SEGMENT", 10)
    monkeypatch.setattr(checkpoint, "EVERY", 0)
    keep, told = work.Recorder.keep, []

    def stop(self, *given):
        told.append(given)
        if len(told) == 2 * calls:  # when the call is half recorded
            raise KeyboardInterrupt
        keep(self, *given)

    monkeypatch.setattr(work.Recorder, "keep", stop)
    with pytest.raises(KeyboardInterrupt):
        computed(tmp_path, {"mine": run_of()}, [0, 3])
    computed(tmp_path, {"mine": run_of()}, [0, 3])
    right = recorded_in(folder, run_of())
    assert all(found.tobytes() == right[name].tobytes() for name, found in recorded_in(tmp_path, run_of()).items())


def test_without_room_for_all_rows_nothing_stays_behind(tmp_path, monkeypatch):
    def full(file, size):
        if size > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        reserve(file, size)

    monkeypatch.setattr(recorded, "reserve", full)
    with pytest.raises(ValueError, match=r"no space left in \S+ to write W\.npy"):
        computed(tmp_path, {"mine": run_of(record={"r": 50, "W": 1})}, [0, 3])
    assert not [*tmp_path.rglob("*.npy")]


SPOILT = {
    "another byte": lambda file: file.write_bytes(file.read_bytes()[:-1] + b"x"),
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "gone": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "of another size": lambda file: np.save(file, np.zeros((1, 4), np.float64)),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a pipe": lambda file: (file.unlink(), os.mkfifo(file)),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_damaged_is_told_and_computed_anew(what, folder, tmp_path):
    computed(tmp_path, {"mine": run_of()}, [0, 3])
    SPOILT[what](path_of(tmp_path, Cell(run_of(), 3).file, "r"))
    said = []
    left = missing(tmp_path, {"mine": run_of()}, [0, 3], said.append)
    if what == "another byte":  # seen when it is read
        with pytest.raises(ValueError, match=r"is damaged: the checksum of \S+/r.npy is wrong; .*to compute it again"):
            recorded_in(tmp_path, run_of())
        left = missing(tmp_path, {"mine": run_of()}, [0, 3], said.append)
    else:
        assert re.search(r"Damaged in .*r\.npy", said[0])
    assert left == {"mine": [3]}
    computed(tmp_path, {"mine": run_of()}, [0, 3])
    right = recorded_in(folder, run_of())
    assert all(found.tobytes() == right[name].tobytes() for name, found in recorded_in(tmp_path, run_of()).items())


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_a_continued_run_has_what_was_recorded_before(tmp_path, monkeypatch):
    first = computed(tmp_path / "first", {"mine": run_of(steps=40)}, [0, 3])
    asked, seeds, _ = request_from(str(first), {"steps": 15}, [])
    with monkeypatch.context() as now:
        now.setattr(recorded, "_before", interrupted)  # when the file is there, and empty
        with pytest.raises(KeyboardInterrupt):
            computed(tmp_path / "again", asked.runs, seeds)
    again = computed(tmp_path / "again", asked.runs, seeds)
    whole = computed(tmp_path / "whole", {"mine": run_of(steps=55)}, [0, 3])
    right, found = recorded_in(whole, run_of(steps=55)), recorded_in(again, asked.runs["mine"])
    assert all(found[name].tobytes() == right[name].tobytes() for name in right)
    asked, seeds, told = request_from(str(first), {"steps": 15, "record": ("r:every=7", "z:every=1")}, [])
    assert told.startswith("Continues")
    other = recorded_in(computed(tmp_path / "other", asked.runs, seeds), asked.runs["mine"])
    assert other["recorded_r"].tobytes() == right["recorded_r"].tobytes()
    assert np.isnan(other["recorded_z"][:, :, :40]).all()
    assert np.isfinite(other["recorded_z"][:, :, 40:]).all()


REFUSED = {
    ("q:every=1",): r"'q' cannot be recorded; what can: x, target, .*",
    ("rr:every=1",): r'.*Did you mean "r"\?',
    ("r",): r"'r' does not say what to record, and how often; write r:every=100, or W:every=bin\.",
    ("r:100",): r"'r:100' does not say .*",
    ("r:evry=100",): r"'r:evry=100' does not say .*",
    ("r:every=0",): r"the number of steps after which r is recorded must be a whole number of at least 1, not 0\.",
    ("r:every=2.5",): r".*, not 2\.5\.",
    ("r:every=true",): r".*, not True\.",
    ("r:every=bins",): r"r is recorded after every so many steps, or every \"bin\", not 'bins'\.",
    ("r:every=1", "r:every=2"): r"record\.r is given twice, as 1 and as 2; give it once\.",
    ("epoch:every=1",): r"epoch cannot be recorded: the task names no epochs\.",
}


@pytest.mark.parametrize("given", REFUSED)
def test_what_cannot_be_recorded_is_refused_in_a_sentence(given, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = refused(capfd, "train", "--rule", "rflo", "--task", "add", "--record", *given)
    assert re.fullmatch(f"recredit: {REFUSED[given]}\n", said)


def test_starts_are_none_where_trials_do_not_count():
    with pytest.raises(ValueError, match="start cannot be recorded: the task has no trials that start"):
        train("rflo", "copy", steps=30, across_trials=True, record={"start": 1})


@pytest.mark.parametrize("given", ["r", ["r"], {1: 2}, {"r": None}, {"r": -1}, {"r": "100"}])
def test_tables_that_are_none_are_refused(given):
    with pytest.raises(ValueError, match=r"record|cannot be recorded"):
        train("rflo", "add", steps=20, record=given)


PEAK = """
import resource, sys
from pathlib import Path
from recredit.runs.files import writable_folder
from recredit.runs.files import reserve
from recredit.runs.identity import Cell
from recredit.runs.plan import Job
from recredit.runs.settings import Run
from recredit.runs.work import work
record, steps = sys.argv[1:]
run = Run.create({"rule": "rflo", "task": "add", "steps": int(steps), "record": {"r": 1, "s": 1} if record == "all" else {}})
work(Job(writable_folder(Path("out")), (Cell(run, 0),), ("a",), 1.0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_what_is_recorded(tmp_path):
    def peak(record, steps):
        told = subprocess.run([sys.executable, "-c", PEAK, record, str(steps)], cwd=tmp_path, capture_output=True, check=True)
        return float(told.stdout)

    assert peak("all", 1_000_000) < peak("none", 1_000_000) + 50  # MB, where 256 are recorded
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.npy")) > 256e6
