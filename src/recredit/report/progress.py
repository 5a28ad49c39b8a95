"""What a terminal shows while runs are computed."""

import math
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from datetime import timedelta
from time import monotonic

from rich import live
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from recredit.runs.plan import Job
from recredit.runs.standing import Row, Standing

ROWS = 14  # runs that have a bar of their own, at most
BAR = 28  # columns, at most
PERIOD = 60  # seconds over which rates are taken
SAID = 5  # sentences that those who come later are told


class Pace:
    """How fast a number grows, over the last minute; the time before it first grows does not count."""

    def __init__(self) -> None:
        self.seen: deque[tuple[float, float]] = deque()

    def rate(self, now: float, value: float) -> float:
        """Its growth a second, now that it is `value`."""
        if len(self.seen) == 1 and self.seen[0][1] == value:
            self.seen.clear()
        if not self.seen or now - self.seen[-1][0] > PERIOD / 100:
            self.seen.append((now, value))
        while len(self.seen) > 2 and now - self.seen[1][0] > PERIOD:
            self.seen.popleft()
        then, before = self.seen[0]
        return max(0.0, (value - before) / (now - then)) if now > then else 0.0


class Live:
    """Progress, rate and time left: of each run and of all if there is room for it, else of all; without a terminal, lines."""

    def __init__(self, console: Console):
        self.console = console
        self.lock = threading.RLock()  # the display has a thread of its own
        self.left: dict[Job, int] = {}  # cells of each job that are missing at the start
        self.steps: dict[Job, int] = {}  # of each job
        self.shares: dict[Job, dict[str, float]] = {}  # of each, the steps of each run, by its label
        self.part: dict[Job, float] = {}  # that is done of each
        self.running: set[Job] = set()
        self.ended: set[Job] = set()
        self.failures: set[Job] = set()
        self.diverged: dict[Job, int] = {}  # cells of each
        self.said: list[str] = []
        self.rows: list[str] = []  # the labels of runs that have a bar
        self.began: dict[str, float] = {}  # when each run was first seen to be computed
        self.told: set[str] = set()  # runs whose end has been told
        self.tenth = 0  # that has been told
        self.paces: dict[str, Pace] = defaultdict(Pace)
        self.final: dict[str, Row] = {}  # of what is done, as it was then: its rate falls no more
        self.expected = threading.Event()
        """Set as soon as the jobs are known."""
        self.display = live.Live(get_renderable=self._picture, console=console)

    def __enter__(self) -> "Live":
        if self.console.is_terminal:
            self.display.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.display.stop()

    def say(self, sentence: str) -> None:
        """Something that the user should know."""
        with self.lock:
            self.said.append(sentence)
        put(self.console, sentence)

    def expect(self, jobs: Mapping[Job, int], diverged: Mapping[Job, int]) -> None:
        """The jobs of all cells, each with the number of its cells that are missing, and of those found that diverged."""
        with self.lock:
            self.left = dict(jobs)
            self.steps = {job: job.steps for job in jobs}
            self.shares = {
                job: {label: count / len(job.labels) * self.steps[job] for label, count in Counter(job.labels).items()}
                for job in jobs
            }
            self.part = {job: 1 - left / len(job.cells) for job, left in jobs.items()}
            self.ended = {job for job, left in jobs.items() if not left}
            self.diverged = dict(diverged)
            if whole := self.standing():
                self.tenth = int(10 * whole.whole.part)
            labels = list(dict.fromkeys(label for job, left in jobs.items() if left for label in self.shares[job]))
            room = min(ROWS, self.console.height - 4) if self.console.is_terminal else ROWS
            self.rows = labels if len(labels) <= room else []
        self.expected.set()

    def advance(self, job: Job, steps: int) -> None:
        """A job is being computed, and so many network steps are done, all its cells together."""
        with self.lock:
            self.running.add(job)
            self._move(job, steps)
        self._tell()

    def end(self, job: Job, diverged: int) -> None:
        """A job is done, and so many of all its cells have diverged."""
        with self.lock:
            self.running.discard(job)
            self.ended.add(job)
            self.diverged[job] = diverged
            self._move(job, self.steps[job])
        self._tell()

    def _move(self, job: Job, steps: int) -> None:
        self.part[job] = max(steps / self.steps[job], 1 - self.left[job] / len(job.cells))
        for label in self.shares[job]:
            self.began.setdefault(label, monotonic())

    def again(self, job: Job) -> None:
        """A job's worker has ended; the job waits for another."""
        with self.lock:
            self.running.discard(job)

    def failed(self, job: Job, sentence: str) -> None:
        """A job has failed for good. The sentence is shown unless it is known, or ends all and is shown then."""
        with self.lock:
            self.running.discard(job)
            self.failures.add(job)
            known, last = sentence in self.said, len(self.ended | self.failures) == len(self.left)
            self.said += [] if known else [sentence]
        if not known and not last:
            put(self.console, sentence[:1].upper() + sentence[1:])

    def standing(self) -> Standing | None:
        """How far it is; None before anything is expected."""
        with self.lock:
            if not self.left:
                return None
            now = monotonic()
            seconds = {job: job.seconds for job in self.left if job not in self.failures}
            part = sum(seconds[job] * self.part[job] for job in seconds) / (sum(seconds.values()) or 1)
            whole = self._row("all", now, part, sum(self.steps[job] * part for job, part in self.part.items()))
            return Standing(
                cells=sum(len(job.cells) for job in self.left),
                done=sum(len(job.cells) - (0 if job in self.ended else left) for job, left in self.left.items()),
                diverged=sum(self.diverged.values()),
                failed=sum(self.left[job] for job in self.failures),
                running=sum(self.left[job] for job in self.running),
                cells_rate=self.paces["cells"].rate(now, sum(len(job.cells) * part for job, part in self.part.items())),
                whole=whole,
                rows=tuple(self._row(label, now, *self._of(label)) for label in self.rows),
                said=tuple(self.said[-SAID:]),
            )

    def _of(self, label: str) -> tuple[float, float]:
        """The part that is done of a run, and its network steps."""
        steps = {job: share[label] for job, share in self.shares.items() if label in share}
        done = sum(count * self.part[job] for job, count in steps.items())
        return done / sum(steps.values()), done

    def _row(self, label: str, now: float, part: float, steps: float) -> Row:
        growth = self.paces[f"part of {label}"].rate(now, part)
        rate = self.paces[f"steps of {label}"].rate(now, steps)
        row = Row(label=label, part=part, steps_rate=rate, left=(1 - part) / growth if growth else None)
        return self.final.setdefault(label, row) if math.isclose(part, 1) else row

    def _picture(self) -> RenderableType:
        standing = self.standing()
        return drawn(standing, self.console.width) if standing else ""

    def _tell(self) -> None:
        """Without a terminal: which run is done, or how far all are with each tenth."""
        if self.console.is_terminal or not (standing := self.standing()):
            return
        if not self.rows and int(10 * standing.whole.part) > self.tenth:
            self.tenth = int(10 * standing.whole.part)
            put(self.console, in_words(standing))
        for row in standing.rows:
            if row.label in self.began and row.label not in self.told and math.isclose(row.part, 1):
                self.told.add(row.label)
                put(self.console, f"{row.label}: done, {monotonic() - self.began[row.label]:.0f} s")


