"""How far the computing of a sweep is, in a file that all who watch may read.

DIR/progress.json   what is done, and who computes: written every second, and left at the end
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from recredit.errors import real_file
from recredit.runs.files import write_whole

PAUSE = 1  # seconds between two words of who computes
SILENT = 60  # seconds without a word after which nobody is believed to compute

Moment = Annotated[float, Field(ge=0, le=1e11)]
"""Seconds since 1970, of a year that a calendar knows."""
Words = Annotated[
    str, AfterValidator(lambda text: "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text))
]
"""What is printed as it was read: without what would steer a terminal."""


class Row(BaseModel):
    """One run, or all."""

    model_config = ConfigDict(frozen=True)

    label: Words
    """What it is called."""
    part: float
    """What is done of it, of 1."""
    steps_rate: float
    """Network steps a second, all its cells together."""
    left: float | None
    """Seconds that it will still take; None: unknown yet."""


class Standing(BaseModel):
    """How far the computing of some runs is."""

    model_config = ConfigDict(frozen=True)

    cells: NonNegativeInt
    """How many there are."""
    done: NonNegativeInt
    """How many of them are finished."""
    diverged: NonNegativeInt
    """How many of those finished have diverged."""
    failed: NonNegativeInt
    """How many cannot be computed."""
    running: NonNegativeInt
    """How many are being computed."""
    cells_rate: float
    """Cells a second."""
    whole: Row
    """All together."""
    rows: tuple[Row, ...]
    """Of each run that was not finished at the start; empty if they are too many to be shown."""
    said: tuple[Words, ...]
    """What went wrong, a sentence each."""


class Told(BaseModel):
    """What the file says."""

    model_config = ConfigDict(frozen=True)

    title: Words
    """What is computed."""
    host: Words
    """Where it is computed."""
    pid: PositiveInt
    """The process that sees to it, there."""
    at: Moment
    """When this was written, in seconds since 1970."""
    ended: Words | None
    """None: it goes on; "": it has come to its end; else the sentence that ended it."""
    standing: Standing


@contextlib.contextmanager
def published(folder: Path, title: str, standing: Callable[[], Standing | None]) -> Iterator[None]:
    """Write how far it is every second, from the time on that there is something to be told; and once more on leaving."""
    stop = threading.Event()

    def write() -> None:
        if now := standing():
            _write(folder, _told(title, now, None))

    def keep() -> None:
        while not stop.wait(PAUSE):
            write()

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        write()


def tell_end(folder: Path, why: str = "") -> None:
    """Say that a sweep has ended, and why if something ended it; if this process computed it."""
    told = read_told(folder)
    if told and (told.host, told.pid) == (socket.gethostname(), os.getpid()):
        _write(folder, _told(told.title, told.standing, why))


def read_told(folder: Path) -> Told | None:
    """What the file in a folder says; None if there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        return Told.model_validate_json(real_file(folder / "progress.json").read_bytes())
    return None


def computes(folder: Path, told: Told) -> bool:
    """Whether who wrote this still computes, as far as can be seen."""
    if told.ended is not None or is_gone(told.host, told.pid):
        return False
    if abs(time.time() - told.at) < SILENT:
        return True
    time.sleep(3 * PAUSE)  # the clocks of two machines may differ
    later = read_told(folder)
    return later is not None and later.at != told.at


def is_gone(host: str, pid: int) -> bool:
    """Whether a process is known to be gone; of another machine's nothing is known."""
    if host != socket.gethostname() or os.name == "nt":  # where a signal of 0 would end it
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # another user's
        pass
    return False


def _told(title: str, standing: Standing, ended: str | None) -> Told:
    return Told(title=title, host=socket.gethostname(), pid=os.getpid(), at=time.time(), ended=ended, standing=standing)


def _write(folder: Path, told: Told) -> None:
    with contextlib.suppress(ValueError):  # it only informs
        write_whole(folder / "progress.json", told.model_dump_json().encode())
