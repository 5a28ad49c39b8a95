"""Disks that are full, closed or gone: one sentence, nothing half-written, and the same command ends as if nothing had been."""

import contextlib
import errno
import io
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from recredit.cli.main import main
from recredit.runs.controller import held
from recredit.runs.record import read_netcdf

PAGE = 4096
SWEEP = """
task = "add"
rule = "rflo"
steps = 200
seeds = 2
network.n = 8
grid.optimizer.learning_rate = [1e-3, 1e-2]
select.axis = "optimizer.learning_rate"
select.seeds = 1
out = "disk/out"
"""
TRAIN = (
    "train",
    "--rule",
    "rflo",
    "--task",
    "add",
    "--steps",
    "200",
    "--seeds",
    "2",
    "--set",
    "network.n=8",
    "--out",
    "disk/out",
    "--record",
    "r:every=7",
    "W:every=bin",
)
COMMANDS = {"sweep": ("sweep", "my.toml"), "train": TRAIN}
WRITTEN = {
    "sweep": {"sweep.toml", "sweep.nc", "sweep.png", "selection.nc", "selection.png", "progress.json"},
    "train": {"run.nc", "loss.png", "progress.json"},
}


@contextlib.contextmanager
def mounted(place, options):
    """A disk in memory at `place`, of which nothing is left."""
    place.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A small disk, in a folder of the test's own with a sweep's file; what is computed is computed in this process."""
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text(SWEEP)
    here = lambda *_, **__: ThreadPoolExecutor(1)  # noqa: E731
    monkeypatch.setattr("recredit.cli.main.local_executor", here)
    monkeypatch.setattr("recredit.cli.sweep.local_executor", here)
    with mounted(tmp_path / "disk", "size=2m,nr_inodes=100") as place:
        yield place


def ended(command, capfd):
    """The exit code of a command, and what it said of an error."""
    with pytest.raises(SystemExit) as end:
        main(COMMANDS[command])
    return end.value.code, capfd.readouterr().err


def numbers(folder):
    """Every array in each cell but how long it took, by the cell's file; each is whole."""
    found = {}
    for file in sorted((folder / "cells").glob("*")):
        with xr.load_dataset(io.BytesIO(read_netcdf(file)[1]), engine="h5netcdf") as data:
            found[file.name] = {str(k): np.asarray(v).tobytes() for k, v in data.variables.items() if k != "seconds"}
        recorded = (folder / "recorded" / file.stem).glob("*.npy")
        found[file.name] |= {name.name: np.load(name).tobytes() for name in recorded}
    return found


def used(disk):
    """Pages and files on a disk."""
    now = os.statvfs(disk)
    return now.f_blocks - now.f_bfree, now.f_files - now.f_ffree


@contextlib.contextmanager
def free(disk, pages=None, files=None):
    """Leave only so many pages free, or so many files, for some time."""
    ballast, now = disk / "ballast", os.statvfs(disk)
    ballast.mkdir()
    if pages is not None:
        with open(ballast / "pages", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, (now.f_bfree - pages) * PAGE)
    for number in range(now.f_ffree - 1 - files if files is not None else 0):
        (ballast / str(number)).touch()
    try:
        yield
    finally:
        shutil.rmtree(ballast)


FULL = r"recredit: (no space left in \S+ to write \S+|cannot write to the folder \S+: No space .*)\.( \(\d more failed\))?\n"

GONE = (
    r"recredit: (cannot write \S+: the folder \S+ is gone\.( \(\d more failed\))?"
    r"|\S+ (cannot be read \(No such .*\)|has changed meanwhile: seed \d is gone); run the same command to compute it again\."
    r")\n"
)


def is_as_if_nothing_was(command, disk, right, capfd):
    """After a command that ended early nothing false is there, and the same command ends as it ends undisturbed."""
    assert not [*disk.rglob(".recredit-*")]
    assert all(right[name] == arrays for name, arrays in numbers(disk / "out").items())
    for file in (disk / "out").glob("*.nc"):
        xr.load_dataset(file)
    assert ended(command, capfd) == (0, "")
    assert numbers(disk / "out") == right
    assert {file.name for file in (disk / "out").iterdir()} - {"states", "recorded"} == WRITTEN[command] | {"cells", "lock"}


