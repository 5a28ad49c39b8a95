"""Optimisers, gradient clips and learning-rate schedules of optax by name, with their settings checked; rates of parts."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
import pydantic

from recredit.errors import brief, check_count, check_range, plain
from recredit.registry import Registry, complete, make, resolve

COLUMNS = ("W_rec", "W_in", "b_rec")
"""The parts of W: its first n columns, the next n_in, and the last."""
PARTS = (*COLUMNS, "W_out", "b_out")
"""What may have a learning rate of its own, or stay fixed at 0."""
LEARNING_RATE = 1e-4
"""Where none is given."""
CLIPS = ("adaptive_grad_clip", "clip", "clip_by_block_rms", "clip_by_global_norm")
SCHEDULES = {
    "constant_schedule": "value",
    "cosine_decay_schedule": "init_value",
    "cosine_onecycle_schedule": "peak_value",
    "exponential_decay": "init_value",
    "linear_onecycle_schedule": "peak_value",
    "linear_schedule": "init_value",
    "piecewise_constant_schedule": "init_value",
    "piecewise_interpolate_schedule": "init_value",
    "polynomial_schedule": "init_value",
    "warmup_constant_schedule": "peak_value",
    "warmup_cosine_decay_schedule": "peak_value",
    "warmup_exponential_decay_schedule": "peak_value",
}
"""Each with what the learning rate is to it."""
Numbers = dict[Annotated[str, pydantic.BeforeValidator(str)], float]  # by whole numbers, which are text in TOML and JSON
_BELOW_1 = ("b1", "b2", "b3", "beta", "decay", "eta_minus", "momentum", "rho")  # what is kept of an average at each step
_ABOVE_0 = ("decay_rate", "div_factor", "final_div_factor", "max_norm", "threshold")  # optax divides by it, or 0 says no decay


@functools.cache
def optimizers() -> Registry:
    """Every optax optimiser that takes a learning rate, and otherwise only what a file can hold, by name.

    `make_optimizer` makes them with the settings that all have: clip, schedule (where the rate may be one) and rates of parts.
    """
    names = (name for name in dir(optax) if name.islower() and not name.startswith(("_", "scale_by_")))
    found = {name: getattr(optax, name) for name in names if inspect.isfunction(getattr(optax, name))}
    return {name: _optimizer(name, _decaying(make)) for name, make in found.items() if _takes_a_rate(make)}


@functools.cache
def clips() -> Registry:
    """Every clip of optax, by name: of gradients, before the optimiser sees them."""
    return {name: _checked(f"clip {name}", _clip_of_units if "adaptive" in name else getattr(optax, name)) for name in CLIPS}


@functools.cache
def schedules() -> Registry:
    """Every schedule of optax that a file can describe, by name: what makes a schedule of a learning rate."""

    def of_rate(name: str, rate: str) -> Callable[..., Any]:
        make = getattr(optax, name)

        @functools.wraps(make)
        def schedule(**settings: Any) -> Any:
            return lambda value: make(**settings, **{rate: value})

        return _checked(f"schedule {name}", schedule, rate)

    return {name: of_rate(name, rate) for name, rate in SCHEDULES.items()}


@functools.wraps(optax.adaptive_grad_clip)
def _clip_of_units(**settings: Any) -> Any:
    return optax.adaptive_grad_clip(**settings, axis=-1)  # by rows, which are the units; optax's default is columns


BLOCKS = {"clip": clips, "schedule": schedules}
OWN = (*BLOCKS, *PARTS)
"""The settings that all optimisers have from us."""


MEANINGS = {
    "weight_decay": "How much the weights shrink, as a multiple of the weights that is added to the gradients.",
    "key": "Seed of its noise; each run adds its own seed.",
    "clip": "What clips the gradients before the optimizer sees them; its settings are optimizer.clip.NAME=VALUE.",
    "schedule": "How the learning rate changes over the steps; its settings are optimizer.schedule.NAME=VALUE.",
    **{part: f"Learning rate of {part} alone, in place of learning_rate; at 0 it stays fixed." for part in PARTS},
}
"""What optax's docstrings do not say about settings."""


