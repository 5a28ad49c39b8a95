"""What `recredit sweep` does."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

from recredit.cli.compute import compute_runs, console
from recredit.report.fitting import show
from recredit.report.sweep_plan import counted, plan
from recredit.report.sweeps import draw_selection, sweep_table
from recredit.runs.choice import choose
from recredit.runs.cluster import PBS, Local, Slurm, cluster_executor, resolve_executor
from recredit.runs.controller import held
from recredit.runs.failures import explanation
from recredit.runs.files import write_dataset, write_whole
from recredit.runs.local import cores, local_executor
from recredit.runs.standing import read_told, tell_end
from recredit.runs.sweep import Sweep, read_sweep
from recredit.studies.outlook import outlook
from recredit.studies.sweeps import final_losses, label, reported

WRITTEN = ("sweep.toml", "sweep.nc", "selection.nc", "selection.png", "progress.json")


def run_sweep(file: Path, dry_run: bool) -> None:
    """Compute what is missing of a sweep, then write and show what it came to; `dry_run`: only say what it would be."""
    if read_told(file):
        raise ValueError(
            f"{file} is the folder of a sweep; to look on, recredit sweep --watch {file}; to compute, give its file."
        )
    sweep = read_sweep(file)
    where = resolve_executor(sweep.executor)
    if dry_run:
        count = _cores(where)
        console.out(plan(sweep, outlook(sweep, count), where, count, console.width))
        return
    with held(sweep.out, WRITTEN, console.out) as folder:
        write_whole(folder / "sweep.toml", file.read_bytes())
        try:
            _run(sweep, folder, where)
        except Exception as error:
            tell_end(folder, explanation(error))
            raise
        tell_end(folder)


def _run(sweep: Sweep, folder: Path, where: Local | Slurm | PBS) -> None:
    numbers: Sequence[int] = range(len(sweep.points))
    with _executor(where, folder) as (executor, count):
        if sweep.select:
            seeds = sweep.select.seeds
            _compute(f"Choosing along {sweep.select.axis}", sweep, folder, sweep.candidates, seeds, executor, count)
            final = final_losses(sweep, folder, sweep.candidates, seeds)
            choice = choose(sweep, final)
            numbers = choice.points
            write_dataset(folder / "selection.nc", final.to_dataset())
            draw_selection(final, sweep.select.axis, numbers, folder / "selection.png")
            for note in choice.notes:
                console.out(note)
        _compute(sweep.name, sweep, folder, numbers, sweep.seeds, executor, count)
    data = reported(sweep, folder, numbers)
    write_dataset(folder / "sweep.nc", data)
    show(console, sweep_table(data.final_loss, list(sweep.axes)))
    console.out(f"Wrote {folder / 'sweep.nc'}{' and selection.png' if sweep.select else ''}.")


def _compute(
    what: str,
    sweep: Sweep,
    folder: Path,
    numbers: Sequence[int],
    seeds: Sequence[int],
    executor: Executor,
    count: int,
) -> None:
    title = f"{what}: {counted(len(numbers), 'point')}, {counted(len(seeds), 'seed')} each"
    console.out(f"{title}, in {folder}")
    labels = {sweep.points[number].run.text(): label(sweep, number) for number in reversed(numbers)}
    runs = {labels[text]: run for text, run in sweep.runs(numbers).items()}
    compute_runs(executor, folder, runs, seeds, sweep.seeds_at_once, count, title)


@contextlib.contextmanager
def _executor(where: Local | Slurm | PBS, folder: Path) -> Iterator[tuple[Executor, int]]:
    """Where to compute, and on how many cores."""
    if isinstance(where, Local):
        with local_executor("recredit.runs.work", where.cores) as executor:
            yield executor, _cores(where)
    else:
        with cluster_executor(where, folder) as executor:
            yield executor, _cores(where)


def _cores(where: Local | Slurm | PBS) -> int:
    if isinstance(where, Local):
        return min(where.cores or len(cores()), len(cores()))
    return where.nodes * (where.gpus or where.cores)
