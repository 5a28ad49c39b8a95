"""A worker that has trained a thousand cells holds no more than one that has trained some."""

from pathlib import Path

import numpy as np
import pytest

from recredit.runs.files import writable_folder
from recredit.runs.identity import Cell
from recredit.runs.local import local_executor
from recredit.runs.plan import Job
from recredit.runs.settings import Run
from recredit.runs.work import work

pytestmark = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what a process holds is read in /proc")


def held_by(pid):
    """Resident MB of a process, its open files and its mapped regions."""
    process = Path(f"/proc/{pid}")
    resident = int((process / "statm").read_text().split()[1]) * 4096 / 1e6
    return resident, len([*(process / "fd").iterdir()]), len((process / "maps").read_text().splitlines())


def rounds(jobs):
    """What one worker holds after each job."""
    with local_executor("recredit.runs.work", 1) as executor:
        for job in jobs:
            executor.submit(work, job).result()
            (worker,) = executor.workers
            yield held_by(worker.process.pid)


def jobs(folder, count, cells):
    """Jobs of so many cells each, five in a row of one kind, then of another; each has rates and seeds of its own."""
    for number in range(count):
        rule, n = [("rflo", 4), ("uoro", 4), ("rflo", 8), ("kf_rtrl", 4)][number // 5 % 4]
        rates = [1e-3 + 1e-5 * number, 2e-3]
        table = {"rule": rule, "task": "add", "steps": 30, "network": {"n": n}}
        runs = [Run.create(table | {"optimizer": {"learning_rate": rate}}) for rate in rates]
        members = [Cell(run, 1000 * number + seed) for run in runs for seed in range(cells // 2)]
        yield Job(folder, tuple(members), (rule,) * len(members), 1.0)


@pytest.mark.slow
def test_a_thousand_tiny_cells_leave_nothing_behind_in_their_worker(tmp_path):
    folder = writable_folder(tmp_path)
    told = [*rounds(jobs(folder, 100, 10))]
    assert len([*(folder / "cells").iterdir()]) == 1000
    middle, end = np.array(told)[40:60].max(0), np.array(told)[80:].max(0)  # a round of the kinds each
    assert (end <= middle * [1.1, 1, 1.05]).all(), (middle, end)


@pytest.mark.slow
def test_programs_of_ever_new_kinds_leave_little_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where there is none yet: each is compiled
    folder, kinds = writable_folder(tmp_path), []
    for n in range(4, 34):
        run = Run.create({"rule": ["rflo", "uoro"][n % 2], "task": "add", "steps": 30, "network": {"n": n}})
        kinds.append(Job(folder, (Cell(run, 0),), ("a",), 1.0))
    told = np.array([*rounds(kinds)])
    assert (told[20:].max(0) <= told[5:15].max(0) * [1.1, 1, 1.2]).all(), told
