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
from recredit.settings import Run, assign, read_toml
from recredit.store import read_cell, writable_folder, write_dataset, write_whole
from recredit.tasks import TASKS

console = Console()


def _compute(folder: Path, runs: dict[str, Run], seeds: Sequence[int]) -> None:
    with Live(console) as live:
        compute(
            folder,
            runs,
            seeds,
            lambda jobs: live.expect((job.cell, job.run.steps * len(job.seeds)) for job in jobs),
            lambda job, steps: live.advance(job.cell, steps * len(job.seeds)),
        )


def run_fig1(scale: Scale, variant: Variant, seeds: int | None, steps: int | None, out: Path | None) -> None:
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
    _compute(folder, cells, chosen)
    data = fig1.curves(folder, variant, cells, chosen)
    final = fig1.final_loss(data)
    judged = claims.judge(final)
    write_dataset(folder / "curves.nc", data)
    write_whole(folder / "claims.json", lambda path: path.write_text(json.dumps(judged, indent=1) + "\n"))
    draw_fig1(data, folder)
    console.print(losses_table(final), claims_table(judged["claims"]))
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
    out: Path | None,
) -> None:
    """Compute what is missing of one run, then write and show its loss."""
    table: dict[str, Any] = read_toml(config) if config else {}
    given = {"rule": rule, "task": task}
    for assignment in [f'{key}="{name}"' for key, name in given.items() if name is not None] + [*settings]:
        assign(table, assignment)
    table |= {key: value for key, value in {"steps": steps, "bin": bin_steps}.items() if value is not None}
    table.setdefault("steps", 1_000_000)
    if isinstance(table["steps"], int):
        table.setdefault("bin", min(10_000, max(1, table["steps"] // 100)))
    if observe:
        table["observers"] = {name: name for name in observe}
    check_count("the number of seeds", seeds)
    run = Run.create(table)
    title = f"{run.task['name']}: {run.rule['name']}"
    folder = writable_folder(out or Path("results") / title.replace(": ", "-"))
    _compute(folder, {title: run}, range(seeds))
    data = read_cell(folder, run.text())
    assert data is not None
    data = data.sel(seed=list(range(seeds)))
    write_dataset(folder / "run.nc", data)
    learner = run.build_task()
    label = "cross-entropy (nats)" if learner.head == "softmax" else "½ squared error, summed over outputs"
    draw_run(data.loss, learner.floors(), label, title, folder / "loss.png")
    final = fig1.final_loss(data).expand_dims(task=[run.task["name"]], rule=[run.rule["name"]])
    console.print(losses_table(final))
    for what, level in learner.floors().items():
        console.print(f"  {level:.4f}  {what}", style="dim")
    for name in run.observers:
        cosine = float(data.cosine.sel(observer=name).mean())
        console.print(f"Mean cosine of {name}'s gradient with {run.rule['name']}'s: {cosine:.3f}")
    console.print(f"Wrote loss.png and run.nc to {folder}.")


def _entry(name: str, make: Any) -> tuple[str, str, str]:
    what = (inspect.getdoc(make) or "").split("\n")[0]
    parameters = inspect.signature(make).parameters.values()
    shown = ", ".join(p.name if p.default is p.empty else f"{p.name}={_shown(p.default)}" for p in parameters)
    return name, what, shown


def _shown(default: Any) -> str:
    return str(default).removesuffix("()") if not isinstance(default, str) else default


def list_rules() -> None:
    """Print the rules."""
    console.print(catalogue_table("Learning rules", [_entry(name, make) for name, make in RULES.items()]))


def list_tasks() -> None:
    """Print the tasks, and the known levels of the loss."""
    console.print(catalogue_table("Tasks", [_entry(name, make) for name, make in TASKS.items()]))
    for name, make in TASKS.items():
        if all(p.default is not p.empty for p in inspect.signature(make).parameters.values()):
            for what, level in make().floors().items():
                console.print(f"{name}, {what}: {level:.4f}")
