"""Kind 13, entry-by-entry functions of what is stored (ii-stored). Kind 14, activations of every shape (iii)."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp

from audit_kinds.case import Recurrent, TwoRecurrent, gated, keep, shows, twin
from recredit.rule import AbstractRule

# Kind 13, ii-stored passes: each entry of the matrix is a function of what its own synapse stores. The twins' entries move with
# the activity of the step.


class Reads(Recurrent):
    """The rates through a function of each stored strength."""

    function: Callable = eqx.field(static=True)

    def update(self, net, step, state, key):
        return gated(net, step, self.function(state) @ step.r), state


ENTRIES = {
    "Relu": jax.nn.relu,
    "Softplus": jax.nn.softplus,
    "Exp": lambda S: jnp.exp(S),
    "Square": lambda S: S**2,
    "Abs": jnp.abs,
    "Clip": lambda S: jnp.clip(S, 0.0, 1.0),
    "Choice": lambda S: jnp.where(S > 0, S, 0.1 * S),
    "Root": lambda S: jnp.sign(S) * jnp.sqrt(jnp.abs(S)),
    "Sigmoid": lambda S: 2 / (1 + jnp.exp(-S)) - 1,
}

for name, function in ENTRIES.items():
    keep(f"{name}OfStrengths", partial(Reads, function), 13, "ii-stored", {"pass"})


@shows(13, "ii-stored", "pass")
class SignedSynapses(AbstractRule):
    """Strengths that learn times a fixed sign of each synapse."""

    def init(self, net, key):
        return {"S": jnp.ones((net.n, net.n)), "sign": jax.random.rademacher(key, (net.n, net.n), float)}

    def update(self, net, step, state, key):
        S = 0.99 * state["S"] + 0.01 * jnp.outer(step.r, step.r_prev)
        return gated(net, step, (S * state["sign"]) @ step.r), {"S": S, "sign": state["sign"]}


@shows(13, "ii-stored", "pass")
class DalesLaw(AbstractRule):
    """Positive strengths times a fixed sign of each sender, by einsum."""

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        return jax.random.normal(k1, (net.n, net.n)), jax.random.rademacher(k2, (net.n,), float)

    def update(self, net, step, state, key):
        S, sign = state
        effective = jax.nn.softplus(S) * sign[None, :]
        return gated(net, step, jnp.einsum("ij,j->i", effective, step.r)), state


@shows(13, "ii-stored", "pass")
class SumOfTwoSets(TwoRecurrent):
    """A slow and a fast set of synapses, added and then read."""

    def update(self, net, step, state, key):
        slow, fast = state
        fast = 0.9 * fast + 0.1 * jnp.outer(step.r, step.r_prev)
        return gated(net, step, (slow + fast) @ step.r), jnp.stack([slow, fast])


@shows(13, "ii-stored", "pass")
class MaskedStrengths(AbstractRule):
    """A mask drawn once."""

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        return [jax.random.normal(k1, (net.n, net.n)), jax.random.bernoulli(k2, 0.5, (net.n, net.n))]

    def update(self, net, step, state, key):
        S, exists = state
        return gated(net, step, jnp.where(exists, S, 0.0) @ step.r), state


@shows(13, "ii-stored", "pass")
class LogStrengths(AbstractRule):
    """Logarithms of strengths learn; their exponentials transmit, row by row."""

    def init(self, net, key):
        return {"log": 0.1 * jax.random.normal(key, (net.n, net.n))}

    def update(self, net, step, state, key):
        log = 0.99 * state["log"] + 0.01 * jnp.outer(step.r, step.r_prev)
        return gated(net, step, jax.vmap(jnp.dot, (0, None))(jnp.exp(log), step.r)), {"log": log}


@shows(13, "ii-stored", "pass")
class ExcitationAndInhibition(TwoRecurrent):
    """Two positive sets side by side, one taken off: read by the rates and by those of the step before."""

    def update(self, net, step, state, key):
        both = jnp.concatenate([jax.nn.relu(state[0]), -jax.nn.relu(state[1])], axis=1)
        return gated(net, step, both @ jnp.concatenate([step.r, step.r_prev])), state


@shows(13, "ii-stored", "pass")
class HalfWayToTheWeights(Recurrent):
    """The mean of synapses of the rule's own and of the network's, by broadcast and sum."""

    def update(self, net, step, state, key):
        return gated(net, step, (0.5 * (state + net.W_rec) * step.r[None, :]).sum(-1)), state


@twin(13, "ii-stored", "fail")
class ReluOfDrivenStrengths(Recurrent):
    """Strengths pushed by the activity of the step, then rectified and read."""

    def update(self, net, step, state, key):
        return gated(net, step, jax.nn.relu(state + jnp.outer(step.r, step.r_prev)) @ step.r), state


@twin(13, "ii-stored", "fail")
class SignsOfVoltages(Recurrent):
    """Strengths times the sign of each unit's voltage."""

    def update(self, net, step, state, key):
        return gated(net, step, (jax.nn.softplus(state) * jnp.sign(step.v)[:, None]) @ step.r), state


