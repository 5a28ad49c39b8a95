"""What is learned is kept and used: networks loaded from a run's folder, and tested on fresh data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import conftest
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

from recredit import load
from recredit.contract import random_key
from recredit.network import Network
from recredit.rules import RFLO
from recredit.runs import tested as testing
from recredit.runs import trained
from recredit.runs.files import writable_folder, write_dataset
from recredit.runs.identity import Cell
from recredit.runs.plan import Job
from recredit.runs.settings import Run
from recredit.runs.work import work
from recredit.studies.comparison import combined
from recredit.tasks import Add, Mimic
from recredit.tasks.task import stream_key
from recredit.training import tested
from recredit.training.loop import train
from recredit.training.step import Trainer

ECHO = (Path(__file__).parent.parent / "examples/own_task.py").read_text()
TABLE = {"task": "add", "network": {"n": 5, "density": 0.6, "activation": "relu", "excitatory": 0.8}, "steps": 400, "bin": 100}


def computed(folder, runs, seeds):
    """The folder of a `recredit train` of these runs, by label."""
    cells = [(label, Cell(run, seed)) for label, run in runs.items() for seed in seeds]
    labels, cells = zip(*cells)
    work(Job(writable_folder(folder), cells, labels, 1.0, keeps_states=True))
    write_dataset(folder / "run.nc", combined(folder, runs, seeds))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    runs = {
        "rflo": Run.create(TABLE | {"rule": "rflo"}),
        "fast": Run.create(TABLE | {"rule": "rflo", "optimizer": {"name": "sgd", "learning_rate": 0.1}}),
    }
    return computed(tmp_path_factory.mktemp("run"), runs, [0, 1, 4])


def test_networks_come_back_with_weights_mask_signs_and_settings(folder):
    found = load(folder)
    assert [*found] == ["rflo", "fast"]
    assert [*found["fast"]] == [0, 1, 4]
    data = train("rflo", "add", network=TABLE["network"], optimizer=0.1, steps=400, bin=100, seeds=[0, 1, 4])
    trainer = Trainer((RFLO(),), Add(), Network(**TABLE["network"]), optax.sgd(0.1))
    for seed, net in found["fast"].items():
        drawn = trainer.start(seed).net
        for name in trained.WEIGHTS:
            np.testing.assert_array_equal(getattr(net, name), data[name].sel(seed=seed))
        assert jax.tree.structure(net) == jax.tree.structure(drawn)
        np.testing.assert_array_equal(net.mask, drawn.mask)
        np.testing.assert_array_equal(net.signs, drawn.signs)
        assert not (net.W == drawn.W).all()
    assert found["fast"].run.optimizer["learning_rate"] == 0.1
    assert found["rflo"].run.text() == Run.create(TABLE | {"rule": "rflo"}).text()


def test_run_nc_alone_will_do(folder, tmp_path):
    (tmp_path / "mine.nc").write_bytes((folder / "run.nc").read_bytes())
    for one, other in zip(load(tmp_path / "mine.nc")["rflo"].values(), load(str(folder))["rflo"].values(), strict=True):
        assert jax.tree.all(jax.tree.map(np.array_equal, one, other))


def copied(folder, to):
    """The folder once more, as files of its own."""
    (to / "cells").mkdir()
    for file in [*folder.glob("run.nc"), *folder.glob("cells/*.nc")]:
        (to / file.relative_to(folder)).write_bytes(file.read_bytes())
    return to


def test_what_cannot_be_loaded_is_said_in_a_sentence(folder, tmp_path):
    with pytest.raises(ValueError, match=r"holds no run of `recredit train`: .*run.nc does not exist"):
        load(tmp_path)
    (tmp_path / "run.nc").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read as netCDF"):
        load(tmp_path)
    write_dataset(tmp_path / "run.nc", xr.Dataset({"loss": 0.0}))
    with pytest.raises(ValueError, match="does not say which runs it holds"):
        load(tmp_path)
    copied(folder, tmp_path)
    with pytest.raises(ValueError, match=r"no rule 'rflow'; its rules: rflo, fast. Did you mean \"rflo\""):
        load(tmp_path)["rflow"]
    with pytest.raises(ValueError, match="no rule 0; its rules"):
        load(tmp_path)[0]
    with pytest.raises(TypeError, match=r"a path must be text or a pathlib\.Path, not None"):
        load(None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="no seed 2; its seeds: 0, 1, 4"):
        load(tmp_path)["rflo"][2]
    cell = tmp_path / "cells" / load(tmp_path)["rflo"].cell(1)
    content = cell.read_bytes()
    cell.write_bytes(content[:1000] + b"x" + content[1001:])
    with pytest.raises(ValueError, match=f"{cell.name} is damaged: its checksum is wrong; run the command"):
        load(tmp_path)
    cell.unlink()
    with pytest.raises(ValueError, match=f"{cell.name} is gone; run the command that made it"):
        load(tmp_path)
    with jax.enable_x64(False), pytest.raises(ValueError, match="in float64, and this process computes in float32: set JAX_EN"):
        load(folder)


def test_a_seed_that_diverged_has_no_network(tmp_path):
    own = {"rule": "rflo", "network": {"n": 4, "activation": "relu"}, "optimizer": {"learning_rate": 1e3}}
    run = Run.create(TABLE | own | {"task": {"name": "mimic", "n_in": 2, "n_out": 2}})
    found = load(computed(tmp_path, {"rflo": run}, [0, 1]))["rflo"]
    lost = next(iter(found.diverged))
    assert lost not in found
    with pytest.raises(ValueError, match=rf"seed {lost} diverged at step {found.diverged[lost]} and has no trained network"):
        found[lost]
    data = testing.tested({"rflo": found}, testing.tests_of({"rflo": found}, None, [], 10))
    assert np.isnan(data.loss.sel(seed=lost)).all()


def test_a_source_file_that_has_changed_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(ECHO)
    run = Run.create(TABLE | {"rule": "rflo", "task": "own.py", "network": {"n": 4}})
    computed(tmp_path, {"rflo": run}, [0])
    assert len(load(tmp_path)["rflo"]) == 1
    Path("own.py").write_text(ECHO + "\n")
    with pytest.raises(ValueError, match=r"own.py, or a module beside it that it imports, has changed since"):
        load(tmp_path)


def losses(folder, **asked):
    found = load(folder)
    return testing.tested(found, testing.tests_of(found, asked.get("task"), asked.get("settings", []), asked.get("steps", 300)))


FRESH_PROCESS = """
import conftest, json, sys
from recredit import load
from recredit.contract import random_key
from recredit.runs.tested import tested, tests_of
found = load(sys.argv[1])
print(json.dumps(tested(found, tests_of(found, None, [], 300)).loss.values.tolist()))
"""


@pytest.mark.slow
def test_a_fresh_process_finds_the_same_loss_to_the_last_bit(folder):
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    env = os.environ | {"XLA_FLAGS": conftest.flags, "PYTHONPATH": here}  # which compiles as this one does
    command = [sys.executable, "-c", FRESH_PROCESS, str(folder)]
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    data = train("rflo", "add", network=TABLE["network"], optimizer=0.1, steps=400, bin=100, seeds=[4])
    net = load(folder)["fast"][4].with_weights(*(data[name].values[0] for name in trained.WEIGHTS))
    again = tested.Tester(Add(), Network(**TABLE["network"]), 300).test(net, 4)["loss"]  # never on a disk
    assert json.loads(told) == losses(folder).loss.values.tolist()
    assert json.loads(told)[1][2] == again


def test_a_test_is_the_loss_of_the_task_on_other_data(folder, monkeypatch):
    """By hand, step for step; and chunks make no difference."""
    net, task = load(folder)["rflo"][1], Add()
    trainer = Trainer((RFLO(),), task, Network(**TABLE["network"]), optax.sgd(0.0))
    with jax.threefry_partitionable(True):
        stream = trainer.start(1).stream
        fresh = task.stream(stream, jnp.array(tested.FRESH), tested.FRESH + 1)
        _, sample = task.chunk(fresh, jnp.array(0), 300)
        _, seen = task.chunk(stream, jnp.array(0), 300)
    assert 0.2 < np.mean(np.asarray(sample.x) == seen.x) < 0.8
    found = losses(folder).loss.sel(rule="rflo", seed=1)
    s, total = net.first(stream_key(jax.random.split(random_key(1), 4)[1], jnp.array(tested.FRESH))), []
    for x, target in zip(sample.x, sample.target, strict=True):
        _, _, s = net.step(s, x)
        total.append(net.loss_and_error(net.readout(s), target)[0])
    monkeypatch.setattr(tested, "SEGMENT", 70)
    np.testing.assert_allclose(losses(folder).loss.sel(rule="rflo", seed=1), found, rtol=1e-12)
    np.testing.assert_allclose(np.mean(total), found, rtol=1e-12)


def test_a_seeds_task_stays_its_own():
    """The target network of Mimic is the seed's; its coins are fresh."""
    network, task = Network(n=4), Mimic(n_in=3, n_out=2)
    data = train("rflo", task, network=network, optimizer=0.1, steps=4000, bin=1000, seeds=[3])
    tester = tested.Tester(task, network, 2000)
    net = Trainer((RFLO(),), task, network, optax.sgd(0.0)).start(3).net
    net = net.with_weights(*(data[name].values[0] for name in trained.WEIGHTS))
    assert tester.test(net, 3)["loss"] < 2 * float(data.loss[0, -1])
    assert tester.test(net, 2)["loss"] > 5 * tester.test(net, 3)["loss"]


