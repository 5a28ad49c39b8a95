"""Runs as data: names and numbers, from a TOML file or the command line, checked and turned into objects."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optax
import pydantic

from recredit.errors import check_count, check_range, nearest
from recredit.network import Network
from recredit.registry import complete, make, optimizers
from recredit.rule import AbstractRule
from recredit.rules import RULES
from recredit.tasks import TASKS, AbstractTask, Recorded


class Run(pydantic.BaseModel):
    """One run, but for its seeds: rule, task, network, optimiser, length, streams, observers; complete, and checked."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    rule: dict[str, Any]
    task: dict[str, Any]
    network: dict[str, Any] = {}
    optimizer: dict[str, Any] = {"name": "sgd", "learning_rate": 1e-4}
    steps: int = 1_000_000
    bin: int = 10_000
    streams: int = 1
    observers: dict[str, dict[str, Any]] = {}

    @classmethod
    def create(cls, table: Mapping[str, Any]) -> "Run":
        """Fill in and check a table (as from a TOML file): every part is built once, so that what is wrong shows now.

        Raises ValueError, one sentence, for whatever does not fit.
        """
        parts: dict[str, Any] = dict(table)
        for key in parts:
            if key not in cls.model_fields:
                raise ValueError(
                    f'a run has no part "{key}"; its parts: {", ".join(cls.model_fields)}.{nearest(key, cls.model_fields)}'
                )
        for key, registry in {"rule": RULES, "task": TASKS}.items():
            parts[key] = complete(key, registry, parts.get(key))
        network = parts.get("network", {})
        if not isinstance(network, Mapping):
            raise ValueError(f"the network must be a table of settings, not {network!r}.")
        parts["network"] = complete("network", {"leaky": Network}, {"name": "leaky", **network})
        parts["optimizer"] = complete("optimizer", optimizers(), _with_rate(parts.get("optimizer", "sgd")))
        observers = parts.get("observers", {})
        if not isinstance(observers, Mapping):
            raise ValueError(f'the observers must be a table of rules, as in observers.exact="rtrl", not {observers!r}.')
        parts["observers"] = {name: complete("rule", RULES, given) for name, given in observers.items()}
        rate = parts["optimizer"]["learning_rate"]
        if isinstance(rate, int | float):
            check_range("the learning rate", rate, least=0)
        for key in ("steps", "bin", "streams"):
            if key in parts:
                check_count(key, parts[key])
        run = cls(**parts)
        run.build()
        task = run.build_task()
        task.check(run.steps, run.streams)
        if isinstance(task, Recorded):
            run.task["digest"] = task.digest()  # other data in the same file are another run
        return run

    def build_task(self) -> AbstractTask:
        """The task of this run."""
        return make(TASKS, self.task)

    def build(self) -> tuple[AbstractRule, Network, optax.GradientTransformation, dict[str, AbstractRule]]:
        """Rule, network, optimiser and observers of this run."""
        observers = {name: make(RULES, table) for name, table in self.observers.items()}
        return make(RULES, self.rule), make({"leaky": Network}, self.network), make(optimizers(), self.optimizer), observers

    def text(self) -> str:
        """The run as one line of JSON: its identity on disk. One stream goes unsaid, as in files older than streams."""
        return json.dumps(self.model_dump(exclude={"streams"} if self.streams == 1 else None), sort_keys=True)


def _with_rate(given: Any) -> Any:
    table = {"name": given} if isinstance(given, str) else given
    return {"name": "sgd", "learning_rate": 1e-4, **table} if isinstance(table, Mapping) else table


def read_toml(file: str | Path) -> dict[str, Any]:
    """The table in a TOML file. Raises ValueError for a file that is missing or is not TOML."""
    try:
        return tomllib.loads(Path(file).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{file} cannot be read as TOML: {error}.") from None


def assign(table: dict[str, Any], assignment: str, like: str = "rule.window=20") -> None:
    """Carry out "rule.jacobian.rate=0.01" on a table: a dotted path, and a TOML value (or a bare word).

    Raises ValueError, with an example of what it should be `like`, for what is no assignment.
    """
    path, equals, text = assignment.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ValueError(f'"{assignment}" is not a setting; write path=value, as in {like}.')
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for key in keys[:-1]:
        inner = table.get(key, {})
        table[key] = table = {"name": inner} if isinstance(inner, str) else dict(inner) if isinstance(inner, Mapping) else {}
    named = table.get(keys[-1])
    if isinstance(named, Mapping) and isinstance(value, str):
        table[keys[-1]] = {**named, "name": value}
    else:
        table[keys[-1]] = value
