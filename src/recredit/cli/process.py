"""The command line as a process: output whose reader may go, and signals that end it in good order."""

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Output:
    """A standard stream in UTF-8, whatever the locale. No computation ends because its reader is gone or its disk full."""

    def __init__(self, stream: Any):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        self.stream = stream
        self.failure: OSError | ValueError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        self._attempt(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._attempt(self.stream.flush)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (OSError, ValueError) as error:  # ValueError: closed by a rule's own file
            self.failure = self.failure or error
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())  # what is left in buffers, and what follows, goes nowhere

    def check(self) -> None:
        """Raise ValueError if something could not be written, and not because the reader wanted no more."""
        self.flush()
        if self.failure and getattr(self.failure, "errno", None) != errno.EPIPE:
            raise ValueError(f"standard output cannot be written: {getattr(self.failure, 'strerror', self.failure)}.")


@contextlib.contextmanager
def guarded_output() -> Iterator[Output | None]:
    """Write both standard streams as `Output`; gives standard output, or None if it is closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed by the shell: the next file to be opened would be taken for this stream
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err = [stream and Output(stream) for stream in before]
    try:
        yield out
    finally:
        for stream in (out, err):
            if stream:
                stream.flush()
        sys.stdout, sys.stderr = before


@contextlib.contextmanager
def raised_signals() -> Iterator[list[int]]:
    """Raise SIGINT, SIGTERM and SIGHUP as KeyboardInterrupt; gives the list of those that came.

    One that is ignored (under nohup, in the background of a script) stays ignored.
    """
    came: list[int] = []

    def interrupt(number: int, _: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    def again(lost: Any) -> None:
        if came:  # it was raised where nothing can be: in a callback of the garbage collector, say
            threading.Timer(0, signal.raise_signal, [came[0]]).start()
        else:
            report(lost)

    names = ("SIGINT", "SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    numbers = [number for name in names if (number := getattr(signal, name, None)) is not None]
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)}
    report, sys.unraisablehook = sys.unraisablehook, again
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield came
    finally:
        sys.unraisablehook = report
        for number, handler in before.items():
            signal.signal(number, handler)
