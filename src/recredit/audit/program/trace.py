"""Trace a rule's `init` and `update` at given sizes, and unfold both into one graph."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from recredit.audit.program.graph import MOST_NODES, Frames, Graph, Ids, TooLargeError
from recredit.audit.program.unfold import Unfolding, check_steps, user_frames, written
from recredit.contract import Traced, check_finite, example_key, example_step, in_a_sentence, names_of, trace_rule
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
    key = example_key()
    net = jax.eval_shape(lambda key: LeakyRNN.create(sizes, key, alpha=alpha, head="softmax"), key)
    return net, example_step(net), key


def traced(rule: AbstractRule, sizes: Sizes, name: str, alpha: float = ALPHA) -> tuple[Traced, tuple[LeakyRNN, Step, Any]]:
    """A rule's program at these sizes, and the shapes of a network, a step and a key of these sizes.

    Raises ValueError, one sentence, for a rule that breaks the contract.
    """
    net, step, key = example(sizes, alpha)
    try:
        with in_a_sentence(f"{name}'s init", rule.init):
            held = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(rule.init, net, key)))
        if held > MOST_NODES:
            raise TooLargeError(f"{MOST_NODES:,} numbers")
        program = trace_rule(rule, name, net)
        check_steps(written(program.update))
        return program, (net, step, key)
    except ValueError as error:
        shown = ", ".join(f"{size} = {value}" for size, value in zip(("n", "n_in", "n_out"), sizes, strict=True))
        raise ValueError(f"{str(error).removesuffix('.')} (traced at {shown}).") from None


def trace(rule: AbstractRule, sizes: Sizes, name: str, alpha: float = ALPHA) -> Trace:
    """A rule's program at these sizes as a graph. Raises ValueError, one sentence, for a rule that breaks the contract."""
    program, (net, step, key) = traced(rule, sizes, name, alpha)
    initial, update, state = program.init, program.update, program.state
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
    constants = [[graph.value(i) for i in ids.ravel().tolist() if graph.is_constant(i)] for ids in started]
    check_finite(name, dict(zip(state_names, constants, strict=True)))
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
    by = {v: (eqn, k) for eqn in jaxpr.eqns for k, v in enumerate(eqn.outvars)}
    return [() if hasattr(v, "val") or v not in by else _computed(*by[v]) for v in jaxpr.outvars]


def _computed(eqn: Any, k: int) -> Frames:
    """Where an equation's output was computed: of a conditional's, in the first branch that computes it."""
    branches = eqn.params["branches"] if eqn.primitive.name == "cond" else ()
    return next((frames for branch in branches if (frames := _written(branch.jaxpr)[k])), user_frames(eqn))
