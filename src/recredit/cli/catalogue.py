"""What `recredit rules`, `recredit tasks`, `recredit networks` and `recredit optimizers` print."""

import inspect
from collections.abc import Iterable
from typing import Any

from recredit.cli.console import console
from recredit.network import UNITS, Network
from recredit.optimizers import OWN, PARTS, clips, optimizers, schedules
from recredit.registry import BLOCKS, Registry, block_name
from recredit.report.fitting import show
from recredit.report.tables import catalogue_table, fits_table, levels_table
from recredit.rules import RULES
from recredit.studies.fits import unfit_by_units
from recredit.tasks import TASKS


def _entry(name: str, make: Any, without: Iterable[str] = ()) -> tuple[str, str, str]:
    what = (inspect.getdoc(make) or "").split("\n")[0]
    parameters = [p for p in inspect.signature(make).parameters.values() if p.name not in without]
    return name, what, ", ".join(p.name if p.default is p.empty else f"{p.name}={_default(p)}" for p in parameters)


def _default(p: inspect.Parameter) -> Any:
    return f"{p.default:g}" if isinstance(p.default, float) else block_name(p.annotation, p.default)


def _catalogue(title: str, registry: Registry, without: Iterable[str] = ()) -> None:
    show(console, catalogue_table(title, [_entry(name, make, without) for name, make in registry.items()]))


def list_rules() -> None:
    """Print the rules, and the building blocks that their settings name."""
    _catalogue("Learning rules", RULES)
    console.print("A rule of your own goes by its file wherever a rule is named: path/to/file.py:MyRule.", style="dim")
    for kind, registry in BLOCKS.values():
        _catalogue(f"Building blocks: {kind}", registry)


def list_tasks() -> None:
    """Print the tasks, and the known levels of the loss."""
    _catalogue("Tasks", TASKS)
    console.print("A task of your own goes by its file wherever a task is named: path/to/file.py:MyTask.", style="dim")
    levels = {name: _levels(make) for name, make in TASKS.items()}
    show(console, levels_table({name: known for name, known in levels.items() if known}))


def _levels(make: Any) -> dict[str, float]:
    """What is known of the loss of a task that needs no settings."""
    if any(p.default is p.empty for p in inspect.signature(make).parameters.values()):
        return {}
    try:
        return make().floors()
    except ValueError:  # it needs a package that is not installed
        return {}


def list_networks() -> None:
    """Print the settings of a network, its units, and which rules are for which units."""
    show(console, catalogue_table("Networks", [_entry("network", Network)]))
    _catalogue("Units: network.units", UNITS)
    console.print("Units of your own go by their file: network.units=path/to/file.py:MyUnits.", style="dim")
    show(console, fits_table({name: unfit_by_units(make()) for name, make in RULES.items()}))


def list_optimizers() -> None:
    """Print the optimisers, clips and schedules of optax that go by name."""
    _catalogue("Optimizers", optimizers(), without=OWN)
    console.print(
        f"Besides, each takes a clip, a schedule if its rate may be one, and a rate of any part, {', '.join(PARTS)}: at 0 it "
        "stands still. As in --set optimizer=adam optimizer.W_in=0 optimizer.clip=clip optimizer.clip.max_delta=1",
        style="dim",
    )
    _catalogue("Clips of the gradient: optimizer.clip", clips())
    _catalogue("Schedules of the learning rate, their initial or peak value: optimizer.schedule", schedules())
