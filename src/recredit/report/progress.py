"""What a terminal shows while runs are computed."""

import time
from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from recredit.runs.plan import Job

ROWS = 14  # runs that have a bar of their own, at most


class _Rate(ProgressColumn):
    """Network steps per second, all seeds together."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if not speed or not task.fields["counts_steps"] else f"{speed:,.0f} steps/s", style="dim")


class Live:
    """Progress, steps/s and time left of each run and of all; without a terminal, lines."""

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
        self.own: dict[str, TaskID] = {}  # of each run, its bar
        self.all: TaskID | None = None
        self.steps: dict[str, int] = {}  # of each run
        self.done: dict[Job, float] = {}  # the part of each job
        self.began: dict[str, float] = {}
        self.told: set[str] = set()

    def __enter__(self) -> "Live":
        if self.console.is_terminal:
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.bars.stop()

    def say(self, sentence: str) -> None:
        """Something that the user should know."""
        self.console.out(sentence, highlight=False)

    def expect(self, jobs: Sequence[Job]) -> None:
        """What is to come."""
        self.done = dict.fromkeys(jobs, 0.0)
        steps: dict[str, int] = defaultdict(int)
        for job in jobs:
            for label, part in _shares(job).items():
                steps[label] += round(part * job.steps)
        self.steps = dict(steps)
        for label, count in steps.items() if len(steps) <= ROWS else ():
            self.own[label] = self.bars.add_task(label, total=count, start=False, counts_steps=True)
        if len(steps) > 1:
            self.all = self.bars.add_task("all", total=sum(job.seconds for job in jobs), counts_steps=False)

    def advance(self, job: Job, steps: int) -> None:
        """Of a job, so many network steps are done, all its cells together."""
        self.done[job] = steps / job.steps
        for label in _shares(job):
            self._show(label)
        if self.all is not None:
            self.bars.update(self.all, completed=sum(job.seconds * done for job, done in self.done.items()))

    def end(self, job: Job, diverged: int) -> None:
        """A job is done."""
        self.advance(job, job.steps)

    def _show(self, label: str) -> None:
        done = sum(shares[label] * job.steps * part for job, part in self.done.items() if label in (shares := _shares(job)))
        if done and label not in self.began:
            self.began[label] = time.monotonic()
            if label in self.own:
                self.bars.start_task(self.own[label])
        if label in self.own:
            self.bars.update(self.own[label], completed=done)
        if round(done) == self.steps[label] and label not in self.told:
            self.told.add(label)
            if not self.console.is_terminal:
                self.console.print(f"{label}: done, {time.monotonic() - self.began[label]:.0f} s")


def _shares(job: Job) -> dict[str, float]:
    """Of each run, by its label, its part in a job's steps."""
    return {label: job.labels.count(label) / len(job.labels) for label in dict.fromkeys(job.labels)}
