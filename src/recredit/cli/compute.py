"""Compute runs with progress in the terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from recredit.report.progress import Live
from recredit.runs.scheduler import compute
from recredit.runs.settings import Run

console = Console()
console.width = console.width or 80  # COLUMNS=0 leaves room for nothing


def compute_runs(folder: Path, runs: dict[str, Run], seeds: Sequence[int], seeds_at_once: int | None) -> None:
    with Live(console) as live:
        compute(
            folder,
            runs,
            seeds,
            seeds_at_once,
            lambda jobs: live.expect((job.cell, job.run.steps * len(job.seeds)) for job in jobs),
            lambda job, steps: live.advance(job.cell, steps * len(job.seeds)),
        )
