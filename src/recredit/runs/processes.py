"""Processes of our own that share out work on this machine."""

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from recredit.runs.ending import end


def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


@contextlib.contextmanager
def process_pool(module: str) -> Iterator[ProcessPoolExecutor]:
    """A process for each core, which import a module at once, while this process goes on. What is not begun at the end is left.

    They leave signals to this process, and do not outlive it.
    """
    context = multiprocessing.get_context("spawn")  # JAX's threads do not survive a fork
    pool = ProcessPoolExecutor(len(cores()), context, _begin, (module,))
    pool.submit(os.getpid)  # it starts them
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(module: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    importlib.import_module(module)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        end(0)
