"""Runs as data: names and numbers, from a TOML file or the command line, checked and turned into objects."""

import inspect
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import optax
import pydantic

from recredit.errors import check_choice, check_count, check_range, nearest
from recredit.feedback import FEEDBACKS, AbstractFeedback
from recredit.jacobian import JACOBIANS, AbstractJacobian
from recredit.rule import AbstractRule
from recredit.rules import RULES
from recredit.tasks import TASKS, AbstractTask, Recorded
from recredit.trainer import Network

Registry = Mapping[str, Callable[..., Any]]
BLOCKS: dict[type, tuple[str, Registry]] = {
    AbstractFeedback: ("feedback", FEEDBACKS),
    AbstractJacobian: ("jacobian", JACOBIANS),
}


def optimizers() -> Registry:
    """Every optax optimiser that takes a learning rate, and besides it only what a file can say, by name."""
    names = (name for name in dir(optax) if name.islower() and not name.startswith(("_", "scale_by_")))
    found = {name: getattr(optax, name) for name in names if inspect.isfunction(getattr(optax, name))}
    return {name: make for name, make in found.items() if _takes_a_rate(make)}


def _takes_a_rate(make: Callable[..., Any]) -> bool:
    parameters = list(inspect.signature(make).parameters.values())
    plain = all(p.default is None or isinstance(p.default, bool | int | float | str) for p in parameters[1:])
    return bool(parameters) and parameters[0].name == "learning_rate" and plain


def complete(what: str, registry: Registry, given: Any) -> dict[str, Any]:
    """A table {name, settings...} with every default filled in, from a bare name or a partial table.

    Raises ValueError for an unknown name or setting (naming the nearest), a missing one, or a value of the wrong kind.
    """
    table = {"name": given} if isinstance(given, str) else dict(given) if isinstance(given, Mapping) else {}
    if not isinstance(table.get("name"), str):
        given_was = "" if given is None else f"; given was {given!r}"
        raise ValueError(f"the {what} needs a name, one of: {', '.join(registry)}{given_was}.")
    check_choice(what, table["name"], registry)
    parameters = _parameters(registry[table["name"]])
    settings = {key: value for key, value in table.items() if key != "name"}
    whose = what if len(registry) == 1 else f"{what} {table['name']}"
    for key in settings:
        if key not in parameters:
            allowed = ", ".join(parameters) or "none"
            raise ValueError(f'{whose} has no setting "{key}"; its settings: {allowed}.{nearest(key, parameters)}')
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in settings]
    if missing:
        raise ValueError(f"{what} {table['name']} needs the setting {missing[0]}.")
    return {"name": table["name"]} | {
        key: _value(f"{whose}'s {key}", p.annotation, settings.get(key, p.default))
        if key in settings or _is_block(p.annotation, p.default)
        else p.default  # as it is: a rule of the user's own may hold what no file can say
        for key, p in parameters.items()
    }


def _parameters(make_it: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(make_it).parameters)
    if any(isinstance(p.annotation, str) for p in found.values()):  # a file that postpones its annotations
        kinds = get_type_hints(make_it)
        return {key: p.replace(annotation=kinds.get(key, p.annotation)) for key, p in found.items()}
    return found


def _value(what: str, kind: Any, given: Any) -> Any:
    if kind in BLOCKS:
        name, registry = BLOCKS[kind]
        return complete(name, registry, _describe(registry, given) if isinstance(given, kind) else given)
    if given is None or isinstance(given, bool | int | float | str):
        try:
            return pydantic.TypeAdapter(kind, config={"arbitrary_types_allowed": True}).validate_python(
                given, strict=isinstance(given, bool)
            )
        except pydantic.ValidationError as error:
            raise ValueError(f"{what} cannot be {given!r}: {error.errors()[0]['msg'].lower()}.") from None
        except pydantic.PydanticSchemaGenerationError:
            return given
    raise ValueError(f"{what} cannot be {given!r}: it must be a number, a word or true/false.")


def _is_block(kind: Any, value: Any) -> bool:
    return kind in BLOCKS and type(value) in BLOCKS[kind][1].values()


def _describe(registry: Registry, block: Any) -> dict[str, Any]:
    return {"name": _name(registry, block)} | {key: getattr(block, key) for key in inspect.signature(type(block)).parameters}


def _name(registry: Registry, block: Any) -> str:
    return next(name for name, make in registry.items() if make is type(block))


def block_name(kind: Any, value: Any) -> Any:
    """The name of a building block, by the kind of setting that it is for; any other value as it is."""
    return _name(BLOCKS[kind][1], value) if kind in BLOCKS else value


def make(registry: Registry, table: Mapping[str, Any]) -> Any:
    """The object that a completed table describes."""
    make_it = registry[table["name"]]
    kinds = {key: p.annotation for key, p in _parameters(make_it).items()}
    settings = {key: value for key, value in table.items() if key != "name"}
    return make_it(**{k: make(BLOCKS[kinds[k]][1], v) if isinstance(v, Mapping) else v for k, v in settings.items()})


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
