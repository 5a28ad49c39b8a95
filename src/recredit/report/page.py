"""The report: curves, final losses, claims, alignment, audit, cost and settings on one page that needs no other file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from recredit.audit.verdicts import Audit
from recredit.report.charted import charted, has_seeds, looks
from recredit.report.figures import value_text
from recredit.report.gathered import Curve, Gathered, Panel
from recredit.report.sweeps import mean_and_error
from recredit.report.tables import counted, percent
from recredit.report.templates import templates
from recredit.runs.listing import flat

MOST_ON = 40  # lines that are drawn at first: a browser takes seconds to draw hundreds


@dataclass(frozen=True)
class Standing:
    """The progress of a command whose page is shown while it computes."""

    part: float
    """Of all network steps that are done."""
    words: str


@dataclass(frozen=True)
class Grid:
    """A table of text."""

    columns: Sequence[str]
    numbers: Sequence[str]
    """The columns that hold numbers."""
    rows: Sequence[Mapping[str, str]]


def report(
    gathered: Gathered,
    audits: Sequence[Audit] = (),
    refused: Sequence[str] = (),
    sizes: tuple[int, int, int] | None = None,
    standing: Standing | None = None,
) -> str:
    """The report as HTML. `refused`: why rules were not audited; `sizes`: (n, n_in, n_out) for the costs; `standing`: how far a
    command is that still computes: such a page asks for its latest state by itself."""
    kinds = {
        "curves": ("Loss curves", True),
        "finals": ("Final losses", True),
        "claims": ("Claims", gathered.claims),
        "alignment": ("Alignment", gathered.alignment is not None),
        "audit": ("Audit", audits or refused or standing),
        "cost": ("Cost", audits and sizes),
        "settings": ("Settings", True),
    }
    finals = _finals(gathered)
    shared, own = _settings(gathered)
    return templates.get_template("report.html").render(
        title=gathered.title,
        subtitle=_subtitle(gathered),
        sections={anchor: name for anchor, (name, is_there) in kinds.items() if is_there},
        gathered=gathered,
        looks=looks(gathered),
        most_on=MOST_ON,
        has_seeds=has_seeds(gathered),
        numbers=[k for k, panel in enumerate(gathered.panels) if panel.is_loss],
        finals=finals,
        any_lost="diverged" in finals.columns,
        claims=[dict(entry, table=_comparisons(entry)) for entry in (gathered.claims or {"claims": []})["claims"]],
        audits=audits,
        refused=refused,
        sizes=sizes,
        costs=_costs(audits),
        shared=shared,
        own=own,
        standing=standing,
        data=Markup(charted(gathered, audits, sizes, standing is not None)),
    )


def _subtitle(gathered: Gathered) -> str:
    curves = [curve for panel in gathered.panels if panel.is_loss for curve in panel.curves]
    seeds, steps = ({*each} for each in ((len(c.seeds) for c in curves), (int(c.run["steps"]) for c in curves)))
    observers = {name for curve in curves for name in curve.run.get("observers", {})}
    told = [counted(len({curve.name for curve in curves}), "rule")]
    told += [counted(len(observers), "observer")] if observers else []
    each = counted(min(seeds), "seed") if len(seeds) == 1 else f"{_span(seeds)} seeds"
    return f"{' and '.join(told)}, {each} each, {_span(steps)} network steps."


def _span(numbers: set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _finals(gathered: Gathered) -> Grid:
    rows = [_final(panel, curve) for panel in gathered.panels if panel.is_loss for curve in panel.curves]
    used = [column for column in rows[0] if any(row[column] for row in rows)] if rows else []
    return Grid(used, used[2:], [{column: row[column] for column in used} for row in rows])


def _final(panel: Panel, curve: Curve) -> dict[str, str]:
    end, error, _ = mean_and_error(curve.final)
    lost = int(curve.lost.sum())
    return {
        "task": panel.title,
        "rule": curve.name,
        "final loss": f"{end:.4g}" if np.isfinite(end) else "–",
        "± s.e.m.": f"{error:.2g}" if np.isfinite(error) else "–",
        "seeds": str(len(curve.seeds)),
        "diverged": str(lost) if lost else "",
        "accuracy": "" if curve.accuracy is None else percent(curve.accuracy),
        "seconds per seed": "" if curve.seconds is None else f"{curve.seconds:.3g}",
    }


def _comparisons(entry: Mapping[str, Any]) -> Grid:
    rows = []
    for name, result in entry["comparisons"].items():
        low, high = result["interval"] or (None, None)
        numbers = {"difference": result["difference"], "95 % from": low, "to": high, "p": result["p"]}
        told = {key: "–" if value is None else f"{value:.3g}" for key, value in numbers.items()}
        rows.append({"comparison": name, **told, "seeds": str(result["seeds"]), "verdict": result["verdict"]})
    columns = list(rows[0])
    return Grid(columns, columns[1:-1], rows)


def _costs(audits: Sequence[Audit]) -> Grid:
    rows = [{"rule": a.rule, "numbers kept": a.memory, "multiplications per step": a.multiplications} for a in audits]
    return Grid(["rule", "numbers kept", "multiplications per step"], [], rows)


def _settings(gathered: Gathered) -> tuple[dict[str, str], Grid]:
    """The settings that all runs share, and a table of the others."""
    curves = [(panel, curve) for panel in gathered.panels if panel.is_loss for curve in panel.curves]
    apart = "files", "observers", "record", "start"
    tables = [flat({key: value for key, value in curve.run.items() if key not in apart}) for _, curve in curves]
    first = tables[0] if tables else {}
    shared = {key: value for key, value in first.items() if all(key in table and table[key] == value for table in tables)}
    rows = [
        {
            "task": panel.title,
            "rule": curve.name,
            "settings": ", ".join(f"{key}={value_text(value)}" for key, value in table.items() if key not in shared),
        }
        for (panel, curve), table in zip(curves, tables, strict=True)
    ]
    return {key: value_text(value) for key, value in shared.items()}, Grid(["task", "rule", "settings"], [], rows)
