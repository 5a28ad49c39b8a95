"""Rules and tasks as they are trained: traced once, so that whatever decides what they compute decides which program runs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from recredit.contract import example_key, example_step, in_a_sentence, trace_restart, trace_rule
from recredit.network import RNN
from recredit.rule import AbstractRule, Clock, Step
from recredit.tasks.task import AbstractTask, Sample, check_chunk
from recredit.training.owing import owed_at
from recredit.training.programs import TracedFunction


class TracedRule(eqx.Module):
    """A rule's programs at the sizes of one network, and apart from them its numbers."""

    name: str = eqx.field(static=True)
    delay: int = eqx.field(static=True)
    period: int = eqx.field(static=True)
    init: TracedFunction
    update: TracedFunction
    restart: TracedFunction | None
    """None: for an unbroken stream."""
    is_random: bool = eqx.field(static=True)
    """Whether it draws random numbers at its steps."""
    needs_noise: bool = eqx.field(static=True)
    """Whether it learns from the network's noise, over which no draws of its own tell what it expects."""
    copies: int = eqx.field(static=True, default=0)
    """It is no copies (`Draws`)."""

    def __init__(self, rule: AbstractRule, name: str, delay: int, period: int, net: RNN, trials: bool = False):
        """`trials`: whether it must learn from trials.

        Raises ValueError for a rule that breaks the contract, or cannot be vectorised over seeds and streams.
        """
        self.name, self.delay, self.period, self.needs_noise = name, delay, period, rule.needs_noise
        traced = trace_rule(rule, name, net)
        lifted = _is_data if any(isinstance(leaf, float) for leaf in jax.tree.leaves(rule)) else None
        self.init = TracedFunction(traced.init, traced.state, lifted)
        self.update = TracedFunction(traced.update, (net.W, traced.state), lifted)
        self.is_random = reads_last(traced.update.jaxpr)
        key, step, axes = example_key(), example_step(net), seed_axes(traced.state)
        state = jax.tree.map(lambda leaf: leaf if is_clock(leaf) else _two(leaf), traced.state, is_leaf=is_clock)
        _check_vectorised(f"{name}'s init", rule.init, self.init, (0, 0), axes, *_two((net, key)))
        now = _two(net), _two(step), state, _two(key)
        _check_vectorised(f"{name}'s update", rule.update, self.update, (0, 0, axes, 0), (0, axes), *now)
        self.restart, self.copies = None, 0
        if trials:
            restart = trace_restart(rule, name, net, traced.state)
            self.restart = TracedFunction(restart, (net.W, traced.state), lifted)
            _check_vectorised(f"{name}'s restart", rule.restart, self.restart, (0, axes), (0, axes), _two(net), state)

    def restarted(self, net: RNN, state: Any, start: Bool[Array, ""]) -> tuple[Float[Array, "P m"], Any]:
        """What is owed to the trial that ends if one starts now, and the state then; else 0 and the state as it is."""
        assert self.restart is not None
        new = self.restart(net, state)[1]

        def choose(old: Any, new: Any) -> Any:  # a Clock runs on
            return old if is_clock(old) else jnp.where(start, new, old)

        return owed_at(start, self.restart, net, state), jax.tree.map(choose, state, new, is_leaf=is_clock)

    def nothing(self, W: Float[Array, "P m"]) -> Float[Array, "P m"]:
        """A gradient of zeros."""
        return jnp.zeros_like(W)


