"""Audit several rules, each in a process of its own where there are more cores than one."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
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


def audits(
    specs: Sequence[str],
    given: Mapping[str, Any],
    written: str,
    network: Mapping[str, Any],
    measure: bool,
    pool: Executor | None,
    told: Callable[[str], None],
) -> tuple[list[Audit], list[str]]:
    """The audits of rules with these settings, `written` as they are added to the rules' names; and of each rule that is not
    for this network, a sentence that says why.

    `network`: its settings, as `resolve_network` has them. `measure`: as `audit` has it. `pool`: where to audit them; None: in
    this process. `told` is called with the name of each rule that is waited for. Raises ValueError as `chosen` and `audit` do.
    """
    kinds = {spec: chosen(spec, given) for spec in specs}
    names = {spec: name + written for spec, (name, *_) in kinds.items()}
    waits = {spec: partial(_audited, spec, given, names[spec], network, measure) for spec in specs}
    if pool:  # rules of long files first: they take longest, and others fill the cores beside them
        sizes = {spec: _file_size(registry[name]) for spec, (name, registry, _) in kinds.items()}
        waits = {spec: pool.submit(waits[spec]).result for spec in sorted(specs, key=lambda spec: -sizes[spec])}
    found: list[Any] = []
    refused: list[Any] = []
    for spec, name in names.items():
        told(name)
        try:
            told_of = waits[spec]()
        except BrokenExecutor as error:
            raise ValueError(f"{name} was not audited: {error}") from None
        (found if isinstance(told_of, Audit) else refused).append(told_of)
    return found, refused


def _file_size(kind: Any) -> int:
    try:
        return os.path.getsize(inspect.getsourcefile(kind) or "")
    except (OSError, TypeError):  # no file, or no class
        return 0


def _audited(spec: str, given: Mapping[str, Any], name: str, network: Mapping[str, Any], measure: bool) -> Audit | str:
    """A rule's audit, or why it is not for this network: of an error, another process tells no more than its sentence."""
    _, registry, table = chosen(spec, given)
    try:
        return audit(make(registry, table), name=name, network=resolve_network(network), measure=measure)
    except NotForNetworkError as error:
        return str(error)
