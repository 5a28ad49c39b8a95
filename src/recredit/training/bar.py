"""The progress of a training, shown where somebody is watching: in a notebook or a terminal."""

import sys
from datetime import timedelta
from time import monotonic
from typing import Any

PATIENCE = 1.0  # seconds: a shorter training shows no progress


class Bar:
    """In a notebook, a bar in the cell's output; in a terminal, a line that disappears at the end; elsewhere, nothing."""

    def __init__(self, what: str, steps: int):
        self.what, self.steps, self.began = what, steps, monotonic()
        self.place = _Notebook() if _in_notebook() else _Terminal() if sys.stderr and sys.stderr.isatty() else None
        self.shown = False

    def __enter__(self) -> "Bar":
        return self

    def __call__(self, done: int) -> None:
        """Show how many steps are done."""
        took, part = monotonic() - self.began, done / self.steps
        if self.place and part and took > PATIENCE:
            self.shown = True
            self.place.show(f"{self.what}: {part:.0%}, {_clock(took / part - took)} left", part)

    def __exit__(self, error: object, *_: object) -> None:
        if self.place and self.shown:
            how = "interrupted after" if error else "done in"
            self.place.end(f"{self.what}: {how} {_clock(monotonic() - self.began)}")


class _Notebook:
    """A cell's output that changes in place. It needs no widgets, so it is also there when the notebook is read elsewhere."""

    handle: Any = None

    def show(self, text: str, part: float) -> None:
        self._put({"text/plain": text, "text/html": f'<progress value="{part:.3f}"></progress> {text}'})

    def end(self, text: str) -> None:
        self._put({"text/plain": text})

    def _put(self, content: dict[str, str]) -> None:
        if self.handle:
            self.handle.update(content, raw=True)
        else:
            self.handle = sys.modules["IPython.display"].display(content, raw=True, display_id=True)


class _Terminal:
    """One line of standard error, written over again and again."""

    def show(self, text: str, part: float) -> None:
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self, text: str) -> None:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel: its shell then has a kernel, which IPython's in a terminal does not."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
