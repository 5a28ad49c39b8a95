"""Kind 22, iii fails: a number of each synapse passes through synapses, in whatever spelling. The twins send rates."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import TwoRecurrent, credit, gated, influence, keep, shows, twin
from recredit.rule import AbstractRule


class Mixing(AbstractRule):
    """A rule with a trace a synapse, which fixed synapses between the units mix."""

    mix: Callable[..., jax.Array]

    def init(self, net, key):
        return {"E": jnp.zeros_like(net.W), "R": jax.random.normal(key, (net.n, net.n)) / net.n**0.5}

    def update(self, net, step, state, key):
        E = (1 - net.alpha) * state["E"] + influence(net, step)
        return credit(net, step)[:, None] * self.mix(net, state["R"], E), {**state, "E": E}


def in_a_loop(net, R, E):
    return lax.fori_loop(0, net.n, lambda k, total: total + jnp.outer(R[:, k], E[k]), jnp.zeros_like(E))


MIXED = {
    "MixedAtOnce": lambda net, R, E: R @ E,
    "MixedByColumns": lambda net, R, E: jax.vmap(lambda column: R @ column, 1, 1)(E),
    "MixedByBroadcast": lambda net, R, E: (R[:, :, None] * E[None]).sum(1),
    "MixedInALoop": in_a_loop,
    "MixedWithTheWeights": lambda net, R, E: jnp.einsum("ik,kj->ij", net.W_rec, E * E) + 0.1 * R.sum() * E,
}
for name, mix in MIXED.items():
    keep(name, partial(Mixing, mix), 22, "iii", ["fail"])
keep("ScaledByGains", partial(Mixing, lambda net, R, E: jnp.diagonal(R)[:, None] * E), 22, "iii", ["pass"], twin=True)


@shows(22, "iii", "fail")
class MixedAfresh(TwoRecurrent):
    """No trace is kept: the products of gains and rates of this step pass."""

    def update(self, net, step, state, key):
        return credit(net, step)[:, None] * (state[0] @ influence(net, step)), state


@twin(22, "iii", "pass")
class RatesPass(TwoRecurrent):
    """Rates pass through one set of synapses, and what the units make of them through the other."""

    def update(self, net, step, state, key):
        return gated(net, step, state[1] @ jnp.tanh(state[0] @ step.r)), state


@twin(22, "iii", "judgement")
class GainsTimesRates(TwoRecurrent):
    """A number of each unit passes, made of its rate and its gain: to be weighed."""

    def update(self, net, step, state, key):
        return gated(net, step, state[0] @ (step.r * net.slope(step.v))), state
