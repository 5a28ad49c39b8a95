"""Values of earlier steps that are held, handed on or replayed."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from audit_fresh.case import FAIL, JUDGED, PASS, expects, leaky, random_matrix
from recredit.blocks.feedback import AbstractFeedback, RandomFeedback
from recredit.rule import AbstractRule, Clock


# Each place hands on to the next what it holds.
@expects(locality_time=FAIL, ii_local=PASS)
class FourStepDelay(AbstractRule):
    """Credit meets the presynaptic rates of four steps ago, which a list hands on."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        z = jnp.zeros(net.W.shape[1])
        return [z, z, z, z], self.feedback.init(net, key)

    def update(self, net, step, state, key):
        (d1, d2, d3, d4), fb = state
        c = self.feedback(net, step, fb) * net.gain(step.v)
        return jnp.outer(c, d4), ([step.r_hat, d1, d2, d3], fb)


# Rates are kept as they were.
@expects(locality_time=FAIL, ii_local=PASS)
class SampleAndHold(AbstractRule):
    """The presynaptic rates of every eighth step are held until the next."""

    every: int = 8

    def init(self, net, key):
        return Clock.at_zero(), jnp.zeros(net.W.shape[1]), random_matrix(key, net.n_out, net.n)

    def update(self, net, step, state, key):
        clock, held, fb = state
        held = lax.cond(clock.steps % self.every == 0, lambda h: step.r_hat, lambda h: h, held)
        post = (step.error @ fb) * net.gain(step.v)
        return post[:, None] * held, (clock.tick(), held, fb)


# Inputs are kept as they were.
@expects(locality_time=FAIL, ii_local=PASS, ii_continuous=PASS)
class NearestSpike(AbstractRule):
    """Nearest-spike STDP: the last large input counts until the next."""

    feedback: AbstractFeedback = RandomFeedback()

    def init(self, net, key):
        return {"last": jnp.zeros(net.W.shape[1]), "e": jnp.zeros_like(net.W), "fb": self.feedback.init(net, key)}

    def update(self, net, step, state, key):
        last = jnp.where(jnp.abs(step.r_hat) > 0.3, step.r_hat, state["last"])
        e = leaky(state["e"], net.slope(step.v)[:, None] * last, net.alpha)
        return self.feedback(net, step, state["fb"])[:, None] * e, {"last": last, "e": e, "fb": state["fb"]}


# A delay line, and credit that goes linearly and backwards through W.
@expects(locality_time=FAIL, iii=FAIL, vii=FAIL, ii_stored=PASS)
class ThreeStepBPTT(AbstractRule):
    """BPTT over three steps."""

    def init(self, net, key):
        n, m = net.W.shape
        none = (jnp.zeros(n), jnp.zeros(m))
        return {"line": (none, none), "fb": random_matrix(key, net.n_out, n)}

    def update(self, net, step, state, key):
        line = ((step.v, step.r_hat), *state["line"])
        c, G = step.error @ state["fb"], jnp.zeros_like(net.W)
        for v, r_hat in line:
            local = c * net.gain(v)
            G = G + jnp.outer(local, r_hat)
            c = (1 - net.alpha) * c + local @ net.W_rec
        return G, {"line": line[:2], "fb": state["fb"]}


class Slot(NamedTuple):
    post: jax.Array
    pre: jax.Array


# Activity is kept as it was.
@expects(locality_time=FAIL, i=PASS)
class ReplaySlot(AbstractRule):
    """Every tenth step is kept, and learned from again at each."""

    feedback: AbstractFeedback = RandomFeedback()
    every: int = 10

    def init(self, net, key):
        return Slot(jnp.zeros(net.n), jnp.zeros(net.W.shape[1])), Clock.at_zero(), self.feedback.init(net, key)

    def update(self, net, step, state, key):
        slot, clock, fb = state
        fresh = Slot(self.feedback(net, step, fb) * net.gain(step.v), step.r_hat)
        store = clock.steps % self.every == 0
        slot = lax.cond(store, lambda old, new: new, lambda old, new: old, slot, fresh)
        return jnp.outer(*fresh) + 0.5 * jnp.outer(*slot), (slot, clock.tick(), fb)


# Earlier steps are kept, and one draw decides for all neurons.
@expects(locality_time=FAIL, v=JUDGED)
class RandomReplay(AbstractRule):
    """One of the last eight steps is replayed at random."""

    size: int = 8

    def init(self, net, key):
        n, m = net.W.shape
        return jnp.zeros((self.size, n)), jnp.zeros((self.size, m)), Clock.at_zero(), random_matrix(key, net.n_out, n)

    def update(self, net, step, state, key):
        posts, pres, clock, fb = state
        at = clock.steps % self.size
        posts = posts.at[at].set((step.error @ fb) * net.gain(step.v))
        pres = pres.at[at].set(step.r_hat)
        drawn = jax.random.randint(key, (), 0, self.size)
        return jnp.outer(posts[drawn], pres[drawn]), (posts, pres, clock.tick(), fb)


# Sixteen losses belong to no neuron, and are handed on.
@expects(i=FAIL, locality_time=FAIL, ii_local=PASS)
class WindowedBaseline(AbstractRule):
    """The loss is compared with the mean of the last sixteen."""

    window: int = 16

    def init(self, net, key):
        return jnp.zeros(self.window), jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        losses, E = state
        loss = jnp.sum(step.error**2)
        E = (1 - net.alpha) * E + net.alpha * jnp.outer(step.r, step.r_hat)
        G = (loss - losses.mean()) * E
        return G, (jnp.roll(losses, 1).at[0].set(loss), E)
