"""Runs that begin with another one: continued they equal one longer run; else the weights are what they have from it."""

import re

import numpy as np
import optax
import pytest
import xarray as xr
from test_trained import computed

from recredit import RULES, load
from recredit.network import Network
from recredit.runs import states, work
from recredit.runs.checkpoint import Keeper
from recredit.runs.ending import StoppedError
from recredit.runs.identity import Cell
from recredit.runs.origin import request_from
from recredit.runs.record import read_record
from recredit.runs.settings import Run
from recredit.tasks import Add
from recredit.training import carried
from recredit.training.step import Trainer

TABLE = {"task": "add", "network": {"n": 4}, "steps": 40, "bin": 20, "optimizer": {"name": "sgd", "learning_rate": 0.1}}
WEIGHTS = ("W", "W_out", "b_out")


def run_of(rule, **table):
    return Run.create(TABLE | {"rule": rule} | table)


def begun(run, out, *settings, **options):
    """The folder of `recredit train --from`."""
    asked, seeds, _ = request_from(str(run), options, settings)
    return computed(out, asked.runs, seeds)


def data_in(folder):
    return xr.load_dataset(folder / "run.nc").drop_vars("seconds").drop_attrs()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two rules that share a program."""
    runs = {"slow": run_of({"name": "dni", "rate": 0.01}), "fast": run_of({"name": "dni", "rate": 0.1})}
    return computed(tmp_path_factory.mktemp("first"), runs, [0, 1, 4])


LONGER = {
    "stochastic": ("uoro", {"optimizer": {"name": "adam", "learning_rate": 0.01}}),
    "a clock": ("rtrl_block", {"streams": 2}),
    "delayed": ({"name": "f_bptt", "window": 5}, {"observers": {"exact": "rtrl"}}),
    "once a window": ({"name": "e_bptt", "window": 7}, {"streams": 2}),
    "trials": ("rtrl", {"task": "copy", "steps": 100, "bin": 50}),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", LONGER)
def test_continued_it_equals_one_run_of_the_sum(what, tmp_path):
    rule, table = LONGER[what]
    run = run_of(rule, **table)
    first = computed(tmp_path / "first", {"mine": run}, [0, 3])
    again = begun(first, tmp_path / "again", steps=run.steps // 2)
    third = begun(again, tmp_path / "third", steps=run.bin)
    total = run.steps + run.steps // 2 + run.bin
    whole = computed(tmp_path / "whole", {"mine": run_of(rule, **table | {"steps": total})}, [0, 3])
    assert data_in(third).identical(data_in(whole))
    assert not data_in(third).loss.isel(step=-1).equals(data_in(first).loss.isel(step=-1))
    assert {file.name for file in third.glob("cells/*")}.isdisjoint(file.name for file in whole.glob("cells/*"))


def test_rules_that_share_a_program_are_continued_together(folder, tmp_path):
    longer = begun(folder, tmp_path / "longer", steps=20)
    runs = {label: found.run.given() | {"steps": 60} for label, found in load(folder).items()}
    whole = computed(tmp_path / "whole", {label: Run.create(table) for label, table in runs.items()}, [0, 1, 4])
    assert data_in(longer).identical(data_in(whole))
    start = load(longer)["fast"].run.start
    assert (start.how, start.steps, start.label) == ("continued", 40, "fast")


@pytest.mark.slow
def test_what_is_interrupted_goes_on_from_its_checkpoint(folder, tmp_path, monkeypatch):
    class Ended(Keeper):
        def __call__(self, done, arrays):
            self.every = 0
            super().__call__(done, arrays)
            raise StoppedError

    begin = {"continued": {}, "weights": {"rule": ("rtrl",)}}
    for what, options in begin.items():
        run = f"{folder}:slow"
        whole = begun(run, tmp_path / f"whole {what}", steps=60, **options)
        with monkeypatch.context() as patch:
            patch.setattr(work, "Keeper", Ended)
            with pytest.raises(StoppedError):
                begun(run, tmp_path / what, steps=60, **options)
        assert [*(tmp_path / what).glob("checkpoints/*")]
        assert data_in(begun(run, tmp_path / what, steps=60, **options)).identical(data_in(whole))


def test_weights_are_where_another_run_begins(folder, tmp_path):
    still = begun(f"{folder}:fast", tmp_path, "optimizer.learning_rate=0", rule=("rtrl",), steps=30)
    one, other = load(folder)["fast"], load(still)["rtrl"]
    for seed in (0, 1, 4):
        for name in WEIGHTS:
            np.testing.assert_array_equal(one.weights[seed][name], other.weights[seed][name])
    net = one[4]
    learner = Trainer((RULES["rtrl"](),), Add(), Network(n=4), optax.sgd(0.0)).start(4)
    _, sample = Add().chunk(learner.stream, np.zeros((), int) + learner.s.astype(int)[0] * 0, 30)
    s, total = learner.s, []
    for x, target in zip(sample.x, sample.target, strict=True):
        _, _, s = net.step(s, x)
        total.append(net.loss_and_error(net.readout(s), target)[0])
    np.testing.assert_allclose(data_in(still).loss_at_start.sel(seed=4), np.mean(total), rtol=1e-12)
    np.testing.assert_allclose(data_in(still).loss.sel(seed=4).mean(), np.mean(total), rtol=1e-12)


def test_a_run_that_began_with_another_shares_no_cell_with_one_that_did_not(folder, tmp_path):
    def cell(asked, seed=0):
        return Cell(next(iter(asked[0].runs.values())), seed)

    plain, slow, fast = (
        Cell(run_of("rtrl", steps=60), 0),
        cell(request_from(f"{folder}:slow", {"rule": ("rtrl",), "steps": 60}, ["bin=20", "optimizer.learning_rate=0.1"])),
        cell(request_from(f"{folder}:fast", {"rule": ("rtrl",), "steps": 60}, ["bin=20", "optimizer.learning_rate=0.1"])),
    )
    identities = [each.identity()["run"] for each in (plain, slow, fast)]
    starts = [identity.pop("start", None) for identity in identities]
    assert identities[0] == identities[1] == identities[2]
    assert starts == [
        None,
        *({"how": "weights", "steps": None, "drawn": False, "digest": load(folder)[x].digest()} for x in ("slow", "fast")),
    ]
    assert len({plain.file, slow.file, fast.file}) == 3
    moved = tmp_path / "moved"
    moved.symlink_to(folder)
    assert (
        cell(request_from(f"{moved}:slow", {"steps": 20}, [])).file
        == cell(request_from(f"{folder}:slow", {"steps": 20}, [])).file
    )
    assert {read_record(file)["identity"]["run"].get("start") for file in folder.glob("cells/*")} == {None}


def test_how_it_begins_is_told(folder):
    asked, seeds, told = request_from(f"{folder}:slow", {"steps": 20, "seeds": 2}, [])
    assert told == f"Continues {folder}:slow after 40 steps: learners keep their whole state."
    assert (seeds, asked.runs["slow"].steps, asked.out.name) == ([0, 1], 60, f"{folder.name}-to-60-steps")
    asked, seeds, told = request_from(str(folder), {"task": "add"}, ["task.t1=4", "optimizer=adam"])
    assert re.match(rf"Starts from the weights of {folder}, with new .*, for a different task.t1, optimizer", told)
    assert (seeds, asked.out.name) == ([0, 1, 4], f"add-slow-fast-from-{folder.name}")
    assert [run.steps for run in asked.runs.values()] == [40, 40]


REFUSED = {
    "has 3 seeds, fewer than the 4 asked for": ("", {"seeds": 4}, []),
    "holds networks of slow, fast, but not of rtrl: choose one, as in .*:slow": ("", {"rule": ("rtrl",)}, []),
    "no rule 'slower'; its rules: slow, fast": (":slower", {}, []),
    "keeps its bin of 20 steps": ("", {"bin": 10}, []),
    "keeps its network, but network.n differs": ("", {}, ["network.n=5"]),
    "the task Mimic has n_in = 32 and n_out = 32, and the trained network n_in = 2 and n_out = 2": ("", {"task": "mimic"}, []),
    "slow would be continued, but fast would start anew from trained weights": ("", {}, ["rule.fast.rate=0.3"]),
    "dni has no setting": ("", {}, ["rule.slow.window=3"]),
    "needs a folder of its own": (":slow", {"out": "."}, []),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_begin_so_is_refused_in_a_sentence(message, folder, monkeypatch):
    label, options, settings = REFUSED[message]
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=message):
        request_from(f"{folder}{label}", options, settings)


@pytest.mark.slow
def test_what_has_no_state_cannot_be_continued_and_yet_lend_its_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(states, "MOST", 100)
    computed(tmp_path, {"rflo": run_of("rflo")}, [0])
    with pytest.raises(ValueError, match=r"cannot be continued: states/.*ckpt, the state of a learner, is not there"):
        request_from(str(tmp_path), {"steps": 20}, [])
    assert request_from(str(tmp_path), {"steps": 20}, ["optimizer.learning_rate=0.2"])[1] == [0]


def test_a_damaged_state_an_odd_end_and_another_version_are_told(folder, tmp_path, monkeypatch):
    computed(tmp_path, {"rflo": run_of("rflo")}, [0])
    (state,) = tmp_path.glob("states/*")
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"cannot be continued: states/.*, the state of a learner, is damaged"):
        request_from(str(tmp_path), {"steps": 20}, [])
    odd = computed(tmp_path / "odd", {"rflo": run_of("rflo", steps=50)}, [0])
    with pytest.raises(ValueError, match="its 50 steps end in the middle of a bin of 20"):
        request_from(str(odd), {"steps": 20}, [])
    monkeypatch.setattr("recredit.runs.origin.program", lambda: load(folder)["slow"].program | {"jax": "0.0"})
    with pytest.raises(ValueError, match=r"cannot be continued: it was computed by another version \(jax .*, now 0.0\)"):
        request_from(str(folder), {"steps": 20}, [])


def test_a_source_that_changes_meanwhile_is_noticed(tmp_path):
    computed(tmp_path / "one", {"rflo": run_of("rflo")}, [0])
    asked, seeds, _ = request_from(str(tmp_path / "one"), {"rule": ("rtrl",)}, [])
    computed(tmp_path / "one", {"rflo": run_of("rflo")}, [0, 1])
    with pytest.raises(ValueError, match="has changed since the run that starts from it was requested"):
        computed(tmp_path / "other", asked.runs, seeds)


@pytest.mark.slow
def test_weights_of_units_of_ones_own_are_for_these_units(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(
        "from recredit import AbstractUnits\nclass Mine(AbstractUnits):\n    variables = ('r',)\n    voltages = {'v': 'all'}\n"
        "    def f(self, s, v):\n        return (0.5 * s[0] + 0.1 * v[0],)\n"
    )
    table = {"network": {"n": 4, "units": f"{own}:Mine"}, "optimizer": {"name": "sgd", "learning_rate": 1e-3}}
    first = computed(tmp_path / "run", {"rflo": run_of("rflo", **table)}, [0])
    request_from(str(first), {"out": str(tmp_path / "on")}, ["task.t1=4"])
    own.write_text(own.read_text().replace("0.5", "0.9"))
    with pytest.raises(ValueError, match="keeps its network, but the source of its units Mine has changed"):
        request_from(str(first), {"out": str(tmp_path / "on")}, ["task.t1=4"])


def test_a_seed_that_diverged_stays_so_or_is_left_out(tmp_path):
    """Its clock has stopped, and goes on with the others'."""
    table = {"task": {"name": "mimic", "n_in": 2, "n_out": 2}, "network": {"n": 4, "activation": "relu"}}
    table["optimizer"] = {"name": "sgd", "learning_rate": 5.0}
    run = run_of("rtrl_block", **table)
    first = computed(tmp_path / "first", {"mine": run}, range(6))
    lost = sorted(load(first)["mine"].diverged)
    assert 0 < len(lost) < 6
    longer = begun(first, tmp_path / "longer", steps=40)
    whole = computed(tmp_path / "whole", {"mine": run_of("rtrl_block", **table, steps=80)}, range(6))
    assert data_in(longer).identical(data_in(whole))
    _, seeds, told = request_from(str(first), {}, ["optimizer.learning_rate=0.1"])
    assert seeds == [seed for seed in range(6) if seed not in lost]
    assert told.endswith(f"; without the seeds that diverged: {', '.join(map(str, lost))}.")


def test_lanes_taken_apart_come_together(folder):
    shared = {"step", "learner.clock.steps"}
    arrays = {"step": np.array(4), "learner.clock.steps": np.array(4), "W": np.arange(6).reshape(3, 2)}
    arrays["diverged_at"] = np.array([2, -1, -1])
    lanes = [carried.one_lane(arrays, i, shared) for i in range(3)]
    lanes[0]["learner.clock.steps"] = np.array(2)
    back = carried.together(lanes, shared)
    assert back.keys() == arrays.keys()
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)
