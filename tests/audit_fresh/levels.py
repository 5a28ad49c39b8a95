"""Traces and strengths that jump."""

import jax.numpy as jnp
from jax import lax

from audit_fresh.case import FAIL, PASS, expects, leaky, random_matrix
from recredit.blocks.feedback import AbstractFeedback, RandomFeedback
from recredit.rule import AbstractRule, Clock


# The strengths jump from level to level.
@expects(ii_continuous=FAIL, ii_stored=PASS, ii_local=PASS)
class QuantisedFeedback(AbstractRule):
    """Feedback synapses of eight levels to the unit, and a smooth tag that they follow."""

    rate: float = 0.02
    levels: float = 8.0

    def init(self, net, key):
        K = random_matrix(key, net.n_out, net.n)
        return {"tag": K, "strength": jnp.round(K * self.levels) / self.levels}

    def update(self, net, step, state, key):
        c = step.error @ state["strength"]
        tag = state["tag"] + self.rate * (jnp.outer(step.error, step.r) - 0.1 * state["tag"])
        strength = jnp.round(tag * self.levels) / self.levels
        return jnp.outer(c * net.gain(step.v), step.r_hat), {"tag": tag, "strength": strength}


# The traces jump to zero.
@expects(ii_continuous=FAIL, locality_time=PASS, ii_local=PASS)
class TrialReset(AbstractRule):
    """The traces are emptied at the end of each trial."""

    def init(self, net, key):
        return jnp.zeros_like(net.W), jnp.zeros(net.n), Clock.at_zero(), random_matrix(key, net.n_out, net.n)

    def update(self, net, step, state, key):
        B, c, clock, fb = state
        clock = clock.tick()
        over = clock.steps % round(20 / net.alpha) == 0
        c = leaky(c, step.error @ fb, net.alpha)
        B = (1 - net.alpha) * B + jnp.outer(net.gain(step.v), step.r_hat)
        return c[:, None] * B, (jnp.where(over, 0.0, B), c, clock, fb)


# The levels jump.
@expects(ii_continuous=FAIL, locality_time=PASS, ii_local=PASS)
class DiscreteLevels(AbstractRule):
    """What a synapse uses of its trace has eight levels to the unit."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        zero = jnp.zeros_like(net.W)
        return {"smooth": zero, "level": zero, "c": jnp.zeros(net.n), "fb": self.feedback.init(net, key)}

    def update(self, net, step, state, key):
        G = state["c"][:, None] * state["level"]
        smooth = (1 - net.alpha) * state["smooth"] + net.alpha * jnp.outer(net.slope(step.v), step.r_hat)
        level = jnp.round(8 * smooth) / 8
        c = leaky(state["c"], self.feedback(net, step, state["fb"]), net.alpha)
        return G, {"smooth": smooth, "level": level, "c": c, "fb": state["fb"]}


# The tags jump to zero.
@expects(ii_continuous=FAIL, locality_time=PASS, ii_local=PASS)
class EmptiedTag(AbstractRule):
    """Gradients are summed up in a tag, which is emptied when it has taught, at every fifth step."""

    @property
    def period(self):
        return 5

    def init(self, net, key):
        zero = jnp.zeros_like(net.W)
        return {
            "B": zero,
            "tag": zero,
            "mean": jnp.zeros(net.n),
            "clock": Clock.at_zero(),
            "fb": random_matrix(key, net.n_out, net.n),
        }

    def update(self, net, step, state, key):
        clock = state["clock"].tick()
        mean = leaky(state["mean"], step.r, net.alpha / 10)
        post = net.slope(step.v) * (1 + mean**2)
        B = (1 - net.alpha) * state["B"] + net.alpha * jnp.outer(post, step.r_hat)
        tag = state["tag"] + (step.error @ state["fb"])[:, None] * B
        zero = jnp.zeros_like(tag)
        G, tag = lax.cond(clock.steps % 5 == 0, lambda t: (t, zero), lambda t: (zero, t), tag)
        return G, {"B": B, "tag": tag, "mean": mean, "clock": clock, "fb": state["fb"]}
