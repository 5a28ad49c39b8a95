"""What a sweep would compute, and roughly how long that would take."""

import contextlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from recredit.runs.choice import choose
from recredit.runs.identity import Cell
from recredit.runs.plan import Job, plan, shape
from recredit.runs.record import records
from recredit.runs.settings import Run
from recredit.runs.sweep import Sweep
from recredit.studies.sweeps import final_losses, label

PROGRAM = 5  # seconds until a job's program is traced and compiled: 6 were seen on a busy core, 2 where it was kept
START = 4  # seconds until workers have begun, and for what is written at the end


@dataclass(frozen=True)
class Phase:
    """What is computed at once."""

    purpose: str
    runs: dict[str, Run]
    """By label."""
    seeds: range
    jobs: dict[Job, int]
    """All of them, each with the number of its cells that are missing."""
    seconds: dict[Job, float]
    """Roughly what those missing take a core."""

    def wall(self, cores: int) -> float:
        """Roughly how many seconds its jobs take on so many cores."""
        return max([sum(self.seconds.values()) / cores, *self.seconds.values()])


@dataclass(frozen=True)
class Outlook:
    """What a sweep would compute."""

    phases: tuple[Phase, ...]
    judged_by: int
    """The number of finished cells that say how long others take; 0: the size of learners alone does."""
    largest: tuple[str, int]
    """What has the largest learner, and its bytes, of one seed."""

    def wall(self, cores: int) -> float:
        """Roughly how many seconds it takes on so many cores; 0: nothing is left to compute."""
        jobs = sum(phase.wall(cores) for phase in self.phases)
        return jobs + START if jobs else 0


def outlook(sweep: Sweep, cores: int) -> Outlook:
    """What of a sweep is finished and what is missing, on so many cores. Nothing is written, and no cell read but its end.

    Which points are reported is not known before all are computed among which is chosen: the longest run of a group stands
    for it until then.
    """
    numbers = [max(group, key=lambda number: sweep.points[number].run.steps) for group in sweep.groups]
    wanted = [("to report", numbers, sweep.seeds)]
    if select := sweep.select:
        with contextlib.suppress(ValueError):  # not all candidates are computed yet
            numbers = choose(sweep, final_losses(sweep, sweep.out, sweep.candidates, select.seeds)).points
        purpose = f"to choose {select.axis} by {select.by}"
        wanted = [(purpose, sweep.candidates, select.seeds), ("to report", [*numbers], sweep.seeds)]
    found, taken = _found(sweep)
    planned = []
    for purpose, numbers, seeds in wanted:
        labels = {sweep.points[number].run.text(): label(sweep, number) for number in reversed(numbers)}
        runs = {labels[text]: run for text, run in sweep.runs(numbers).items()}
        missing = {name: [seed for seed in seeds if Cell(run, seed).file not in found] for name, run in runs.items()}
        planned.append((purpose, runs, seeds, plan(sweep.out, runs, seeds, missing, cores, sweep.seeds_at_once)))
    rough = {_shape(job): _guess(job, len(job.cells)) / len(job.cells) for *_, jobs in planned for job in jobs}
    known = {each: sum(taken[each]) / len(taken[each]) for each in rough if each in taken}
    slower = sum(known.values()) / sum(rough[each] for each in known) if known else 1  # than the rough guess, this machine

    def seconds(job: Job, left: int) -> float:
        return left * known[_shape(job)] if _shape(job) in known else slower * _guess(job, left)

    phases = [
        Phase(purpose, runs, seeds, jobs, {job: seconds(job, left) for job, left in jobs.items()})
        for purpose, runs, seeds, jobs in planned
    ]
    alike = {shape(run.text()): run for phase in phases for run in phase.runs.values()}.values()
    sizes = {f"{run.rule['name']} on {run.task['name']}, n = {run.network['n']}": run.learner_bytes() for run in alike}
    return Outlook(tuple(phases), sum(len(taken[each]) for each in known), max(sizes.items(), key=lambda item: item[1]))


def _shape(job: Job) -> str:
    return shape(job.cells[0].run.text())


def _guess(job: Job, left: int) -> float:
    """Roughly how many seconds a core takes for so many of a job's cells, as nothing but their size says."""
    return left * job.seconds / len(job.cells) + PROGRAM if left else 0


def _found(sweep: Sweep) -> tuple[set[str], Mapping[str, list[float]]]:
    """The files of finished cells, and how many seconds each cell took of those of one shape."""
    names: set[str] = set()
    taken: dict[str, list[float]] = defaultdict(list)
    for path, record in records(sweep.out):
        if not isinstance(record, str):
            names.add(path.name)
            taken[shape(json.dumps(record["identity"]["run"]))].append(record["seconds"])
    return names, taken
