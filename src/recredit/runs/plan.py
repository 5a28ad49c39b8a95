"""Which cells are trained together, in which job: programs are compiled seldom, and cores are not left idle."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from recredit.runs.identity import Cell
from recredit.runs.settings import Run, without_data

BYTES = 25e9  # of learners that a core goes through in a second, roughly: at n = 32, 5.5 µs for a step of RTRL, 0.5 of RFLO
SHORTEST = 1  # seconds of training in a job, at least: to start it takes as long
JOBS = 4  # for each core, at least, if there is work for so many


@dataclass(frozen=True, eq=False)
class Job:
    """Cells that one worker trains, as far as they are missing. Their runs differ in numbers alone, and so share a program."""

    folder: Path
    """Where the cells belong."""
    cells: tuple[Cell, ...]
    """In the order in which they are trained."""
    labels: tuple[str, ...]
    """What the run of each is called."""
    seconds: float
    """Roughly how long a core takes to train them."""
    seeds_at_once: int | None = None
    """The most cells that are vectorised together; None: as many as fit the cache."""
    keeps_states: bool = False
    """Whether each learner's whole state at the end is kept, so that it can go on."""

    @cached_property
    def digest(self) -> str:
        """Tells it from all others."""
        return sha256(" ".join(cell.file for cell in self.cells).encode()).hexdigest()[:20]

    def checkpoint(self, number: int | str) -> Path:
        """The file of the checkpoint of its cells that are vectorised together, by their number; "*": a pattern of all."""
        return self.folder / "checkpoints" / f"{self.digest}-{number}.ckpt"

    @property
    def steps(self) -> int:
        """Network steps of all its cells."""
        return sum(cell.run.steps for cell in self.cells)


def plan(
    folder: Path, runs: Mapping[str, Run], seeds: Sequence[int], missing: Mapping[str, Sequence[int]], cores: int,
    seeds_at_once: int | None = None, keeps_states: bool = False,
) -> dict[Job, int]:  # fmt: skip
    """The jobs of all cells, each with the number of its cells that are missing, the longest first. `runs`, `missing`: runs,
    and seeds of them, by label.

    What is missing decides nothing on the jobs, so that one that was interrupted is met again.
    """
    groups: dict[str, list[tuple[str, Run]]] = defaultdict(list)
    for label, run in runs.items():
        groups[shape(run.text())].append((label, run))
    seconds = {each: len(members) * len(seeds) * _seconds(members[0][1]) for each, members in groups.items()}
    longest = max(SHORTEST, sum(seconds.values()) / (JOBS * cores))
    absent = {label: set(seeds) for label, seeds in missing.items()}
    jobs: dict[Job, int] = {}
    for each, members in groups.items():
        cells = [(label, Cell(run, seed)) for label, run in members for seed in seeds]
        shares = min(len(cells), math.ceil(seconds[each] / longest))
        size = -(-len(cells) // shares)
        for first in range(0, len(cells), size):
            labels, share = zip(*cells[first : first + size], strict=True)
            job = Job(folder, share, labels, seconds[each] * len(share) / len(cells), seeds_at_once, keeps_states)
            jobs[job] = sum(cell.seed in absent.get(label, ()) for label, cell in zip(labels, share, strict=True))
    return dict(sorted(jobs.items(), key=lambda item: -item[0].seconds))


def shape(run: str) -> str:
    """The text of a run, without its numbers that may be data."""
    return json.dumps(without_data(json.loads(run)), sort_keys=True)


def _seconds(run: Run) -> float:
    """Roughly how long one seed of a run takes a core."""
    return run.steps * run.learner_bytes() / BYTES
