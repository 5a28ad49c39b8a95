"""Rules for networks of any units that are sound or make one operation that a criterion forbids."""

import jax
import jax.numpy as jnp

from recredit.network.unitwise import row_times, row_times_trace, times_signals, times_trace
from recredit.rule import AbstractRule

CASES = {}


def case(*fails, weighs=()):
    """Keep a rule with the cells that fail and those left to judgement; all others pass."""

    def keep(rule):
        CASES[rule.__name__] = rule, set(fails), set(weighs)
        return rule

    return keep


def sent_back(net, step, feedback):
    """The read-out's error through fixed random synapses."""
    return net.times_out_slope(step.state, step.error @ feedback)


def traces(net, step, E):
    """Each synapse's influence on its own unit's state."""
    at = step.at(net)
    return times_trace(net.memory(at), E) + times_signals(net.gain(at), step.r_hat)


class OneFactor(AbstractRule):
    """A delta rule with a further factor, `read`, of each voltage (P,) and perhaps of each signal (m,)."""

    def init(self, net, key):
        return jax.random.normal(key, net.W_out.shape), self.begin(net, key)

    def begin(self, net, key):
        return None

    def update(self, net, step, state, key):
        feedback, own = state
        post, own = self.read(net, step, own, key)
        credit = row_times(sent_back(net, step, feedback), net.gain(step.at(net)))
        return self.changed(net, step, credit + post), (feedback, own)

    def changed(self, net, step, post):
        return jnp.outer(post, step.r_hat)


def to_voltages(net, u):
    """A number of each unit at each of its voltages."""
    return jnp.tile(u, len(net.units.voltages))


@case()
class EProp(AbstractRule):
    """Traces by the units' own L and D, and random feedback."""

    def init(self, net, key):
        return jnp.zeros(net.own_shape), jax.random.normal(key, net.W_out.shape)

    def update(self, net, step, state, key):
        E = traces(net, step, state[0])
        return row_times_trace(sent_back(net, step, state[1]), E), (E, state[1])


@case()
class FlatEProp(AbstractRule):
    """The same, written out: traces (S, G, n, m) kept in one flat array, sums over a unit's variables in a loop."""

    def init(self, net, key):
        S, G = len(net.units.variables), len(net.units.voltages)
        return jnp.zeros(S * G * net.n * net.W.shape[1]), jax.random.normal(key, net.W_out.shape)

    def update(self, net, step, state, key):
        S, G, n, at = len(net.units.variables), len(net.units.voltages), net.n, step.at(net)
        L = jnp.broadcast_to(net.memory(at), (n,)).reshape(1, 1, n) if S == G == 1 else net.memory(at)
        D, old = net.gain(at).reshape(S, G, n), state[0].reshape(S, G, n, -1)
        E = [[sum(L[s, t, :, None] * old[t, g] for t in range(S)) for g in range(G)] for s in range(S)]
        E = jnp.stack([jnp.stack(row) for row in E]) + D[..., None] * step.r_hat
        credit = sent_back(net, step, state[1]).reshape(S, n, 1)
        rows = [sum(credit[s] * E[s, g] for s in range(S)) for g in range(G)]
        return jnp.concatenate(rows), (E.ravel(), state[1])


@case()
class OwnVoltages(OneFactor):
    """Every voltage of the same unit, and all of its state."""

    def read(self, net, step, own, key):
        S, G = len(net.units.variables), len(net.units.voltages)
        return jnp.roll(step.v, net.n) + to_voltages(net, step.state.reshape(S, -1).sum(0)) / G, own


@case()
class OwnNoise(OneFactor):
    """Noise of each voltage's own, added to it."""

    def read(self, net, step, own, key):
        return step.v + jax.random.normal(key, step.v.shape), own


@case()
class Present(OneFactor):
    """Which synapses there are, and their signs."""

    def read(self, net, step, own, key):
        return step.v, own

    def changed(self, net, step, post):
        G = jnp.outer(post, step.r_hat)
        G = G if net.mask is None else jnp.where(net.mask, G, 0)
        return G if net.signs is None else G * (1 + net.signs)


