"""What `recredit alignment` does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recredit.cli.compute import compute_runs, console, working_in
from recredit.report.fitting import show
from recredit.report.tables import counted
from recredit.runs.files import write_dataset
from recredit.runs.final_loss import DIVERGED_MEANS
from recredit.runs.local import LocalExecutor
from recredit.runs.store import read_recorded
from recredit.studies.alignment import alignment, alignment_request, exact_label
from recredit.studies.comparison import combined
from recredit.studies.variants import Style, pictures

PICTURES = ("alignment.png", "alignment.svg")


def run_alignment(
    executor: LocalExecutor,
    config: Path | None,
    options: Mapping[str, Any],
    settings: Sequence[str],
    style: Style = "screen",
) -> None:
    """Compute what is missing of the run that is asked for (`alignment_request`), then show how well its gradients align."""
    asked, left_out = alignment_request(config, options, settings)
    for reason in left_out:
        console.print(reason, style="dim")
    ((driver, run),) = asked.runs.items()
    seeds = [*range(asked.seeds)]
    title = f"Alignment on {run.task['name']}, {driver} drives: {counted(asked.seeds, 'seed')}, {run.steps:,} steps"
    written = ("run.nc", *pictures(PICTURES, style))
    with working_in(asked.out, written) as folder:
        runs = {f"{run.task['name']}: {driver}": run}
        compute_runs(executor, folder, title, runs, seeds, asked.seeds_at_once, keeps_states=True)
        from recredit.report.alignment import beside_table, cosines_table, draw_alignment, remarks

        data = combined(folder, asked.runs, seeds)
        labels = [driver, *run.observers]
        data = data.assign_coords({each: data[each].copy(data=labels) for each in ("gradient", "beside")})
        whole = data.sel(rule=driver)
        summary = alignment(whole)
        coordinates, recorded = read_recorded(folder, asked.runs, seeds)
        write_dataset(folder / "run.nc", data.assign_coords(coordinates).merge(summary), recorded)
        draw_alignment(summary, driver, run, [folder / name for name in written[1:]], style)
    lost = asked.seeds - summary.seeds.item()
    show(console, cosines_table(summary))
    rule, _, _, watching = run.build()
    exact = exact_label({driver: rule, **watching})
    show(console, beside_table(summary, exact or driver, exact is not None))
    for remark in remarks(whole):
        console.print(remark, markup=False)
    if lost:
        console.print(f"{counted(lost, 'seed')} diverged and left out: {DIVERGED_MEANS}.")
    *names, last = (str(folder / name) for name in written)
    console.out(f"Wrote {', '.join(names)} and {last}.")