def _takes_a_rate(make: Callable[..., Any]) -> bool:
    parameters = list(inspect.signature(make).parameters.values())
    plain = all(p.default is None or isinstance(p.default, bool | int | float | str) for p in parameters[1:])
    return bool(parameters) and parameters[0].name == "learning_rate" and plain


def _decaying(make: Callable[..., Any]) -> Callable[..., Any]:
    """An optimiser with weight decay: optax's own, or else the weights times `weight_decay` are added to the gradients."""
    signature = inspect.signature(make)
    if "weight_decay" in signature.parameters:
        return make

    @functools.wraps(make)
    def decaying(weight_decay: float | None = None, **settings: Any) -> Any:
        return optax.chain(optax.add_decayed_weights(weight_decay), make(**settings)) if weight_decay else make(**settings)

    decay = inspect.Parameter("weight_decay", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=float | None)
    vars(decaying)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), decay])
    return decaying


def _optimizer(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
    checked = _checked(f"optimizer {name}", make)
    signature, rate = inspect.signature(checked), inspect.signature(make).parameters["learning_rate"]
    own = [key for key in OWN if key != "schedule" or "Callable" in str(rate.annotation)]
    kinds = {key: float | None if key in PARTS else Any for key in own}
    added = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kinds[key]) for key in own]
    vars(checked)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), *added])
    return checked


def _checked(what: str, make: Callable[..., Any], *left_out: str) -> Callable[..., Any]:
    """A maker of optax that takes only numbers that make sense, and says in one sentence what does not."""
    parameters = {key: _plain(p) for key, p in inspect.signature(make).parameters.items() if key not in (*left_out, "axis")}
    if "key" in parameters:  # of its noise: each run adds its own seed
        parameters["key"] = parameters["key"].replace(default=0, annotation=int)
        parameters.pop("seed", None)  # the key's old name

    @functools.wraps(make, assigned=("__name__", "__doc__"))
    def checked(**settings: Any) -> Any:
        settings = {key: _setting(f"{what}'s {key}", parameters[key], value) for key, value in settings.items()}
        if settings.get("decay_steps", math.inf) <= settings.get("warmup_steps", -1):
            raise ValueError(
                f"{what}'s decay_steps, {settings['decay_steps']}, include the warm-up and must exceed its warmup_steps, "
                f"{settings['warmup_steps']}."
            )
        return make(**settings)

    vars(checked)["__signature__"] = inspect.Signature(list(parameters.values()))
    return checked


def _plain(parameter: inspect.Parameter) -> inspect.Parameter:
    """A setting of optax as a file can give it: a number, true or false, or a type of floating-point numbers."""
    name = parameter.name
    if name == "boundaries_and_scales":
        return parameter.replace(annotation=Numbers, default=parameter.empty)
    if name == "interpolate_type":
        kind: Any = Literal["linear", "cosine"]
    elif name.endswith("dtype"):
        kind = Literal["bfloat16", "float16", "float32"] | None
    elif isinstance(parameter.default, bool) or name.endswith("mask"):
        kind = bool | None
    elif name.endswith("_steps") or name == "transition_begin":
        kind = int
    else:
        kind = float | None if parameter.default is None else float
    return parameter.replace(annotation=kind)


def _setting(what: str, parameter: inspect.Parameter, value: Any) -> Any:
    """A setting as optax takes it. Raises ValueError for a number that makes no sense."""
    within = limits(parameter)
    if isinstance(value, Mapping):
        if not all(step.isdecimal() and int(step) for step in value):
            raise ValueError(
                f"{what} must map steps to the scales that apply from them on, as in 1000 = 0.1, not {brief(value)}."
            )
        return {int(step): check_range(f"{what}.{step}", scale, least=0) for step, scale in value.items()}
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    if parameter.annotation is int:
        check_count(what, value, **within)
    elif "below" not in within:
        check_range(what, value, **within)
    elif not 0 <= value < within["below"]:
        raise ValueError(f"{what} must lie in [0, 1), not {value!r}.")
    return value