@pytest.mark.parametrize(
    ("what", "every"),
    [
        ("pages", 97),
        ("files", 97),
        pytest.param("pages", 3, marks=pytest.mark.slow),
        pytest.param("files", 1, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_that_is_full_at_any_moment_loses_nothing(command, what, every, disk, capfd):
    before = used(disk)
    assert ended(command, capfd) == (0, "")
    right = numbers(disk / "out")
    after, number, told = used(disk), ("pages", "files").index(what), set()
    needed = after[number] - before[number]
    for left in range(every // 2, needed, every):
        shutil.rmtree(disk / "out")
        with free(disk, **{what: left}):
            code, sentence = ended(command, capfd)
        assert (code, sentence) == (0, "") or (code == 2 and re.fullmatch(FULL, sentence)), sentence
        told.add(sentence)
        is_as_if_nothing_was(command, disk, right, capfd)
    assert len(told) >= min(needed // every, 2)


@pytest.mark.parametrize("every", [37, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_removed_at_any_moment_stays_away_and_is_told_of(command, every, disk, monkeypatch, capfd):
    assert ended(command, capfd) == (0, "")
    right = numbers(disk / "out")
    replace, left, code = os.replace, 0, 2

    def remove_first(source, target):
        nonlocal left
        left -= 1
        if left == 0:
            shutil.rmtree(disk / "out")
        replace(source, target)

    monkeypatch.setattr(os, "replace", remove_first)
    for left_at_first in range(1, 100, every):
        shutil.rmtree(disk / "out", ignore_errors=True)
        left = left_at_first
        code, sentence = ended(command, capfd)
        if left > 0:
            break  # it wrote all before
        assert code == 0 or (code == 2 and re.fullmatch(GONE, sentence)), sentence
        assert not (disk / "out").exists()
        is_as_if_nothing_was(command, disk, right, capfd)
    assert left_at_first > 5


def test_a_disk_that_is_read_only_is_read(disk, capfd):
    assert ended("sweep", capfd) == (0, "")
    right = numbers(disk / "out")
    with open(min((disk / "out" / "cells").iterdir()), "r+b") as file:
        file.write(b"damaged")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for command in COMMANDS:
        told = f"recredit: cannot write to the folder disk/out: {os.strerror(errno.EROFS)}.\n"
        assert ended(command, capfd) == (2, told)
    for arguments, told in {
        ("results", "disk/out"): "4 cells",
        ("results", "export", "disk/out", "all.nc"): "Wrote 3 cells to all.nc.",
        ("watch", "disk/out"): "It ended at",
        ("sweep", "my.toml", "--dry-run"): "2 cells",
    }.items():
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        assert told in capfd.readouterr().out
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert ended("sweep", capfd) == (0, "")
    now = numbers(disk / "out")
    for cell in (*now.values(), *right.values()):
        del cell["loss_at_start"]  # a mean, rounded as the number of seeds beside it makes it
    assert now == right


def test_a_folder_is_held_from_the_first_file_that_is_written_to_the_last(disk, monkeypatch, capfd):
    with held(disk / "out", (), print):
        before = sorted(disk.rglob("*"))
        for command in COMMANDS:
            code, sentence = ended(command, capfd)
            assert code == 2
            assert re.fullmatch(rf"recredit: another recredit computes in disk/out \(process {os.getpid()} on .*\n", sentence)
        assert sorted(disk.rglob("*")) == before
    replace, written = os.replace, []

    def refused_first(source, target):
        with pytest.raises(ValueError, match="another recredit computes in"), held(disk / "out", (), print):
            pass
        written.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", refused_first)
    for command in COMMANDS:
        assert ended(command, capfd) == (0, "")
    assert set(written) >= {name for names in WRITTEN.values() for name in names}
