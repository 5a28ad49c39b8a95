"""Several rules on one task, as one dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recredit.runs.settings import Run
from recredit.runs.store import read_cells

if TYPE_CHECKING:
    import xarray as xr


def combined(folder: Path, runs: Mapping[str, Run], seeds: Sequence[int]) -> xr.Dataset:
    """The finished runs in a folder, with these seeds: every variable has the dimension `rule` first, by the runs' labels."""
    import xarray as xr

    parts: list[xr.Dataset] = []
    for label, run in runs.items():
        parts.append(read_cells(folder, run, seeds).expand_dims(rule=[label]))
    together = xr.concat(parts, "rule", combine_attrs="drop_conflicts", join="exact")
    together.rule.attrs = {"long_name": "learning rule"}
    together.attrs.pop("run", None)
    task = next(iter(runs.values())).task["name"]
    together.attrs["title"] = f"{', '.join(runs)} on {task}: losses and final weights of networks trained online by recredit"
    together.attrs["runs"] = json.dumps({label: run.model_dump() for label, run in runs.items()})
    return together
