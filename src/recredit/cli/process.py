"""The command line as a process: output whose reader may go, and signals that end it in good order."""

import _thread
import contextlib
import errno
import functools
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from recredit.runs.ending import end


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
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
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
    out, err = (stream and Output(stream) for stream in before)
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w", encoding="utf-8") for stream in (out, err))  # noqa: SIM115 - libraries want some
    try:
        yield out
    finally:
        for stream in (out, err):
            if stream:
                stream.flush()
        sys.stdout, sys.stderr = before


def check_xla_flags() -> None:
    """Raise ValueError if XLA_FLAGS are the user's and XLA refuses them: it would end the process without a sentence."""
    flags = os.environ.get("XLA_FLAGS", "").strip()
    if flags and (why := _refusal(flags)):
        raise ValueError(f"XLA refuses XLA_FLAGS={flags}; correct or unset it ({why}).")


@functools.cache
def _refusal(flags: str) -> str:
    """Why XLA refuses such flags, as a process says that tries them out; '' if it does not."""
    env = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-P", "-W", "ignore", "-c", "import jax; jax.devices()"]
    tried = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", errors="replace")
    said = re.search(r"^[EF]\d{4} .*?\] (.*)", tried.stderr, re.MULTILINE)
    return said[1].rstrip(".") if tried.returncode and said else ""


_last_words = ["\nInterrupted. Finished parts are kept; run the same command to go on from there.\n"]


def end_quietly() -> None:
    """From now on a signal ends the process without a word, for a command that only watches."""
    _last_words[0] = "\n"


def end_on_signals() -> None:
    """From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT end the process, with one sentence and exit code 128 and their number.

    A signal that is ignored (under nohup, in the background of a script) stays ignored. No exception is raised: in the middle
    of an import, of JAX's tracing or of a callback it would get lost, or end the process in C++.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: _thread.start_new_thread(_interrupted, (number,)))


def _interrupted(number: int) -> None:
    with contextlib.suppress(OSError):
        for stream in filter(os.isatty, (1, 2)):
            os.write(stream, b"\x1b[?25h")  # the cursor, which progress hides
        os.write(2, _last_words[0].encode())
    end(128 + number)
