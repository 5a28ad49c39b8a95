"""Messages through a pipe between two processes, which is the same on every system."""

import io
import os
from multiprocessing.reduction import ForkingPickler
from typing import Any, Literal

HEAD = 8  # bytes that tell a message's length


class Channel:
    """One end of a pipe: for `send`, or for `recv`. The one who sends is trusted: a process of ours."""

    def __init__(self, descriptor: int, mode: Literal["r", "w"]):
        """`descriptor`: of an open file, which stays with whom it belongs to."""
        self.file = io.FileIO(os.dup(descriptor), mode)

    def send(self, message: Any) -> None:
        """Send a message. Raises OSError if the other end is gone."""
        content = bytes(ForkingPickler.dumps(message))
        left = memoryview(len(content).to_bytes(HEAD) + content)
        while left:
            left = left[self.file.write(left) :]

    def recv_bytes(self) -> bytes:
        """The next message, as bytes for `opened`. Raises EOFError if there comes none any more."""
        return self._read(int.from_bytes(self._read(HEAD)))

    def recv(self) -> Any:
        """The next message. Raises as `recv_bytes` does."""
        return opened(self.recv_bytes())

    def close(self) -> None:
        """Close this end, which the other one notices."""
        self.file.close()

    def _read(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size:
            if not (part := self.file.read(size - len(content))):
                raise EOFError
            content += part
        return bytes(content)


def opened(content: bytes) -> Any:
    """A message from its bytes; this imports what it names."""
    return ForkingPickler.loads(content)  # pyright: ignore[reportAttributeAccessIssue]
