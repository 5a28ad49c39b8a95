"""Kind 6, noise that units share or that is tied between them (v). Kind 17, keys and short numbers (ii-continuous)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import Plain, credit, gated, influence, shows, twin
from recredit.rule import AbstractRule

# Kind 6, v does not pass: what is added to one unit tells of what is added to another. The twins' units draw for themselves.


class Drifting(AbstractRule):
    """A rule with slow noise, one number a unit."""

    def init(self, net, key):
        return jnp.zeros(net.n)


def draws(net, key):
    return jax.random.normal(key, (net.n,))


@shows(6, "v", "fail", "judgement")
class Cumulative(Plain):
    """The draws added up along the units."""

    def update(self, net, step, state, key):
        return gated(net, step, step.r + 0.1 * jnp.cumsum(draws(net, key))), None


@shows(6, "v", "fail", "judgement")
class Centred(Plain):
    """The draws without their mean."""

    def update(self, net, step, state, key):
        xi = draws(net, key)
        return gated(net, step, step.r + xi - xi.mean()), None


@shows(6, "v", "fail", "judgement")
class WithTheNeighbour(AbstractRule):
    """Each unit has its own draw and its neighbour's."""

    def init(self, net, key):
        return {"drift": jnp.zeros(net.n)}

    def update(self, net, step, state, key):
        xi = 0.1 * draws(net, key)
        drift = 0.9 * state["drift"] + xi + jnp.roll(xi, 1)
        return gated(net, step, step.r + drift), {"drift": drift}


@shows(6, "v", "fail", "judgement")
class CommonPart(Drifting):
    """Each unit's own draw, and one for all."""

    def update(self, net, step, state, key):
        own, common = jax.random.split(key)
        drift = 0.8 * state + 0.1 * draws(net, own) + 0.1 * jax.random.normal(common)
        return gated(net, step, drift), drift


