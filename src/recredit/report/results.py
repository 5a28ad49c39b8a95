"""Lists of results: one line a run, or one a cell."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from recredit.runs.listing import DAMAGED, OTHER, Listed, by_run, differing


def results_table(cells: Sequence[Listed], each: bool) -> Table:
    """The cells that are not damaged: the seeds of one run in one line, unless `each` is to have its own.

    Where all were computed on one host, or differ in no setting, there is no column for it.
    """
    runs = by_run(cells)
    keys = differing([run for run, _ in runs])
    lines = [(run, [cell]) for run, seeds in runs for cell in seeds] if each else runs
    lines.sort(key=lambda line: [_order(line[0].get(key)) for key in ("rule", "task", *keys)])
    rows = [_row(run, seeds, keys) for run, seeds in lines]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for head in rows[0] if rows else ():
        if head in ("settings", "host") and len({row[head] for row in rows}) < 2:
            continue
        table.add_column(head, no_wrap=head not in ("seeds", "state"), justify="right" if head == "final loss" else "left")
    for row in rows:
        table.add_row(*(Text(row[str(column.header)]) for column in table.columns))
    return table


def _order(value: Any) -> tuple[bool, float, str]:
    """By which values are put in order: numbers before words."""
    number = isinstance(value, int | float)
    return not number, value if number else 0, str(value)


def _row(run: dict[str, Any], seeds: Sequence[Listed], keys: Sequence[str]) -> dict[str, str]:
    """The line of some seeds of one run, with the settings that `keys` names."""
    names = [key.rpartition(".")[2] for key in keys]
    short = {key: name if names.count(name) == 1 and "observers" not in key else key for key, name in zip(keys, names)}
    losses = [cell.record["final_loss"] for cell in seeds if not cell.record["diverged"]]
    lost = len(seeds) - len(losses)
    state = [OTHER] * (seeds[0].state == OTHER) + [f"{lost} diverged" if len(seeds) > 1 else "diverged"] * bool(lost)
    return {
        "rule": run["rule"],
        "task": run["task"],
        "settings": "\n".join(f"{short[key]}={run[key]}" for key in keys if key in run),
        "seeds": spans([cell.settings["seed"] for cell in seeds]),
        "state": ", ".join(state) or "done",
        "final loss": f"{sum(losses) / len(losses):.4g}" if losses else "–",
        "ended": max(cell.record["ended"] for cell in seeds)[:10],
        "host": ", ".join(dict.fromkeys(cell.record["host"] for cell in seeds)),
    }


def spans(numbers: Sequence[int]) -> str:
    """Whole numbers in order, with what follows each other drawn together: "0–3, 7"."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join("–".join(map(str, span)) for span in found)


def remarks(cells: Sequence[Listed]) -> list[str]:
    """What a table of cells leaves to say, in sentences: why some are of another version, and which are damaged."""
    others = [cell.why for cell in cells if cell.state == OTHER]
    told = [f"Other version, {others.count(why)}: {why}." for why in dict.fromkeys(others)]
    if damaged := [f"{cell.path.name}: {cell.why}" for cell in cells if cell.state == DAMAGED]:
        told.append(f"Damaged, {len(damaged)}: {damaged[0]}{', ...' * (len(damaged) > 1)}.".replace("....", "..."))
    return told


def closing(cells: Sequence[Listed]) -> str:
    """How many they are, and where they were computed, if that is one place."""
    hosts = {cell.record["host"] for cell in cells if cell.record}
    where = f", computed on {min(hosts)}" if len(hosts) == 1 else ""
    return f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}{where}."
