"""Pin the audit's verdicts on your own rule in your own tests."""

from collections.abc import Mapping
from typing import Any

from recredit.audit import audit
from recredit.audit.verdicts import CRITERIA, Audit
from recredit.errors import check_choice
from recredit.network import Network
from recredit.registry import resolve_network, resolve_rule
from recredit.rule import AbstractRule


def assert_passes(
    rule: AbstractRule | str | Mapping[str, Any], *criteria: str, network: Network | Mapping[str, Any] | None = None
) -> None:
    """Assert that the audit of a rule passes these criteria, or all of them if none is named.

    `rule`: the rule itself, its name, "path/to/file.py:MyRule", or a table of a name and settings. `criteria`: "memory",
    "locality-time", "i", "ii-stored", "ii-local", "ii-continuous", "iii", "iv", "v", "vi", "vii". What is left to judgement
    does not pass. `network`: what the rule is to train, as {"units": "gru"}; None: the paper's network.

    Raises AssertionError, a line for each criterion that does not pass; ValueError for an unknown criterion or rule, or for
    what `recredit.audit` refuses.
    """
    asked = check_criteria(criteria)
    found = audit(resolve_rule(rule), network=resolve_network(network), measure="ii-continuous" in asked)
    if broken := not_passed(found, asked):
        raise AssertionError("\n".join([f"{found.rule} does not pass {', '.join(broken)}:", *broken.values()]))


def check_criteria(criteria: tuple[str, ...]) -> tuple[str, ...]:
    """The criteria that are named, all if none is. Raises ValueError for an unknown one."""
    for criterion in criteria:
        check_choice("criterion", criterion, CRITERIA)
    return criteria or tuple(CRITERIA)


def not_passed(found: Audit, criteria: tuple[str, ...]) -> dict[str, str]:
    """Of each criterion that an audit does not pass, a line that says why and where."""
    told = {}
    for criterion in criteria:
        cell = found.cells[criterion]
        if cell.verdict != "pass":
            at = f" ({cell.evidence[0].file}:{cell.evidence[0].line})" if cell.evidence else ""
            told[criterion] = f"{criterion}, {cell.verdict}: {cell.why}{at}"
    return told
