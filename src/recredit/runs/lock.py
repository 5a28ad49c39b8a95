"""One command at a time computes in a folder."""

import contextlib
import errno
import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:
    fcntl = None
try:
    import msvcrt  # Windows
except ImportError:
    msvcrt = None

BEYOND = 2**30  # where Windows locks a byte: where there is none, so that others may read what the file says
LACKING = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # as Lustre without the option flock says


@contextlib.contextmanager
def locked(folder: Path, say: Callable[[str], object]) -> Iterator[bool]:
    """Hold a folder as the one process that computes in it; gives whether that is sure.

    The system lets go of it when the process ends, however that happens; `DIR/lock` stays, and says who held it last. Where the
    file system has no locks, that is said, and nothing is held.

    Raises ValueError, which names the other's host and process, if it is held already, or if the file cannot be written.
    """
    file = folder / "lock"
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ValueError(f"cannot write {file}: {error.strerror}.") from None
    try:
        sure = _hold(handle, folder, say)
        if sure:
            who = {"host": socket.gethostname(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
            with contextlib.suppress(OSError):  # it only informs; the disk may be full
                os.truncate(handle, 0)
                os.write(handle, json.dumps(who).encode() + b"\n")
        yield sure
    finally:
        os.close(handle)


def _hold(handle: int, folder: Path, say: Callable[[str], object]) -> bool:
    try:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if msvcrt:
            _hold_beyond(handle)
            return True
    except BlockingIOError:
        raise ValueError(
            f"another recredit computes in {folder}{_who(handle)}; let it end, or choose another folder with out."
        ) from None
    except OSError as error:
        if error.errno not in LACKING:
            raise ValueError(f"cannot lock {folder / 'lock'}: {error.strerror}.") from None
    say(f"The file system of {folder} has no locks: make sure that no second command computes there at the same time.")
    return False


def _hold_beyond(handle: int) -> None:
    """Hold a file as Windows does. Raises BlockingIOError if another process holds it."""
    windows: Any = msvcrt
    os.lseek(handle, BEYOND, os.SEEK_SET)
    try:
        windows.locking(handle, windows.LK_NBLCK, 1)
    except PermissionError:
        raise BlockingIOError from None
    finally:
        os.lseek(handle, 0, os.SEEK_SET)


def _who(handle: int) -> str:
    """Who holds it, as far as the file says."""
    try:
        who = json.loads(os.read(handle, 1000))
        return f" (process {who['pid']} on {who['host']}, since {who['since']})"
    except (ValueError, TypeError, KeyError):  # it is being written, or was damaged
        return ""
