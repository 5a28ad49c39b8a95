"""Where runs are computed, as a table says: on this machine, or by workers on a cluster's nodes, through Parsl."""

import contextlib
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recredit.errors import brief, check_choice, check_count, check_optional_count
from recredit.registry import Registry, complete, make
from recredit.runs.environment import environment
from recredit.runs.interchange import CANCEL, cancel

HEARTBEAT, LOST = 5, 30  # seconds: between two signs of life, and without one until the other side counts as gone


@dataclass(frozen=True)
class Local:
    """This machine."""

    cores: int | None = None
    """How many workers, one per core; None: as many as there are cores."""

    def __post_init__(self):
        check_optional_count("executor local's cores", self.cores)


@dataclass(frozen=True)
class Cluster:
    """Nodes that a scheduler lends, each for a while: a block. A worker computes on each of their cores."""

    walltime: str
    """How long a node is requested for, HH:MM:SS; what is unfinished then goes on in the next block."""
    cores: int
    """Cores of a node, and so workers on it; with GPUs, one worker per GPU."""
    nodes: int = 1
    """The most nodes at once: each is a job of its own, requested while there is work for it."""
    memory: int | None = None
    """GB of a node; None: what the scheduler gives."""
    gpus: int = 0
    """GPUs of a node; each worker has one to itself."""
    account: str | None = None
    """The account that pays."""
    options: str = ""
    """More options for the scheduler, one per line, such as --constraint=skylake."""
    environment: str = ""
    """Shell lines that prepare what the workers need, such as module load python."""

    def __post_init__(self):
        whose = f"executor {KIND[type(self)]}'s"
        found = re.fullmatch(r"(\d+):([0-5]\d):[0-5]\d", self.walltime)
        if not found or not int(found[1]) + int(found[2]):
            raise ValueError(f"{whose} walltime must be HH:MM:SS, at least a minute, not {brief(self.walltime)}.")
        for key in ("cores", "nodes"):
            check_count(f"{whose} {key}", getattr(self, key))
        check_optional_count(f"{whose} memory", self.memory)
        check_count(f"{whose} gpus", self.gpus, 0)
        for key in ("account", "partition", "queue"):
            if (word := getattr(self, key, None)) is not None and not re.fullmatch(r"[\w.@+:,-]+", word):
                raise ValueError(f"{whose} {key} must be one word, not {brief(word)}.")
        for line in self.options.splitlines():
            if not line.startswith("-"):
                raise ValueError(f"{whose} options must be lines that begin with a dash, not {brief(line)}.")


@dataclass(frozen=True)
class Slurm(Cluster):
    """A cluster under SLURM."""

    partition: str | None = None
    """The partition; None: the cluster's default."""


@dataclass(frozen=True)
class PBS(Cluster):
    """A cluster under PBS Pro or OpenPBS."""

    queue: str | None = None
    """The queue; None: the cluster's default."""


KINDS: Registry = {"local": Local, "slurm": Slurm, "pbs": PBS}
KIND: dict[Any, str] = {kind: name for name, kind in KINDS.items()}
SUBMIT = {"slurm": "sbatch", "pbs": "qsub"}


