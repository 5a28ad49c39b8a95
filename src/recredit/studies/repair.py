"""Mend a rule that fails the audit: try its building blocks and switches, and see which combination passes everything."""

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from recredit.audit import audit
from recredit.registry import BLOCKS, Registry, complete, make


@dataclass(frozen=True)
class Attempt:
    """One combination of building blocks and switches, and what the audit says of it."""

    changes: tuple[str, ...]
    """Settings that differ from the rule's own, as --with takes them: "jacobian=learned"."""
    fails: tuple[str, ...]
    """Criteria that it fails still."""
    judgements: tuple[str, ...]


@dataclass(frozen=True)
class Repair:
    """What could be mended of a rule."""

    rule: str
    fails: tuple[str, ...]
    """What it fails as it is."""
    tried: int
    nearest: tuple[Attempt, ...]
    """The combinations with the fewest changes that pass everything; if none does, those that fail the fewest criteria, of
    each set of failures those with the fewest changes."""


def repair(
    name: str, registry: Registry, table: Mapping[str, Any], told: Callable[[int, int], None] = lambda *_: None
) -> Repair:
    """Audit every combination of a rule's building blocks and switches, and find the nearest that pass.

    `table`: the rule's complete settings (`settings.complete`). Numbers stay as they are. Continuity in time is measured for
    the combinations that pass all else. `told` is called with the combinations audited so far and all of them.

    Raises ValueError as `audit` does.
    """
    parameters = inspect.signature(registry[name]).parameters
    choices = {key: list(_choices(p.annotation, table[key])) for key, p in parameters.items()}
    combinations = sorted(itertools.product(*choices.values()), key=lambda c: sum(len(changes) for _, changes in c))
    attempts: list[Attempt] = []
    for k, combination in enumerate(combinations):
        told(k, len(combinations))
        settings = {key: value for key, (value, _) in zip(choices, combination, strict=True)}
        changes = tuple(f"{key}{change}" for key, (_, some) in zip(choices, combination, strict=True) for change in some)
        rule = make(registry, complete("rule", registry, {"name": name, **settings}))
        found = audit(rule, name=name, measure=False)
        if found.passes or k == 0:
            found = audit(rule, name=name)
        cells = found.cells.values()
        fails = tuple(c.criterion for c in cells if c.verdict == "fail")
        attempts.append(Attempt(changes, fails, tuple(c.criterion for c in cells if c.verdict == "judgement")))
        enough = [a for a in attempts if not a.fails]
        if enough and len(changes) > len(enough[0].changes):
            break
    fewest = min(len(a.fails) for a in attempts)
    best = [a for a in attempts if len(a.fails) == fewest]
    changed = {a.fails: len(a.changes) for a in reversed(best)}  # of each set of failures, the fewest: those come first
    nearest = tuple(a for a in best if len(a.changes) == changed[a.fails])
    return Repair(name, attempts[0].fails, len(attempts), nearest)


def _choices(kind: Any, own: Any) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """The values that a setting could have, its own first, each with what it changes."""
    yield own, ()
    if kind in BLOCKS:
        _, registry = BLOCKS[kind]
        for name in registry:
            base = own if own["name"] == name else complete(kind.__name__, registry, name)
            renamed = () if own["name"] == name else (f"={name}",)
            parameters = inspect.signature(registry[name]).parameters
            inner = {key: list(_choices(p.annotation, base[key])) for key, p in parameters.items()}
            for combination in itertools.product(*inner.values()):
                changes = tuple(f".{key}{change}" for key, (_, some) in zip(inner, combination, strict=True) for change in some)
                if renamed or changes:
                    values = {key: value for key, (value, _) in zip(inner, combination, strict=True)}
                    yield {"name": name, **values}, renamed + changes
    options = (True, False) if kind is bool else get_args(kind) if get_origin(kind) is Literal else ()
    for option in options:
        if option != own:
            yield option, (f"={str(option).lower() if isinstance(option, bool) else option}",)
