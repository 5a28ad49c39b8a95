"""What `recredit fig1` does."""

import json
import time
from pathlib import Path

from recredit.cli.compute import compute_runs, console, working_in
from recredit.cli.live import live_page
from recredit.errors import check_count, check_optional_count, check_seeds
from recredit.report.fitting import show
from recredit.report.tables import claims_table, counted, losses_table
from recredit.runs.files import write_dataset, write_whole
from recredit.runs.final_loss import averaged, final_loss
from recredit.runs.local import LocalExecutor
from recredit.studies import fig1
from recredit.studies.variants import Scale, Style, Variant, pictures

PICTURES, DATA = ("fig1.png", "fig1.svg"), ("curves.nc", "claims.json")


def run_fig1(
    executor: LocalExecutor,
    scale: Scale,
    variant: Variant,
    seeds: int | None,
    steps: int | None,
    seeds_at_once: int | None,
    out: Path | None,
    style: Style = "screen",
    live: bool = False,
) -> None:
    """Compute what is missing of Fig. 1, then write the figure, the curves and the claims; `live`: with a page that follows."""
    began = time.monotonic()
    size = fig1.SCALES[scale] | {k: v for k, v in {"seeds": seeds, "steps": steps}.items() if v is not None}
    chosen = check_seeds(size["seeds"])
    check_count("the number of steps", size["steps"])
    check_optional_count("the number of seeds at once", seeds_at_once)
    cells = fig1.runs(variant, size["steps"])
    title = f"Fig. 1, {variant} variant: {counted(size['seeds'], 'seed')}, {size['steps']:,} steps"
    drawn = pictures(PICTURES, style)
    place = out or Path("results") / _name(scale, variant, size)
    with working_in(place, (*drawn, *DATA)) as folder, live_page(folder, live) as page:
        console.out(f"{title}, in {folder}")
        then = "recredit.report.figures", "recredit.studies.claims"  # matplotlib and SciPy's statistics take a second to import
        compute_runs(executor, folder, title, cells, chosen, seeds_at_once, then=then, page=page)
        from recredit.report.figures import draw_fig1
        from recredit.studies.claims import judge

        data = fig1.curves(folder, variant, cells, chosen)
        judged = judge(final_loss(data))
        write_dataset(folder / "curves.nc", data)
        write_whole(folder / "claims.json", f"{json.dumps(judged, indent=1)}\n".encode())
        draw_fig1(data, [folder / name for name in drawn], style)
        if page:
            page.end(folder / "curves.nc")
    show(console, losses_table(judged["final_loss"], size["seeds"], averaged(data.step)))
    show(console, claims_table(judged["claims"]))
    *names, last = (str(folder / name) for name in (*drawn, *DATA))
    console.out(f"Wrote {', '.join(names)} and {last} in {time.monotonic() - began:.0f} s.")


def _name(scale: Scale, variant: Variant, size: dict[str, int]) -> str:
    """The default folder's name: a run of another size than the scale's never overwrites the scale's own."""
    if size != fig1.SCALES[scale]:
        return f"fig1-{variant}-{size['seeds']}seeds-{size['steps']}steps"
    return f"fig1-{variant}" if scale == "paper" else f"fig1-{variant}-{scale}"
