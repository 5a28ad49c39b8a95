"""What surrounds a computation: foreign settings, closed pipes, signals, full disks. It goes on, or says one sentence."""

import os
import subprocess
import sys

import pytest

from recredit.runs import work

MAIN = "from recredit.cli.main import main; main()"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Every test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def recredit(*arguments, **environment):
    """The exit code and what was printed by `recredit` in a process of its own."""
    env = os.environ | environment
    done = subprocess.run([sys.executable, "-c", MAIN, *arguments], env=env, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_a_notebooks_backend_and_an_unwritable_home_are_no_concern_of_figures_that_go_to_files():
    foreign = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MPLCONFIGDIR": "/proc/none"}
    assert recredit("audit", "fixed_w", "--slopes", "out.png", **foreign)[::2] == (0, "")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are not pinned here")
def test_a_thread_that_has_just_ended_does_not_end_its_worker(monkeypatch):
    (core, *_), threads = os.sched_getaffinity(0), os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*threads(path), "4194305"])  # no process has such a number
    monkeypatch.setenv("RECREDIT_CORE", str(core))
    pinned = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, _: pinned.append(os.sched_getaffinity(thread)))
    assert work.take_core() == "cpu"
    assert pinned
