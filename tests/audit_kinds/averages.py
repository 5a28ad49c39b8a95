"""Kind 15, leaky averages of rates, however spelt, through synapses (iii)."""

import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import Recurrent, credit, gated, shows, twin
from recredit.rule import AbstractRule

# iii passes: a leaky average of rates is a rate. The twins' averages are of what is no rate.


class Averaged(AbstractRule):
    """A rule with random synapses and an average, sent through them."""

    def init(self, net, key):
        return {"S": jax.random.normal(key, (net.n, net.n)) / net.n**0.5, "mean": jnp.zeros(net.n)}

    def sends(self, net, step, state, mean):
        return gated(net, step, state["S"] @ mean), {"S": state["S"], "mean": mean}


@shows(15, "iii", "pass")
class MovesTowards(Averaged):
    """m + a (r - m)."""

    def update(self, net, step, state, key):
        mean = state["mean"] + 0.1 * (step.r - state["mean"])
        return self.sends(net, step, state, mean)


@shows(15, "iii", "pass")
class MovesAwayFrom(Averaged):
    """m - dt / tau (m - r)."""

    tau: float = 20.0

    def update(self, net, step, state, key):
        mean = state["mean"]
        mean -= (1.0 / self.tau) * (mean - step.r)
        return self.sends(net, step, state, mean)


@shows(15, "iii", "pass")
class DividedAverage(Averaged):
    """(9 m + r) / 10."""

    def update(self, net, step, state, key):
        return self.sends(net, step, state, (9 * state["mean"] + step.r) / 10)


@shows(15, "iii", "pass")
class WeightedAverage(Averaged):
    """NumPy's average of a pair, with weights."""

    def update(self, net, step, state, key):
        mean = jnp.average(jnp.stack([state["mean"], step.r]), axis=0, weights=jnp.array([0.9, 0.1]))
        return self.sends(net, step, state, mean)


@shows(15, "iii", "pass")
class OwnTimeConstants(AbstractRule):
    """Time constants of each unit's own, drawn once and kept."""

    def init(self, net, key):
        tau = jax.random.uniform(key, (net.n,), minval=5.0, maxval=20.0)
        return jax.random.normal(key, (net.n, net.n)) / net.n**0.5, jnp.zeros(net.n), tau

    def update(self, net, step, state, key):
        S, mean, tau = state
        mean = mean + (step.r - mean) / tau
        return gated(net, step, jnp.einsum("ij,j->i", S, mean)), (S, mean, tau)


@shows(15, "iii", "pass")
class OwnLeaksBySigmoid(AbstractRule):
    """How much each unit keeps is the sigmoid of a number of its own."""

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        S, theta = jax.random.normal(k1, (net.n, net.n)) / net.n**0.5, jax.random.normal(k2, (net.n,))
        return {"S": S, "theta": theta, "mean": jnp.zeros(net.n)}

    def update(self, net, step, state, key):
        keep = jax.nn.sigmoid(state["theta"])
        mean = keep * state["mean"] + (1 - keep) * step.r
        return gated(net, step, jax.vmap(jnp.dot, (0, None))(state["S"], mean)), {**state, "mean": mean}


@shows(15, "iii", "pass")
class SeveralRounds(Averaged):
    """Four small steps towards the rates, in a loop."""

    def update(self, net, step, state, key):
        mean = lax.fori_loop(0, 4, lambda _, m: m + 0.03 * (step.r - m), state["mean"])
        return self.sends(net, step, state, mean)


@shows(15, "iii", "pass")
class AverageOfAnAverage(AbstractRule):
    """Two stages, by a helper."""

    def init(self, net, key):
        return [jax.random.normal(key, (net.n, net.n)) / net.n**0.5, jnp.zeros(net.n), jnp.zeros(net.n)]

    def update(self, net, step, state, key):
        def mixed(old, new, part):
            return old + part * (new - old)

        S, first, second = state
        first = mixed(first, step.r, 0.2)
        second = mixed(second, first, 0.2)
        return gated(net, step, (S * second).sum(axis=1)), [S, first, second]


@twin(15, "iii", "fail")
class AverageOfVoltages(Averaged):
    """The same increment towards the voltages: no rate passes."""

    def update(self, net, step, state, key):
        mean = state["mean"] + 0.1 * (step.v - state["mean"])
        return self.sends(net, step, state, mean)


@twin(15, "iii", "fail")
class AverageOfWhatIsHeard(Averaged):
    """The average of a linear image of another product, no activation between."""

    def update(self, net, step, state, key):
        heard = state["S"] @ step.r
        return self.sends(net, step, state, (9 * state["mean"] + heard) / 10)


@twin(15, "iii", "fail")
class AverageOfCredit(Recurrent):
    """The average of the credit, a linear image of the error, with time constants of each unit's own."""

    def init(self, net, key):
        tau = jax.random.uniform(key, (net.n,), minval=5.0, maxval=20.0)
        return super().init(net, key), jnp.zeros(net.n), tau

    def update(self, net, step, state, key):
        S, mean, tau = state
        mean = mean + (credit(net, step) - mean) / tau
        return gated(net, step, S @ mean), (S, mean, tau)