@shows(6, "v", "fail", "judgement")
class InPairs(Plain):
    """Two units at a time share a draw."""

    def update(self, net, step, state, key):
        xi = draws(net, key)[jnp.arange(net.n) // 2]
        return gated(net, step, net.leak(step.r_prev, step.v + 0.1 * xi)), None


@shows(6, "v", "fail", "judgement")
class AlongTheUnits(Plain):
    """A scan along the units: each takes a part of the noise of the one before."""

    def update(self, net, step, state, key):
        def unit(before, xi):
            now = 0.8 * before + xi
            return now, now

        return gated(net, step, step.r + lax.scan(unit, 0.0, draws(net, key))[1]), None


@shows(6, "v", "fail", "judgement")
class OnTheSphere(Plain):
    """A random direction: all draws over their common norm."""

    def update(self, net, step, state, key):
        xi = draws(net, key)
        return gated(net, step, step.r + 0.1 * xi / jnp.linalg.norm(xi)), None


@shows(6, "v", "fail", "judgement")
class CentredLater(AbstractRule):
    """Each unit's noise is its own in the state; what is added to the units is it without its mean."""

    def init(self, net, key):
        return (jnp.zeros(net.n),)

    def update(self, net, step, state, key):
        z = 0.9 * state[0] + 0.1 * draws(net, key)
        return gated(net, step, step.r + (state[0] - state[0].mean())), (z,)


@shows(6, "v", "fail", "judgement")
class SummedOneStepLater(Drifting):
    """The sum of the last step's draws, added to every unit."""

    def update(self, net, step, state, key):
        return gated(net, step, step.r + jnp.sum(state) / net.n), draws(net, key)


@shows(6, "v", "fail", "judgement")
class MirrorImage(Drifting):
    """What one unit is given is taken from the unit opposite."""

    def update(self, net, step, state, key):
        xi = draws(net, key)
        drift = 0.9 * state + 0.1 * (xi - jnp.flip(xi))
        return gated(net, step, drift), drift


@twin(6, "v", "pass")
class KeyOfEachUnit(Drifting):
    """A key, a draw and a slow noise of each unit's own, by vmap."""

    def update(self, net, step, state, key):
        drift = 0.9 * state + 0.1 * jax.vmap(jax.random.normal)(jax.random.split(key, net.n))
        return gated(net, step, step.r + drift), drift


@twin(6, "v", "pass")
class CentredRates(Plain):
    """The rates without their mean, and a draw of each unit's own."""

    def update(self, net, step, state, key):
        return gated(net, step, (step.r - step.r.mean()) + 0.1 * draws(net, key)), None


@twin(6, "v", "pass")
class TwoPopulations(Plain):
    """Two populations draw in turn, each unit once."""

    def update(self, net, step, state, key):
        first, second = jax.random.split(key)
        half = net.n // 2
        xi = jnp.concatenate([jax.random.normal(first, (half,)), jax.random.uniform(second, (net.n - half,))])
        return gated(net, step, net.leak(step.r_prev, step.v + 0.1 * xi)), None


@twin(6, "v", "pass")
class DrawOfEachSynapse(Plain):
    """Each synapse draws for itself, and each unit hears the sum of its own synapses."""

    def update(self, net, step, state, key):
        xi = jax.random.normal(key, net.W.shape)
        return gated(net, step, step.r + 0.1 * jnp.einsum("ij->i", xi)), None


@twin(6, "v", "pass")
class DealtInReverse(Plain):
    """The draws dealt out from the last unit to the first: still one each."""

    def update(self, net, step, state, key):
        return gated(net, step, step.r + 0.1 * draws(net, key)[::-1]), None


# Kind 17, ii-continuous is measured with a typed key as with a raw one, and in half precision as in full: a leaky trace passes.
# The twins put noise, or chance, into the traces themselves.


class Keyed(eqx.Module):
    """Traces, and the keys of two generators."""

    B: jax.Array
    keys: jax.Array


def faded(net, step, B):
    return (1 - net.alpha) * B + influence(net, step)


@shows(17, "ii-continuous", "pass")
class TypedKeyInADict(AbstractRule):
    """Noise on the units from a generator of the rule's own."""

    def init(self, net, key):
        return {"key": jax.random.key(3), "B": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        following, now = jax.random.split(state["key"])
        B = faded(net, step, state["B"])
        c = credit(net, step) + 0.1 * draws(net, now)
        return c[:, None] * B, {"key": following, "B": B}


@shows(17, "ii-continuous", "pass")
class TypedKeyInATuple(AbstractRule):
    """The same, the key behind the traces, moved on by fold_in with a counter."""

    def init(self, net, key):
        return jnp.zeros_like(net.W), jax.random.key(0), jnp.array(0)

    def update(self, net, step, state, key):
        B, own, t = state
        B = faded(net, step, B)
        return (credit(net, step) + draws(net, jax.random.fold_in(own, t)))[:, None] * B, (B, own, t + 1)


@shows(17, "ii-continuous", "pass")
class PairOfTypedKeys(AbstractRule):
    """An array of two typed keys in a module."""

    def init(self, net, key):
        return Keyed(jnp.zeros_like(net.W), jax.random.split(jax.random.key(5)))

    def update(self, net, step, state, key):
        first, second = state.keys
        B = faded(net, step, state.B)
        G = (credit(net, step) + draws(net, first) * jax.random.uniform(second))[:, None] * B
        return G, Keyed(B, jnp.stack([jax.random.split(first)[0], jax.random.split(second)[0]]))


@shows(17, "ii-continuous", "pass")
class TypedKeyOfEachUnit(AbstractRule):
    """A typed key of each unit's own, in a list."""

    def init(self, net, key):
        return [jax.random.split(jax.random.key(1), net.n), jnp.zeros_like(net.W)]

    def update(self, net, step, state, key):
        keys, B = state
        keys, now = jax.vmap(jax.random.split, out_axes=1)(keys)
        B = faded(net, step, B)
        return (credit(net, step) + jax.vmap(jax.random.normal)(now))[:, None] * B, [keys, B]


@shows(17, "ii-continuous", "pass")
class HalfPrecision(AbstractRule):
    """Traces of 16 bits, rounded anew at each step."""

    def init(self, net, key):
        return jnp.zeros(net.W.shape, jnp.float16)

    def update(self, net, step, state, key):
        B = faded(net, step, state.astype(net.W.dtype))
        return credit(net, step)[:, None] * B, B.astype(jnp.float16)


@shows(17, "ii-continuous", "pass")
class BrainFloats(AbstractRule):
    """The same in bfloat16, all of the trace's arithmetic in it."""

    def init(self, net, key):
        return {"B": jnp.zeros(net.W.shape, jnp.bfloat16)}

    def update(self, net, step, state, key):
        B = state["B"] + 0.1 * (influence(net, step).astype(jnp.bfloat16) - state["B"])
        return credit(net, step)[:, None] * B.astype(net.W.dtype), {"B": B}


@twin(17, "ii-continuous", "fail")
class HalfPrecisionThatFlips(AbstractRule):
    """Traces of 16 bits that change their sign at each step."""

    def init(self, net, key):
        return (jnp.ones(net.W.shape, jnp.float16),)

    def update(self, net, step, state, key):
        B = -state[0]
        return credit(net, step)[:, None] * B.astype(net.W.dtype), (B,)


@twin(17, "ii-continuous", "fail")
class TypedKeyShakesTheTrace(AbstractRule):
    """A trace of noise: it wanders from step to step, its change does not shrink with them."""

    def init(self, net, key):
        return {"key": jax.random.key(3), "B": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        following, now = jax.random.split(state["key"])
        B = 0.9 * state["B"] + jnp.outer(draws(net, now), step.r_hat)
        return credit(net, step)[:, None] * B, {"key": following, "B": B}


@twin(17, "ii-continuous", "fail")
class TypedKeyResetsTheTrace(AbstractRule):
    """Each unit's traces start again when its coin says so."""

    def init(self, net, key):
        return Keyed(jnp.zeros_like(net.W), jax.random.split(jax.random.key(2)))

    def update(self, net, step, state, key):
        falls = jax.random.bernoulli(state.keys[0], 0.2, (net.n, 1))
        B = jnp.where(falls, 0.0, 0.9 * state.B) + influence(net, step)
        return credit(net, step)[:, None] * B, Keyed(B, jax.random.split(state.keys[1]))
