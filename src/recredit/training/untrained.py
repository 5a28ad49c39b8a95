"""The loss before any learning, to compare a loss at the end of a run with."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from recredit.tasks import Sample
from recredit.training.learner import Learner, noise
from recredit.training.step import Trainer

AT_START = 1000  # steps: enough for a mean, and nothing beside a run


def loss_at_start(trainer: Trainer, learner: Learner, steps: int) -> Float[Array, ""]:
    """The mean loss of one seed's untrained network, its weights held, over the run's first steps; nan if none is scored."""
    _, sample = trainer.chunk(learner.stream, jnp.array(0), steps)
    net = learner.net

    def go(s: Any, key: Any, t: Any, now: Sample) -> Any:  # one stream's step
        s = s if now.start is None else jnp.where(now.start, net.rest(), s)
        _, _, s = net.step(s, now.x, noise(net, key, t))
        return s, net.loss_and_error(net.readout(s), now.target)[0]

    go = go if trainer.streams == 1 else jax.vmap(go, in_axes=(0, 0, None, 0))
    losses = jax.lax.scan(lambda s, now: go(s, learner.key, *now), learner.s, (jnp.arange(steps), sample))[1]
    return losses.mean() if sample.weight is None else jnp.sum(sample.weight * losses) / jnp.sum(sample.weight)
