"""What a sweep is going to compute, in words."""

from recredit.runs.settings import Run
from recredit.runs.sweep import Sweep


def plan(sweep: Sweep) -> str:
    """A sweep's axes, and for each phase its runs, seeds, cells and steps: a few lines."""
    lines = [f"{sweep.name}: {_count(len(sweep.points), 'point')}"]
    for path, labels in sweep.axes.items():
        having = sum(path in point.coordinates for point in sweep.points)
        some = f" ({_count(having, 'point')} alone)" if having < len(sweep.points) else ""
        shown = [*map(str, labels)] if len(labels) <= 12 else [*map(str, labels[:3]), "...", str(labels[-1])]
        lines.append(f"  {path}{some}: {', '.join(shown)}")
    # Which of a group is reported is not known yet: the longest run stands for it.
    longest = [max(group, key=lambda number: sweep.points[number].run.steps) for group in sweep.groups]
    phases = [_phase("to report", sweep.runs(longest), sweep.seeds)]
    if select := sweep.select:
        phases.insert(0, _phase(f"to choose {select.axis} by {select.by}", sweep.runs(sweep.candidates), select.seeds))
    return "\n".join([*lines, *(f"{number}. {phase}" for number, phase in enumerate(phases, 1))])


def _phase(purpose: str, by_text: dict[str, Run], seeds: range) -> str:
    runs = by_text.values()
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    cells, steps = len(runs) * len(seeds), sum(run.steps for run in runs) * len(seeds)
    return f"{purpose}: {_count(len(runs), 'run')} on {which}, {_count(cells, 'cell')}, {steps:,} steps"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
