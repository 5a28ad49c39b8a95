"""Names turned into objects: rules, tasks, optimisers and building blocks, with their settings checked."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import optax
import pydantic

from recredit.blocks.feedback import FEEDBACKS, AbstractFeedback
from recredit.blocks.jacobian import JACOBIANS, AbstractJacobian
from recredit.errors import check_choice, nearest

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
