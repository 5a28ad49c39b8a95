"""What `recredit train` does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recredit.cli.compute import compute_runs, console, working_in
from recredit.cli.live import live_page
from recredit.report.fitting import show
from recredit.report.tables import alignment_line, counted, losses_table
from recredit.runs.files import write_dataset
from recredit.runs.final_loss import averaged, final_accuracy, final_loss, loss_levels, loss_unit, shown, summary
from recredit.runs.local import LocalExecutor
from recredit.runs.origin import request_from
from recredit.runs.request import request
from recredit.runs.store import read_recorded
from recredit.studies.comparison import combined
from recredit.studies.variants import Style, pictures


def run_train(
    executor: LocalExecutor,
    config: Path | None,
    options: Mapping[str, Any],
    settings: Sequence[str],
    origin: str | None = None,
    style: Style = "screen",
    live: bool = False,
) -> None:
    """Compute what is missing of the runs that are asked for (`recredit.runs.request`), then write and show their losses.
    `origin`: another run that they begin with (`recredit.runs.origin`). `live`: with a page that follows."""
    drawn = pictures(("loss.png",), style)
    if origin is None:
        asked = request(config, options, settings)
        seeds = [*range(asked.seeds)]
    elif config is None:
        asked, seeds, told = request_from(origin, options, settings)
        console.out(told)
    else:
        raise ValueError(
            "a run that starts from another run takes its settings: change them by options and --set, not by --config."
        )
    any_run = next(iter(asked.runs.values()))
    name, task = any_run.task["name"], any_run.build_task()
    built = {label: run.build() for label, run in asked.runs.items()}
    runs = {f"{name}: {rule}": run for rule, run in asked.runs.items()}
    title = f"{', '.join(asked.runs)} on {name}: {counted(asked.seeds, 'seed')}, {any_run.steps:,} steps"
    with working_in(asked.out, ("run.nc", *drawn)) as folder, live_page(folder, live) as page:
        compute_runs(executor, folder, title, runs, seeds, asked.seeds_at_once, keeps_states=True, page=page)
        data = combined(folder, asked.runs, seeds)
        coordinates, recorded = read_recorded(folder, asked.runs, seeds)
        write_dataset(folder / "run.nc", data.assign_coords(coordinates), recorded)
        from recredit.report.figures import draw_runs

        draw_runs(data, asked.runs, [folder / name for name in drawn], style)
        if page:
            page.end(folder / "run.nc")
    final = shown(final_loss(data, task.floors().values()), task).expand_dims(task=[name])
    accuracy = None
    if "accuracy" in data:
        accuracy = dict(zip(asked.runs, final_accuracy(data).mean("seed").values.tolist(), strict=True))
    show(console, losses_table(summary(final), asked.seeds, averaged(data.step), accuracy))
    console.print(f"Loss: {loss_unit(task)}.")
    for what, level in loss_levels(task).items():
        console.print(f"  {level:.4g}  {what}", style="dim")
    for advice in filter(None, (task.advice(), next(iter(built.values()))[1].advice())):
        console.print(advice)
    for observer in any_run.observers:
        for rule, (driver, _, _, watching) in built.items():
            pair = data.sel(rule=rule, observer=observer)
            console.print(alignment_line(pair, rule, observer, (driver, watching[observer])), markup=False)
    console.out(f"Wrote {', '.join(str(folder / name) for name in drawn)} and {folder / 'run.nc'}.")
