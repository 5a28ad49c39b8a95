"""What of a folder is being computed now: each job says how far it is, in a file that all who watch may read.

DIR/running/JOB.json   how far a job is
"""

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from recredit.runs.files import write_whole
from recredit.runs.plan import Job

PAUSE = 0.5  # seconds between two reports of a job, at least


class Report:
    """Writes how far a job is."""

    def __init__(self, job: Job):
        self.file = _file(job.folder, job.digest)
        self.file.parent.mkdir(exist_ok=True)
        labels = list(dict.fromkeys(job.labels))
        self.told = {
            "labels": labels,
            "cells": len(job.cells),
            "of": job.steps,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        self.began = self.last = time.time()
        self.tell(0)

    def tell(self, steps: int) -> None:
        """Say that so many network steps of all the job's cells are done, if the last word is some time ago."""
        now = time.time()
        if steps == 0 or now - self.last > PAUSE:
            self.last = now
            told = {**self.told, "steps": steps, "since": self.began, "at": now}
            with contextlib.suppress(ValueError):  # it only informs
                write_whole(self.file, json.dumps(told).encode())

    def end(self) -> None:
        """Take the file away."""
        self.file.unlink(missing_ok=True)


def progress_of(job: Job) -> int:
    """How many network steps of all its cells a job says are done."""
    told = _read(_file(job.folder, job.digest))
    return int(told["steps"]) if told else 0


def running(folder: Path) -> list[dict[str, Any]]:
    """What each job of a folder says: "labels", "cells" in it, "steps" done "of" all, "host", "pid", when "since" and "at"."""
    return [told for file in sorted((folder / "running").glob("*.json")) if (told := _read(file))]


def _file(folder: Path, digest: str) -> Path:
    return folder / "running" / f"{digest}.json"


def _read(file: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        told = json.loads(file.read_bytes())
        return told if isinstance(told, dict) and isinstance(told.get("steps"), int) else None
    return None
