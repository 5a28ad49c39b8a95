"""What a terminal shows while runs are computed."""

import threading
import time
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    """Network steps per second, all seeds together."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if not speed or not task.fields["counts_steps"] else f"{speed:,.0f} steps/s", style="dim")


class Live:
    """Progress per cell with steps/s and time left; without a terminal, one line per finished cell."""

    def __init__(self, console: Console):
        self.console = console
        columns = [
            TextColumn("{task.description}", markup=False),
            BarColumn(28),
            TaskProgressColumn(),
            _Rate(),
            TimeRemainingColumn(),
        ]
        self.bars = Progress(*columns, console=console, speed_estimate_period=30)
        self.tasks: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.cost: dict[str, float] = {}  # of one step of a cell, beside the others'
        self.began: dict[str, float] = {}
        self.lock = threading.Lock()

    def __enter__(self) -> "Live":
        if self.console.is_terminal:
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.bars.stop()

    def expect(self, work: Iterable[tuple[str, int, float]]) -> None:
        """Say what is to come: (cell, network steps of all its seeds, what they cost beside other cells') each."""
        costs: dict[str, float] = {}
        for cell, steps, cost in work:
            self.left[cell] = self.left.get(cell, 0) + steps
            costs[cell] = costs.get(cell, 0) + cost
        for cell, steps in self.left.items():
            self.tasks[cell] = self.bars.add_task(cell, total=steps, start=False, counts_steps=True)
            self.cost[cell] = costs[cell] / steps
        if len(self.left) > 1:
            self.tasks[""] = self.bars.add_task("all", total=sum(costs.values()), counts_steps=False)

    def advance(self, cell: str, steps: int) -> None:
        """Say that a cell has made so many more steps."""
        with self.lock:
            if cell not in self.began:
                self.began[cell] = time.monotonic()
                self.bars.start_task(self.tasks[cell])  # pyright: ignore[reportArgumentType]
            for name, done in {cell: steps, "": steps * self.cost[cell]}.items():
                if name in self.tasks:
                    self.bars.advance(self.tasks[name], done)  # pyright: ignore[reportArgumentType]
            self.left[cell] -= steps
            if self.left[cell] == 0 and not self.console.is_terminal:
                self.console.print(f"{cell}: done, {time.monotonic() - self.began[cell]:.0f} s")