@twin(13, "ii-stored", "fail")
class OneSetWithGain(TwoRecurrent):
    """The sum of two sets, of which one is scaled by each unit's gain."""

    def update(self, net, step, state, key):
        effective = state[0] + net.gain(step.v)[:, None] * state[1]
        return gated(net, step, jnp.einsum("ij,j->i", effective, step.r)), state


# Kind 14, iii passes: any function of one number that is not affine makes a rate of what a unit hears. The twins' are affine.


class Twice(TwoRecurrent):
    """The rates through one set of synapses, a function of what each unit hears, and through another set."""

    function: Callable = eqx.field(static=True)

    def update(self, net, step, state, key):
        first, second = state
        return gated(net, step, second @ self.function(first @ step.r)), state


def rectified_power(u, exponent=1.5):
    """A supralinear power law of the positive part."""
    return jnp.where(u > 0, jnp.where(u > 0, u, 1.0) ** exponent, 0.0)


ACTIVATIONS = {
    "Softsign": lambda u: u / (1 + jnp.abs(u)),
    "Silu": jax.nn.silu,
    "Gelu": jax.nn.gelu,
    "Hill": lambda u: u**2 / (0.5 + u**2),
    "Elu": jax.nn.elu,
    "LeakyRelu": lambda u: jnp.where(u > 0, u, 0.01 * u),
    "HardTanh": lambda u: jnp.clip(u, -1, 1),
    "Softplus": lambda u: jnp.log(1 + jnp.exp(u)),
    "Arctan": jnp.arctan,
    "Swish": lambda u: u * (1 / (1 + jnp.exp(-u))),
    "Cubic": lambda u: u - u**3 / 6,
    "LogOfRelu": lambda u: jnp.log1p(jnp.maximum(u, 0)),
    "Tuned": lambda u: jnp.exp(-((u - 1) ** 2)),
    "PowerLaw": rectified_power,
}

for name, function in ACTIVATIONS.items():
    keep(name, partial(Twice, function), 14, "iii", {"pass"})


@shows(14, "iii", "pass")
class AdaptiveThreshold(AbstractRule):
    """What each unit hears above a threshold of its own, a slow average of it."""

    def init(self, net, key):
        return {"S": jax.random.normal(key, (2, net.n, net.n)) / net.n**0.5, "theta": jnp.zeros(net.n)}

    def update(self, net, step, state, key):
        u = state["S"][0] @ step.r
        rates = jax.nn.relu(u - state["theta"])
        heard = jnp.einsum("ij,j->i", state["S"][1], rates)
        return gated(net, step, heard), {**state, "theta": 0.99 * state["theta"] + 0.01 * u}


AFFINE = {
    "TwicePlusOne": lambda u: 2 * u + 1,
    "Mixed": lambda u: (1 - 0.3) * u + 0.3 * u,
    "Divided": lambda u: u / (1 + jnp.abs(-0.5)),
    "Polynomial": lambda u: jnp.polyval(jnp.array([2.0, -1.0]), u),
    "Negative": lambda u: -u,
}

for name, function in AFFINE.items():
    keep(name, partial(Twice, function), 14, "iii", {"fail"}, twin=True)


@twin(14, "iii", "fail")
class OwnGainAndBias(AbstractRule):
    """A gain and an offset of each unit's own: affine in what it hears."""

    def init(self, net, key):
        return {"S": jax.random.normal(key, (2, net.n, net.n)) / net.n**0.5, "gain": jnp.ones(net.n), "bias": jnp.ones(net.n)}

    def update(self, net, step, state, key):
        first, second = state["S"]
        u = state["gain"] * (first @ step.r) + state["bias"]
        return gated(net, step, jnp.einsum("ij,j->i", second, u)), state
