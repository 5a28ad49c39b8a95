"""What `recredit rules`, `recredit tasks`, `recredit networks` and `recredit optimizers` print."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from rich.text import Text

from recredit.cli.console import plain_console, wide_console
from recredit.errors import check_choice
from recredit.report.explained import Part, audit_lines, labelled, listed, page, settings_table
from recredit.report.fitting import show
from recredit.report.tables import fits_table
from recredit.rules import RULES
from recredit.runs.final_loss import loss_levels, loss_unit
from recredit.studies.audits import Asked, audits
from recredit.studies.docstrings import plain
from recredit.studies.explained import OPTAX, Explained, block_settings, explained, found, names
from recredit.studies.fits import unfit_by_units

console = wide_console()


def explain_each(specs: Sequence[str], explain: Callable[[str], None], list_all: Callable[[], None]) -> None:
    """Explain what is named, one after another; list everything if nothing is."""
    for number, spec in enumerate(specs):
        if number:
            console.print()
        explain(spec)
    if not specs:
        list_all()


def list_rules() -> None:
    """Print the rules, and the building blocks that their settings name."""
    _list("Learning rules", "rule")
    for block in ("jacobian", "feedback"):
        _list(f"Building blocks for rules with the setting {block}", block)
    _hint("recredit rules NAME explains one: its equations, settings, costs, verdicts and reference.", "MyRule")


def list_tasks() -> None:
    """Print the tasks."""
    _list("Tasks", "task")
    _hint("recredit tasks NAME explains one: its settings, the known levels of its loss, and its source.", "MyTask")


def list_networks() -> None:
    """Print the settings of a network, its units, and which rules work on which units."""
    console.print(settings_table(explained("network", "network").settings, {}, "network", console.width))
    _list("Units: network.units", "units")
    show(console, fits_table({name: unfit_by_units(make()) for name, make in RULES.items()}))
    _hint("recredit networks NAME explains units: their equations, voltages and settings.", "MyUnits")


def list_optimizers() -> None:
    """Print the named optimisers, clips and schedules of optax."""
    _list("Optimizers", "optimizer")
    _list("Gradient clips: optimizer.clip", "clip")
    _list("Learning-rate schedules: optimizer.schedule", "schedule")
    console.print("recredit optimizers NAME explains one and its settings.", style="dim")


def _list(title: str, kind: str) -> None:
    whats = {name: _what(make_it) for name, make_it in names(kind).items()}
    console.print(listed(title, whats, console.width))
    console.print()


def _what(make_it: Callable[..., Any]) -> str:
    return plain((inspect.getdoc(make_it) or "").split("\n\n")[0].partition("\n")[0])


def _hint(sentence: str, own: str) -> None:
    console.print(f"{sentence} Name one of your own by its file: path/to/file.py:{own}.", style="dim")


def print_bibtex(rules: Sequence[str]) -> None:
    """Print the BibTeX entries of rules, of all that have a name if none is given, each entry once, and nothing else."""
    cited = [entry for name in rules or RULES for entry in explained("rule", name).references]
    console.out("\n\n".join(dict.fromkeys(cited)), highlight=False)


def explain_rule(name: str) -> None:
    """Print everything about a rule: from its source and its program, and what it works on."""
    told = explained("rule", name)
    _, make_it = found("rule", name)
    _print(told, make_it, [*_fits(make_it), *_judged(name)], "rule")


def _fits(make_it: Callable[..., Any]) -> Sequence[Part]:
    """A line on the units that a rule works on, and why it does not work on the others."""
    try:
        rule = make_it()
        unfit = unfit_by_units(rule)
    except TypeError:  # it has settings that must be given
        return []
    fit, others = ([name for name, why in unfit.items() if bool(why) is refused] for refused in (False, True))
    told = ", ".join(fit) or "none"
    if others:
        why = str(unfit[others[0]]).rstrip(".")
        told += f"; not {', '.join(others)}: {why}"
    noise = " It learns from the network's noise: set network.noise." if rule.needs_noise else ""
    return [labelled("Units", f"{told}.{noise}", console.width)]


def _judged(name: str) -> Sequence[Part]:
    """Lines on what a rule costs and on the audit's verdicts; for a rule that cannot be audited, why."""
    with plain_console(stderr=True).status(f"Auditing {name}"):
        try:
            judged, refused = audits([Asked(name, {}, {}, name)], True, None, lambda _: None)
        except ValueError as error:
            judged, refused = [], [str(error)]
    if not judged:
        return [labelled("Audit", refused[0], console.width)]
    return audit_lines(judged[0], name, console.width)


def explain_task(name: str) -> None:
    """Print everything about a task, and what is known about its loss with its default settings."""
    told = explained("task", name)
    _, make_it = found("task", name)
    _print(told, make_it, _known(make_it), "task")


def _known(make_it: Callable[..., Any]) -> Sequence[Part]:
    """Lines on the sizes of a task and on the levels of its loss, with its default settings."""
    try:
        task = make_it()
    except (TypeError, ValueError):  # it needs settings, or a package that is not installed
        return []
    sizes = f"{task.n_in} inputs, {task.n_out} outputs; the loss is {loss_unit(task)}."
    levels = [f"{level:.4f}  {what}" for what, level in loss_levels(task).items()]
    known = [Text.assemble(("Known levels of the loss, with default settings", "bold"), *(f"\n  {each}" for each in levels))]
    return [labelled("Network", sizes, console.width), *(known if levels else [])]


def explain_units(name: str) -> None:
    """Print everything about units."""
    told = explained("units", name)
    _, make_it = found("units", name)
    units: Any = make_it
    inputs = {"all": "everything"}
    reads = ", ".join(f"{voltage} (reads {inputs.get(read, f'the {read}')})" for voltage, read in units.voltages.items())
    state = ", ".join(units.variables)
    more = [labelled("State", state, console.width), labelled("Voltages", reads, console.width)]
    _print(told, make_it, more, f"network.units={told.name} network.units")


def explain_optimizer(name: str) -> None:
    """Print everything about an optimiser, a clip or a schedule of optax."""
    kinds = {each: kind for kind in OPTAX for each in names(kind)}
    check_choice("optimizer", name, kinds)
    kind = kinds[name]
    prefix = "optimizer" if kind == "optimizer" else f"optimizer.{kind}={name} optimizer.{kind}"
    _print(explained(kind, name), names(kind)[name], [], prefix)


def _print(told: Explained, make_it: Callable[..., Any], more: Sequence[Part], prefix: str) -> None:
    console.print(page(told, more, block_settings(make_it), prefix, console.width))
