"""How a process ends before its time, but with no file half-written."""

import os
import signal
import threading
from concurrent.futures import BrokenExecutor
from typing import NoReturn

WRITING = threading.Lock()
"""Held while a file is written and put in place."""
STOPPING = threading.Event()
"""Set when this process is to end soon: what computes writes a checkpoint and stops."""
GRACE = 4  # seconds that it has for it


class StoppedError(BrokenExecutor):
    """The process was asked to end, and training has stopped where its checkpoint stands."""


def stop_on_sigterm() -> None:
    """From now on SIGTERM sets `STOPPING`, if this is the main thread of a process; others leave signals alone."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: STOPPING.set())


def end(status: int) -> NoReturn:
    """End this process from any of its threads; a file that is being written comes first, for a second at most."""
    WRITING.acquire(timeout=1)
    os._exit(status)


def end_soon(status: int, busy: threading.Lock) -> NoReturn:
    """Have what computes, and holds `busy` meanwhile, write a checkpoint; then, or after some seconds, end this process."""
    STOPPING.set()
    busy.acquire(timeout=GRACE)
    end(status)
