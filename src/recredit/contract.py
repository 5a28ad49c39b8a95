"""The contract of a rule, checked by training and by the audit when they trace its program.

Nothing is compiled or computed: the trace gives shapes and types.
"""

import contextlib
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from recredit.errors import brief, check_count, check_instance
from recredit.network import RNN
from recredit.rule import AbstractRule, Step


@dataclass(frozen=True)
class Traced:
    """A rule's program at the sizes of one network."""

    init: Any
    """The jaxpr of `init`."""
    update: Any
    """The jaxpr of `update`."""
    state: Any
    """The shapes and types of its state."""


def example_key() -> Any:
    """A key's shape and type."""
    return jax.eval_shape(random_key, 0)


def random_key(seed: Any) -> PRNGKeyArray:
    """The key of a seed, of one generator whatever JAX's settings: so a seed always gives the same numbers."""
    return jax.random.key(seed, impl="threefry2x32")


def example_step(net: RNN) -> Step:
    """The shapes and types of a step of this network."""
    return jax.eval_shape(_step, net)  # a named function, so that JAX traces it once for each kind of network


def _step(net: RNN) -> Step:
    zero = jnp.zeros_like(net.W, shape=(net.n_in,)), jnp.zeros_like(net.b_out)
    return Step.of(net, jnp.zeros_like(net.W, shape=(net.n_state,)), *zero, net.noise_of(jax.random.key(0)))


def check_rule(rule: Any, name: str) -> tuple[int, int]:
    """A rule's delay and period. Raises TypeError unless `rule` is a rule, ValueError if its fields hold arrays."""
    if isinstance(rule, str):
        raise TypeError(f'the rule must be an AbstractRule, not a name; write recredit.RULES["{brief(rule)[1:-1]}"]().')
    check_instance("the rule", rule, AbstractRule)
    for path, leaf in jax.tree_util.tree_flatten_with_path(rule)[0]:
        if eqx.is_array_like(leaf) and np.ndim(leaf) > 0:
            field = jax.tree_util.keystr(path).lstrip(".")
            raise ValueError(f"{name}'s field {field} is an array: a rule's arrays must live in its state.")

    def count(what: str, least: int) -> int:
        with in_a_sentence(f"{name}'s {what}", rule.update):
            given = getattr(rule, what)
        return check_count(f"{name}'s {what}", given, least)

    return count("delay", 0), count("period", 1)


def trace_rule(rule: AbstractRule, name: str, net: RNN) -> Traced:
    """The rule's program for a network (arrays, or their shapes).

    Raises ValueError, one sentence, for an `init` or `update` that fails, a gradient without W's shape and type, or a state
    that does not keep its structure, shapes and types.
    """
    rule.check_network(net)
    if rule.needs_noise and not net.noise:
        raise ValueError(f"{name} learns from the network's noise, but the network has none: set it, as in network.noise=0.1.")
    key = example_key()
    init, state = trace_function(f"{name}'s init", rule.init, net, key)
    update, result = trace_function(f"{name}'s update", rule.update, net, example_step(net), state, key)
    file, line = returns(rule, "update")
    at = f", at {_shown(file, line)}" if file else ""
    if not (isinstance(result, tuple) and len(result) == 2):
        raise ValueError(
            f"{name}'s update must return two things, a gradient and the next state, not {type(result).__name__}{at}."
        )
    gradient, after = result
    if (getattr(gradient, "shape", None), getattr(gradient, "dtype", None)) != (net.W.shape, net.W.dtype):
        raise ValueError(
            f"{name}'s update must return a gradient of W's type and shape, {kind_of(net.W)}, not {kind_of(gradient)}{at}."
        )
    check_same(f"{name}'s update", "init", state, after, at)
    return Traced(init, update, state)


def trace_restart(rule: AbstractRule, name: str, net: RNN, state: Any) -> Any:
    """The jaxpr of a rule's `restart`. Raises ValueError, one sentence, for a rule that has none or whose `restart` fails."""
    if type(rule).restart is AbstractRule.restart:
        raise ValueError(
            f"{name} has no `restart`, so it cannot learn from trials: write one, as recredit.AbstractRule says, or let "
            "units and traces run on across the borders of trials (across_trials)."
        )
    program, result = trace_function(f"{name}'s restart", rule.restart, net, state)
    if not (isinstance(result, tuple) and len(result) == 2):
        raise ValueError(f"{name}'s restart must return what is owed and the next state, not {kind_of(result)}.")
    if (getattr(result[0], "shape", None), getattr(result[0], "dtype", None)) != (net.W.shape, net.W.dtype):
        raise ValueError(f"{name}'s restart must owe a gradient like W, {kind_of(net.W)}, not {kind_of(result[0])}.")
    check_same(f"{name}'s restart", "init", state, result[1])
    return program


