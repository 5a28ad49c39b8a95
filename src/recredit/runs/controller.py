"""Have what is missing of some runs computed, and see to it that nothing is lost and nothing done twice."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from pathlib import Path
from typing import Protocol

from recredit.runs.failures import explanation
from recredit.runs.files import check_writable, tidy, writable_folder
from recredit.runs.lock import locked
from recredit.runs.plan import Job, plan
from recredit.runs.record import DamagedError, read_record
from recredit.runs.running import clear, forget, progress_of
from recredit.runs.settings import Run
from recredit.runs.store import missing
from recredit.runs.work import work

TRIES = 3  # of a job whose workers end, from where it stands
LOOK = 0.3  # seconds between two looks at how far the jobs are


class View(Protocol):
    """Who is told how it goes."""

    def expect(self, jobs: Mapping[Job, int], diverged: Mapping[Job, int]) -> None:
        """The jobs of all cells, each with the number of its cells that are missing, and of those found that diverged."""

    def advance(self, job: Job, steps: int) -> None:
        """A job is being computed, and so many network steps are done, all its cells together."""

    def end(self, job: Job, diverged: int) -> None:
        """A job is done, and so many of all its cells have diverged."""

    def again(self, job: Job) -> None:
        """A job's worker has ended; the job waits for another."""

    def failed(self, job: Job, sentence: str) -> None:
        """A job has failed for good."""

    def say(self, sentence: str) -> None:
        """Something that the user should know."""


@contextlib.contextmanager
def held(folder: Path, files: Iterable[str], say: Callable[[str], object]) -> Iterator[Path]:
    """A folder of results, made if there is none, for this process alone to compute in and to write these files to.

    What processes that were ended left half-done there goes, first and at the end. Raises ValueError if something cannot be
    written, or if another process has the folder.
    """
    with locked(writable_folder(folder, files), say) as sure:
        try:
            if sure:
                clear(folder)
                tidy(folder)
            yield folder
        finally:
            if sure:
                tidy(folder)


def compute(
    folder: Path,
    runs: Mapping[str, Run],
    seeds: Sequence[int],
    executor: Executor,
    cores: int,
    view: View,
    seeds_at_once: int | None = None,
    keeps_states: bool = False,
) -> None:
    """Compute what is missing of some runs, by label, in a folder that this process has `held`.

    What a worker's death interrupts is tried again, twice.

    `executor`: where; it has so many `cores`. `seeds_at_once`: the most cells that are vectorised together (None: as many as
    fit the cache). `keeps_states`: whether each learner's whole state at the end is kept.

    Raises ValueError, the sentence of the first job that failed, after all others have ended; finished cells stay.
    """
    all_jobs = plan(folder, runs, seeds, missing(folder, runs, seeds, view.say), cores, seeds_at_once, keeps_states)
    jobs = [job for job, count in all_jobs.items() if count]
    for job in jobs:
        check_writable(folder / "cells" / job.cells[0].file)
    view.expect(all_jobs, {job: _diverged(job) for job, count in all_jobs.items() if count < len(job.cells)})
    if failed := _compute(jobs, executor, view):
        others = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        raise ValueError(next(iter(failed.values())) + others)


def _diverged(job: Job) -> int:
    """How many of a job's cells have diverged, as their files say."""
    count = 0
    for cell in job.cells:
        with contextlib.suppress(OSError, DamagedError):  # it is missing
            count += read_record(cell.path(job.folder))["diverged"]
    return count


def _compute(jobs: Sequence[Job], executor: Executor, view: View) -> dict[Job, str]:
    """The jobs that failed, and why."""
    failed: dict[Job, str] = {}
    tries = {job: [_standing(job)] for job in jobs}
    running: dict[Future, Job] = {executor.submit(work, job): job for job in jobs}
    while running:
        done, _ = wait(running, LOOK, FIRST_COMPLETED)
        again: dict[str, list[Job]] = defaultdict(list)  # by what ended their workers
        for future in done:
            job = running.pop(future)
            error = future.exception()
            forget(job)
            if error is None:
                view.end(job, _diverged(job))
            elif isinstance(error, BrokenExecutor) and tries[job].count(now := _standing(job)) < TRIES:
                tries[job].append(now)
                again[explanation(error)].append(job)
                view.again(job)
                running[executor.submit(work, job)] = job
            else:
                failed[job] = explanation(error)
                view.failed(job, failed[job])
        for why, ended in again.items():
            times = f" ({len(ended)} times)" if len(ended) > 1 else ""
            view.say(f"{why[:1].upper()}{why[1:].rstrip('.')}{times}; its cells are tried again.")
        for job in running.values():
            if (steps := progress_of(job)) is not None:
                view.advance(job, steps)
    return failed


def _standing(job: Job) -> tuple[tuple[str, int], ...]:
    """Where a job's checkpoints stand: if they have moved on, what a worker did before it ended was not for nothing."""
    files = job.folder.glob(f"checkpoints/{job.checkpoint('*').name}")
    return tuple((file.name, file.stat().st_mtime_ns) for file in sorted(files))
