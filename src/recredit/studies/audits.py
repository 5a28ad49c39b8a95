"""Audit several rules, each in a process of its own where there are more cores than one."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from recredit.audit import NotForNetworkError, audit
from recredit.audit.verdicts import Audit
from recredit.kinds import RULE, Registry
from recredit.registry import complete, find, make, resolve_network

jax.config.update("jax_platforms", "cpu")  # where rounding is the same on every machine


def chosen(spec: str, given: Mapping[str, Any]) -> tuple[str, Registry, dict[str, Any]]:
    """A rule's name, the registry that it is in, and its complete settings; `spec`: its name or its file.

    Raises ValueError for a rule or a setting that does not exist.
    """
    name, kind = find(RULE, spec)
    registry = {**RULE.registry, name: kind}
    if "name" in given:
        raise ValueError(f'rule {name} has no setting "name"; rules are named before --with.')
    return name, registry, complete("rule", registry, {"name": name, **given})


@dataclass(frozen=True)
class Asked:
    """One rule to audit."""

    spec: str
    """Its name, or its file."""
    given: Mapping[str, Any]
    """Its settings, as far as they are given."""
    network: Mapping[str, Any]
    """The settings of the network that it is to train, as `resolve_network` has them."""
    label: str
    """What it is called in the audit."""


def audits(
    asked: Sequence[Asked],
    measure: bool,
    pool: Executor | None,
    told: Callable[[str], None],
    left_out: type[ValueError] = NotForNetworkError,
) -> tuple[list[Audit], list[str]]:
    """The audits of rules; and of each rule that is `left_out`, not being for its network, a sentence that says why.

    `measure`: as `audit` has it. `pool`: where to audit them; None: in this process. `told` is called with the label of each
    rule that is waited for. Raises ValueError as `chosen` and `audit` do, unless that is what is `left_out`.
    """
    waits = [partial(_audited, each, measure, left_out) for each in asked]
    if pool:  # rules of long files first: they take longest, and others fill the cores beside them
        kinds = [chosen(each.spec, each.given) for each in asked]
        sizes = [_file_size(registry[name]) for name, registry, _ in kinds]
        order = sorted(range(len(asked)), key=lambda k: -sizes[k])
        futures = {k: pool.submit(waits[k]) for k in order}
        waits = [futures[k].result for k in range(len(asked))]
    found: list[Audit] = []
    refused: list[str] = []
    for each, wait in zip(asked, waits, strict=True):
        told(each.label)
        try:
            came = wait()
        except BrokenExecutor as error:
            raise ValueError(f"{each.label} was not audited: {error}") from None
        if isinstance(came, Audit):
            found.append(came)
        else:
            refused.append(came)
    return found, refused


def _file_size(kind: Any) -> int:
    try:
        return os.path.getsize(inspect.getsourcefile(kind) or "")
    except (OSError, TypeError):  # no file, or no class
        return 0


def _audited(asked: Asked, measure: bool, left_out: type[ValueError]) -> Audit | str:
    """A rule's audit, or why it is left out: of an error, another process tells no more than its sentence."""
    _, registry, table = chosen(asked.spec, asked.given)
    try:
        return audit(make(registry, table), name=asked.label, network=resolve_network(asked.network), measure=measure)
    except left_out as error:
        return str(error)
