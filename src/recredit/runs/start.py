"""What runs that begin with another one take from it."""

from collections.abc import Sequence

import numpy as np

from recredit.runs.settings import Run, Start
from recredit.runs.states import read_state
from recredit.runs.trained import Trained, load
from recredit.training.carried import Arrays, shared_by_lanes, together
from recredit.training.step import Trainer
from recredit.training.untrained import AT_START


def start_weights(run: Run, seeds: Sequence[int]) -> Arrays | None:
    """The weights that these seeds of a run begin with, with an axis for them; None: those that are drawn."""
    if run.start is None or run.start.how == "continued":
        return None
    weights = source_of(run.start).weights
    return {name: np.stack([weights[seed][name] for seed in seeds]) for name in ("W", "W_out", "b_out")}


def start_state(runs: Sequence[tuple[Run, Sequence[int]]], trainer: Trainer) -> Arrays | None:
    """All that these seeds of some runs, vectorised together, begin with; None: they are not continued."""
    lanes: list[Arrays] = []
    for run, seeds in runs:
        if run.start is None or run.start.steps is None:
            return None
        source = source_of(run.start)
        lanes += [read_state(source.folder, source.cell(seed)) for seed in seeds]
        if run.start.steps < AT_START and run.start.drawn:  # a longer run has a mean over more steps
            for lane in lanes:
                lane.pop("loss_at_start", None)
    return together(lanes, shared_by_lanes(trainer))


def source_of(start: Start) -> Trained:
    """The networks of a start. Raises ValueError if they have changed meanwhile."""
    found = load(start.folder)[start.label]
    if found.digest() != start.digest:
        raise ValueError(f"{start.folder} has changed since the run that starts from it was requested: start that run again.")
    return found
