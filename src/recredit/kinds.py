"""Kinds of things that users name: by a name of the registry, or a class of their own by its file."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from recredit.network import UNITS as NAMED_UNITS
from recredit.network import AbstractUnits
from recredit.rule import AbstractRule
from recredit.rules import RULES
from recredit.tasks import TASKS, AbstractTask

Registry = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Kind:
    """Learning rules, tasks, or units: what messages call them, and where they are found."""

    what: str
    """What one is called for short."""
    noun: str
    nouns: str
    registry: Registry
    """Those that have a name."""
    base: type
    """What a class of the user's own is derived from."""
    needs: str
    """What that class defines."""
    example: str
    """What it may be called."""

    @property
    def names(self) -> list[str]:
        """All that may be written where one is named."""
        return [*self.registry, f"path/to/file.py:{self.example}"]

    def has(self, value: Any) -> bool:
        """Whether a value is a class of this kind that objects can be made from."""
        derived = isinstance(value, type) and issubclass(value, self.base)
        return derived and not inspect.isabstract(value) and not getattr(value, "__abstractvars__", ())  # Equinox's, of fields


RULE = Kind("rule", "learning rule", "learning rules", RULES, AbstractRule, "init and update", "MyRule")
TASK = Kind("task", "task", "tasks", TASKS, AbstractTask, "n_in, n_out, head, init and chunk", "MyTask")
UNITS = Kind("unit", "kind of units", "kinds of units", NAMED_UNITS, AbstractUnits, "variables, voltages and f", "MyUnits")
