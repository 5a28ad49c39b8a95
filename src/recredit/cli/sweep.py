"""What `recredit sweep` does."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

from recredit.cli.compute import compute_runs, console
from recredit.report.fitting import show
from recredit.report.sweeps import draw_selection, sweep_table
from recredit.runs.choice import choose
from recredit.runs.cluster import PBS, Local, Slurm, cluster_executor, resolve_executor
from recredit.runs.files import writable_folder, write_dataset
from recredit.runs.local import cores, local_executor
from recredit.runs.sweep import Sweep, read_sweep
from recredit.studies.sweeps import final_losses, label, reported


def run_sweep(file: Path, dry_run: bool) -> None:
    """Compute what is missing of a sweep, then write and show what it came to; `dry_run`: only say what it would be."""
    sweep = read_sweep(file)
    where = resolve_executor(sweep.executor)
    if dry_run:
        return
    folder = writable_folder(sweep.out, ("sweep.nc", "selection.nc", "selection.png"))
    shutil.copyfile(file, folder / "sweep.toml")
    numbers: Sequence[int] = range(len(sweep.points))
    with _executor(where, folder) as (executor, count):
        if sweep.select:
            seeds = sweep.select.seeds
            console.out(
                f"Choosing along {sweep.select.axis}: {len(sweep.candidates):,} points, {len(seeds)} seeds each, in {folder}"
            )
            _compute(sweep, folder, sweep.candidates, seeds, executor, count)
            final = final_losses(sweep, folder, sweep.candidates, seeds)
            choice = choose(sweep, final)
            numbers = choice.points
            write_dataset(folder / "selection.nc", final.to_dataset())
            draw_selection(final, sweep.select.axis, numbers, folder / "selection.png")
            for note in choice.notes:
                console.out(note)
        console.out(f"{len(numbers):,} points, {len(sweep.seeds)} seeds each, in {folder}")
        _compute(sweep, folder, numbers, sweep.seeds, executor, count)
    data = reported(sweep, folder, numbers)
    write_dataset(folder / "sweep.nc", data)
    show(console, sweep_table(data.final_loss, list(sweep.axes)))
    console.out(f"Wrote {folder / 'sweep.nc'}{' and selection.png' if sweep.select else ''}.")


def _compute(sweep: Sweep, folder: Path, numbers: Sequence[int], seeds: Sequence[int], executor: Executor, count: int) -> None:
    labels = {sweep.points[number].run.text(): label(sweep, number) for number in reversed(numbers)}
    runs = {labels[text]: run for text, run in sweep.runs(numbers).items()}
    compute_runs(executor, folder, runs, seeds, sweep.seeds_at_once, count)


@contextlib.contextmanager
def _executor(where: Local | Slurm | PBS, folder: Path) -> Iterator[tuple[Executor, int]]:
    """Where to compute, and on how many cores."""
    if isinstance(where, Local):
        with local_executor("recredit.runs.work", where.cores) as executor:
            yield executor, where.cores or len(cores())
    else:
        with cluster_executor(where, folder) as executor:
            yield executor, where.nodes * (where.gpus or where.cores)
