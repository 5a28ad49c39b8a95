"""What a worker process computes on."""

import contextlib
import os
import tempfile
from pathlib import Path

import jax

from recredit.runs.failures import no_device
from recredit.runs.local import cores

_held: list[int] = []  # of the locks of cores, for as long as this process lives


def take_core() -> str:
    """JAX's backend; if it is a processor, this process is pinned to a core that no other worker of this user has, if one is.

    Raises ValueError for a JAX without a device.
    """
    try:
        backend = jax.default_backend()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(no_device(error)) from None
    if backend == "cpu" and hasattr(os, "sched_setaffinity") and (core := _free_core()) is not None:
        for thread in os.listdir("/proc/self/task"):  # JAX's own threads too, which have begun by now
            with contextlib.suppress(ProcessLookupError):  # a thread that has ended since
                os.sched_setaffinity(int(thread), {core})
    return backend


def _free_core() -> int | None:
    """A core whose lock this process now holds; None if all have a worker, or locks cannot be had."""
    import fcntl  # there is none on Windows, where no process is pinned

    folder = Path(tempfile.gettempdir()) / f"recredit-cores-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        for core in cores():
            lock = os.open(folder / str(core), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _held.append(lock)
                return core
            os.close(lock)
    return None
