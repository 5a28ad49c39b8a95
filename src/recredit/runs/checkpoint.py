"""The file of a checkpoint: named arrays, and before them whose they are and how to tell that they are whole.

"recredit checkpoint 0001\\n"
one line of JSON: identity, size and SHA-256 of the rest
NumPy's .npz, not compressed
"""

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from recredit.errors import real_file
from recredit.runs.ending import STOPPING, StoppedError
from recredit.runs.files import make_folder, write_whole

FIRST = b"recredit checkpoint 0001\n"
EVERY = 5  # seconds between two checkpoints, at least,
PART = 50  # and so many times as long as it takes to write one


def write_checkpoint(path: Path, identity: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays whole or not at all. `identity`: what they follow from. Raises ValueError if that fails."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # as numpy.savez, which takes objects too
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    content = buffer.getvalue()
    head = {"identity": identity, "size": len(content), "sha256": _checksum(identity, content)}
    write_whole(path, FIRST + json.dumps(head).encode() + b"\n" + content)


def read_checkpoint(path: Path, say: Callable[[str], object]) -> tuple[str, dict[str, np.ndarray]] | None:
    """The identity and the arrays of a checkpoint; None if there is none, or none that is whole, which is said."""
    try:
        content = real_file(path).read_bytes()
        if not content.startswith(FIRST):
            raise ValueError("it is not a checkpoint of this version of recredit")
        line, _, rest = content[len(FIRST) :].partition(b"\n")
        head = json.loads(line)
        if not isinstance(head, dict) or head.get("sha256") != _checksum(identity := str(head.get("identity")), rest):
            raise ValueError("it is incomplete")
        return identity, _arrays(rest)
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever a library says to bytes like these
        say(f"{path} cannot be resumed ({str(error) or type(error).__name__}): the work starts over.")
        return None


def _checksum(identity: str, content: bytes) -> str:
    return hashlib.sha256(identity.encode() + content).hexdigest()


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is compressed")  # a small file could fill the memory
    with np.load(io.BytesIO(content), allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


class Keeper:
    """What `train_pack` calls at the end of each compiled call: it writes a checkpoint every so often, at the end of all, and
    when this process is to stop."""

    def __init__(
        self,
        path: Path,
        identity: str,
        steps: int,
        progress: Callable[[int], object],
        before: Callable[[], object] = lambda: None,
    ):
        """`identity`: what the checkpoint follows from. `steps`: of the whole. `progress` is called with the steps done;
        `before`, before each checkpoint is written, has on the disk what belongs to it."""
        self.path, self.identity, self.steps, self.progress, self.before = path, identity, steps, progress, before
        self.written, self.every = time.monotonic(), EVERY

    def __call__(self, done: int, arrays: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Raises StoppedError, when the checkpoint is written, if the process was asked to end."""
        self.progress(done)
        began = time.monotonic()
        if STOPPING.is_set() or began - self.written >= self.every or done == self.steps:
            self.before()
            write_checkpoint(make_folder(self.path.parent) / self.path.name, self.identity, arrays())
            self.written = time.monotonic()
            self.every = max(EVERY, PART * (self.written - began))
        if STOPPING.is_set() and done < self.steps:
            raise StoppedError("training was stopped where its checkpoint stands.")
