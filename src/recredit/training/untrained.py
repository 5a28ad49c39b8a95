"""The loss before any learning: what a loss at the end of a run is held against."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from recredit.training.step import Learner, Trainer

AT_START = 1000  # steps: enough for a mean, and nothing beside a run


def loss_at_start(trainer: Trainer, learner: Learner, steps: int) -> Float[Array, ""]:
    """The mean loss of one seed's untrained network, its weights held, over the run's first `steps` steps."""
    _, sample = trainer.chunk(learner.stream, jnp.array(0), steps)

    def go(r: Any, x: Any, target: Any) -> Any:  # one stream's step
        _, _, r = learner.net.step(r, x)
        return r, learner.net.loss_and_error(learner.net.readout(r), target)[0]

    go_all = go if trainer.streams == 1 else jax.vmap(go)
    return jax.lax.scan(lambda r, sample: go_all(r, *sample), learner.r, (sample.x, sample.target))[1].mean()
