"""Kind 22, copies of W and W_out (ii-continuous)."""

import jax.numpy as jnp
from jax import lax

from audit_kinds.case import credit, influence, shows, twin
from recredit.rule import AbstractRule, Clock

# Kind 22, ii-continuous fails: what is made of the learned weights jumps though they move smoothly. The twins follow them.


class Anchored(AbstractRule):
    """A rule that draws the weights to a second array of their shape, and a clock."""

    def init(self, net, key):
        return {"a": jnp.zeros_like(net.W), "clock": Clock.at_zero()}

    def next(self, net, step, a, t):
        """The second array at the next step, `t` steps after the first."""
        raise NotImplementedError

    def update(self, net, step, state, key):
        G = credit(net, step)[:, None] * influence(net, step) + 0.1 * (net.W - state["a"])
        return G, {"a": self.next(net, step, state["a"], state["clock"].steps), "clock": state["clock"].tick()}


@shows(22, "ii-continuous", "fail")
class CopiedEveryTwentySteps(Anchored):
    """The weights of every 20th step."""

    def next(self, net, step, a, t):
        return jnp.where(t % 20 == 0, net.W, a)


@shows(22, "ii-continuous", "fail")
class CopiedButNotEveryTenSteps(Anchored):
    """The weights are kept while a condition holds, by a cond."""

    def next(self, net, step, a, t):
        return lax.cond((t + 1) % 10 != 0, lambda: a, lambda: net.W)


@shows(22, "ii-continuous", "fail")
class CopiedOnALongCourse(Anchored):
    """The weights of every 1,500th step, the recurrent ones alone, by a mask of numbers."""

    def next(self, net, step, a, t):
        now = (t % 1500 == 7).astype(a.dtype) * (jnp.arange(a.shape[1]) < net.n)
        return now * net.W + (1 - now) * a


@shows(22, "ii-continuous", "fail")
class CopiedWhenTheErrorIsLow(Anchored):
    """The weights of the last step with a small error."""

    def next(self, net, step, a, t):
        return jnp.where(jnp.abs(step.error).max() < 0.3, net.W, a)


@shows(22, "ii-continuous", "fail")
class WeightsInEighths(Anchored):
    """The weights, rounded to eighths."""

    def next(self, net, step, a, t):
        return jnp.round(8 * net.W) / 8


@shows(22, "ii-continuous", "fail")
class SignsOfTheWeights(Anchored):
    """The signs of the weights."""

    def next(self, net, step, a, t):
        return jnp.sign(net.W)


@shows(22, "ii-continuous", "fail")
class LargeWeights(Anchored):
    """The weights beyond a threshold, the others 0."""

    def next(self, net, step, a, t):
        return net.W * (jnp.abs(net.W) > 0.25)


@shows(22, "ii-continuous", "fail")
class ReadOutCopied(AbstractRule):
    """The read-out's weights, copied every 100 steps for feedback, transposed."""

    def init(self, net, key):
        return jnp.array(99), jnp.zeros((net.n, net.n_out))

    def update(self, net, step, state, key):
        left, K = state
        G = jnp.outer((K @ step.error) * net.gain(step.v), step.r_hat)
        return G, (jnp.where(left == 0, 99, left - 1), jnp.where(left == 0, net.W_out.T, K))


@twin(22, "ii-continuous", "pass")
class FollowsAtOnce(Anchored):
    """The weights of the last step."""

    def next(self, net, step, a, t):
        return net.W


@twin(22, "ii-continuous", "pass")
class FollowsSlowly(Anchored):
    """A running mean of the weights."""

    def next(self, net, step, a, t):
        return a + 0.01 * (net.W - a)


@twin(22, "ii-continuous", "pass")
class FollowsNowAndThen(Anchored):
    """A running mean of the weights, on for a third of the time."""

    def next(self, net, step, a, t):
        return jnp.where(t % 60 < 20, a + 0.05 * (net.W - a), a)


@twin(22, "ii-continuous", "pass")
class LargeWeightsSoftly(Anchored):
    """By how much the weights are beyond a threshold."""

    def next(self, net, step, a, t):
        return jnp.sign(net.W) * jnp.maximum(jnp.abs(net.W) - 0.25, 0)


@twin(22, "ii-continuous", "pass")
class StartedFromTheWeights(Anchored):
    """The weights at the start."""

    def init(self, net, key):
        return {"a": net.W, "clock": Clock.at_zero()}

    def next(self, net, step, a, t):
        return a
