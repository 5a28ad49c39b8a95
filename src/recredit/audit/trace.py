"""Trace a rule's `init` and `update` at given sizes, check that it keeps the contract, and unfold both into one graph."""

import inspect
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from recredit.audit.graph import Frames, Graph, Ids
from recredit.audit.unfold import Unfolding, user_frames
from recredit.network import LeakyRNN
from recredit.rule import AbstractRule, Step

Sizes = tuple[int, int, int]  # n, n_in, n_out
ALPHA = 0.5


@dataclass(frozen=True)
class Trace:
    """A rule's program at one size, as a graph."""

    sizes: Sizes
    graph: Graph
    inputs: dict[str, Ids]
    """Of `update`, by name: net.W, step.r, state.B, …"""
    initial: dict[str, Ids]
    """What `init` gives, by the state's names."""
    gradient: Ids
    after: dict[str, Ids]
    """The next state, by the state's names."""
    jaxpr: Any
    """Of `update`."""
    written: dict[str, Frames]
    """Where `update` computes each state array, by the state's names."""
    started: dict[str, Frames]
    """Where `init` does."""
    floating: frozenset[str]
    """The state arrays that hold floating-point numbers, not counts or keys."""
    known: dict[str, Ids]
    """Quantities that have a symbol of their own: J, αD, D."""

    @property
    def roots(self) -> list[int]:
        """All that the update computes: gradient and next state."""
        return [int(i) for array in (self.gradient, *self.after.values()) for i in array.ravel().tolist()]


def example(sizes: Sizes, alpha: float = ALPHA) -> tuple[LeakyRNN, Step, Any]:
    """Network, step and key of these sizes, shapes only."""

    def make(key: Any) -> tuple[LeakyRNN, Step]:
        net = LeakyRNN.create(sizes, key, alpha=alpha, head="softmax")
        rates, out = jnp.zeros(net.n), jnp.zeros(net.n_out)
        return net, Step(rates, jnp.zeros(net.W.shape[1]), rates, rates, out, out)

    key = jax.eval_shape(lambda: jax.random.key(0))
    return *jax.eval_shape(make, key), key


def names_of(tree: Any, prefix: str) -> list[str]:
    """The names of a tree's arrays: prefix.field.field."""
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(prefix + jax.tree_util.keystr(path)).rstrip(".") for path, _ in paths]


def trace(rule: AbstractRule, sizes: Sizes, name: str, alpha: float = ALPHA) -> Trace:
    """Trace `rule` at these sizes. Raises ValueError, one sentence, for a rule that breaks the contract."""
    net, step, key = example(sizes, alpha)
    initial, state = _jaxpr(f"{name}'s init", rule.init, net, key)
    update, (gradient, after) = _jaxpr(f"{name}'s update", rule.update, net, step, state, key, pair=True)
    if getattr(gradient, "shape", None) != net.W.shape:
        shape = getattr(gradient, "shape", type(gradient).__name__)
        raise ValueError(f"{name}'s update must return a gradient of the shape of W, {net.W.shape}, not {shape}.")
    _same_state(name, state, after)

    graph = Graph()
    unfolding = Unfolding(graph)
    state_names = names_of(state, "state")
    arrays = {"net": net, "step": step, "state": state}
    names = [name for kind, tree in arrays.items() for name in names_of(tree, kind)] + ["key"]
    leaves = [*jax.tree.leaves((net, step, state)), key]
    inputs = {name: graph.leaves(name, leaf.shape) for name, leaf in zip(names, leaves, strict=True)}
    outs = unfolding.run(update.jaxpr, update.consts, list(inputs.values()))
    known = jax.make_jaxpr(lambda net, step: (net.jacobian(step.v), net.gain(step.v), net.slope(step.v)))(net, step)
    quantities = unfolding.run(known.jaxpr, known.consts, [inputs[n] for n in names if n.startswith(("net.", "step."))])
    of_init = [inputs[name] for name in names if name.startswith("net.")] + [graph.leaves("key of init", ())]
    started = unfolding.run(initial.jaxpr, initial.consts, of_init)
    return Trace(
        sizes,
        graph,
        inputs,
        dict(zip(state_names, started, strict=True)),
        outs[0],
        dict(zip(state_names, outs[1:], strict=True)),
        update,
        dict(zip(state_names, _written(update.jaxpr)[1:], strict=True)),
        dict(zip(state_names, _written(initial.jaxpr), strict=True)),
        frozenset(
            n for n, leaf in zip(state_names, jax.tree.leaves(state), strict=True) if jnp.issubdtype(leaf.dtype, jnp.inexact)
        ),
        dict(zip(("J", "αD", "D"), quantities, strict=True)),
    )