def put(console: Console, sentence: str) -> None:
    """Print a sentence, wrapped between words in a terminal, on one line elsewhere."""
    console.print(Text(sentence), soft_wrap=not console.is_terminal)


def drawn(standing: Standing, width: int) -> RenderableType:
    """A bar for each run and for all, or how many cells are done and one bar for all; in so many columns."""
    row = standing.whole
    if not standing.rows:
        rates = ", ".join(filter(None, [_cells(standing.cells_rate), _steps(row)]))
        return Group(Text(_count(standing)), _bars([(row, rates)], BAR))
    longest = max(cell_len(row.label) for row in standing.rows)
    lines = [(row, _steps(row)) for row in standing.rows] + [(row, "")] * (len(standing.rows) > 1)
    return _bars(lines, min(BAR, max(10, width - longest - 32)), labels=True)


def _bars(lines: Iterable[tuple[Row, str]], size: int, labels: bool = False) -> Table:
    """A line each: label, bar of so many columns, percent, rate, time left. Where all are too long, labels are cut."""
    table = Table.grid(padding=(0, 1))
    for _ in range(labels):
        table.add_column()
    for _ in range(4):
        table.add_column(no_wrap=True)
    for row, rate in lines:
        label = [Text(row.label, no_wrap=True, overflow="ellipsis")] if labels else []
        bar, percent = ProgressBar(completed=100 * row.part, width=size), f"{100 * row.part:>3.0f}%"
        left = "-:--:--" if row.left is None else _clock(row.left)
        table.add_row(*label, bar, Text(percent, "progress.percentage"), Text(rate, "dim"), Text(left, "progress.remaining"))
    return table


def in_words(standing: Standing) -> str:
    """The same on one line."""
    row = standing.whole
    rates = [_cells(standing.cells_rate), _steps(row)]
    left = [f"{_clock(row.left)} left"] if row.left else []
    return "; ".join(filter(None, [_count(standing), ", ".join(filter(None, rates + left))]))


def _count(standing: Standing) -> str:
    numbers = {"diverged": standing.diverged, "failed": standing.failed, "running": standing.running}
    more = [f"{number:,} {what}" for what, number in numbers.items() if number]
    return ", ".join([f"{standing.done:,} of {standing.cells:,} cells", *more])


def _steps(row: Row) -> str:
    return f"{row.steps_rate:,.0f} steps/s" if row.steps_rate else ""


def _cells(rate: float) -> str:
    """Cells a second, or in a longer time if they are few."""
    for unit, seconds in {"s": 1, "min": 60, "h": 3600}.items():
        if rate * seconds >= 1 or (unit == "h" and rate):
            return f"{rate * seconds:.3g} cells/{unit}"
    return ""


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=math.ceil(seconds)))
