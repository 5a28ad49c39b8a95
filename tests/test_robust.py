"""What surrounds a computation: foreign settings, closed pipes, signals, full disks. It goes on, or says one sentence."""

import os
import subprocess
import sys

import pytest

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