def check_same(what: str, origin: str, before: Any, after: Any, at: str = "") -> None:
    """Raise ValueError unless a state keeps its structure, shapes and types."""
    gone, new = (dict(zip(names_of(tree, "state"), jax.tree.leaves(tree), strict=True)) for tree in (before, after))
    if jax.tree.structure(before) != jax.tree.structure(after):
        changes = {name: "is gone" for name in gone if name not in new} | {name: "is new" for name in new if name not in gone}
        shown = ", ".join(f"{name} {change}" for name, change in changes.items())
        shown = shown or f"{type(before).__name__} became {type(after).__name__}"
        raise ValueError(f"{what} must return a state of the same structure as {origin} does; {shown}{at}.")
    for name in gone:
        if (gone[name].shape, gone[name].dtype) != (new[name].shape, new[name].dtype):
            change = f"{name} is {kind_of(gone[name])} before and {kind_of(new[name])} after"
            raise ValueError(f"{what} must keep the types and shapes of its state; {change}{at}.")


def check_steps(name: str, delay: int, period: int, steps: int) -> None:
    """Raise ValueError if a run of this many steps ends before the rule gives its first gradient."""
    first = (delay // period + 1) * period
    if first > steps:
        raise ValueError(
            f"{name} gives its first gradient at step {first}, at its window's end, but the run has only {steps} steps; take "
            "more steps or a shorter window."
        )


def check_finite(name: str, arrays: Mapping[str, Any]) -> None:
    """Raise ValueError if one of a rule's initial arrays, by name, holds a number that is not finite."""
    for array, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name}'s init must give finite numbers, and those of {array} are not.")


def trace_function(what: str, function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
    """A function's jaxpr and the shapes of its result; ValueError, one sentence, if it fails."""
    with in_a_sentence(what, function):
        return jax.make_jaxpr(function, return_shape=True)(*arguments)


@contextlib.contextmanager
def in_a_sentence(what: str, method: Callable[..., Any]) -> Iterator[None]:
    """Turns any failure into a ValueError of one sentence, which names the line in the file of the method or its object."""
    try:
        yield
    except (Exception, SystemExit) as error:
        place = _place(error, method)
        raise ValueError(f"{what} fails{place}: {type(error).__name__}: {_first_line(error)}") from None


def names_of(tree: Any, prefix: str) -> list[str]:
    """The names of a tree's arrays: prefix.field.field."""
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(prefix + jax.tree_util.keystr(path)).rstrip(".") for path, _ in paths]


def kind_of(value: Any) -> str:
    """The type and shape of an array, as in "float32 of shape (32, 35)"; the class of anything else."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype} of shape {value.shape}"
    return "None" if value is None else f"a {type(value).__name__}"


def returns(owner: Any, method: str) -> tuple[str | None, int]:
    """The file and the line where a method of an object returns; the file is None for code typed at a prompt."""
    function = inspect.unwrap(getattr(type(owner), method))
    try:
        file, (lines, first) = inspect.getsourcefile(function), inspect.getsourcelines(function)
    except (OSError, TypeError):
        return None, 1
    at = [k for k, line in enumerate(lines) if line.lstrip().startswith("return")]
    return file, first + (at[-1] if at else 0)


def _shown(file: str, line: int | None) -> str:
    return f"line {line} of {Path(file).name}"


def _place(error: BaseException, function: Any) -> str:
    """Where in the files of a method and its object it failed: " at line 7 of my_rule.py", or ""."""
    files, function = set(), getattr(function, "func", function)  # of a partial
    for part in (inspect.unwrap(getattr(function, "__func__", function)), type(getattr(function, "__self__", None))):
        try:
            files.add(inspect.getsourcefile(part))
        except (OSError, TypeError):
            continue
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]
    return f" at {_shown(frames[-1].filename, frames[-1].lineno)}" if frames else ""


def _first_line(error: BaseException) -> str:
    line = (str(error).strip().splitlines() or ["no message"])[0].rstrip(".")
    return f"{line}." if len(line) <= 200 else f"{line[:197]}..."
