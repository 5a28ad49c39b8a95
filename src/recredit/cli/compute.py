"""Compute runs with progress in the terminal."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from recredit.cli.console import console as console
from recredit.report.progress import Live
from recredit.runs.files import tidy
from recredit.runs.lock import locked
from recredit.runs.scheduler import compute
from recredit.runs.settings import Run
from recredit.runs.store import missing

jax.config.update("jax_platforms", "cpu")  # this process prepares and draws; the device is the workers'


def compute_runs(
    folder: Path,
    runs: dict[str, Run],
    seeds: Sequence[int],
    seeds_at_once: int | None,
    cost: Callable[[str, int], float] = lambda cell, steps: steps,
) -> None:
    """Compute what is missing of these runs in a folder, and show how it goes.

    `cost`: what so many steps of a cell cost beside others, from which the time left of all is told.
    """
    with locked(folder, console.out) as sure:
        if sure:
            tidy(folder)
        left = missing(folder, runs, seeds, console.out)
        with Live(console) as live:
            compute(
                folder,
                runs,
                left,
                seeds_at_once,
                lambda jobs: live.expect(
                    (job.cell, steps, cost(job.cell, steps)) for job in jobs for steps in [job.run.steps * len(job.seeds)]
                ),
                lambda job, steps: live.advance(job.cell, steps * len(job.seeds)),
            )
