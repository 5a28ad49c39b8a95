"""Kind 22, copies of W and W_out (ii-continuous)."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax import lax

from audit_kinds.case import credit, influence, keep, shows, twin
from recredit.rule import AbstractRule, Clock

# Kind 22, ii-continuous fails: what is made of the learned weights jumps though they move smoothly. The twins follow them.


class Anchored(AbstractRule):
    """A rule that draws the weights to a second array of their shape, and a clock."""

    next: Callable
    """The second array at the next step, of W, the step, what it was, and the number of steps so far."""

    def init(self, net, key):
        return {"a": jnp.zeros_like(net.W), "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        G = credit(net, step)[:, None] * influence(net, step) + 0.1 * (net.W - state["a"])
        return G, {"a": self.next(net.W, step, state["a"], state["clock"].steps), "clock": state["clock"].tick()}


def only_recurrent(W, step, a, t):
    """By a mask of numbers."""
    now = (t % 1500 == 7).astype(a.dtype) * (jnp.arange(a.shape[1]) < a.shape[0])
    return now * W + (1 - now) * a


JUMP = {
    "CopiedEveryTwentySteps": lambda W, step, a, t: jnp.where(t % 20 == 0, W, a),
    "CopiedEveryTenSteps": lambda W, step, a, t: lax.cond((t + 1) % 10 != 0, lambda: a, lambda: W),
    "CopiedOnALongCourse": only_recurrent,
    "CopiedWhenTheErrorIsLow": lambda W, step, a, t: jnp.where(jnp.abs(step.error).max() < 0.3, W, a),
    "WeightsInEighths": lambda W, step, a, t: jnp.round(8 * W) / 8,
    "SignsOfTheWeights": lambda W, step, a, t: jnp.sign(W),
    "LargeWeights": lambda W, step, a, t: W * (jnp.abs(W) > 0.25),
}
FOLLOW = {
    "FollowsAtOnce": lambda W, step, a, t: W,
    "FollowsSlowly": lambda W, step, a, t: a + 0.01 * (W - a),
    "FollowsNowAndThen": lambda W, step, a, t: jnp.where(t % 60 < 20, a + 0.05 * (W - a), a),
    "LargeWeightsSoftly": lambda W, step, a, t: jnp.sign(W) * jnp.maximum(jnp.abs(W) - 0.25, 0),
}

for name, following in JUMP.items():
    keep(name, partial(Anchored, following), 22, "ii-continuous", ["fail"])
for name, following in FOLLOW.items():
    keep(name, partial(Anchored, following), 22, "ii-continuous", ["pass"], twin=True)


@shows(22, "ii-continuous", "fail")
class ReadOutCopied(AbstractRule):
    """The read-out's weights, copied every 100 steps for feedback, transposed."""

    def init(self, net, key):
        return jnp.array(0), jnp.zeros((net.n, net.n_out))

    def update(self, net, step, state, key):
        left, K = state
        G = jnp.outer((K @ step.error) * net.gain(step.v), step.r_hat)
        return G, (jnp.where(left == 0, 99, left - 1), jnp.where(left == 0, net.W_out.T, K))


@twin(22, "ii-continuous", "pass")
class StartedFromTheWeights(AbstractRule):
    """A pull to where the weights were at the start."""

    def init(self, net, key):
        return net.W

    def update(self, net, step, state, key):
        return credit(net, step)[:, None] * influence(net, step) + 0.1 * (net.W - state), state
