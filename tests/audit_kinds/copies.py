"""Kind 1, second networks (vi): the activation first and the weights later, or half of it a step later."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import drive, gated, shows, twin
from recredit.rule import AbstractRule, Clock


class Halves(eqx.Module):
    """Rates and voltages of a copy of the network."""

    rates: jax.Array
    voltages: jax.Array


class Copied(AbstractRule):
    """A rule with one number a unit, a copy's rate or its potential."""

    def init(self, net, key):
        return jnp.tanh(jax.random.normal(key, (net.n,)))


# vi fails: from the copy's vector through W and the activation back to itself, in whatever order and over however many
# steps. The twins have no such loop: nothing of theirs goes round through W.


@shows(1, "vi", "fail")
class LeaksThenTransmits(AbstractRule):
    """The copy's rates leak from its last voltages; W makes the next voltages of them."""

    def init(self, net, key):
        return {"h": jnp.zeros(net.n), "v": jnp.zeros(net.n)}

    def update(self, net, step, state, key):
        h = net.leak(state["h"], state["v"]) + 0.01 * jax.random.normal(key, (net.n,))
        v = net.W @ jnp.concatenate([h, drive(net, step)])
        return gated(net, step, h - step.r), {"h": h, "v": v}


@shows(1, "vi", "fail")
class PotentialOfRates(Copied):
    """A network of potentials: the activation before W, the leak after it."""

    def update(self, net, step, state, key):
        heard = net.W @ jnp.concatenate([net.phi(state), drive(net, step)])
        u = (1 - net.alpha) * state + net.alpha * (heard + 0.01 * jax.random.normal(key, (net.n,)))
        return gated(net, step, net.phi(u) - step.r), u


@shows(1, "vi", "fail")
class HalfAStepLater(AbstractRule):
    """Rates of the last step's voltages, voltages of the last step's rates: the loop takes two steps."""

    def init(self, net, key):
        return Halves(jnp.zeros(net.n), jnp.zeros(net.n))

    def update(self, net, step, state, key):
        rates = jax.nn.sigmoid(state.voltages)
        voltages = 0.5 * state.voltages + 0.5 * jnp.einsum("ij,j->i", net.W_rec, state.rates)
        return gated(net, step, rates), Halves(rates, voltages)


@shows(1, "vi", "fail")
class TwoPotentials(AbstractRule):
    """Two such copies side by side under vmap, one of them noisy."""

    def init(self, net, key):
        return (0.1 * jax.random.normal(key, (2, net.n)),)

    def update(self, net, step, state, key):
        noise = jnp.stack([jax.random.normal(key, (net.n,)), jnp.zeros(net.n)])

        def one(u, shaken):
            return u + net.alpha * (net.W @ jnp.concatenate([jnp.tanh(u), drive(net, step)]) + shaken - u)

        copies = jax.vmap(one)(state[0], noise)
        return gated(net, step, copies[0] - copies[1]), (copies,)


@shows(1, "vi", "fail")
class UnitByUnit(Copied):
    """Each unit's rate through its column of W, one after the other in a loop."""

    def update(self, net, step, state, key):
        rates = jnp.where(state > 0, state, 0.0)
        heard = lax.fori_loop(0, net.n, lambda j, u: u + rates[j] * net.W[:, j], jnp.zeros(net.n))
        return gated(net, step, rates), 0.7 * state + 0.3 * heard


@shows(1, "vi", "fail")
class WeightsAndActivationInTurn(AbstractRule):
    """Even steps transmit, odd steps make rates, by a cond."""

    def init(self, net, key):
        return jnp.ones(net.n), jnp.zeros(net.n), Clock.at_zero()

    def update(self, net, step, state, key):
        h, v, clock = state
        h, v = lax.cond(
            clock.steps % 2 == 0,
            lambda: (h, net.W @ jnp.concatenate([h, drive(net, step)])),
            lambda: (net.leak(h, v), v),
        )
        return gated(net, step, h), (h, v, clock.tick())


@shows(1, "vi", "fail")
class WeightsOfTheLastStep(AbstractRule):
    """The copy runs through W as it was one step ago, kept in the state."""

    def init(self, net, key):
        return {"copy": jnp.zeros(net.n), "weights": net.W}

    def update(self, net, step, state, key):
        v = state["weights"] @ jnp.concatenate([state["copy"], drive(net, step)])
        copy = net.leak(state["copy"], v + 0.1 * jax.random.normal(key, v.shape))
        return gated(net, step, copy - step.r), {"copy": copy, "weights": net.W}


@shows(1, "vi", "fail")
class DeviationOfACopy(Copied):
    """Only how far the perturbed copy is from the network is kept."""

    def update(self, net, step, state, key):
        copy = step.r_prev + state + 0.01 * jax.random.normal(key, state.shape)
        after = net.leak(copy, net.W @ jnp.concatenate([copy, drive(net, step)]))
        return gated(net, step, after - step.r), after - step.r


@shows(1, "vi", "fail")
class PartByPart(Copied):
    """W in its parts, by broadcast and sum; an activation of its own, in the copy's own words."""

    def update(self, net, step, state, key):
        inward, bias = net.W[:, net.n : -1], net.W[:, -1]
        rates = state / (1 + jnp.abs(state))
        v = (net.W_rec * rates).sum(1) + (inward * step.r_hat[net.n : -1]).sum(1) + bias
        return gated(net, step, rates - step.r), state + 0.2 * (v - state)


@twin(1, "vi", "pass")
class SmoothedVoltage(Copied):
    """A leaky average of the network's own voltages, made a rate: no way back."""

    def update(self, net, step, state, key):
        smooth = 0.8 * state + 0.2 * step.v
        return gated(net, step, net.phi(smooth) - step.r), smooth


@twin(1, "vi", "pass")
class Reservoir(AbstractRule):
    """A population with random synapses of its own, that hears the network's rates: another network, not a copy."""

    def init(self, net, key):
        return {"S": jax.random.normal(key, (net.n, net.n)) / net.n**0.5, "u": jnp.zeros(net.n)}

    def update(self, net, step, state, key):
        u = 0.5 * state["u"] + 0.5 * (state["S"] @ jnp.tanh(state["u"]) + step.r)
        return gated(net, step, jnp.tanh(u)), {"S": state["S"], "u": u}


@twin(1, "vi", "pass")
class SmoothedDrive(Copied):
    """What W_rec brings from the network's rates, averaged, then an activation: the average itself never passes W."""

    def update(self, net, step, state, key):
        heard = (1 - net.alpha) * state + net.alpha * (net.W_rec @ step.r)
        return gated(net, step, jnp.tanh(heard)), heard


@twin(1, "vi", "pass")
class NoiseOnTheNetworkItself(Copied):
    """Slow noise on the network's own voltages, and the rates that they would make: no copy is kept."""

    def update(self, net, step, state, key):
        noise = 0.9 * state + 0.1 * jax.random.normal(key, state.shape)
        return gated(net, step, net.leak(step.r_prev, step.v + noise) - step.r), noise
