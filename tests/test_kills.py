"""Processes that are killed at random moments: what they computed ends as it would have, each cell once, nobody is left."""

import contextlib
import io
import os
import random
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
    for _ in range(KILLS or 8):
        process = begun("sweep.toml")
        wait(process, random.uniform(0.5, 6))
        others = descendants(process.pid)
        process.kill()
        process.wait()
        gone(others)
    assert begun("sweep.toml").wait() == 0, Path("log").read_text()
    assert cells(sweep, Path("out")) == right
    assert not [*Path("out").glob("checkpoints/*"), *Path("out").glob("running/*")]


@pytest.mark.slow
def test_a_long_cell_whose_worker_is_killed_ends_as_if_it_had_not_been():
    one = SWEEP.format(steps=40_000 * (KILLS or 6), seeds=1, n=64).replace('["rflo", "uoro"]', '"rtrl"').partition("[grid]")[0]
    Path("sweep.toml").write_text(one)
    sweep, right = undisturbed("sweep.toml")
    process, kills = begun("sweep.toml"), 0
    while kills < (KILLS or 6):
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
