"""Optimisers by name: each of optax that a file can describe, with its settings checked."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import optax

from recredit.errors import brief, check_count, check_range, plain
from recredit.registry import Registry, complete, make, resolve


@functools.cache
def optimizers() -> Registry:
    """Every optax optimiser that takes a learning rate, and besides it only what a file can say, by name."""
    names = (name for name in dir(optax) if name.islower() and not name.startswith(("_", "scale_by_")))
    found = {name: getattr(optax, name) for name in names if inspect.isfunction(getattr(optax, name))}
    return {name: _checked(name, make) for name, make in found.items() if _takes_a_rate(make)}


def _takes_a_rate(make: Callable[..., Any]) -> bool:
    parameters = list(inspect.signature(make).parameters.values())
    plain = all(p.default is None or isinstance(p.default, bool | int | float | str) for p in parameters[1:])
    return bool(parameters) and parameters[0].name == "learning_rate" and plain


def _checked(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
    """An optimiser's maker that takes only numbers that make sense, and says in one sentence what does not."""
    parameters = {key: _plain(p) for key, p in inspect.signature(make).parameters.items()}
    if "key" in parameters:  # of its noise: each run adds its own seed
        parameters["key"] = parameters["key"].replace(default=0, annotation=int)
        parameters.pop("seed", None)  # the key's old name

    @functools.wraps(make, assigned=("__name__", "__doc__"))
    def checked(**settings: Any) -> Any:
        for key, value in settings.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                what, default = f"optimizer {name}'s {key}", parameters[key].default
                if key == "key":
                    check_count(what, value, 0)
                if key in _BELOW_1 and (default is None or default < 1) and not 0 <= value < 1:
                    raise ValueError(f"{what} must lie in [0, 1), not {value!r}.")
                check_range(what, value, least=0)
        return make(**settings)

    vars(checked)["__signature__"] = inspect.Signature(list(parameters.values()))
    return checked


_BELOW_1 = ("b1", "b2", "b3", "beta", "decay", "eta_minus", "momentum", "rho")  # what is kept of an average at each step


def _plain(parameter: inspect.Parameter) -> inspect.Parameter:
    """A setting of optax by what a file can say of it: a number, true or false, or a type of floating-point numbers."""
    if parameter.name.endswith("dtype"):
        kind: Any = Literal["bfloat16", "float16", "float32"] | None
    elif isinstance(parameter.default, bool) or parameter.name.endswith("mask"):
        kind = bool | None
    else:
        kind = float | None if parameter.default is None else float
    return parameter.replace(annotation=kind)


def resolve_optimizer(given: Any) -> optax.GradientTransformation:
    """The optimiser that is meant: as `resolve` has it, or SGD, at a rate that is given as a number. None: SGD at 1e-4."""
    given = plain(given)
    if given is None or (isinstance(given, str | Mapping | int | float) and not isinstance(given, bool)):
        return make(optimizers(), complete_optimizer({} if given is None else given))
    try:
        return resolve("optimizer", optax.GradientTransformation, optimizers(), given)
    except TypeError as error:
        raise TypeError(str(error).replace("be a name,", "be a number (the learning rate of SGD), a name,", 1)) from None


def complete_optimizer(given: Any) -> dict[str, Any]:
    """`complete` for an optimiser: SGD if no name is given, at a learning rate of 1e-4 if none is; a number is SGD's rate."""
    given = plain(given)
    if isinstance(given, str):
        table = {"name": given}
    elif isinstance(given, int | float) and not isinstance(given, bool):
        table = {"learning_rate": given}
    elif isinstance(given, Mapping):
        table = given
    else:
        raise ValueError(
            "the optimizer must be a number (the learning rate of SGD), a name or a table such as "
            f'{{"name": "sgd"}}, not {brief(given)}.'
        )
    table = {"name": "sgd", "learning_rate": 1e-4, **table}
    complete_table = complete("optimizer", optimizers(), table)
    check_range("the learning rate", complete_table["learning_rate"], least=0)
    return complete_table