def _written(jaxpr: Any) -> list[Frames]:
    """Where each output of a jaxpr was computed; () for an input handed on."""
    by = {v: user_frames(eqn) for eqn in jaxpr.eqns for v in eqn.outvars}
    return [() if hasattr(v, "val") else by.get(v, ()) for v in jaxpr.outvars]


def _jaxpr(what: str, function: Callable[..., Any], *arguments: Any, pair: bool = False) -> tuple[Any, Any]:
    """A function's jaxpr and the shapes of its result."""
    try:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        again = jax.make_jaxpr(lambda *a: function(*a))(*arguments)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{what} fails{_place(error, function)}: {type(error).__name__}: {_first_line(error)}") from None
    if pair and not (isinstance(shapes, tuple) and len(shapes) == 2):
        raise ValueError(f"{what} must return two things, a gradient and the next state, not {type(shapes).__name__}.")
    # An array made anew at each trace is part of the program; one that is the same object both times came from outside.
    kept = {id(c): c for c in closed.consts if np.ndim(c) > 0}
    hidden = [c for c in again.consts if id(c) in kept or _arbitrary(c)]
    if hidden:
        raise ValueError(
            f"{what} closes over {_variable(function, hidden[0])}, an array of shape {np.shape(hidden[0])}: "
            "every array must live in the network, the step or the state."
        )
    return closed, shapes


def _arbitrary(constant: Any) -> bool:
    """Whether an array of constants holds more than a pattern, as a mask, a range or a grid of it has."""
    values = np.unique(np.asarray(constant)) if np.ndim(constant) > 0 else np.zeros(0)
    return len(values) > 4 and len(np.unique(np.round(np.diff(values.astype(float)), 6))) > 2


def check_rule(rule: Any, name: str) -> None:
    """Raise ValueError unless `rule` is a rule whose fields hold no arrays."""
    if not isinstance(rule, AbstractRule):
        what = f"the class {rule.__name__}" if inspect.isclass(rule) else repr(rule)
        raise ValueError(f"{what} is not a rule: it must be an instance of a subclass of recredit.AbstractRule.")
    for path, leaf in jax.tree_util.tree_flatten_with_path(rule)[0]:
        if eqx.is_array_like(leaf) and np.ndim(leaf) > 0:
            field = jax.tree_util.keystr(path).lstrip(".")
            raise ValueError(f"{name}'s field {field} is an array: a rule's arrays must live in its state.")


def _same_state(name: str, before: Any, after: Any) -> None:
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise ValueError(f"{name}'s update must return a state of the same structure as init does, and it does not.")
    for leaf_name, a, b in zip(names_of(before, "state"), jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            what = f"{leaf_name} is {a.dtype}{list(a.shape)} before and {b.dtype}{list(b.shape)} after"
            raise ValueError(f"{name}'s update must keep the shapes and types of its state: {what}.")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0].rstrip(".") + "."


def _place(error: BaseException, function: Any) -> str:
    file = inspect.getsourcefile(type(function.__self__)) if hasattr(function, "__self__") else None
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f" at line {lines[-1]}" if lines else ""


def _variable(function: Any, array: Any) -> str:
    """The name of the variable that holds an array which a function closes over."""
    owner = getattr(function, "__self__", None)
    pool: dict[str, Any] = {}
    for code in (function, *(vars(type(owner)).values() if owner is not None else ())):
        code = inspect.unwrap(getattr(code, "__func__", code)) if callable(code) else None
        if inspect.isfunction(code):
            found = inspect.getclosurevars(code)
            pool |= {**found.globals, **found.nonlocals}
    module = sys.modules.get(type(owner).__module__)
    pool |= {k: v for k, v in vars(module).items() if k not in pool} if module else {}
    for name, value in pool.items():
        if value is array or (np.shape(value) == np.shape(array) and np.ndim(value) > 0 and np.array_equal(value, array)):
            return name
    return "an unnamed variable"
