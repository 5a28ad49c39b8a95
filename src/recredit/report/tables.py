"""The tables at the end of a run."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def losses_table(final: dict[str, dict[str, dict[str, Any]]], seeds: int) -> Table:
    """The final loss of each task and rule (`claims.summary`), and how many of the seeds diverged."""
    table = Table(
        "task", "rule", "final loss", "± s.e.m.", "seeds", "diverged", title="Mean loss over the last tenth of the run"
    )
    for task, rules in final.items():
        for rule, loss in rules.items():
            lost = seeds - loss["seeds"]
            table.add_row(task, rule, _number(loss["mean"]), _number(loss["sem"]), str(seeds), str(lost) if lost else "")
        table.add_section()
    for column in table.columns[2:]:
        column.justify = "right"
    return table


STYLE = {"supported": "green", "contradicted": "red", "inconclusive": "yellow"}


def claims_table(claims: list[dict]) -> Table:
    """The paper's claims and their verdicts."""
    table = Table("claim", title="The paper's claims, tested over paired seeds")
    tasks = list(dict.fromkeys(entry["task"] for entry in claims))
    for task in tasks:
        table.add_column(task)
    verdicts = {(entry["claim"], entry["task"]): entry["verdict"] for entry in claims}
    for claim in dict.fromkeys(entry["claim"] for entry in claims):
        cells = [verdicts[claim, task] for task in tasks]
        table.add_row(claim, *(f"[{STYLE[verdict]}]{verdict}[/]" for verdict in cells))
    return table


def catalogue_table(title: str, entries: Iterable[tuple[str, str, str]]) -> Table:
    """A list of (name, what it is, settings with defaults)."""
    table = Table("name", "what it is", "settings (defaults)", title=title)
    for name, what, settings in entries:
        table.add_row(name, what, settings)
    return table
