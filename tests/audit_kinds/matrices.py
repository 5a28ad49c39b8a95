"""Kind 21, matrices of other shapes than W's (ii-continuous)."""

import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import drive, gated, shows, twin
from recredit.rule import AbstractRule, Clock

# Kind 21, ii-continuous fails: some matrix between units and outputs, units and inputs, or units and a few neurons jumps. The
# twins' such matrices learn, or what they keep is no matrix.


class FromOutputs(AbstractRule):
    """A rule with synapses of its own from the output's neurons to the units."""

    def init(self, net, key):
        return jax.random.normal(key, (net.n, net.n_out))


class FromInputs(AbstractRule):
    """A rule with synapses of its own from the inputs to the units, and a clock."""

    def init(self, net, key):
        return Clock.at_zero(), 0.1 * jax.random.normal(key, (net.n, net.n_in))


class FewNeurons(AbstractRule):
    """A rule with three neurons of its own, that hear the units and send them a signal, and what their synapses tend to."""

    def init(self, net, key):
        V = 0.5 * jax.random.normal(key, (3, net.n))
        return {"V": V, "tag": V, "U": jnp.ones((net.n, 3))}

    def told(self, net, step, state):
        """The gradient, gated by what they send, and their rates."""
        hidden = jnp.tanh(state["V"] @ step.r)
        return gated(net, step, state["U"] @ hidden), hidden


def fed_back(net, step, K):
    return jnp.outer((K @ step.error) * net.gain(step.v), step.r_hat)


@shows(21, "ii-continuous", "fail")
class SignsOfTheLastProduct(FromOutputs):
    """Feedback synapses are set to plus or minus one at each step."""

    def update(self, net, step, state, key):
        return fed_back(net, step, state), jnp.sign(jnp.outer(step.r, step.error))


@shows(21, "ii-continuous", "fail")
class RedrawnFeedback(FromOutputs):
    """Feedback synapses are drawn anew at each step."""

    def update(self, net, step, state, key):
        return fed_back(net, step, state), jax.random.normal(key, state.shape)


@shows(21, "ii-continuous", "fail")
class FeedbackInEighths(AbstractRule):
    """Feedback synapses, outputs first, in steps of an eighth of what they tend to."""

    def init(self, net, key):
        K = jax.random.normal(key, (net.n_out, net.n))
        return K, jnp.round(8 * K) / 8

    def update(self, net, step, state, key):
        tag = state[0] + 0.02 * (jnp.outer(step.error, step.r) - 0.1 * state[0])
        return fed_back(net, step, state[1].T), (tag, jnp.round(8 * tag) / 8)


@shows(21, "ii-continuous", "fail")
class FeedbackOnOrOff(FromOutputs):
    """Which feedback synapses are open is kept in single bits, and told by the last step."""

    def init(self, net, key):
        return super().init(net, key), jnp.ones((net.n, net.n_out), bool)

    def update(self, net, step, state, key):
        K, is_open = state
        return fed_back(net, step, K * is_open), (K, jnp.outer(step.r, step.error) > 0)


@shows(21, "ii-continuous", "fail")
class FlatFeedbackStartsAgain(AbstractRule):
    """Learned feedback, stored as one row of numbers, is zero again at every 50th step."""

    def init(self, net, key):
        return {"t": jnp.array(0), "K": jax.random.normal(key, (net.n_out * net.n,))}

    def update(self, net, step, state, key):
        t, K = state["t"], state["K"]
        learned = K + 0.01 * jnp.outer(step.error, step.r).ravel()
        K_new = lax.cond(t % 50 == 49, jnp.zeros_like, lambda k: k, learned)
        return fed_back(net, step, K.reshape(net.n_out, net.n).T), {"t": t + 1, "K": K_new}


@shows(21, "ii-continuous", "fail")
class InputSynapsesAreCut(FromInputs):
    """Synapses from the inputs learn, and are cut off now and then."""

    def update(self, net, step, state, key):
        clock, V = state
        x = drive(net, step)[:-1]
        V_new = V + 0.01 * jnp.outer(step.r - V @ x, x)
        V_new = jnp.where(clock.steps % 300 == 200, 0.0, V_new)
        return gated(net, step, V @ x), (clock.tick(), V_new)


@shows(21, "ii-continuous", "fail")
class ThreeNeuronsInQuarters(FewNeurons):
    """Synapses onto three neurons, in steps of a quarter of what they tend to."""

    def update(self, net, step, state, key):
        G, hidden = self.told(net, step, state)
        tag = state["tag"] + 0.02 * jnp.outer(hidden, step.r - 0.1 * state["tag"].mean())
        return G, {**state, "tag": tag, "V": jnp.round(4 * tag) / 4}


@shows(21, "ii-continuous", "fail")
class ThreeNeuronsSetByTheLastStep(FewNeurons):
    """Synapses onto three neurons are plus or minus one, as the last step has it."""

    def update(self, net, step, state, key):
        G, hidden = self.told(net, step, state)
        return G, {**state, "V": jnp.sign(jnp.outer(hidden, step.r))}


@shows(21, "ii-continuous", "fail")
class ThreeNeuronsRedrawn(FewNeurons):
    """Synapses onto three neurons are drawn anew at each step."""

    def update(self, net, step, state, key):
        return self.told(net, step, state)[0], {**state, "V": jax.random.normal(key, state["V"].shape)}


@shows(21, "ii-continuous", "fail")
class ThreeNeuronsForget(FewNeurons):
    """Synapses onto three neurons learn, and start again when an output is too large."""

    def update(self, net, step, state, key):
        G, hidden = self.told(net, step, state)
        V = state["V"] + 0.01 * jnp.outer(hidden, step.r)
        return G, {**state, "V": jnp.where(step.error[0] > 0.2, state["tag"], V)}


@twin(21, "ii-continuous", "pass")
class FeedbackLearns(FromOutputs):
    """Feedback synapses learn as the read-out's do, and decay (Kolen and Pollack 1994)."""

    def update(self, net, step, state, key):
        return fed_back(net, step, state), state - 0.01 * (jnp.outer(step.r, step.error) + 0.1 * state)


@twin(21, "ii-continuous", "pass")
class InputSynapsesLearn(FromInputs):
    """Synapses from the inputs learn, now and then only."""

    def update(self, net, step, state, key):
        clock, V = state
        x = drive(net, step)[:-1]
        V_new = jnp.where(clock.steps % 30 < 15, V + 0.01 * jnp.outer(step.r - V @ x, x), V)
        return gated(net, step, V @ x), (clock.tick(), V_new)


@twin(21, "ii-continuous", "pass")
class ThreeNeuronsLearn(FewNeurons):
    """Synapses onto three neurons learn."""

    def update(self, net, step, state, key):
        G, hidden = self.told(net, step, state)
        return G, {**state, "V": state["V"] + 0.01 * jnp.outer(hidden, step.r)}


@twin(21, "ii-continuous", "pass")
class ThreeStepsOfRates(AbstractRule):
    """The rates of three steps are no matrix, whatever their array's shape."""

    def init(self, net, key):
        return jnp.zeros((3, net.n))

    def update(self, net, step, state, key):
        rates = jnp.concatenate([step.r[None], state[:-1]])
        return gated(net, step, rates[0] - rates[2]), rates
