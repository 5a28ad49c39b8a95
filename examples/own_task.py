"""A task of your own, trained like any other:

    .venv/bin/recredit train --rule rflo rtrl --task examples/own_task.py --set task.delay=3 --steps 50000 --seeds 4

The task: a coin is tossed at each step, and the network reports the coin of some steps ago.
"""

import equinox as eqx
import jax.numpy as jnp

from recredit import AbstractTask, Sample
from recredit.tasks.task import bernoulli_stream


class Echo(AbstractTask):
    """Report the coin that was seen `delay` steps ago, as (1, 0) or (0, 1)."""

    delay: int = 2
    """Steps between a coin and its report."""
    n_in: int = eqx.field(default=1, init=False)
    n_out: int = eqx.field(default=2, init=False)
    head: str = eqx.field(default="softmax", init=False, static=True)

    def init(self, net, key):
        return key  # it decides all coins, so the stream keeps nothing else

    def chunk(self, state, start, length):
        coins = bernoulli_stream(state, 0.5, start, length + self.delay, 1)  # those before the first step too
        past = coins[:length]
        return state, Sample(coins[self.delay :], jnp.concatenate([past, 1 - past], axis=1))
