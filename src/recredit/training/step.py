"""One online step of a run: the network, the rules that watch it, the update; passive observers alongside."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from recredit.contract import check_rule, check_steps, example_key, random_key
from recredit.errors import brief, check_count, check_instance
from recredit.network import RNN, Network
from recredit.rule import AbstractRule, Step
from recredit.tasks.task import AbstractTask, Sample, check_chunk, check_fit, check_task, stream_key
from recredit.training.comparison import Comparing, check_pairs
from recredit.training.learner import Learner, bytes_of, noise, rule_key, weights
from recredit.training.measured import Measured, Scores
from recredit.training.optimizer import Optimizer
from recredit.training.precompute import split
from recredit.training.programs import TracedFunction
from recredit.training.recording import RECORDED, Seen, check_there, put_rows, tape
from recredit.training.traced import Draws, TracedRule, TracedTask, seed_axes

DRAWN = 10  # steps whose random numbers are drawn at once, at most


class Trainer(eqx.Module):
    """What stays the same through a run: rules (the first drives, the others watch), task, network, optimiser and streams.

    `streams` that run in parallel share the weights of a seed, each with its own rates, learning states, noise and data; at
    each step their gradients are averaged, and one update is made.
    """

    rules: tuple[TracedRule | Draws, ...]
    """The first drives, the others watch; then the draws of those with randomness, in their order."""
    task: AbstractTask | TracedTask
    """What is learned: the stream of inputs and labels."""
    network: TracedFunction
    """What the learners are made of: a key to a network."""
    optimizer: Optimizer
    """What turns gradients into steps of W, W_out and b_out."""
    streams: int = eqx.field(static=True)
    """Data streams that share a seed's weights; 1, as in the paper."""
    across_trials: bool = eqx.field(static=True)
    """Whether units and learning states run on across the borders of trials."""
    measures: tuple[str, ...] = eqx.field(static=True)
    """What is measured beside the loss: "weight", its steps' weights, and "correct", where labels are classes."""
    record: tuple[tuple[str, int], ...] = eqx.field(static=True)
    """What is recorded, each after every so many steps."""
    every_pair: bool = eqx.field(static=True)
    """Whether every pair of gradients is compared; else each observer's with the driver's."""

    def __init__(
        self,
        rules: tuple[AbstractRule, ...],
        task: AbstractTask,
        network: Network,
        optimizer: Any,
        streams: Any = 1,
        steps: int | None = None,
        across_trials: bool = False,
        record: Mapping[str, int] | None = None,
        pairs: Any = "driver",
        draws: Any = 0,
    ):
        """`optimizer`: any optax optimiser. `steps`: how long the run is, if the task and the rules must fit into it.
        `across_trials`: let units and learning states run on across the borders of trials. `record`: what is recorded, each
        after every so many steps, as `recording.check_record` gives it. `pairs`: "driver", each observer's gradient is compared
        with the driver's, or "all", every pair, and so many `draws` of each rule with randomness watch too
        (`training.comparison`).

        Raises ValueError for what does not fit, TypeError for anything of the wrong kind.
        """
        self.streams = check_count("the number of streams", streams)
        self.across_trials = check_instance("across_trials", across_trials, bool)
        check_instance("Trainer's network", network, Network)
        if not isinstance(rules, tuple) or not rules:
            raise TypeError(f"the rules must be a tuple of one or more, the first of which drives, not {brief(rules)}.")
        draws = check_pairs(pairs, draws)
        named = check_length(rules, task, steps, self.streams)  # before anything is traced: a long window takes long
        self.task = task
        with jax.threefry_partitionable(True):  # a seed's numbers are the same whatever JAX's settings
            create = partial(network.create, task.n_in, task.n_out, task.head)
            self.network = TracedFunction(*jax.make_jaxpr(create, return_shape=True)(example_key()), lifted=None)
            net = jax.eval_shape(self.network, example_key())
            (_, sample) = check_chunk(task, net, 1, self.streams)[-1][1]
            trials = sample.start is not None and not across_trials
            traced = tuple(TracedRule(*each, net, trials) for each in named)
        self.rules = traced + tuple(Draws(rule, draws) for rule in traced if draws and rule.is_random and not rule.needs_noise)
        self.every_pair = pairs == "all"
        measured = {"weight": sample.weight is not None, "correct": task.classes}
        self.measures = tuple(name for name, is_measured in measured.items() if is_measured)
        self.record = tuple((record or {}).items())
        check_there(dict(self.record), self._told(sample))
        self.optimizer = Optimizer(optimizer, jax.eval_shape(weights, net), self.rules[0].period)

    def playing(self, length: int) -> "Trainer":
        """The same, with the task's programs for chunks of this length. Raises ValueError if it breaks the contract there."""
        net = jax.eval_shape(self.network, example_key())
        assert isinstance(self.task, AbstractTask)
        return self.with_task(TracedTask(self.task, net, length, self.streams))

    def with_task(self, task: Any) -> "Trainer":
        """The same, with another task."""
        return eqx.tree_at(lambda trainer: trainer.task, self, task, is_leaf=lambda node: node is self.task)

    @property
    def comparing(self) -> Comparing:
        """Which gradients are compared with which."""
        return Comparing.of(self.rules, self.every_pair)

    @property
    def size(self) -> int:
        """Bytes of one seed's learner."""
        return bytes_of(jax.eval_shape(self.start, 0))

    def create(self, key: PRNGKeyArray) -> RNN:
        """Draw the initial network."""
        return self.network(key)

    def start(self, seed: int | Int[Array, ""]) -> Learner:
        """The learner of one seed before its first step.

        Seeds are paired: weights, initial rates and data depend on the seed, the task and the network, never on the rules.
        Stream 0 is what the only stream would be. All streams begin with the same learning states, since these hold synapses
        too (random feedback, say), which the streams of one network share.
        """
        return self.equipped(self.without_rules().unequipped(seed), seed)

    def without_rules(self) -> "Trainer":
        """The same without rules and optimiser: as much as the untrained network of a seed and its data depend on."""
        return eqx.tree_at(lambda trainer: (trainer.rules, trainer.optimizer), self, ((), None))

    def unequipped(self, seed: int | Int[Array, ""]) -> Learner:
        """The network of one seed, its rates, data and randomness before the first step, without learning states."""
        k_net, k_r, k_task, k_rules = jax.random.split(random_key(seed), 4)
        net = self.create(k_net)
        s, stream = net.first(k_r), self.task.init(net, k_task)
        if self.streams == 1:
            return Learner(net, s, (), (), stream, k_rules)

        def begin(number: Int[Array, ""]):
            s = net.first(stream_key(k_r, number))
            return s, self.task.stream(stream, number, self.streams), stream_key(k_rules, number)

        s, stream, key = jax.vmap(begin)(jnp.arange(self.streams))
        return Learner(net, s, (), (), stream, key)

    def equipped(self, learner: Learner, seed: int | Int[Array, ""]) -> Learner:
        """An `unequipped` learner of this seed with all that rules and optimiser carry."""
        net, key = learner.net, random_key(seed)
        k_rules = jax.random.split(key, 4)[3]
        states = tuple(rule.init(net, rule_key(k_rules, i, 0)) for i, rule in enumerate(self.rules))
        waiting = self.comparing.start(net.W) if self.comparing.pairs else None
        optimizer = self.optimizer.init(weights(net), jax.random.fold_in(key, 4))  # a fifth key beside the four
        if self.streams > 1:
            states = jax.vmap(lambda _: states, out_axes=seed_axes(states))(jnp.arange(self.streams))
        owed = tuple(rule.nothing(net.W) if rule.period > 1 else None for rule in self.rules if rule.restart)
        return replace(learner, optimizer=optimizer, states=states, waiting=waiting, owed=owed)

    def step(
        self,
        learner: Learner,
        t: Any,
        x: Float[Array, "*streams n_in"],
        target: Float[Array, "*streams n_out"],
        weight: Float[Array, "*streams"] | None = None,
        start: Bool[Array, "*streams"] | None = None,
    ) -> tuple[Learner, Float[Array, ""], list[Float[Array, "... P m"]]]:
        """One online step of one seed: the learner after it, the loss, and each rule's estimate of dL/dW at the weights before.

        Loss and estimates are means over the streams; a sample's arrays have an axis for them if there are more than one.

        The order is the published program's: forward with W_t; credit from W_out before its update; learning state; gradient;
        simultaneous update of W, W_out and b_out. Where a trial starts, units and learning states are restarted before it.
        """
        learner, (loss, *_), grads = self.stepped(learner, t, Sample(x, target, weight, start))
        return learner, loss, grads

    def stepped(self, learner: Learner, t: Any, sample: Sample) -> tuple[Learner, Scores, list[Float[Array, "... P m"]]]:
        """What `step` does, with all that is measured of the step."""
        net = learner.net

        def go(s, states, key, sample):  # one stream's step
            owed = ()
            if sample.start is not None:
                s = jnp.where(sample.start, net.rest(), s)
                owed, states = zip(*(rule.restarted(net, each, sample.start) for rule, each in zip(self.rules, states)))
            step = Step.of(net, s, sample.x, sample.target, noise(net, key, t))
            if sample.weight is not None:
                step = step.weighted(sample.weight)
            scores = self.scores(net, step, sample)
            told = [
                rule.update(net, step, state, rule_key(key, i, t + 1))
                for i, (rule, state) in enumerate(zip(self.rules, states, strict=True))
            ]
            readout = {"W_out": jnp.outer(step.error, net.out(step.state)), "b_out": step.error}
            return step.state, tuple(state for _, state in told), (scores, readout, [G for G, _ in told], owed)

        axes = seed_axes(learner.states)
        gone = go if self.streams == 1 else jax.vmap(go, in_axes=(0, axes, 0, 0), out_axes=(0, axes, 0))
        s, states, told = gone(learner.s, learner.states, learner.key, sample)
        scores, readout, grads, owed = told if self.streams == 1 else jax.tree.map(lambda each: each.mean(0), told)
        if (mask := net.mask) is not None:
            grads, owed = jax.tree.map(lambda G: jnp.where(mask, G, 0), (grads, owed))
        waiting: list[Any] = [None] * len(owed)
        for i, rule in enumerate(self.rules):
            if owed and rule.period > 1:  # it is told at the period's end, with the sum of which it is a part
                total, due = owed[i] + learner.owed[i], (t + 1) % rule.period == 0
                grads[i], waiting[i] = jnp.where(due, grads[i] + total, grads[i]), jnp.where(due, 0, total)
        G = grads[0] + owed[0] if owed and self.rules[0].period == 1 else grads[0]
        after, optimizer = self.optimizer.step(t, {"W": G, **readout}, learner.optimizer, weights(net), scores.loss)
        net = net.with_weights(**after | {"W": net.kept(after["W"])})
        return replace(learner, net=net, s=s, optimizer=optimizer, states=states, owed=tuple(waiting)), scores, grads

    def scores(self, net: RNN, step: Step, sample: Sample) -> Scores:
        """What is measured of one stream's step, whose loss has its weight."""
        weight, correct = sample.weight, None
        assert step.loss is not None
        if "correct" in self.measures:
            correct = (jnp.argmax(net.readout(step.state)) == jnp.argmax(step.target)).astype(step.error.dtype)
            correct = correct if weight is None else weight * correct
        return Scores(step.loss, weight, correct)

    def chunk(self, stream: Any, first: Any, length: int) -> tuple[Any, Sample]:
        """The task's state and samples of `length` steps of all streams, whose axis is the second."""
        if self.streams == 1:
            stream, sample = self.task.chunk(stream, first, length)
        else:
            stream, sample = jax.vmap(lambda one: self.task.chunk(one, first, length), out_axes=(0, 1))(stream)
        return stream, self._told(sample)

    def _told(self, sample: Sample) -> Sample:
        """A sample without what neither trains nor is recorded."""
        epoch = sample.epoch if "epoch" in dict(self.record) else None
        return sample._replace(epoch=epoch, start=None if self.across_trials else sample.start)

    def recorded(self, before: Learner, after: Learner, sample: Sample, G: Float[Array, "P m"]) -> dict[str, Any]:
        """What is to be recorded of one step."""
        seen = Seen(before.net, after.s, sample, G, after.net)
        return {name: RECORDED[name].of(seen) for name, _ in self.record}

    def segment(self, learner: Learner, first: Any, length: int) -> tuple[Learner, "Measured"]:
        """`length` steps of one seed from step `first` on: the learner after them, and what was measured."""
        stream, sample = self.chunk(learner.stream, first, length)
        learner = eqx.tree_at(lambda s: s.stream, learner, stream, is_leaf=lambda leaf: leaf is None)

        def one_step(early, late):
            (t, key), (before, measured, rows, sample) = early, late
            learner, scores, grads = self.stepped(eqx.tree_at(lambda s: s.key, before, key), t, sample)
            rows, G = put_rows(record, rows, self.recorded(before, learner, sample, grads[0]), first, t), grads[0]
            compared = None
            if learner.waiting is not None:
                waiting, compared = self.comparing.add(learner.waiting, t, grads, learner.net.n)
                learner = replace(learner, waiting=waiting)
            period = self.rules[0].period
            lost = ((t + 1) % period != 0) & (jnp.vdot(G, G) > 0) if period > 1 else False  # cheaper than any(G != 0)
            return learner, measured.add(t, scores, compared, lost), rows

        parts = [part for part in (sample.x, sample.target, sample.weight) if part is not None]
        extremes = [extreme for part in parts for extreme in (part.min(), part.max())]
        finite = jnp.isfinite(jnp.stack(extremes)).all()  # not so if any entry is not, at two a number
        are_weights = jnp.array(True) if sample.weight is None else extremes[4] >= 0
        checked = finite, learner.net.has_loss(extremes[2]), are_weights
        total = Measured.nothing(self.comparing, checked, self.measures)
        one, record = jax.tree.map(lambda a: a[0], sample), dict(self.record)
        rows = tape(record, jax.eval_shape(self.recorded, learner, learner, one, learner.net.W), length)
        draw, go_on = split(one_step, (first, learner.key), (learner, total, rows, one))

        def some_steps(carry, samples):
            def body(carry, now):
                drawn, (t, sample) = now
                return go_on(drawn, (t, learner.key), (*carry, sample)), None

            drawn = jax.vmap(lambda t: draw((t, learner.key)))(samples[0])
            return jax.lax.scan(body, carry, (drawn, samples))

        at_once = max(k for k in range(1, min(length, DRAWN) + 1) if length % k == 0)
        samples = jax.tree.map(lambda a: a.reshape(-1, at_once, *a.shape[1:]), (first + jnp.arange(length), sample))
        (learner, total, rows), _ = jax.lax.scan(some_steps, (learner, total, rows), samples)
        return learner, replace(total, recorded=rows)


def check_length(
    rules: Sequence[AbstractRule], task: AbstractTask, steps: int | None, streams: int
) -> list[tuple[AbstractRule, str, int, int]]:
    """Each rule with its name, delay and period. Raises as `Trainer` does for what is no rule or task, or does not fit into a
    run of so many steps (None: of any length)."""
    named = [(rule, type(rule).__name__) for rule in rules]
    named = [(rule, name, *check_rule(rule, name)) for rule, name in named]
    check_task(task)
    if steps is not None:
        check_fit(task, steps, streams)
        for _, name, delay, period in named:
            check_steps(name, delay, period, steps)
    return named
