"""The file of a checkpoint: named arrays, and before them whose they are and how to tell that they are whole.

"recredit checkpoint 0001\\n"
one line of JSON: identity, size and SHA-256 of the rest
NumPy's .npz, not compressed
"""

import hashlib
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from recredit.errors import real_file
from recredit.runs.files import write_whole

FIRST = b"recredit checkpoint 0001\n"


class StoppedError(Exception):
    """The process was asked to end, and training has stopped where its checkpoint stands."""


def write_checkpoint(path: Path, identity: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays whole or not at all. `identity`: what they follow from. Raises ValueError if that fails."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    head = {"identity": identity, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_whole(path, FIRST + json.dumps(head).encode() + b"\n" + content)


def read_checkpoint(path: Path, identity: str, say: Callable[[str], object]) -> dict[str, np.ndarray] | None:
    """The arrays of a checkpoint of this identity; None if there is none, or none that is whole, which is said."""
    try:
        content = real_file(path).read_bytes()
        if not content.startswith(FIRST):
            raise ValueError("it is no checkpoint of this recredit's")
        line, _, rest = content[len(FIRST) :].partition(b"\n")
        head = json.loads(line)
        if not isinstance(head, dict) or head.get("sha256") != hashlib.sha256(rest).hexdigest():
            raise ValueError("it is not whole")
        if head.get("identity") != identity:
            raise ValueError("it belongs to other work")
        return _arrays(rest)
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever a library says to bytes like these
        say(f"{path} cannot be gone on from ({str(error) or type(error).__name__}): the work starts over.")
        return None


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is compressed")  # a small file could fill the memory
    with np.load(io.BytesIO(content), allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


class Keeper:
    """What `train_pack` calls at the end of each compiled call: it writes a checkpoint every so often, and the last if asked.

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    keeper = Keeper(path, identity, every=30, stop=stop, progress=tell)
    data = train_pack(members, run.steps, run.bin, begin=read_checkpoint(path, identity, say), at_end=keeper)
    """

    def __init__(
        self,
        path: Path,
        identity: str,
        every: float,
        stop: threading.Event,
        progress: Callable[[int], object] = lambda done: None,
    ):
        """`every`: seconds between two checkpoints, at least. `progress` is called with the steps done."""
        self.path, self.identity, self.every, self.stop, self.progress = path, identity, every, stop, progress
        self.written = time.monotonic()

    def __call__(self, done: int, arrays: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Raises StoppedError, when the checkpoint is written, if the process was asked to end."""
        self.progress(done)
        if self.stop.is_set() or time.monotonic() - self.written >= self.every:
            write_checkpoint(self.path, self.identity, arrays())
            self.written = time.monotonic()
        if self.stop.is_set():
            raise StoppedError
