"""What a worker does: train the cells of a job, and put them in their folder."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import jax
import numpy as np

from recredit.runs.identity import Cell
from recredit.runs.plan import Job
from recredit.runs.running import Report
from recredit.runs.settings import Run
from recredit.runs.store import write_cells
from recredit.training.loop import train


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def work(job: Job) -> int:
    """Train what is missing of a job's cells, and write them; how many of them diverged.

    Raises ValueError, one sentence, if that fails; cells that are written stay.
    """
    report = Report(job)
    done = lost = 0
    try:
        for run, cells in _by_run(job):
            left = [cell.seed for cell in cells if not (job.folder / "cells" / cell.file).exists()]
            if left:
                lost += _train(job, run, left, report, done)
            done += run.steps * len(cells)
        return lost
    finally:
        report.end()
        jax.clear_caches()  # compiled programs, tens of MB each, are not needed again


def _by_run(job: Job) -> Iterator[tuple[Run, list[Cell]]]:
    groups: dict[str, list[Cell]] = {}
    for cell in job.cells:
        groups.setdefault(cell.run.text(), []).append(cell)
    for cells in groups.values():
        yield cells[0].run, cells


def _train(job: Job, run: Run, seeds: list[int], report: Report, done: int) -> int:
    begun, began = now(), time.perf_counter()
    rule, network, optimizer, observers = run.build()
    data = train(
        rule,
        run.build_task(),
        network=network,
        optimizer=optimizer,
        seeds=seeds,
        steps=run.steps,
        bin=run.bin,
        streams=run.streams,
        seeds_at_once=job.seeds_at_once,
        observers=observers,
        progress=lambda steps: report.tell(done + steps * len(seeds)),
    )
    each = (time.perf_counter() - began) / len(seeds)
    meaning = {"long_name": "time that the seeds computed together took, shared evenly", "units": "s"}
    data["seconds"] = ("seed", np.full(len(seeds), each), meaning)
    write_cells(
        job.folder, run, data, {"begun": begun, "ended": now(), "seconds": each, "device": jax.devices()[0].device_kind}
    )
    return int((data.diverged_at >= 0).sum())