class Draws(eqx.Module):
    """Copies of a rule that differ only in their randomness: like a rule, but all its results have a first axis for them."""

    rule: TracedRule
    copies: int = eqx.field(static=True)

    @property
    def name(self) -> str:
        return self.rule.name

    @property
    def is_random(self) -> bool:
        return True

    @property
    def needs_noise(self) -> bool:
        return self.rule.needs_noise

    @property
    def delay(self) -> int:
        return self.rule.delay

    @property
    def period(self) -> int:
        return self.rule.period

    @property
    def restart(self) -> TracedFunction | None:
        return self.rule.restart

    def init(self, net: RNN, key: PRNGKeyArray) -> Any:
        return jax.vmap(partial(self.rule.init, net), out_axes=self._axes)(jax.random.split(key, self.copies))

    def update(self, net: RNN, step: Step, state: Any, key: PRNGKeyArray) -> tuple[Float[Array, "draws P m"], Any]:
        over = jax.vmap(partial(self.rule.update, net, step), in_axes=(self._axes, 0), out_axes=(0, self._axes))
        return over(state, jax.random.split(key, self.copies))

    def restarted(self, net: RNN, state: Any, start: Bool[Array, ""]) -> tuple[Float[Array, "draws P m"], Any]:
        return jax.vmap(lambda state: self.rule.restarted(net, state, start), (self._axes,), (0, self._axes))(state)

    def nothing(self, W: Float[Array, "P m"]) -> Float[Array, "draws P m"]:
        return jnp.zeros((self.copies, *W.shape), W.dtype)

    @property
    def _axes(self) -> Any:
        return seed_axes(self.rule.init.result)


class TracedTask(eqx.Module):
    """A task's programs for chunks of one length, and apart from them its arrays."""

    init: TracedFunction
    streamed: TracedFunction | None
    """Of the stream's number; None for one stream."""
    played: TracedFunction

    def __init__(self, task: AbstractTask, net: RNN, length: int, streams: int):
        """Raises ValueError for a task that breaks the contract."""
        programs = check_chunk(task, net, length, streams)
        self.init, *streamed, self.played = (TracedFunction(*program, lifted=None) for program in programs)
        self.streamed = streamed[0] if streamed else None

    def stream(self, state: Any, number: Int[Array, ""], count: int) -> Any:
        """What `AbstractTask.stream` is, for the count of streams that was traced."""
        assert self.streamed is not None
        return self.streamed(state, number)

    def chunk(self, state: Any, start: Int[Array, ""], length: int) -> tuple[Any, Sample]:
        """What `AbstractTask.chunk` is, for the length that was traced."""
        return self.played(state, start)


def seed_axes(learner: Any) -> Any:
    """The axis of each of a learner's arrays that counts the seeds (or streams): the first, but none for a rule's Clock."""
    return jax.tree.map(lambda leaf: None if is_clock(leaf) else 0, learner, is_leaf=is_clock)


def is_clock(node: Any) -> bool:
    """Whether a part of a state is a Clock."""
    return isinstance(node, Clock)


def reads_last(jaxpr: Any) -> bool:
    """Whether anything that a program gives depends on the last thing that it is given."""
    needed = {id(atom) for atom in jaxpr.outvars}
    for eqn in reversed(jaxpr.eqns):
        if any(id(atom) in needed for atom in eqn.outvars):
            needed |= {id(atom) for atom in eqn.invars}
    return id(jaxpr.invars[-1]) in needed


def _check_vectorised(
    what: str, method: Callable[..., Any], function: TracedFunction, in_axes: Any, out_axes: Any, *examples: Any
) -> None:
    """Raise ValueError unless a rule's function can be vectorised, and its Clock is the same all over."""

    def vectorise(out_axes: Any) -> None:
        jax.eval_shape(jax.vmap(function, in_axes, out_axes), *examples)

    try:
        vectorise(out_axes)
    except Exception:
        with in_a_sentence(f"{what}, vectorised over seeds and streams as training does it,", method):
            vectorise(0)
        raise ValueError(
            f"{what} gives a Clock that differs between seeds or streams; it must start as Clock.at_zero() and then tick() "
            "alike in all of them, so keep any other count in an array of the state."
        ) from None


def _two(tree: Any) -> Any:
    """The shapes of two such trees."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype), tree)


def _is_data(number: np.ndarray) -> bool:
    """Whether a scalar that a rule spells out is data: 0 and 1 are not, since the compiler does without them."""
    return number.dtype.kind == "f" and number not in (0, 1)
