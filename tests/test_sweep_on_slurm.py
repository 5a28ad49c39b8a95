"""A sweep on a real SLURM of one node: its blocks are cancelled, its controller and the link to its workers are killed, and
every cell comes to be, once."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from test_kills import SWEEP, alive, begun, cells, descendants, gone, read_sweep, undisturbed

pytestmark = pytest.mark.slow
ON_SLURM = """
[executor]
kind = "slurm"
walltime = "00:30:00"
cores = 2
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def until(process, condition):
    """Wait until something is so."""
    while not condition():
        assert process.poll() is None, Path("log").read_text()
        time.sleep(0.2)


def blocks():
    """The jobs that SLURM has of this sweep's."""
    return subprocess.run(["squeue", "-h", "-o", "%i"], capture_output=True, text=True, check=True).stdout.split()


def link(process):
    """The process beside a controller, through which it reaches its blocks, if it has begun; in a list."""
    return [pid for pid in alive(descendants(process.pid)) if b"interchange" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_cancelled_block_a_killed_link_and_a_killed_controller_lose_nothing(slurm):
    text = SWEEP.format(steps=1_500_000, seeds=6, n=16)
    Path("local.toml").write_text(text)
    Path("slurm.toml").write_text(text + ON_SLURM)
    _, right = undisturbed("local.toml")

    process = begun("slurm.toml")
    until(process, lambda: [*Path("out").glob("checkpoints/*")])
    subprocess.run(["scancel", *blocks()], check=True)
    cancelled = {path.name for path in Path("out").glob("checkpoints/*")}
    until(process, lambda: blocks() and {path.name for path in Path("out").glob("running/*")})
    time.sleep(5)
    others = descendants(process.pid)
    process.kill()
    process.wait()
    gone(others)
    assert cancelled

    process = begun("slurm.toml")
    until(process, lambda: link(process) and blocks() and [*Path("out").glob("running/*")])
    others = descendants(process.pid)
    os.kill(*link(process), signal.SIGKILL)
    assert process.wait(60) == 2
    last = Path("log").read_text().splitlines()[-1]
    assert last.startswith(
        "recredit: the process that links this one with the cluster's workers has ended; run the same command to go on"
    )
    assert not blocks()
    gone(others)

    process = begun("slurm.toml")
    assert process.wait() == 0, Path("log").read_text()
    assert cells(read_sweep(Path("slurm.toml")), Path("out")) == right
    until_none = time.monotonic() + 20
    while blocks() and time.monotonic() < until_none:
        time.sleep(0.5)
    assert not blocks()