def test_a_recordings_test_part_is_tested(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(500, 2))
    np.savez("data.npz", inputs=x, targets=(x[:, :1] > 0).astype(int))
    task = {"name": "recorded", "file": "data.npz", "head": "softmax", "part": "train"}
    run = Run.create(
        {"rule": "rflo", "task": task, "network": {"n": 4}, "steps": 400, "bin": 100, "optimizer": {"learning_rate": 0.1}}
    )
    found = load(computed(tmp_path, {"rflo": run}, [0]))
    tests = testing.tests_of(found, None, ["task.part=test"], None)
    assert tests["rflo"].steps == 100
    data = testing.tested(found, tests)
    assert {"loss", "accuracy"} == {*data}
    assert float(data.accuracy.squeeze()) > 0.6
    np.savez("data.npz", inputs=x[:, :1], targets=(x[:, :1] > 0).astype(int))
    with pytest.raises(ValueError, match="Recorded has n_in = 1 and n_out = 2, and the trained network n_in = 2 and n_out = 2"):
        testing.tested(found, testing.tests_of(found, None, [], 50))


REFUSED = {
    "n_in = 32 and n_out = 32, and the trained network n_in = 2 and n_out = 2": ("mimic", [], 10),
    "takes only settings of the task, as in task.part=test, not network.n": (None, ["network.n=4"], 10),
    'add has no setting "t3"': (None, ["task.t3=4"], 10),
    "has a linear head, and the network was trained with softmax": ("mimic", ["task.n_in=2", "task.n_out=2"], 10),
    "steps must be": (None, [], 0),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_test_that_does_not_fit_is_refused(message, folder):
    task, settings, steps = REFUSED[message]
    with pytest.raises(ValueError, match=message):
        losses(folder, task=task, settings=settings, steps=steps)


def test_the_command_writes_beside_the_run_and_prints_both(folder, capsys):
    from recredit.cli.main import main

    cells = sorted(file.name for file in folder.glob("cells/*"))
    with pytest.raises(SystemExit, match="0"):
        main(["test", str(folder), "--steps", "300"])
    out = capsys.readouterr().out
    (file,) = folder.glob("test-add-*.nc")
    with xr.open_dataset(file) as data:
        xr.testing.assert_equal(data.load(), losses(folder))
    assert f"Wrote {file}." in out.replace("\n", "")
    assert "nothing learned" in out
    assert sorted(file.name for file in folder.glob("cells/*")) == cells


def test_a_run_in_which_nothing_is_scored_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=np.ones((9, 1)), y=np.ones((9, 1)), w=np.arange(9) == 8)
    task = {"name": "recorded", "file": "data.npz", "inputs": "x", "targets": "y", "weight": "w", "head": "linear"}
    run = Run.create({"rule": "rflo", "task": task, "network": {"n": 2}, "steps": 5})
    assert run.task["file"] == str(tmp_path / "data.npz")  # so that it is found wherever a command runs
    with pytest.raises(ValueError, match="nothing was scored: the task recorded gave each of 5 steps the weight 0"):
        computed(tmp_path, {"mine": run}, [0])
    assert not [*tmp_path.glob("cells/*")]
