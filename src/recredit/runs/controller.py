"""Have what is missing of some runs computed, and see to it that nothing is lost and nothing done twice."""

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from pathlib import Path
from typing import Protocol

from recredit.runs.failures import explanation
from recredit.runs.files import check_writable, tidy
from recredit.runs.lock import locked
from recredit.runs.plan import Job, plan
from recredit.runs.running import progress_of
from recredit.runs.settings import Run
from recredit.runs.store import missing
from recredit.runs.work import work

TRIES = 3  # of a job whose workers end, from where it stands
LOOK = 0.3  # seconds between two looks at how far the jobs are


class View(Protocol):
    """Who is told how it goes."""

    def expect(self, jobs: Sequence[Job]) -> None:
        """What is to be computed."""

    def advance(self, job: Job, steps: int) -> None:
        """Of a job, so many network steps are done, all its cells together."""

    def end(self, job: Job, diverged: int) -> None:
        """A job is done, and so many of its cells have diverged."""

    def say(self, sentence: str) -> None:
        """Something that the user should know."""


def compute(
    folder: Path,
    runs: Mapping[str, Run],
    seeds: Sequence[int],
    executor: Executor,
    cores: int,
    view: View,
    seeds_at_once: int | None = None,
) -> None:
    """Compute what is missing of some runs, by label. What a worker's death interrupts is tried again, twice.

    `executor`: where; it has so many `cores`. `seeds_at_once`: the most cells that are vectorised together (None: as many as
    fit the cache).

    Raises ValueError, the sentence of the first job that failed, after all others have ended; finished cells stay.
    """
    with locked(folder, view.say) as sure:
        if sure:
            tidy(folder)
        jobs = plan(folder, runs, seeds, missing(folder, runs, seeds, view.say), cores, seeds_at_once)
        for job in jobs:
            check_writable(folder / "cells" / job.cells[0].file)
        view.expect(jobs)
        failed = _compute(jobs, executor, view)
        tidy(folder)
    if failed:
        others = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        raise ValueError(next(iter(failed.values())) + others)


def _compute(jobs: Sequence[Job], executor: Executor, view: View) -> dict[Job, str]:
    """The jobs that failed, and why."""
    failed: dict[Job, str] = {}
    tries = {job: [_standing(job)] for job in jobs}
    running: dict[Future, Job] = {executor.submit(work, job): job for job in jobs}
    while running:
        done, _ = wait(running, LOOK, FIRST_COMPLETED)
        for future in done:
            job = running.pop(future)
            error = future.exception()
            if error is None:
                view.end(job, future.result())
            elif isinstance(error, BrokenExecutor) and tries[job].count(now := _standing(job)) < TRIES:
                tries[job].append(now)
                running[executor.submit(work, job)] = job
            else:
                failed[job] = explanation(error)
        for job in running.values():
            view.advance(job, progress_of(job))
    return failed


def _standing(job: Job) -> tuple[tuple[str, int], ...]:
    """Where a job's checkpoints stand: if they have moved on, what a worker did before it ended was not for nothing."""
    files = job.folder.glob(f"checkpoints/{job.checkpoint('*').name}")
    return tuple((file.name, file.stat().st_mtime_ns) for file in sorted(files))
