"""Trace a rule's `init` and `update` at given sizes, and unfold both into one graph."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recredit.audit.program.audited import Audited, Sizes
from recredit.audit.program.graph import MOST_NODES, Frames, Graph, Ids, TooLargeError
from recredit.audit.program.unfold import Unfolding, check_steps, user_frames, written
from recredit.contract import Traced, check_finite, in_a_sentence, names_of, trace_rule
from recredit.network import RNN, LeakyRNN
from recredit.network.synapses import reached
from recredit.rule import AbstractRule, Step


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
    """Quantities that have a symbol of their own: J, then the gain, αD of leaky units and D of others, then D or L and R."""
    sent: frozenset[int]
    """What units send before and after the step: their rates, and what the read-out gets of them."""

    @property
    def roots(self) -> list[int]:
        """All that the update computes: gradient and next state."""
        return [int(i) for array in (self.gradient, *self.after.values()) for i in array.ravel().tolist()]


def traced(rule: AbstractRule, sizes: Sizes, name: str, audited: Audited) -> tuple[Traced, tuple[RNN, Step, Any]]:
    """A rule's program at these sizes, and the shapes of a network, a step and a key of these sizes.

    Raises ValueError, one sentence, for a rule that breaks the contract.
    """
    net, step, key = audited.example(sizes)
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


def trace(rule: AbstractRule, sizes: Sizes, name: str, audited: Audited) -> Trace:
    """A rule's program at these sizes as a graph. Raises ValueError, one sentence, for a rule that breaks the contract."""
    program, (net, step, key) = traced(rule, sizes, name, audited)
    initial, update, state = program.init, program.update, program.state
    graph = Graph() if audited.is_simple else Graph(partial(audited.owners, sizes=sizes), audited.S * audited.G * audited.K)
    unfolding = Unfolding(graph)
    state_names = names_of(state, "state")
    arrays = {"net": net, "step": step, "state": state}
    names = [name for kind, tree in arrays.items() for name in names_of(tree, kind)] + ["key"]
    leaves = [*jax.tree.leaves((net, step, state)), key]
    inputs = {name: graph.leaves(name, leaf.shape) for name, leaf in zip(names, leaves, strict=True)}
    if (
        exists := reached(net.units, net.n, net.n_in, None)
    ) is not None:  # a voltage has no weights for what its units say it does not read
        inputs["net.W"] = np.where(exists, inputs["net.W"], graph.constant(0.0))

    def of_network(function: Callable[[RNN, Step], Any]) -> list[Ids]:
        """What a function of network and step gives, each array flat."""
        program = jax.make_jaxpr(function)(net, step)
        return unfolding.run(program.jaxpr, program.consts, [inputs[n] for n in names if n.startswith(("net.", "step."))])

    if step.s is not None:  # of the state's entries, those that are rates are the rates
        for rates, state_of, flow in (("step.r_prev", "step.s_prev", _rates_before), ("step.r", "step.s", _rates_after)):
            same = dict(zip(of_network(flow)[0].tolist(), inputs[rates].tolist(), strict=True))
            inputs[state_of] = np.array([same.get(i, i) for i in inputs[state_of].tolist()], np.int64)
    outs = unfolding.run(update.jaxpr, update.consts, list(inputs.values()))
    symbols, quantities = _QUANTITIES[isinstance(net, LeakyRNN)]
    known = dict(zip(symbols, of_network(quantities), strict=True))
    sent = of_network(_sent)
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
        known,
        frozenset(int(i) for array in sent for i in array.tolist() if not graph.is_constant(int(i))),
    )


def _rates_before(net: RNN, step: Step) -> Any:
    return net.rates(step.state_prev)


def _rates_after(net: RNN, step: Step) -> Any:
    return net.rates(step.state)


def _sent(net: RNN, step: Step) -> Any:
    return [(net.rates(state), net.out(state)) for state in (step.state_prev, step.state)]


def _of_leaky(net: LeakyRNN, step: Step) -> Any:
    return net.jacobian(step.v), net.gain(step.v), net.slope(step.v)


def _of_any(net: RNN, step: Step) -> Any:
    at = step.at(net)
    return net.jacobian(at), net.gain(at), net.memory(at), net.times_slope(at, jnp.ones(net.n))


_QUANTITIES = {True: (("J", "αD", "D"), _of_leaky), False: (("J", "D", "L", "R"), _of_any)}


def _written(jaxpr: Any) -> list[Frames]:
    """Where each output of a jaxpr was computed; () for an input handed on."""
    by = {v: (eqn, k) for eqn in jaxpr.eqns for k, v in enumerate(eqn.outvars)}
    return [() if hasattr(v, "val") or v not in by else _computed(*by[v]) for v in jaxpr.outvars]


def _computed(eqn: Any, k: int) -> Frames:
    """Where an equation's output was computed: of a conditional's, in the first branch that computes it."""
    branches = eqn.params["branches"] if eqn.primitive.name == "cond" else ()
    return next((frames for branch in branches if (frames := _written(branch.jaxpr)[k])), user_frames(eqn))
