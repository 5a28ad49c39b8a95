"""Random walk, the control: a random direction with the norm of RFLO's gradient at this step.

    Xi^t  ~ N(0, 1), independent for each synapse that exists                                                   (1)
    G^t    = |G_RFLO^t| Xi^t / |Xi^t|                                                                           (2)

State: RFLO's. Cost: nm memory, 8nm time. Each step is as long as RFLO's, but its direction is uninformed: a rule that beats
this control does so by the direction of its gradient. With several streams the directions are independent, so their mean is
shorter.

No paper: it is a control of recredit's own.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from recredit.blocks.feedback import AbstractFeedback, ExactFeedback
from recredit.network import RNN
from recredit.rule import AbstractRule, Step
from recredit.rules.rflo import RFLO


class RandomWalk(AbstractRule):
    """The control: a random direction, with the norm of RFLO's gradient."""

    feedback: AbstractFeedback = ExactFeedback()
    """How the read-out's error reaches the units of RFLO; by default through W_out, which gives the exact credit."""

    def init(self, net: RNN, key: PRNGKeyArray) -> Any:
        return RFLO(self.feedback).init(net, key)

    def update(self, net: RNN, step: Step, state: Any, key: PRNGKeyArray) -> tuple[Float[Array, "P m"], Any]:
        k_rflo, k_walk = jax.random.split(key)
        G, state = RFLO(self.feedback).update(net, step, state, k_rflo)
        Xi = jax.random.normal(k_walk, net.W.shape, net.W.dtype)  # (1)
        if net.mask is not None:
            G, Xi = jnp.where(net.mask, G, 0), jnp.where(net.mask, Xi, 0)
        return jnp.linalg.norm(G) / jnp.linalg.norm(Xi) * Xi, state  # (2)

    def restart(self, net: RNN, state: Any) -> tuple[Float[Array, "P m"], Any]:
        return RFLO(self.feedback).restart(net, state)