def resolve_executor(table: Any) -> Local | Slurm | PBS:
    """Where to compute, from a table {kind, settings...}; the kind is local if none is given.

    Raises ValueError, one sentence, for whatever does not fit.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f'the executor must be a table, as in [executor] kind = "local", not {brief(table)}.')
    kind = table.get("kind", "local")
    check_choice("executor", kind, KINDS)
    settings = {key: value for key, value in table.items() if key != "kind"}
    if "name" in settings:
        raise ValueError(f"the executor has a kind, not a name; its kinds: {', '.join(KINDS)}.")
    return make(KINDS, complete("executor", KINDS, {"name": kind, **settings}))


def check_ready(where: Local | Cluster, folder: Path) -> None:
    """Raise ValueError unless this machine has what it takes to compute there, with the results in this folder."""
    if isinstance(where, Local):
        return
    kind = KIND[type(where)]
    for command in (SUBMIT[kind], CANCEL[kind]):
        if not shutil.which(command):
            raise ValueError(f"executor {kind} needs the command {command}, which this machine lacks; use a login node.")
    if not importlib.util.find_spec("parsl"):
        raise ValueError(f"executor {kind} needs Parsl: pip install 'recredit[cluster]'.")
    path = str(folder.resolve())
    if shlex.quote(path) != path:
        raise ValueError(
            f"the path of a folder that a cluster works in must have no spaces or special characters, unlike {brief(path)}."
        )


@contextlib.contextmanager
def cluster_executor(cluster: Slurm | PBS, folder: Path) -> Iterator[Executor]:
    """An executor whose workers compute on a cluster's nodes. `folder` is one that they share, with one executor at a time.

    What is submitted is a function of a module that the workers can import, and plain data. A future raises BrokenExecutor if
    its worker or block ended, however that came: cancelled, out of time, or dead; it may be submitted again. It raises
    ValueError if blocks end before their workers come up, or if the process that links this one with them ends, and the
    function's own errors as they are.

    Leaving ends what still runs, and the blocks. So does the end of this process, by SIGKILL too: within seconds from a process
    beside it, or LOST seconds after the machine itself is gone. Blocks that an earlier controller of the folder has left are
    cancelled first. Raises what `check_ready` does.
    """
    check_ready(cluster, folder)
    import parsl
    from parsl.concurrent import ParslPoolExecutor

    from recredit.runs.processor import call

    class Pool(ParslPoolExecutor):
        def submit(self, fn, /, *args):
            return super().submit(call, fn, *args)

    kind, folder = KIND[type(cluster)], folder.resolve()
    # The name tells this folder's blocks from all others; PBS takes 15 characters.
    identity = f"{folder} {folder.stat().st_ino} {os.getuid()}"
    name = f"recredit-{hashlib.sha256(identity.encode()).hexdigest()[:6]}"
    cancel(kind, name)
    scratch = folder / "blocks"  # Parsl's logs and scripts, and the keys that its messages are encrypted with
    shutil.rmtree(scratch, ignore_errors=True)
    config = _config(cluster, kind, name, scratch)
    executor, (workers,) = Pool(config), config.executors
    leaving = threading.Event()
    threading.Thread(target=_fail_without_link, args=(workers, leaving), daemon=True).start()
    try:
        yield executor
    finally:
        leaving.set()
        if workers.interchange_proc.poll() is None:
            executor.shutdown(wait=False)
        else:  # Parsl might wait for ever for its answer
            parsl.clear()
        cancel(kind, name)
        shutil.rmtree(scratch, ignore_errors=True)


def _config(cluster: Slurm | PBS, kind: str, name: str, scratch: Path) -> Any:
    import psutil
    from parsl import Config, HighThroughputExecutor
    from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
    from parsl.jobs.error_handlers import windowed_error_handler

    # Parsl's programs by this Python, whether its folder is on the PATH or not, and with nothing imported from the current
    # folder; the addresses of this machine's own interfaces, since Parsl would ask a server elsewhere for one more.
    python = [sys.executable, "-P", "-m"]
    program = shlex.join([*python, "parsl.executors.high_throughput.process_worker_pool"])
    addresses = [a.address for each in psutil.net_if_addrs().values() for a in each if a.family == socket.AF_INET]
    workers = HighThroughputExecutor(
        label="workers",
        provider=_provider(cluster, kind, name),
        launch_cmd=DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", program).replace("{addresses}", ",".join(addresses)),
        interchange_launch_cmd=[*python, "recredit.runs.interchange", str(os.getpid()), kind, name],
        address="0.0.0.0",
        max_workers_per_node=cluster.cores,
        available_accelerators=cluster.gpus,
        heartbeat_period=HEARTBEAT,
        heartbeat_threshold=LOST,
        block_error_handler=windowed_error_handler,
        encrypted=True,
    )
    return Config(
        executors=[workers],
        run_dir=str(scratch),
        strategy="simple",  # another one, htex_auto_scale, cancels blocks that wait in the queue as soon as jobs are few
        strategy_period=1,
        retry_handler=_failed,
        initialize_logging=False,
        usage_tracking=0,
    )


def _provider(cluster: Slurm | PBS, kind: str, name: str) -> Any:
    from parsl.providers import PBSProProvider, SlurmProvider

    class Slurms(_Commands, SlurmProvider):
        pass

    class PBSs(_Commands, PBSProProvider):
        pass

    exports = [f"export {key}={shlex.quote(value)}" for key, value in environment().items()]
    prefix, naming = {"slurm": ("#SBATCH", f"--job-name={name}"), "pbs": ("#PBS", f"-N {name}")}[kind]
    common = {
        "account": cluster.account,
        "walltime": cluster.walltime,
        "init_blocks": 0,
        "max_blocks": cluster.nodes,
        "scheduler_options": "\n".join(f"{prefix} {line}" for line in (naming, *cluster.options.splitlines())),
        "worker_init": "\n".join([cluster.environment, *exports, ""]),
    }
    if isinstance(cluster, PBS):
        wanted = {"mem": cluster.memory and f"{cluster.memory}gb", "ngpus": cluster.gpus}
        select = ":".join(f"{key}={value}" for key, value in wanted.items() if value)
        return PBSs(**common, queue=cluster.queue, cpus_per_node=cluster.cores, select_options=select)
    provider = Slurms(
        **common,
        partition=cluster.partition,
        cores_per_node=cluster.cores,
        mem_per_node=cluster.memory,
        gpus_per_node=cluster.gpus or None,
        exclusive=False,
    )
    # Asked for one job alone that it has forgotten, squeue fails, and Parsl believes for ever that the job runs.
    provider._cmd = provider._cmd.replace("'{0}'", "'{0},{0}'")
    return provider


class _Commands:
    """Runs the scheduler's commands for Parsl, whose own way forks, which a process that has started JAX must not."""

    def execute_wait(self, cmd: str, timeout: float | None = None) -> tuple[int, str, str]:
        done = subprocess.run(cmd, shell=True, capture_output=True, text=True, timeout=timeout or 60, process_group=0)
        return done.returncode, done.stdout, done.stderr


def _fail_without_link(workers: Any, leaving: threading.Event) -> None:
    """Have all work fail once the process between this one and the blocks has ended: Parsl would wait for ever."""
    workers.interchange_proc.wait()
    if not leaving.is_set():
        workers.set_bad_state_and_fail_all(
            ValueError("the process that links this one with the cluster's workers has ended; run the same command to go on.")
        )


def _failed(error: Exception, _: Any) -> float:
    """Parsl asks this what another attempt costs. More than there is; what this raises becomes the future's own error."""
    from parsl.executors.errors import BadStateException
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

    if isinstance(error, ManagerLost | WorkerLost):
        raise BrokenExecutor(f"a worker on {error.hostname} ended before its work.")
    if isinstance(error, BadStateException):
        if isinstance(why := getattr(error.executor, "executor_exception", None), ValueError):
            raise why
        last = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise ValueError(f"no block starts on the cluster; the last news of one: {last}.")
    return 1
