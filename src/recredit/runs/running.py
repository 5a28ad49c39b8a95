"""What of a folder is being computed now: each job says how far it is, in a file that all who watch may read.

DIR/running/JOB.json   how far a job is
"""

import contextlib
import os
import socket
import time
from pathlib import Path

from pydantic import BaseModel, NonNegativeInt, PositiveInt

from recredit.errors import real_file
from recredit.runs.files import make_folder, write_whole
from recredit.runs.plan import Job
from recredit.runs.standing import Moment, Words

PAUSE = 0.5  # seconds between two reports of a job, at least


class Progress(BaseModel):
    """What a job says of itself."""

    labels: list[Words]
    """What its runs are called."""
    cells: NonNegativeInt
    """How many cells it has."""
    steps: NonNegativeInt
    """Network steps that are done, all its cells together."""
    of: NonNegativeInt
    """How many there are."""
    host: Words
    """Where it is computed."""
    pid: PositiveInt
    """The process that computes it, there."""
    at: Moment
    """When this was written, in seconds since 1970."""


class Report:
    """Writes how far a job is."""

    def __init__(self, job: Job):
        self.file = _file(job.folder, job.digest)
        labels = list(dict.fromkeys(job.labels))
        self.told = {
            "labels": labels,
            "cells": len(job.cells),
            "of": job.steps,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        self.last = time.monotonic()
        self.tell(0)

    def tell(self, steps: int) -> None:
        """Say that so many network steps of all the job's cells are done, if the last word is some time ago."""
        now = time.monotonic()
        if steps == 0 or now - self.last > PAUSE:
            self.last = now
            told = Progress.model_validate({**self.told, "steps": steps, "at": time.time()})
            with contextlib.suppress(ValueError):  # it only informs
                write_whole(make_folder(self.file.parent) / self.file.name, told.model_dump_json().encode())

    def end(self) -> None:
        """Take the file away."""
        with contextlib.suppress(OSError):  # it only informs
            self.file.unlink(missing_ok=True)


def progress_of(job: Job) -> int | None:
    """How many network steps of all its cells a job says are done; None if it is not being computed."""
    told = _read(_file(job.folder, job.digest))
    return told.steps if told else None


def forget(job: Job) -> None:
    """Take away what a job said, whose worker may have ended before it could."""
    with contextlib.suppress(OSError):  # it only informs
        _file(job.folder, job.digest).unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Take away what all jobs of a folder said. Only if none is being computed."""
    for file in (folder / "running").glob("*.json"):
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def running(folder: Path) -> list[Progress]:
    """What each job of a folder says."""
    return [told for file in sorted((folder / "running").glob("*.json")) if (told := _read(file))]


def _file(folder: Path, digest: str) -> Path:
    return folder / "running" / f"{digest}.json"


def _read(file: Path) -> Progress | None:
    with contextlib.suppress(OSError, ValueError):
        return Progress.model_validate_json(real_file(file).read_bytes())
    return None
