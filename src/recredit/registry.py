"""Names turned into objects: rules, tasks, networks and building blocks, with their settings checked."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pydantic

from recredit.blocks.feedback import FEEDBACKS, AbstractFeedback
from recredit.blocks.jacobian import JACOBIANS, AbstractJacobian
from recredit.errors import File, brief, check_choice, nearest, plain, real_file, unreadable, user_path, way_out
from recredit.kinds import RULE, TASK, UNITS, Kind, Registry
from recredit.network import Network
from recredit.own_files import OwnClass, is_file, last_line, load
from recredit.rule import AbstractRule
from recredit.tasks.task import AbstractTask

SAID = (type(None), bool, int, float, str)  # what a file can hold: exactly these types, and not what is derived from them
BLOCKS: dict[type, tuple[str, Registry]] = {
    AbstractFeedback: ("feedback", FEEDBACKS),
    AbstractJacobian: ("jacobian", JACOBIANS),
}
NAMED: dict[type, Kind] = {UNITS.base: UNITS}  # settings of these types are given by a name, or by a file of the user's own
NETWORKS: Registry = {"network": Network}
Own = dict[str, OwnClass]
"""Classes of the user's own, by name."""


def complete(what: str, registry: Registry, given: Any, own: Own | None = None) -> dict[str, Any]:
    """A table {name, settings...} with every default filled in, from a bare name or a partial table. What settings name by a
    file is named by its class, and entered in `own`.

    Raises ValueError for an unknown name or setting (naming the nearest), a missing one, or a value of the wrong kind.
    """
    table = {"name": given} if isinstance(given, str) else dict(given) if isinstance(given, Mapping) else {}
    if not isinstance(table.get("name"), str):
        given_was = "" if given is None else f"; what was given: {brief(given)}"
        meant = next(filter(None, (nearest(key, ["name"], 0.7) for key in table if key != "name")), "")
        raise ValueError(f"the {what} needs a name, one of: {', '.join(registry)}{given_was}.{meant}")
    check_choice(what, table["name"], registry)
    parameters = settings_of(registry[table["name"]])
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
        key: _value(f"{whose}'s {key}", p.annotation, settings.get(key, p.default), own)
        if key in settings or _is_block(p.annotation, p.default)
        else p.default  # as it is: a rule of the user's own may hold what no file can
        for key, p in parameters.items()
    }


def complete_own(kind: Kind, given: Any, own: Own) -> dict[str, Any]:
    """`complete` for a `kind`: one of the user's own, named by a file, is named by its class, and entered in `own`.

    Raises ValueError as `complete` does, and for a class with the same name as another of the run.
    """
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        return complete(kind.what, kind.registry, given)  # which refuses it
    if not is_file(table["name"]):
        find(kind, table["name"])
        return complete(kind.what, kind.registry, table, own)
    found = load(table["name"], kind)
    other = None if found.name in kind.registry else own.setdefault(found.name, found)
    if other is None or other.file != found.file:
        what = other.kind.what if other else kind.what
        raise ValueError(f"{table['name']}: another {what} is called {found.name}, so this class needs a different name.")
    filled = complete(kind.what, with_own(kind, own), {**table, "name": found.name}, own)
    kinds = {key: p.annotation for key, p in settings_of(found.itself).items()}
    said = {
        key for key, value in filled.items() if type(value) in SAID or (isinstance(value, dict) and kinds.get(key) in BLOCKS)
    }
    # A default that JSON cannot hold is in the source, whose digest counts; what was given is kept as given.
    return {key: filled[key] if key in said else plain(table[key]) for key in filled if key in said or key in table}


def with_own(kind: Kind, own: Own) -> Registry:
    """The registry of a kind, and those of the user's own that are of this kind."""
    return {**kind.registry, **{name: found.itself for name, found in own.items() if found.kind is kind}}


