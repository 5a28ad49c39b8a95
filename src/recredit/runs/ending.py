"""How a process ends before its time: at once, whatever it is at, but with no file half-written."""

import os
import threading
from typing import NoReturn

WRITING = threading.Lock()
"""Held while a file is written and put in place."""


def end(status: int) -> NoReturn:
    """End this process from any of its threads; a file that is being written comes first, for a second at most."""
    WRITING.acquire(timeout=1)
    os._exit(status)
