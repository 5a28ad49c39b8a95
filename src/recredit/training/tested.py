"""What a network does on data that no training has used, with its weights fixed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from recredit.contract import random_key
from recredit.network import RNN, Network
from recredit.rule import Step
from recredit.rules import RULES
from recredit.tasks import AbstractTask, Sample
from recredit.tasks.task import stream_key, task_length
from recredit.training.learner import noise
from recredit.training.measured import Scores
from recredit.training.pack import outermost
from recredit.training.programs import program_of
from recredit.training.sizes import SEGMENT
from recredit.training.step import Trainer

FRESH = 2**30  # the number of a stream that no training has: each has fewer streams


class Tester:
    """Tests networks of one kind on one task."""

    @outermost()
    def __init__(self, task: AbstractTask, network: Network, steps: int, across_trials: bool = False):
        """`network`: what the networks were made of. `steps`: how many the test has.

        Raises ValueError for a task that does not fit into so many steps, or does not keep to its contract.
        """
        trainer = Trainer((RULES["fixed_w"](),), task, network, optax.sgd(0.0), 1, steps, across_trials)
        self.trainer = trainer.without_rules()
        self.task, self.steps = task, steps
        self.players = {
            length: trainer.playing(length).without_rules() for length in {min(steps, SEGMENT), steps % SEGMENT} - {0}
        }

    @outermost()
    def test(self, net: RNN, seed: int) -> dict[str, float]:
        """The mean loss of a network that was trained with this seed, and its accuracy if labels are classes, by the steps'
        weights; nan if none is scored. The task is the seed's, its data are fresh.

        Raises ValueError for a network of another head or other sizes than the task's, or a loss that is not finite.
        """
        task = self.task
        check_sizes(task, net.n_in, net.n_out)
        if net.head != task.head:
            raise ValueError(
                f"the task {type(task).__name__} has a {task.head} head, and the network was trained with {net.head}."
            )
        start, given = program_of(_start, self.trainer, jnp.array(seed), task_length(task, 1) is None)
        drawn, s, stream, key = start(*given)
        net = drawn.with_weights(net.W, net.W_out, net.b_out)
        total = dict.fromkeys(Scores._fields, 0.0)
        for first in range(0, self.steps, SEGMENT):
            length = min(SEGMENT, self.steps - first)
            go, given = program_of(_segment, self.players[length], net, (s, stream, key), jnp.array(first), length)
            s, stream, scores, sound = go(*given)
            if not (sound and np.isfinite(scores.loss)):
                raise ValueError(
                    f"the loss of seed {seed} is not a finite number between steps {first:,} and {first + length:,} of a test."
                )
            for name, score in scores._asdict().items():
                total[name] += length if score is None else float(score)
        over = total["weight"] or np.nan
        return {"loss": total["loss"] / over} | ({"accuracy": total["correct"] / over} if task.classes else {})


def check_sizes(task: AbstractTask, n_in: int, n_out: int) -> None:
    """Raise ValueError unless the task has as many inputs and outputs as the network."""
    if (n_in, n_out) != (task.n_in, task.n_out):
        raise ValueError(
            f"the task {type(task).__name__} has n_in = {task.n_in} and n_out = {task.n_out}, "
            f"and the trained network n_in = {n_in} and n_out = {n_out}."
        )


def _start(trainer: Trainer, seed: Int[Array, ""], endless: bool) -> tuple[RNN, Any, Any, PRNGKeyArray]:
    """The untrained network of a seed, which its task may depend on, the first state, a new stream of data, and a new key."""
    k_net, k_r, k_task, k_rules = jax.random.split(random_key(seed), 4)
    net, task, fresh = trainer.create(k_net), trainer.task, jnp.array(FRESH)
    try:
        if not endless:  # its streams would be parts of the data
            raise NotImplementedError
        stream = task.stream(task.init(net, k_task), fresh, FRESH + 1)
    except NotImplementedError:
        stream = task.init(net, stream_key(k_task, fresh))
    return net, net.first(stream_key(k_r, fresh)), stream, stream_key(k_rules, fresh)


def _segment(
    trainer: Trainer, net: RNN, now: tuple[Any, Any, PRNGKeyArray], first: Int[Array, ""], length: int
) -> tuple[Any, Any, Scores, Bool[Array, ""]]:
    """The state and the data's after some steps, the sums over them, and whether the head has a loss for the labels."""
    s, stream, key = now
    stream, sample = trainer.chunk(stream, first, length)

    def go(s: Any, at: tuple[Any, Sample]) -> Any:
        t, now = at
        s = s if now.start is None else jnp.where(now.start, net.rest(), s)
        step = Step.of(net, s, now.x, now.target, noise(net, key, t))
        step = step if now.weight is None else step.weighted(now.weight)
        return step.state, trainer.scores(net, step, now)

    s, scores = jax.lax.scan(go, s, (first + jnp.arange(length), sample))
    return s, stream, jax.tree.map(jnp.sum, scores), net.has_loss(sample.target.min())
