"""Audit several rules, each in a process of its own where there are more cores than one."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from functools import partial
from typing import Any

import jax

from recredit.audit import audit
from recredit.audit.verdicts import Audit
from recredit.registry import Registry, complete, find_rule, make
from recredit.rules import RULES

jax.config.update("jax_platforms", "cpu")  # where rounding is the same on every machine


def chosen(spec: str, given: Mapping[str, Any]) -> tuple[str, Registry, dict[str, Any]]:
    """A rule's name, the registry that it is in, and its complete settings; `spec`: its name or its file.

    Raises ValueError for a rule or a setting that does not exist.
    """
    name, kind = find_rule(spec)
    registry = {**RULES, name: kind}
    if "name" in given:
        raise ValueError(f'rule {name} has no setting "name"; rules are named before --with.')
    return name, registry, complete("rule", registry, {"name": name, **given})


def audits(
    specs: Sequence[str],
    given: Mapping[str, Any],
    written: str,
    measure: bool,
    pool: Executor | None,
    told: Callable[[str], None],
) -> list[Audit]:
    """Audit rules with these settings, `written` as they are added to the rules' names.

    `measure`: as `audit` has it. `pool`: where to audit them; None: in this process. `told` is called with the name of each
    rule that is waited for. Raises ValueError as `chosen` and `audit` do.
    """
    names = [chosen(spec, given)[0] + written for spec in specs]
    asked = [partial(_audited, spec, given, name, measure) for spec, name in zip(specs, names, strict=True)]
    waits = [pool.submit(each).result for each in asked] if pool else asked
    found = []
    for name, wait in zip(names, waits, strict=True):
        told(name)
        try:
            found.append(wait())
        except BrokenExecutor as error:
            raise ValueError(f"{name} was not audited: {error}") from None
    return found


def _audited(spec: str, given: Mapping[str, Any], name: str, measure: bool) -> Audit:
    _, registry, table = chosen(spec, given)
    return audit(make(registry, table), name=name, measure=measure)
