"""Kind 12, operations that an audit need not know, within one neuron or one synapse (ii-local)."""

import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import Traced, credit, gated, influence, shows, twin
from recredit.blocks.buffers import push
from recredit.rule import AbstractRule

# ii-local: to judgement, or a pass where it is seen that each unit is by itself; a cross would say what is not so. The twins
# hold the same operations beside a known one that takes from another unit: that is seen, and fails.


class Histories(AbstractRule):
    """A rule with each unit's rates of the last eight steps, (n, 8), newest first."""

    def init(self, net, key):
        return {"past": jnp.zeros((net.n, 8))}

    def moved(self, step, state):
        return jnp.concatenate([step.r[:, None], state["past"][:, :-1]], axis=1)


@shows(12, "ii-local", "pass", "judgement")
class Convolved(Histories):
    """Each unit's history under a kernel, by NumPy's convolve and vmap."""

    def update(self, net, step, state, key):
        past, kernel = self.moved(step, state), 0.8 ** jnp.arange(8)
        filtered = jax.vmap(lambda h: jnp.convolve(h, kernel, mode="valid")[0])(past)
        return gated(net, step, filtered), {"past": past}


@shows(12, "ii-local", "pass", "judgement")
class BandPassed(Histories):
    """Each unit's history without its slowest part, by Fourier transforms along time."""

    def update(self, net, step, state, key):
        past = self.moved(step, state)
        spectrum = jnp.fft.rfft(past, axis=1).at[:, 0].set(0)
        return gated(net, step, jnp.fft.irfft(spectrum, n=8, axis=1)[:, 0]), {"past": past}


@shows(12, "ii-local", "pass", "judgement")
class SettlesUntilDone(AbstractRule):
    """Each unit settles by itself, in a loop that ends when all have."""

    def init(self, net, key):
        return jnp.zeros(net.n)

    def update(self, net, step, state, key):
        def unsettled(now):
            u, before = now
            return jnp.max(jnp.abs(u - before)) > 1e-3

        def settle(now):
            u, _ = now
            return 0.5 * u + 0.5 * jnp.tanh(step.v - 0.3 * u), u

        u, _ = lax.while_loop(unsettled, settle, (state, state + 1.0))
        return gated(net, step, u), u


@shows(12, "ii-local", "pass", "judgement")
class HalvedUntilSmall(Traced):
    """Each trace is halved until it is small, under two vmaps of a loop."""

    def update(self, net, step, state, key):
        def small(b):
            return lax.while_loop(lambda x: jnp.abs(x) > 0.5, lambda x: x / 2, b)

        B = jax.vmap(jax.vmap(small))(0.9 * state + influence(net, step))
        return credit(net, step)[:, None] * B, B


@shows(12, "ii-local", "pass", "judgement")
class MedianOfItsHistory(AbstractRule):
    """Each unit's threshold is the median of its own last rates."""

    def init(self, net, key):
        return (jnp.zeros((7, net.n)),)

    def update(self, net, step, state, key):
        past = push(state[0], step.r)
        return gated(net, step, step.r - jnp.median(past, axis=0)), (past,)


@shows(12, "ii-local", "pass", "judgement")
class LookedUp(Traced):
    """Each unit's gain from a table of its voltage, by interpolation."""

    def update(self, net, step, state, key):
        at = jnp.linspace(-3.0, 3.0, 13)
        B = 0.9 * state + jnp.interp(step.v, at, 1 - jnp.tanh(at) ** 2)[:, None] * step.r_hat[None, :]
        return credit(net, step)[:, None] * B, B


@shows(12, "ii-local", "pass", "judgement")
class PooledInTime(Histories):
    """The largest of each unit's last rates, by a reduced window."""

    def update(self, net, step, state, key):
        past = self.moved(step, state)
        pooled = lax.reduce_window(past, -jnp.inf, lax.max, (1, 8), (1, 1), "VALID")
        return gated(net, step, pooled[:, 0]), {"past": past}


@twin(12, "ii-local", "fail")
class ConvolvedOfTheNext(Histories):
    """The same convolution, beside the weights of the unit before."""

    def update(self, net, step, state, key):
        past, kernel = self.moved(step, state), 0.8 ** jnp.arange(8)
        filtered = jax.vmap(lambda h: jnp.convolve(h, kernel, mode="valid")[0])(past)
        return gated(net, step, filtered) + 0.1 * jnp.roll(net.W, 1, axis=0), {"past": past}


@twin(12, "ii-local", "fail")
class SettlesAndMixes(Traced):
    """Units settle one by one in a loop of unknown length; traces take from those of the row above, by known operations."""

    def update(self, net, step, state, key):
        def settle(v):
            return lax.while_loop(lambda u: jnp.abs(u) > 1.0, lambda u: u / 2, v)

        u = jax.vmap(settle)(step.v)
        B = 0.8 * state + 0.1 * jnp.roll(state, 1, axis=0) + influence(net, step)
        return (credit(net, step) + 0.1 * u)[:, None] * B, B


@twin(12, "ii-local", "fail")
class WeightedHistoryOfAnother(Histories):
    """Each unit's history under a kernel, given to the unit opposite: no unknown operation."""

    def update(self, net, step, state, key):
        past = self.moved(step, state)
        filtered = past @ 0.8 ** jnp.arange(8)
        return gated(net, step, filtered[::-1]), {"past": past}