@case("ii-local")
class NextVoltage(OneFactor):
    """The voltage of the unit beside."""

    def read(self, net, step, own, key):
        return jnp.roll(step.v, 1), own


@case("ii-local")
class NextState(OneFactor):
    """The state of the unit beside."""

    def read(self, net, step, own, key):
        state = step.state_prev.reshape(-1, net.n)
        return to_voltages(net, jnp.roll(state, 1, axis=1).sum(0)), own


@case("ii-local")
class NextGain(OneFactor):
    """The unit beside's derivative."""

    def read(self, net, step, own, key):
        D = net.gain(step.at(net)).reshape(-1, len(net.units.voltages), net.n)
        return jnp.roll(D, 1, axis=2).sum(0).ravel(), own


@case("ii-local")
class NextStrength(OneFactor):
    """The strength of the synapse beside."""

    def read(self, net, step, own, key):
        return step.v, own

    def changed(self, net, step, post):
        return jnp.outer(post, step.r_hat) + jnp.roll(net.W, 1, axis=0)


@case("ii-local")
class NextTrace(AbstractRule):
    """The traces of the unit beside."""

    def init(self, net, key):
        return jnp.zeros(net.own_shape), jax.random.normal(key, net.W_out.shape)

    def update(self, net, step, state, key):
        E = traces(net, step, state[0])
        return row_times_trace(sent_back(net, step, state[1]), jnp.roll(E, 1, axis=-2)), (E, state[1])


@case("vii")
class Backwards(OneFactor):
    """Synapses read from their targets."""

    def read(self, net, step, own, key):
        return step.v, own

    def changed(self, net, step, post):
        return jnp.outer(post, step.r_hat * (jnp.tanh(step.v) @ net.W))


@case("locality-time")
class DelayLine(OneFactor):
    """The rates of three steps."""

    def begin(self, net, key):
        return jnp.zeros((3, net.n))

    def read(self, net, step, own, key):
        return to_voltages(net, own.sum(0)), jnp.concatenate([step.r[None], own[:-1]])


@case("ii-stored")
class AnewEachStep(OneFactor):
    """A matrix between units that follows their activity at once."""

    def read(self, net, step, own, key):
        return to_voltages(net, jnp.tanh(step.r[:, None] + step.r[None]) @ step.r), own


@case("memory", weighs=("ii-local",))
class AllByAll(OneFactor):
    """A number for each unit and each synapse."""

    def begin(self, net, key):
        return jnp.zeros((net.n_state, *net.W.shape))

    def read(self, net, step, own, key):
        own = 0.9 * own + step.state[:, None, None] * step.v[None, :, None] * step.r_hat
        return to_voltages(net, jnp.max(own, axis=(1, 2)).reshape(-1, net.n).sum(0)), own


@case(weighs=("v",))
class OneDraw(OneFactor):
    """One draw for all units."""

    def read(self, net, step, own, key):
        return step.v * jax.random.normal(key), own


@case("v")
class OneDrawForAll(OneFactor):
    """One draw for all synapses."""

    def read(self, net, step, own, key):
        return step.v, own

    def update(self, net, step, state, key):
        G, after = super().update(net, step, state, key)
        return G * jax.random.normal(key), after


@case("iii")
class VoltagesSent(OneFactor):
    """Voltages through synapses."""

    def begin(self, net, key):
        return jax.random.normal(key, net.W[:, :1].shape[:1] * 2)

    def read(self, net, step, own, key):
        return own @ step.v, own


@case("vi")
class SecondNetwork(OneFactor):
    """A second network of the same weights, which noise perturbs."""

    def begin(self, net, key):
        return net.rest()

    def read(self, net, step, own, key):
        s = net.step(own, step.r_hat[net.n : -1])[2] + 0.1 * jax.random.normal(key, own.shape)
        return to_voltages(net, net.rates(s) - step.r), s


@case("iii")
class StateSent(OneFactor):
    """All of the units' state through synapses, not what they send alone."""

    def begin(self, net, key):
        return jax.random.normal(key, (len(net.W), net.n_state))

    def read(self, net, step, own, key):
        return own @ step.state, own
