"""What the command line's commands do."""

import inspect
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from recredit.choices import Scale, Variant
from recredit.errors import check_count
from recredit.experiments import claims, fig1
from recredit.pool import compute
from recredit.report.figure import draw_fig1, draw_run
from recredit.report.live import Live, catalogue_table, claims_table, losses_table
from recredit.rules import RULES
from recredit.settings import BLOCKS, Registry, Run, assign, block_name, read_toml
from recredit.store import read_cell, writable_folder, write_dataset, write_whole
from recredit.tasks import TASKS

console = Console()


def _compute(folder: Path, runs: dict[str, Run], seeds: Sequence[int], seeds_at_once: int | None) -> None:
    if seeds_at_once is not None:
        check_count("the number of seeds at once", seeds_at_once)
    with Live(console) as live:
        compute(
            folder,
            runs,
            seeds,
            seeds_at_once,
            lambda jobs: live.expect((job.cell, job.run.steps * len(job.seeds)) for job in jobs),
            lambda job, steps: live.advance(job.cell, steps * len(job.seeds)),
        )


def run_fig1(
    scale: Scale, variant: Variant, seeds: int | None, steps: int | None, seeds_at_once: int | None, out: Path | None
) -> None:
    """Compute what is missing of Fig. 1, then write the figure, the curves and the claims."""
    began = time.monotonic()
    size = fig1.SCALES[scale] | {k: v for k, v in {"seeds": seeds, "steps": steps}.items() if v is not None}
    for name, count in size.items():
        check_count(f"the number of {name}", count)
    cells = fig1.runs(variant, size["steps"])
    suffix = "" if scale == "paper" else f"-{scale}"
    folder = writable_folder(out or Path("results") / f"fig1-{variant}{suffix}")
    chosen = range(size["seeds"])
    console.print(f"Fig. 1, {variant} variant: {size['seeds']} seeds, {size['steps']:,} steps, {len(cells)} cells, in {folder}")
    _compute(folder, cells, chosen, seeds_at_once)
    data = fig1.curves(folder, variant, cells, chosen)
    final = fig1.final_loss(data)
    judged = claims.judge(final)
    write_dataset(folder / "curves.nc", data)
    write_whole(folder / "claims.json", lambda path: path.write_text(json.dumps(judged, indent=1) + "\n"))
    draw_fig1(data, folder)
    console.print(losses_table(judged["final_loss"], size["seeds"]), claims_table(judged["claims"]))
    console.print(f"Wrote fig1.png, fig1.svg, curves.nc and claims.json to {folder} in {time.monotonic() - began:.0f} s.")


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
    _compute(folder, {title: run}, range(seeds), seeds_at_once)
    data = read_cell(folder, run.text())
    assert data is not None
    data = data.sel(seed=list(range(seeds)))
    write_dataset(folder / "run.nc", data)
    made = run.build_task()
    loss, unit = fig1.shown(data.loss, made)
    draw_run(loss, made.floors(), unit, title, folder / "loss.png")
    final = fig1.final_loss(data.assign(loss=loss)).expand_dims(task=[run.task["name"]], rule=[run.rule["name"]])
    console.print(losses_table(claims.summary(final), seeds), f"Loss: {unit}.")
    for what, level in made.floors().items():
        console.print(f"  {level:.4f}  {what}", style="dim")
    for name in run.observers:
        cosine, ratio = (float(data[kind].sel(observer=name).mean()) for kind in ("cosine", "norm_ratio"))
        console.print(
            f"{name}'s gradient beside {run.rule['name']}'s: mean cosine {cosine:.3f}, norm {ratio:.3g} times as large"
        )
    console.print(f"Wrote loss.png and run.nc to {folder}.")


def _entry(name: str, make: Any) -> tuple[str, str, str]:
    what = (inspect.getdoc(make) or "").split("\n")[0]
    parameters = inspect.signature(make).parameters.values()
    shown = (p.name if p.default is p.empty else f"{p.name}={block_name(p.annotation, p.default)}" for p in parameters)
    return name, what, ", ".join(shown)


def _catalogue(title: str, registry: Registry) -> None:
    console.print(catalogue_table(title, [_entry(name, make) for name, make in registry.items()]))


def list_rules() -> None:
    """Print the rules, and the building blocks that their settings name."""
    _catalogue("Learning rules", RULES)
    for kind, registry in BLOCKS.values():
        _catalogue(f"Building blocks: {kind}", registry)


def list_tasks() -> None:
    """Print the tasks, and the known levels of the loss."""
    _catalogue("Tasks", TASKS)
    for name, make in TASKS.items():
        if all(p.default is not p.empty for p in inspect.signature(make).parameters.values()):
            for what, level in make().floors().items():
                console.print(f"{name}, {what}: {level:.4f}")