def limits(parameter: inspect.Parameter) -> dict[str, Any]:
    """The limits within which a number makes sense: least, above, below and most, as far as there are any."""
    key, default = parameter.name, parameter.default
    if parameter.annotation is int:
        return {"least": int(key.endswith("_steps"))}
    if key in _BELOW_1 and (default is None or default < 1):
        return {"least": 0, "below": 1}
    if key in _ABOVE_0:
        return {"above": 0}
    return {"least": 0, "most": 1} if key.startswith("pct_") else {"least": 0}


def make_optimizer(table: Mapping[str, Any], n: int) -> optax.GradientTransformation:
    """The optimiser of a network of n units that a complete table describes.

    The gradients of W, W_out and b_out are clipped first, where that of a fixed part counts as 0. Then each part
    that has a rate of its own is optimised for itself, and all others together.
    """
    settings = {key: value for key, value in table.items() if key not in OWN}
    of_rate = make(schedules(), table["schedule"]) if "schedule" in table else lambda rate: rate
    clip = [make(clips(), table["clip"])] if "clip" in table else []
    rates = {part: table[part] for part in PARTS if part in table}

    def at(rate: float) -> Any:
        return make(optimizers(), {**settings, "learning_rate": of_rate(rate)})

    def by_part(others: Any, moving: Callable[[float], Any]) -> Any:
        named = {part: moving(rate) if rate else optax.set_to_zero() for part, rate in rates.items()}
        each = optax.partition(
            {"others": others, **named}, lambda weights: {name: name if name in named else "others" for name in weights}
        )
        return _of_columns(each, n) if named.keys() & set(COLUMNS) else each

    optimizer = at(table["learning_rate"])
    if rates:
        optimizer = by_part(optimizer, at)
        clip = [by_part(optax.identity(), lambda rate: optax.identity()), *clip] if clip and 0 in rates.values() else clip
    return optax.chain(*clip, optimizer) if clip else optimizer


def _of_columns(inner: optax.GradientTransformationExtraArgs, n: int) -> optax.GradientTransformationExtraArgs:
    """An optimiser of W made of one that sees its parts in place of it."""

    def split(weights: Any) -> Any:
        parts = zip(COLUMNS, (slice(n), slice(n, -1), slice(-1, None)), strict=True)
        columns = {name: jax.tree.map(lambda W, own=own: W[:, own], weights["W"]) for name, own in parts}
        return columns | {name: array for name, array in weights.items() if name != "W"}

    def init(params: Any) -> Any:
        return inner.init(split(params))

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        moved: Any
        moved, state = inner.update(split(updates), state, split(params), **extra)
        W = jax.tree.map(lambda *columns: jnp.concatenate(columns, axis=1), *(moved.pop(name) for name in COLUMNS))
        return {"W": W, **moved}, state

    return optax.GradientTransformationExtraArgs(init, update)


def resolve_optimizer(given: Any, n: int) -> optax.GradientTransformation:
    """The optimiser that is meant for a network of n units: as `resolve` has it, or SGD, at a rate that is given as a number.

    None: SGD at 1e-4.
    """
    given = plain(given)
    if given is None or (isinstance(given, str | Mapping | int | float) and not isinstance(given, bool)):
        return make_optimizer(complete_optimizer({} if given is None else given), n)
    try:
        return resolve("optimizer", optax.GradientTransformation, optimizers(), given)
    except TypeError as error:
        raise TypeError(str(error).replace("be a name,", "be a number (the learning rate of SGD), a name,", 1)) from None


def complete_optimizer(given: Any) -> dict[str, Any]:
    """`complete` for an optimiser: SGD if no name is given, at a learning rate of 1e-4 if none is; a number is SGD's rate.

    Clip, schedule and rates of parts are in the table only if they are given.
    """
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
    blocks = {key: table[key] for key in BLOCKS if table.get(key) is not None}
    table = {"name": "sgd", "learning_rate": LEARNING_RATE, **table, **dict.fromkeys(blocks)}
    completed = complete("optimizer", optimizers(), table)
    completed |= {key: complete(key, BLOCKS[key](), each) for key, each in blocks.items()}
    completed = {key: value for key, value in completed.items() if value is not None or key not in (*OWN, "weight_decay")}
    for key in ("learning_rate", *PARTS):
        if key in completed:
            check_range("the learning rate" + (f" of {key}" if key in PARTS else ""), completed[key], least=0)
    return completed
