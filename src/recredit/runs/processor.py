"""What a worker process computes on."""

import contextlib
import functools
import hashlib
import importlib
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import jax
import jax.numpy as jnp
import platformdirs

from recredit.runs.failures import no_device
from recredit.runs.local import cores

CACHED = 10**9  # bytes of compiled programs that are kept between processes, those longest unused forgotten first
_held: list[int] = []  # of the locks of cores, for as long as this process lives


@functools.cache
def settle() -> str:
    """Make this process a worker, on this machine or on a cluster's node: with a core of its own, and compiled programs kept.

    Gives JAX's backend. Raises ValueError for a JAX without a device.
    """
    backend = take_core()
    keep_programs()
    return backend


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in a worker that a cluster's software has started."""
    settle()
    return function(*arguments)


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


def keep_programs() -> None:
    """Keep compiled programs in the user's cache folder, apart for each kind of processor, unless JAX has a folder already.

    A second process that trains the same has them at once. A program is kept for the processor that it was compiled for: one
    with other instructions might end by it, and a home folder may be shared by many machines.
    """
    if jax.config.jax_compilation_cache_dir:  # pyright: ignore[reportAttributeAccessIssue]
        return
    folder = programs_folder() / _kind()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            _mend(folder)
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_compilation_cache_max_size", CACHED)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)


def programs_folder() -> Path:
    """Where compiled programs are kept, by kinds of processors."""
    return platformdirs.user_cache_path("recredit") / "programs"


def _mend(folder: Path) -> None:
    """Take away what a process was killed at writing, here or on another machine.

    JAX never writes such a program again, and while its time is missing keeps no other either.
    """
    with contextlib.suppress(NotImplementedError), filelock.FileLock(folder / ".lockfile", timeout=1):  # JAX's own
        names = set(os.listdir(folder))
        for name in names:
            if name.endswith("-cache") and f"{name.removesuffix('-cache')}-atime" not in names:
                (folder / name).unlink()


def warm_up() -> None:
    """Import what any training needs in the end, and JAX to compile, before the first call comes: some 0.4 s."""
    importlib.import_module("xarray")
    jax.jit(jnp.linalg.qr).lower(jnp.eye(2))


def _kind() -> str:
    """Tells processors with other instructions apart."""
    told = f"{platform.machine()} {platform.processor()}"
    with contextlib.suppress(OSError):  # not on Linux
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        told += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(told.encode()).hexdigest()[:12]


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
