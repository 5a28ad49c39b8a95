"""Share runs out over the machine: one single-threaded worker process a core, or one for the GPU.

Several devices inside one process deadlock XLA's thread pool on small machines; processes pinned to cores cannot.
"""

import collections
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recredit.runs.failures import ended
from recredit.runs.identity import precision
from recredit.runs.processes import cores
from recredit.runs.settings import Run

SINGLE_THREAD = "--xla_cpu_multi_thread_eigen=false"
# XLA on a processor unrolls short loops whole, and so does not vectorise them, and copies blocks of 16 numbers about: without
# either, RTRL in blocks takes a fifth less time at n = 32. No option of jit reaches them; a version without them ignores them.
FAST = "--xla_backend_extra_options=xla_cpu_disable_loop_unrolling,xla_cpu_disable_tiled_emitter"


@dataclass(frozen=True)
class Job:
    """Some seeds of one run."""

    cell: str
    run: Run
    seeds: tuple[int, ...]
    folder: Path
    seeds_at_once: int | None = None


Progress = Callable[[Job, int], None]  # called with the steps newly done


class Worker:
    """A worker process, and the talk with it."""

    def __init__(self, core: int):
        flags = f"{SINGLE_THREAD} {FAST} {os.environ.get('XLA_FLAGS', '')}".strip()
        env = os.environ | {"XLA_FLAGS": flags, "OMP_NUM_THREADS": "1", "RECREDIT_CORE": str(core)}
        env["JAX_ENABLE_X64"] = str(int(precision() == "float64"))  # as here, where the cells are looked for
        self.process = subprocess.Popen(
            # -P: what lies in the current folder is no module of ours
            [sys.executable, "-P", "-W", "ignore", "-m", "recredit.runs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=env,
            start_new_session=True,  # Ctrl-C is for the pool: it ends the workers
        )
        self.printed: collections.deque[str] = collections.deque(maxlen=1000)
        self.listener = threading.Thread(target=lambda: self.printed.extend(self.process.stderr or ()), daemon=True)
        self.listener.start()
        self.backend = ""

    def greet(self) -> None:
        """Wait until the worker is up, and learn what it computes on. Raises ValueError with its sentence if it fails."""
        self.backend = self.hear()["backend"]

    def hear(self) -> dict:
        """The worker's next line. Raises ValueError if it tells of an error, or is gone."""
        assert self.process.stdout
        if not (line := self.process.stdout.readline()):
            status = self.process.wait()
            self.listener.join(1)
            last = self.printed.pop().strip() if self.printed else ""
            self.printed.clear()
            raise ValueError(ended(status, last))
        if "error" in (answer := json.loads(line)):
            raise ValueError(answer["error"])
        return answer

    def do(self, job: Job, progress: Progress) -> None:
        """Have one job done. Raises ValueError with the worker's sentence if it fails."""
        assert self.process.stdin
        message = {
            "run": job.run.model_dump(),
            "seeds": job.seeds,
            "folder": str(job.folder.absolute()),
            "seeds_at_once": job.seeds_at_once,
        }
        with contextlib.suppress(BrokenPipeError):  # it is gone: what is heard next says so
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        told = 0
        while "done" not in (answer := self.hear()):
            progress(job, answer["steps"] - told)
            told = answer["steps"]

    def end(self) -> None:
        """End the process, and print what it printed (a rule of the user's own may)."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # at which it ends
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.listener.join(1)  # what it started itself may still hold the pipe
        print(*self.printed, sep="", end="", file=sys.stderr)


def plan(
    folder: Path, runs: Mapping[str, Run], missing: Mapping[str, Sequence[int]], shares: int, seeds_at_once: int | None
) -> list[Job]:
    """The jobs for what is missing in a folder: for each run its missing seeds, in at most `shares` even shares."""
    jobs = []
    for label, seeds in missing.items():
        size = -(-len(seeds) // shares)
        jobs += [Job(label, runs[label], tuple(seeds[i : i + size]), folder, seeds_at_once) for i in range(0, len(seeds), size)]
    return jobs


def compute(
    folder: Path,
    runs: Mapping[str, Run],
    missing: Mapping[str, Sequence[int]],
    seeds_at_once: int | None,
    expect: Callable[[list[Job]], None],
    progress: Progress,
) -> None:
    """Compute the seeds that are missing of some runs. `expect` is told the jobs first, then `progress` each advance.

    `seeds_at_once`: the most that a worker vectorises together (None: as many as fit the cache).

    Raises ValueError with the first sentence that a worker failed with; finished cells stay on disk. On KeyboardInterrupt the
    workers are ended.
    """
    if not (jobs := plan(folder, runs, missing, 1, seeds_at_once)):
        expect([])
        return
    workers: list[Worker] = []
    errors: list[BaseException] = []
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()

    def serve(worker: Worker) -> None:
        try:
            while not errors:
                worker.do(waiting.get_nowait(), progress)
        except queue.Empty:
            pass
        except BaseException as error:
            errors.append(error)

    def start(core: int) -> None:
        try:
            worker = Worker(core)
            workers.append(worker)  # before the greeting, so that what interrupts it ends the worker
            worker.greet()
        except BaseException as error:
            errors.append(error)

    try:
        first, *others = cores()
        start(first)
        if not errors and workers[0].backend == "cpu":
            jobs = plan(folder, runs, missing, 1 + len(others), seeds_at_once)
            _together(start, others[: len(jobs) - 1])
        for job in jobs:
            waiting.put(job)
        expect(jobs)
        if not errors:
            _together(serve, workers)
    finally:
        for worker in workers:
            worker.end()
    if errors:
        raise errors[0]


def _together(do: Callable, items: Sequence) -> None:
    threads = [threading.Thread(target=do, args=(item,), daemon=True) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)  # a plain join would hold back Ctrl-C
