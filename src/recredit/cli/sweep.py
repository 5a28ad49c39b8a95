"""What `recredit sweep` does."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from recredit.cli.compute import compute_runs, console, working_in
from recredit.cli.live import LivePage, live_page
from recredit.report.fitting import show
from recredit.report.sweep_plan import plan
from recredit.report.tables import counted
from recredit.runs.choice import choose
from recredit.runs.cluster import PBS, Local, Slurm, check_ready, cluster_executor
from recredit.runs.files import write_dataset, write_whole
from recredit.runs.local import cores, local_executor
from recredit.runs.standing import read_told
from recredit.runs.sweep import Sweep, read_sweep
from recredit.studies.outlook import outlook
from recredit.studies.sweeps import label, reported, selection
from recredit.studies.variants import Style, pictures

PICTURES = ("sweep.png", "selection.png")


def run_sweep(file: Path, dry_run: bool, out: Path | None, style: Style = "screen", live: bool = False) -> None:
    """Compute what is missing of a sweep, then write and show its results; `dry_run`: only say what it would compute.

    `out`: the folder, instead of the one that the file names. `live`: with a page that follows.
    """
    if read_told(file):
        raise ValueError(f"{file} is a folder of results; to watch it, recredit watch {file}; to compute, give a sweep's file.")
    sweep = read_sweep(file)
    sweep = replace(sweep, out=out or sweep.out)
    if dry_run:
        count = _cores(sweep.executor)
        console.out(plan(sweep, outlook(sweep, count), count, console.width))
        try:
            check_ready(sweep.executor, sweep.out)
        except ValueError as error:
            console.out(f"It cannot start on this machine: {error}")
        return
    check_ready(sweep.executor, sweep.out)
    files = "sweep.toml", "sweep.nc", "selection.nc", *pictures(PICTURES, style)
    with working_in(sweep.out, files) as folder, live_page(folder, live) as page:
        write_whole(folder / "sweep.toml", file.read_bytes())
        _run(sweep, folder, style, page)
        if page:
            page.end(folder / "sweep.nc")


def _run(sweep: Sweep, folder: Path, style: Style, page: LivePage | None) -> None:
    curves, choices = ([folder / each for each in pictures((name,), style)] for name in PICTURES)
    numbers: Sequence[int] = range(len(sweep.points))
    with _executor(sweep.executor, folder) as (executor, count):
        if sweep.select:
            seeds = sweep.select.seeds
            _compute(f"Choosing along {sweep.select.axis}", sweep, folder, sweep.candidates, seeds, executor, count, page)
            from recredit.report.sweep_figures import draw_selection

            candidates = selection(sweep, folder)
            choice = choose(sweep, candidates.final_loss)
            numbers = choice.points
            marked = {"long_name": "whether the point was chosen"}
            candidates["chosen"] = candidates.point.copy(data=candidates.point.isin(numbers)).assign_attrs(marked)
            write_dataset(folder / "selection.nc", candidates)
            draw_selection(sweep, candidates, numbers, choices, style)
            for note in choice.notes:
                console.out(note)
        _compute(sweep.name, sweep, folder, numbers, sweep.seeds, executor, count, page)
    from recredit.report.sweep_figures import draw_curves
    from recredit.report.sweeps import sweep_table

    data = reported(sweep, folder, numbers)
    write_dataset(folder / "sweep.nc", data)
    show(console, sweep_table(data, list(sweep.axes)))
    figures = choices if sweep.select else []
    if "loss" in data:
        draw_curves(sweep, data, curves, style)
        figures += curves
    console.out(f"Wrote {', '.join([str(folder / 'sweep.nc'), *(file.name for file in figures)])}.")


def _compute(
    what: str,
    sweep: Sweep,
    folder: Path,
    numbers: Sequence[int],
    seeds: Sequence[int],
    executor: Executor,
    count: int,
    page: LivePage | None,
) -> None:
    title = f"{what}: {counted(len(numbers), 'point')}, {counted(len(seeds), 'seed')} each"
    console.out(f"{title}, in {folder}")
    labels = {sweep.points[number].run.text(): label(sweep, number) for number in reversed(numbers)}
    runs = {labels[text]: run for text, run in sweep.runs(numbers).items()}
    compute_runs(executor, folder, title, runs, seeds, sweep.seeds_at_once, count, page=page)


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
