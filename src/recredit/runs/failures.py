"""What ends a computation, in one sentence that says what to do."""

import errno
import os
import re
import signal
from concurrent.futures import BrokenExecutor

LOWER = "lower network.n, the rule's window or block, --streams or --seeds-at-once"


def explanation(error: BaseException) -> str:
    """One sentence for an error: this package's own sentence, or what the machine lacks and what to lower."""
    text = str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        size = re.search(r"allocating (\d+) bytes", text)
        wanted = f" ({int(size[1]) / 1e9:.3g} GB at once)" if size else ""
        return f"there is not enough memory{wanted}; {LOWER}."
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many files are open at once; raise the limit, as ulimit -n 1024 does."
    if isinstance(error, ImportError):
        return f"recredit cannot start, because something that it needs cannot be imported: {text}."
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}."
    return text if isinstance(error, ValueError | OSError | BrokenExecutor) else f"{type(error).__name__}: {text}"


def no_device(error: BaseException) -> str:
    """The sentence for a JAX that finds nothing to compute on."""
    asked = os.environ.get("JAX_PLATFORMS")
    why = f" ({' '.join(str(error).split())})" if str(error) else ""
    if asked:
        return f"JAX has no device for JAX_PLATFORMS={asked}; unset it, or set it to cpu{why}."
    return f"JAX finds no device; with JAX_PLATFORMS=cpu it computes on the CPU{why}."


def ended(status: int, last: str) -> str:
    """The sentence for a worker process that is gone, by its exit status and the last line that it printed."""
    said = f": {last.rstrip('.')}." if last else "."
    status = 128 - status if 128 < status < 256 else status  # as a process says itself that a signal ended it
    if status >= 0:
        return f"a worker process ended by itself (exit status {status}){said}"
    name = next((each.name for each in signal.Signals if each == -status), f"signal {-status}")
    if name == "SIGKILL":
        return f"a worker process was ended by SIGKILL; if nobody sent it, the system ran out of memory: {LOWER}."
    return f"a worker process was ended by {name}{said}"
