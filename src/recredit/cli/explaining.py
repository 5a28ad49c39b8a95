"""The commands that list what there is, and check whether it works here: parsing only, as in `recredit.cli.main`."""

from typing import Annotated

from cyclopts import Parameter

from recredit.cli.process import check_xla_flags


def rules(*names: str, bibtex: Annotated[bool, Parameter(negative=())] = False) -> None:
    """List the learning rules, or explain some: equations, settings, costs, verdicts, reference.

    For example: recredit rules dni examples/own_rule.py:Broadcast

    Parameters
    ----------
    names
        Rules to explain: names, or files of your own as path/to/file.py:MyRule (default: list all named ones).
    bibtex
        Print only the BibTeX entries of these rules (default: of all), as in recredit rules dni uoro --bibtex > refs.bib.
    """
    check_xla_flags()
    from recredit.cli import catalogue

    if bibtex:
        catalogue.print_bibtex(names)
    else:
        catalogue.explain_each(names, catalogue.explain_rule, catalogue.list_rules)


def tasks(*names: str) -> None:
    """List the tasks, or explain some: settings, known levels of the loss, source.

    Parameters
    ----------
    names
        Tasks to explain: names, or files of your own as path/to/file.py:MyTask (default: list all named ones).
    """
    check_xla_flags()
    from recredit.cli import catalogue

    catalogue.explain_each(names, catalogue.explain_task, catalogue.list_tasks)


def networks(*names: str) -> None:
    """List a network's settings, the kinds of units and which rules work on them, or explain some units.

    Parameters
    ----------
    names
        Units to explain: names, or files of your own as path/to/file.py:MyUnits (default: list all named ones).
    """
    check_xla_flags()
    from recredit.cli import catalogue

    catalogue.explain_each(names, catalogue.explain_units, catalogue.list_networks)


def optimizers(*names: str) -> None:
    """List the optimizers, gradient clips and learning-rate schedules, or explain some.

    Parameters
    ----------
    names
        Optimizers, clips or schedules to explain (default: list all).
    """
    check_xla_flags()
    from recredit.cli import catalogue

    catalogue.explain_each(names, catalogue.explain_optimizer, catalogue.list_optimizers)


def doctor() -> None:
    """Check this installation: versions, devices, cores, cache; then an exact gradient and known losses, in about ten seconds.

    The exit code is 1 if a check fails.
    """
    from recredit.cli.doctor import run_doctor

    run_doctor()
