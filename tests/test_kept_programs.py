"""Compiled programs kept in a folder that many workers share, some of which are killed in the middle of a write."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_kills import numbers

from recredit.runs.processor import _mend
from recredit.runs.record import read_netcdf

TRAIN = ["train", "--rule", "rflo", "--task", "add", "--steps", "400", "--seeds", "1", "--set", "network.n=4", "--out"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_what_was_never_written_whole_is_taken_away_and_nothing_else():
    for name in ("a-cache", "a-atime", "b-cache", ".lockfile"):
        Path(name).touch()
    _mend(Path())
    assert {path.name for path in Path().iterdir()} == {"a-cache", "a-atime", ".lockfile"}


def begun(out):
    command = [sys.executable, "-c", "from recredit.cli.main import main; main()", *TRAIN, out]
    return subprocess.Popen(command, env=os.environ | {"JAX_ENABLE_X64": "1"}, stdout=subprocess.PIPE, text=True)


def cell(out):
    """The netCDF of the one cell, but for how long it took."""
    (file,) = Path(out, "cells").iterdir()
    return numbers(read_netcdf(file)[1])


@pytest.mark.slow
def test_many_may_write_at_once_and_one_may_die_at_it():
    together = [begun(out) for out in ("a", "b", "c")]
    assert [process.wait() for process in together] == [0, 0, 0]
    kept = [*Path().glob("recredit/programs/*/*-cache")]
    assert kept
    for path in kept:  # as a process leaves it that is killed at it
        path.write_bytes(path.read_bytes()[:100])
        path.with_name(path.name.replace("-cache", "-atime")).unlink()
    assert begun("d").wait() == 0
    again = [path for path in kept if path.exists()]  # what is compiled in no time is not always kept
    assert again
    assert all(path.stat().st_size > 1000 for path in again)
    assert cell("a") == cell("b") == cell("c") == cell("d")
