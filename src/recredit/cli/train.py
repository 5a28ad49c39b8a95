"""What `recredit train` does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recredit.cli.compute import compute_runs, console
from recredit.errors import check_count
from recredit.report.figures import draw_run
from recredit.report.tables import losses_table
from recredit.runs.settings import Run, assign, read_toml
from recredit.runs.store import read_cell, writable_folder, write_dataset
from recredit.studies.final_loss import final_loss, shown, summary


def run_train(
    rule: str | None,
    task: str | None,
    settings: Sequence[str],
    config: Path | None,
    observe: Sequence[str],
    seeds: int,
    steps: int | None,
    bin_steps: int | None,
    streams: int | None,
    seeds_at_once: int | None,
    out: Path | None,
) -> None:
    """Compute what is missing of one run, then write and show its loss."""
    table: dict[str, Any] = read_toml(config) if config else {}
    given = {"rule": rule, "task": task}
    for assignment in [f'{key}="{name}"' for key, name in given.items() if name is not None] + [*settings]:
        assign(table, assignment)
    counts = {"steps": steps, "bin": bin_steps, "streams": streams}
    table |= {key: value for key, value in counts.items() if value is not None}
    table.setdefault("steps", 1_000_000)
    if isinstance(table["steps"], int):
        table.setdefault("bin", min(10_000, max(1, table["steps"] // 100)))
    if observe:
        table["observers"] = {name: name for name in observe}
    check_count("the number of seeds", seeds)
    run = Run.create(table)
    title = f"{run.task['name']}: {run.rule['name']}"
    folder = writable_folder(out or Path("results") / title.replace(": ", "-"))
    compute_runs(folder, {title: run}, range(seeds), seeds_at_once)
    data = read_cell(folder, run.text())
    assert data is not None
    data = data.sel(seed=list(range(seeds)))
    write_dataset(folder / "run.nc", data)
    made = run.build_task()
    loss, unit = shown(data.loss, made)
    draw_run(loss, made.floors(), unit, title, folder / "loss.png")
    final = final_loss(data.assign(loss=loss)).expand_dims(task=[run.task["name"]], rule=[run.rule["name"]])
    console.print(losses_table(summary(final), seeds), f"Loss: {unit}.")
    for what, level in made.floors().items():
        console.print(f"  {level:.4f}  {what}", style="dim")
    for name in run.observers:
        cosine, ratio = (float(data[kind].sel(observer=name).mean()) for kind in ("cosine", "norm_ratio"))
        console.print(
            f"{name}'s gradient beside {run.rule['name']}'s: mean cosine {cosine:.3f}, norm {ratio:.3g} times as large"
        )
    console.print(f"Wrote loss.png and run.nc to {folder}.")
