"""Processes that are killed at random moments: what they computed ends as it would have, each cell once, nobody is left."""

import contextlib
import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from recredit.runs.identity import Cell
from recredit.runs.record import read_netcdf
from recredit.runs.sweep import read_sweep

MAIN = "from recredit.cli.main import main; main()"
pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are followed in /proc")
SWEEP = """
task = "add"
rule = ["rflo", "uoro"]
steps = {steps}
seeds = {seeds}
out = "out"
network.n = {n}

[grid]
"optimizer.learning_rate" = [1e-3, 1e-2]
"""


def begun(file, **environment):
    """`recredit sweep` in a session of its own, its output in a file."""
    with open("log", "ab") as log:
        command = [sys.executable, "-c", MAIN, "sweep", file]
        return subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True)


def descendants(pid):
    """The processes that a process has started, and those that they have."""
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in tasks.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def alive(pids):
    """Which of these still run."""
    return [pid for pid in pids if Path(f"/proc/{pid}/stat").exists() and ") Z " not in Path(f"/proc/{pid}/stat").read_text()]


def cells(sweep, folder):
    """The numbers in each cell of a sweep, by run and seed; each cell is there once."""
    runs = sweep.runs(range(len(sweep.points)))
    wanted = sorted(Cell(run, seed).file.partition("-")[0] for run in runs.values() for seed in sweep.seeds)
    files = sorted((folder / "cells").iterdir())  # of another precision than this process's
    assert [file.name.partition("-")[0] for file in files] == wanted
    return {file.name: numbers(read_netcdf(file)[1]) for file in files}


def numbers(netcdf):
    """Every array in a cell but how long it took."""
    data = xr.load_dataset(io.BytesIO(netcdf), engine="h5netcdf")
    return {str(name): np.asarray(data[name]).tobytes() for name in data.variables if name != "seconds"}


def undisturbed(file):
    """What the sweep comes to if nobody disturbs it."""
    process = begun(file)
    assert process.wait() == 0, Path("log").read_text()
    sweep = read_sweep(Path(file))
    found = cells(sweep, Path("out"))
    Path("out").rename("undisturbed")
    return sweep, found


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random.seed(0)


KILLS = int(os.environ.get("KILLS", 0))  # more than the tests do by themselves


@pytest.mark.slow
def test_a_sweep_whose_controller_is_killed_ends_as_if_it_had_not_been():
    Path("sweep.toml").write_text(SWEEP.format(steps=200_000, seeds=6, n=16))
    sweep, right = undisturbed("sweep.toml")
    for number in range(KILLS or 8):
        process = begun("sweep.toml")
        wait(process, random.uniform(0.5, 6))
        others = descendants(process.pid)
        process.kill()
        process.wait()
        if number % 2:  # or else the next begins while the workers of this one are about to end
            gone(others)
    assert begun("sweep.toml").wait() == 0, Path("log").read_text()
    assert cells(sweep, Path("out")) == right
    assert not [*Path("out").glob("checkpoints/*"), *Path("out").glob("running/*")]


@pytest.mark.slow
def test_a_long_cell_whose_worker_is_killed_ends_as_if_it_had_not_been():
    one = SWEEP.format(steps=40_000 * (KILLS or 4), seeds=1, n=48).replace('["rflo", "uoro"]', '"rtrl"').partition("[grid]")[0]
    Path("sweep.toml").write_text(one)
    sweep, right = undisturbed("sweep.toml")
    process, kills = begun("sweep.toml"), 0
    while kills < (KILLS or 4):
        if process.poll() is not None:  # as after three ends without a checkpoint between them
            assert process.returncode == 2, "it ended before all kills"
            process = begun("sweep.toml")
        wait(process, random.uniform(2, 10))
        for worker in descendants(process.pid):
            os.kill(worker, signal.SIGKILL)
            kills += 1
    while process.wait() == 2:
        process = begun("sweep.toml")
    assert process.returncode == 0, Path("log").read_text()
    assert cells(sweep, Path("out")) == right


STRANGE = {
    "a clock that is set back": """
import time
real, began = time.time, time.monotonic()
time.time = lambda: real() - 1e5 * (time.monotonic() - began > 2)
""",
    "neither links nor locks": """
import errno, fcntl, os
def refuse(*_, **__):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
os.link = fcntl.flock = fcntl.lockf = refuse
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", STRANGE)
def test_on_strange_machines_what_is_killed_ends_as_elsewhere(what):
    """Every process of the commands finds its machine so, by Python's `sitecustomize`."""
    Path("sweep.toml").write_text(SWEEP.format(steps=100_000, seeds=3, n=16))
    sweep, right = undisturbed("sweep.toml")
    Path("strange").mkdir()
    Path("strange/sitecustomize.py").write_text(STRANGE[what])
    path = os.pathsep.join([str(Path("strange").absolute()), os.environ.get("PYTHONPATH", "")])
    for seconds in (4, 5, 6):
        process = begun("sweep.toml", PYTHONPATH=path)
        wait(process, seconds)
        others = descendants(process.pid)
        process.kill()
        process.wait()
        gone(others)
        for file in Path("out").rglob("*"):
            os.utime(file, (4e9, 4e9))  # in the year 2096
    assert begun("sweep.toml", PYTHONPATH=path).wait() == 0, Path("log").read_text()
    assert cells(sweep, Path("out")) == right
    assert ("has no locks" in Path("log").read_text()) == ("locks" in what)


@pytest.mark.slow
def test_a_second_command_is_refused_until_the_first_is_killed_and_then_begins_at_once():
    Path("sweep.toml").write_text(SWEEP.format(steps=200_000, seeds=2, n=16))
    Path("other.toml").write_text(SWEEP.format(steps=300, seeds=1, n=4))
    sweep, right = undisturbed("sweep.toml")
    first = begun("sweep.toml")
    while not [*Path("out").glob("running/*.json")]:
        assert first.poll() is None, Path("log").read_text()
        time.sleep(0.05)
    Path("log").write_text("")
    assert begun("other.toml").wait() == 2
    (said,) = re.findall("^recredit: .*", Path("log").read_text(), re.MULTILINE)  # the first's own lines are beside it
    assert said.startswith(f"recredit: another recredit computes in out (process {first.pid} on ")
    assert Path("out/sweep.toml").read_text() == Path("sweep.toml").read_text()
    first.kill()
    assert begun("sweep.toml").wait() == 0, Path("log").read_text()
    first.wait()
    assert cells(sweep, Path("out")) == right


def wait(process, seconds):
    """Wait so long, or until a process ends."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def gone(pids):
    """See that no process of these is left after five seconds."""
    until = time.monotonic() + 5
    while alive(pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(pids)
