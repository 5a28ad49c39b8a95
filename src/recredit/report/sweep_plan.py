"""What a sweep is going to compute, in words."""

import textwrap

from recredit.report.tables import counted
from recredit.runs.cluster import KIND, PBS, Local, Slurm
from recredit.runs.sweep import Sweep
from recredit.studies.outlook import PROGRAM, Outlook, Phase


def plan(sweep: Sweep, outlook: Outlook, cores: int, width: int = 80) -> str:
    """A sweep's axes, and for each phase its runs, seeds, cells and steps, and what of it is finished; where the rest would be
    computed, on so many cores, and how long it would take."""
    lines = [f"{sweep.name}: {counted(len(sweep.points), 'point')}"]
    for path, labels in sweep.axes.items():
        having = sum(path in point.coordinates for point in sweep.points)
        some = f" (only {counted(having, 'point')})" if having < len(sweep.points) else ""
        shown = [*map(str, labels)] if len(labels) <= 12 else [*map(str, labels[:3]), "...", str(labels[-1])]
        lines.append(f"  {path}{some}: {', '.join(shown)}")
    for number, phase in enumerate(outlook.phases, 1):
        lines += [f"{number}. {phase.purpose}", *(f"   {line}" for line in _phase(phase))]
    name, size = outlook.largest
    lines.append(f"Largest learner: {name}, {_bytes(size)} per seed.")
    wall = outlook.wall(cores)
    sizes = f"a rough guess from the learners' sizes, with {PROGRAM} s to compile each job's program"
    by = f"judged by the {counted(outlook.judged_by, 'cell')} finished so far" if outlook.judged_by else sizes
    lasting = f"{_time(wall)}, {by}" if wall else "nothing is left to compute"
    jobs = max(_open(phase) for phase in outlook.phases)
    lines.append(f"In {sweep.out}, {_where(sweep.executor, cores, jobs)}: {lasting}.")
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
        if len(line) > width
        else line
        for line in lines
    )


def _phase(phase: Phase) -> list[str]:
    seeds = phase.seeds
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    cells, left = sum(len(job.cells) for job in phase.jobs), sum(phase.jobs.values())
    steps = sum(job.steps for job in phase.jobs)
    done = f"{cells - left:,} finished, " if left < cells else ""
    rest = f"{left:,} to compute in {counted(_open(phase), 'job')}, {_time(sum(phase.seconds.values()))} of one core"
    return [
        f"{counted(len(phase.runs), 'run')} on {which}: {counted(cells, 'cell')}, {steps:,} steps",
        f"{done}{rest}" if left else "all finished",
    ]


def _open(phase: Phase) -> int:
    """How many of its jobs are not finished."""
    return sum(1 for count in phase.jobs.values() if count)


def _where(where: Local | Slurm | PBS, cores: int, jobs: int) -> str:
    if isinstance(where, Local):
        return f"on {counted(cores, 'core')} of this machine"
    kind = KIND[type(where)]
    queue = where.partition if isinstance(where, Slurm) else where.queue
    lent = f"{counted(where.gpus, 'GPU')} and {counted(where.cores, 'core')}" if where.gpus else counted(where.cores, "core")
    workers = where.gpus or where.cores
    blocks = min(where.nodes, -(-jobs // workers))
    at_most = f" ({where.nodes} at most)" if blocks < where.nodes else ""
    each = f"each a node of {lent}, so {counted(workers, 'worker')}, for {where.walltime}"
    return f"through {kind}{f' ({queue})' if queue else ''} in {counted(blocks, 'block')}{at_most}, {each}"


def _time(seconds: float) -> str:
    """A rough time, in the unit that suits it."""
    units = {"days": 24 * 3600, "hours": 3600, "minutes": 60, "seconds": 1}
    for unit, length in units.items():
        if seconds >= 2 * length:
            return f"roughly {float(f'{seconds / length:.2g}'):,g} {unit}"
    return "a second or two" if seconds >= 1 else "less than a second"


def _bytes(size: int) -> str:
    for unit, length in {"GB": 1e9, "MB": 1e6, "kB": 1e3}.items():
        if size >= length:
            return f"{size / length:.2g} {unit}" if size < 100 * length else f"{size / length:,.0f} {unit}"
    return f"{size} bytes"
