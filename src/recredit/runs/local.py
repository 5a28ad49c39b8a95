"""An executor on this machine: one single-threaded worker process a core, or one for the GPU.

Several devices inside one process deadlock XLA's thread pool on small machines; processes pinned to cores cannot.
"""

import collections
import contextlib
import importlib.metadata
import importlib.util
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from recredit.runs.channel import Channel
from recredit.runs.environment import environment
from recredit.runs.failures import ended

PATIENCE = 5  # seconds for a worker that is to end: it may write a checkpoint first
SELDOM = 100_000  # new objects between two looks for cycles: at Python's 700, a fifth of importing and tracing goes into them


def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


class Worker:
    """A worker process, and the talk with it."""

    def __init__(self, module: str, variables: Mapping[str, str]):
        """`module`: what it imports at once. `variables`: what its environment has other than this process's."""
        self.process = subprocess.Popen(
            # -P: what lies in the current folder is no module of ours
            [sys.executable, "-P", "-W", "ignore", "-m", "recredit.runs.worker", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **variables},
            # Ctrl-C is for this process, at whose end the workers end: a session of its own, or on Windows a group
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        assert self.process.stdin
        assert self.process.stdout
        self.calls = Channel(self.process.stdin.fileno(), "w")
        self.answers = Channel(self.process.stdout.fileno(), "r")
        self.process.stdin.close()
        self.process.stdout.close()
        self.printed: collections.deque[bytes] = collections.deque(maxlen=1000)
        self.listener = threading.Thread(target=lambda: self.printed.extend(self.process.stderr or ()), daemon=True)
        self.listener.start()
        self.greeted = False

    def greet(self) -> str:
        """Wait until the worker is up, for the name of what it computes on. Raises what `hear` does if it fails."""
        backend = self.hear()
        self.greeted = True
        return backend

    def hear(self) -> Any:
        """What the worker has to say next. Raises the error that it tells of, or BrokenExecutor if it is gone."""
        try:
            answer, error = self.answers.recv()
        except (EOFError, OSError):
            status = self.process.wait()
            self.listener.join(1)
            last = self.printed.pop().decode(errors="replace").strip() if self.printed else ""
            self.printed.clear()
            raise BrokenExecutor(ended(status, last)) from None
        if error is not None:
            raise error
        return answer

    def do(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What a call gives in the worker. Raises ValueError, its sentence, if it fails, BrokenExecutor if the worker ends."""
        with contextlib.suppress(OSError):  # it is gone: what is heard next says so
            self.calls.send((call, arguments))
        return self.hear()

    def end(self) -> None:
        """End the process, and print what it printed (a rule of the user's own may)."""
        self.calls.close()  # at which it ends
        try:
            self.process.wait(PATIENCE if self.greeted else 0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.listener.join(1)  # what it started itself may still hold the pipe
        while self.printed:
            print(self.printed.popleft().decode(errors="replace"), end="", file=sys.stderr)


class LocalExecutor(Executor):
    """Calls shared out over worker processes, one a core at most, and on a GPU one in all.

    The first are started at once, others when there is work for them. One that ends is replaced, and the future of what it was
    at raises BrokenExecutor.
    """

    def __init__(self, module: str, most: int | None = None, first: int = 2):
        """`module`: what the workers import at once. `most`: how many there may be (None: one a core). `first`: how many are
        started before anything is asked of them."""
        self.module, self.first = module, first
        self.environment = environment()
        self.cores = min(most or len(cores()), len(cores()))
        self.waiting: queue.SimpleQueue[tuple[Future, Callable[..., Any], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.open = 0  # calls that are not done
        self.most = 1 if _has_plugins() else self.cores  # workers, as far as is known
        self.closed = False
        self.broken: BaseException | None = None  # why no worker starts
        self.workers: set[Worker] = set()
        self.threads: list[threading.Thread] = []
        self._hire(first)

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Have a function of a module called. Its future raises ValueError, the sentence of what went wrong."""
        if self.closed:
            raise RuntimeError("the executor is closed.")
        future: Future = Future()
        future.add_done_callback(self._count_down)
        with self.lock:
            self.open += 1
        self.waiting.put((future, fn, args))
        self._hire(self.open)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers: after all that was submitted, or with `cancel_futures` now, in the middle of a call too."""
        with self.lock:
            self.closed = True
        if cancel_futures:
            with contextlib.suppress(queue.Empty):
                while item := self.waiting.get_nowait():
                    item[0].cancel()
            for worker in [*self.workers]:
                worker.end()
        for _ in self.threads:
            self.waiting.put(None)
        for thread in self.threads if wait else []:
            while thread.is_alive():
                thread.join(0.2)  # a plain join would hold back Ctrl-C

    def _count_down(self, _: Future) -> None:
        with self.lock:
            self.open -= 1

    def _hire(self, wanted: int) -> None:
        """Start threads that serve a worker each, until there are as many as are wanted, or as there may be."""
        with self.lock:
            while len(self.threads) < min(wanted, self.most) and not self.closed:
                thread = threading.Thread(target=self._serve, daemon=True)
                self.threads.append(thread)
                thread.start()

    def _begin(self) -> Worker:
        with self.lock:
            if self.closed:
                raise BrokenExecutor("the executor is closed.")
            worker = Worker(self.module, self.environment)
            self.workers.add(worker)
        if worker.greet() == "cpu":
            self.most = self.cores
            self._hire(max(self.first, self.open))
        return worker

    def _serve(self) -> None:
        worker: Worker | None = None
        while True:
            try:
                worker = worker or self._begin()
            except BaseException as error:
                self.broken = self.broken or error
            if (item := self.waiting.get()) is None:
                break
            future, call, arguments = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if worker is None:
                    raise self.broken or BrokenExecutor("no worker starts.")
                future.set_result(worker.do(call, *arguments))
            except BaseException as error:
                if isinstance(error, BrokenExecutor) and worker:
                    worker.end()
                    worker = None
                future.set_exception(error)
        if worker:
            worker.end()


@contextlib.contextmanager
def local_executor(module: str, most: int | None = None, first: int = 2) -> Iterator[LocalExecutor]:
    """A `LocalExecutor` whose workers end at the end, whatever they are at."""
    executor = LocalExecutor(module, most, first)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _has_plugins() -> bool:
    """Whether JAX may find something else to compute on than the processor."""
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return False
    found = importlib.metadata.entry_points(group="jax_plugins")
    return bool(found) or any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