def settings_of(make_it: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The settings that something is made from: their kinds and defaults."""
    try:
        kinds = get_type_hints(make_it, include_extras=True)  # a class's fields; its signature has what converters take
    except NameError:  # a file of the user's own that imports names for the type checker only
        kinds = {}
    parameters = inspect.signature(make_it).parameters
    named = {key: p for key, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    return {key: p.replace(annotation=kinds.get(key, p.annotation)) for key, p in named.items()}


def _value(what: str, kind: Any, given: Any, own: Own | None = None) -> Any:
    if (named := _named(kind)) and given is not None:
        return given if isinstance(given, named.base) else complete_own(named, given, {} if own is None else own)
    if kind in BLOCKS:
        name, registry = BLOCKS[kind]
        return complete(name, registry, _describe(registry, given) if isinstance(given, kind) else given)
    given = plain(given)
    if isinstance(given, str) and get_origin(kind) is Literal:
        check_choice(what, given, get_args(kind))
    if given is None or isinstance(given, bool | int | float | str) or get_origin(kind) is dict:
        try:
            value = pydantic.TypeAdapter(kind, config={"arbitrary_types_allowed": True}).validate_python(
                given, strict=isinstance(given, bool)
            )
            if isinstance(given, str) and type(value) in (bool, int, float):
                raise ValueError(
                    f"{what} cannot be the word {brief(given)}: it must be a number or true/false, without quotes."
                )
            return value
        except pydantic.ValidationError as error:
            raise ValueError(f"{what} cannot be {brief(given)}: {error.errors()[0]['msg'].lower()}.") from None
        except pydantic.PydanticSchemaGenerationError:
            return given
    raise ValueError(f"{what} cannot be {brief(given)}: it must be a number, a word or true/false.")


def _named(kind: Any) -> Kind | None:
    """The kind of named thing that a setting of this type takes, if it takes one."""
    return next((NAMED[each] for each in (kind, *get_args(kind)) if isinstance(each, type) and each in NAMED), None)


def _is_block(kind: Any, value: Any) -> bool:
    return kind in BLOCKS and type(value) in BLOCKS[kind][1].values()


def _describe(registry: Registry, block: Any) -> dict[str, Any]:
    return {"name": _name(registry, block)} | {key: getattr(block, key) for key in inspect.signature(type(block)).parameters}


def _name(registry: Registry, block: Any) -> str:
    return next(name for name, make in registry.items() if make is type(block))


def block_name(kind: Any, value: Any) -> Any:
    """The name of a building block, by the kind of setting that it is for; any other value as it is."""
    return _name(BLOCKS[kind][1], value) if kind in BLOCKS else value


def make(registry: Registry, table: Mapping[str, Any], own: Own | None = None) -> Any:
    """The object that a completed table describes; `own`: the classes that its settings name beside those of the registries.

    Raises ValueError, one sentence, however a user's own class fails.
    """
    make_it = registry[table["name"]]
    parameters = settings_of(make_it)
    settings = {key: _made(table["name"], parameters[key], value, own or {}) for key, value in table.items() if key != "name"}
    try:
        return make_it(**settings)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{table['name']} cannot be made: {last_line(error)}.") from None


def _made(whose: str, p: inspect.Parameter, value: Any, own: Own) -> Any:
    """A setting's object: a building block, or one of a choice that the user's own class names by words or numbers."""
    if isinstance(value, Mapping) and (named := _named(p.annotation)):
        return make(with_own(named, own), value)
    if isinstance(value, Mapping) and p.annotation in BLOCKS:
        return make(BLOCKS[p.annotation][1], value)
    if p.annotation == File and isinstance(value, str):
        _check_file(value)
    if type(value) not in SAID or (type(value) is type(p.default) and value == p.default):
        return value
    return _value(f"{whose}'s {p.name}", p.annotation, value)


def _check_file(name: str) -> None:
    """Raise ValueError for what is not a file and might block for ever."""
    try:
        real_file(user_path(name))
    except OSError as error:
        raise unreadable(name, name, error) from None


def resolve(what: str, kind: type, registry: Registry, given: Any) -> Any:
    """The object of a `kind` that is meant: given itself, by its name, or by a table {name, settings...}.

    Raises ValueError for an unknown name or a setting that does not fit, TypeError for anything else.
    """
    if isinstance(given, kind):
        return given
    if isinstance(given, str | Mapping):
        own: Own = {}
        return make(registry, complete(what, registry, given, own), own)
    raise TypeError(
        f'the {what} must be a name, a table such as {{"name": "{next(iter(registry))}"}} or an object of the class '
        f"{kind.__name__}, not {brief(given)}{way_out(given, kind, *registry.values())}."
    )


def find(kind: Kind, name: str) -> tuple[str, Callable[..., Any]]:
    """What a rule, or another thing of a `kind`, is called, and what makes it; `name`: one of the registry, or a file's.

    Raises ValueError if there is no such thing.
    """
    if is_file(name):
        own = load(name, kind)
        return own.name, own.itself
    check_choice(kind.what, name, kind.names)
    return name, kind.registry[name]


def resolve_rule(given: Any) -> AbstractRule:
    """The learning rule that is meant, as `resolve` has it; its name may be path/to/file.py:MyRule."""
    return _resolve(RULE, given)


def resolve_task(given: Any) -> AbstractTask:
    """The task that is meant, as `resolve` has it; its name may be path/to/file.py:MyTask."""
    return _resolve(TASK, given)


def _resolve(kind: Kind, given: Any) -> Any:
    registry, table = kind.registry, {"name": given} if isinstance(given, str) else given
    if isinstance(table, Mapping) and isinstance(table.get("name"), str):
        name, make_it = find(kind, table["name"])
        registry, table = {**registry, name: make_it}, {**table, "name": name}
    return resolve(kind.what, kind.base, registry, table)


def resolve_network(given: Any) -> Network:
    """The network that is meant, as `resolve` has it; a table needs no name. None: the paper's."""
    table = {} if given is None else given
    return resolve("network", Network, NETWORKS, {"name": "network", **table} if isinstance(table, Mapping) else table)


def resolve_observers(given: Any) -> dict[str, AbstractRule]:
    """Observers by name: from a table of rules, or a list of rules, which go by the names given or their classes' names.

    Raises ValueError for two with the same name, and as `resolve_rule` does.
    """
    if given is None:
        named = []
    elif isinstance(given, Mapping):
        named = [(name, resolve_rule(rule)) for name, rule in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str | bytes):
        rules = [(each, resolve_rule(each)) for each in given]
        named = [(each if isinstance(each, str) else type(rule).__name__, rule) for each, rule in rules]
    else:
        raise TypeError(f'observers must be a list of rules, or a table such as {{"exact": "rtrl"}}, not {brief(given)}.')
    if unnamed := [name for name, _ in named if not isinstance(name, str) or not name]:
        raise TypeError(f"an observer's name must be a word, not {brief(unnamed[0])}.")
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise ValueError(
            f'observers must have different names, not {", ".join(names)}; give a table such as {{"exact": "rtrl"}}.'
        )
    return dict(named)
