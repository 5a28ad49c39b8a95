"""Repair a rule that fails the audit: try its building blocks and switches, and see which combination passes everything."""

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from recredit.audit import audit
from recredit.audit.verdicts import Cell
from recredit.network import Network
from recredit.registry import BLOCKS, Registry, complete, make


@dataclass(frozen=True)
class Attempt:
    """One combination of building blocks and switches, and what the audit says of it."""

    changes: tuple[str, ...]
    """Settings that differ from the rule's own, as --with takes them: "jacobian=learned"."""
    remains: tuple[Cell, ...]
    """What it does not pass."""

    @property
    def fails(self) -> tuple[str, ...]:
        """Criteria that it fails."""
        return tuple(cell.criterion for cell in self.remains if cell.verdict == "fail")

    @property
    def judgements(self) -> tuple[str, ...]:
        """Criteria that it leaves to judgement."""
        return tuple(cell.criterion for cell in self.remains if cell.verdict == "judgement")

    @property
    def distance(self) -> float:
        """How far it is from passing: 1 for each criterion that fails, 1/2 for each that is left to judgement."""
        return len(self.fails) + len(self.judgements) / 2

    def is_simpler_than(self, other: "Attempt") -> bool:
        """Whether it leaves the same criteria as another, with fewer changes."""
        alike = (self.fails, self.judgements) == (other.fails, other.judgements)
        return alike and len(self.changes) < len(other.changes)


@dataclass(frozen=True)
class Repair:
    """What could be repaired in a rule."""

    rule: str
    own: Attempt
    """The rule as it is."""
    tried: int
    nearest: tuple[Attempt, ...]
    """The combinations that are nearest to passing, and of those that leave the same criteria the ones with the fewest
    changes."""


def repair(
    name: str,
    registry: Registry,
    table: Mapping[str, Any],
    told: Callable[[str], None] = lambda _: None,
    network: Network | None = None,
) -> Repair:
    """Audit every combination of a rule's building blocks and switches on all criteria, and find the nearest that pass.

    `table`: the rule's complete settings (`settings.complete`). `network`: as `audit` has it. Numbers stay as they are.
    Combinations with more changes than one that passes everything are left out, and those that are not for this network.
    Continuity, which takes most of the time, is measured only in those that could be nearest by all the other criteria.
    `told` is called with what is being audited.

    Raises ValueError as `audit` does.
    """
    parameters = inspect.signature(registry[name]).parameters
    choices = {key: list(_choices(p.annotation, table[key])) for key, p in parameters.items()}
    combinations = sorted(itertools.product(*choices.values()), key=lambda c: sum(len(changes) for _, changes in c))

    def attempt(k: int, measure: bool) -> Attempt:
        settings = {key: value for key, (value, _) in zip(choices, combinations[k], strict=True)}
        changes = tuple(f"{key}{change}" for key, (_, some) in zip(choices, combinations[k], strict=True) for change in some)
        made = make(registry, complete("rule", registry, {"name": name, **settings}))
        told(f"{'continuity of ' * measure}combination {k + 1} of {len(combinations)}")
        found = audit(made, name=name, network=network, measure=measure)
        return Attempt(changes, tuple(c for c in found.cells.values() if c.verdict in ("fail", "judgement")))

    measured = {0: attempt(0, measure=True)}
    audited = {0: measured[0]}  # the others without continuity, until it is measured
    passing = [measured[0]] if not measured[0].distance else []
    for k in range(1, len(combinations)):
        if passing and sum(len(changes) for _, changes in combinations[k]) > len(passing[0].changes):
            break
        try:
            audited[k] = attempt(k, measure=False)
        except ValueError:
            continue  # blocks of which one is not for these units, say
        if not audited[k].distance:
            measured[k] = attempt(k, measure=True)
            passing += [measured[k]] if not measured[k].distance else []
    for k in sorted(audited.keys() - measured, key=lambda k: (audited[k].distance, k)):
        is_far = any(audited[k].distance > a.distance for a in measured.values())  # and no measurement brings it nearer
        if not is_far and not any(a.is_simpler_than(audited[k]) for a in measured.values()):
            measured[k] = attempt(k, measure=True)
    least = min(a.distance for a in measured.values())
    best = [measured[k] for k in sorted(measured) if measured[k].distance == least]
    fewest = {(a.fails, a.judgements): len(a.changes) for a in reversed(best)}  # the fewest changes come first
    nearest = tuple(a for a in best if len(a.changes) == fewest[a.fails, a.judgements])
    return Repair(name, measured[0], len(audited), nearest)


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
