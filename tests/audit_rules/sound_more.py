"""More rules that no criterion fails, and three that it leaves to judgement."""

import jax
import jax.numpy as jnp
from jax import lax

from audit_rules.case import case, credit, immediate
from recredit.rule import AbstractRule, Clock


@case()
class KolenPollack(AbstractRule):
    """Feedback weights that learn with the read-out's own rule."""

    def init(self, net, key):
        return jax.random.normal(key, (net.n_out, net.n), net.W.dtype)

    def update(self, net, step, state, key):
        feedback = 0.999 * state - 0.01 * jnp.outer(step.error, step.r)
        return (jnp.tensordot(step.error, feedback, 1) * net.gain(step.v))[:, None] * step.r_hat, feedback


@case()
class BCM(AbstractRule):
    """A sliding threshold per unit."""

    def init(self, net, key):
        return jnp.ones_like(net.W[:, 0])

    def update(self, net, step, state, key):
        return -jnp.outer(step.r * (step.r - state), step.r_hat), 0.9 * state + 0.1 * step.r**2


@case()
class PairSTDP(AbstractRule):
    """Pre before post potentiates, post before pre depresses: two leaky traces of rates; rows by vmap."""

    def init(self, net, key):
        return jnp.zeros_like(net.W[0]), jnp.zeros_like(net.W[:, 0])

    def update(self, net, step, state, key):
        pre, post = 0.8 * state[0] + 0.2 * step.r_hat, 0.8 * state[1] + 0.2 * step.r
        row = jax.vmap(lambda now, before: before * step.r_hat - now * pre)
        return row(step.r, post), (pre, post)


@case()
class ScaledBySynapse(AbstractRule):
    """The immediate derivative over the root of its own second moment, a number a synapse."""

    def init(self, net, key):
        return jnp.ones_like(net.W)

    def update(self, net, step, state, key):
        G = credit(net, step)[:, None] * immediate(net, step)
        moment = 0.99 * state + 0.01 * G**2
        return G / (jnp.sqrt(moment) + 1e-8), moment


@case()
class ForwardModel(AbstractRule):
    """Synapses that predict the next rates, learning by the delta rule; the surprise drives W."""

    def init(self, net, key):
        return jnp.zeros_like(net.W_rec)

    def update(self, net, step, state, key):
        surprise = step.r - jax.vmap(jnp.dot, (0, None))(state, step.r_prev)
        return -jnp.outer(surprise, step.r_hat), state + 0.01 * jnp.outer(surprise, step.r_prev)


@case()
class TwoLayers(AbstractRule):
    """Rates sent on through two sets of synapses, with an activation between them."""

    def init(self, net, key):
        first, second = jax.random.split(key)
        size = net.n + net.n_out
        return jax.random.normal(first, (size, net.n), net.W.dtype), jax.random.normal(second, (net.n, size), net.W.dtype)

    def update(self, net, step, state, key):
        hidden = jax.nn.sigmoid(state[0] @ step.r)
        return jnp.outer((state[1] @ hidden) * net.gain(step.v), step.r_hat), state


@case()
class NoisyRates(AbstractRule):
    """Noise that only adds to a vector."""

    def init(self, net, key):
        return jnp.zeros_like(net.W[:, 0])

    def update(self, net, step, state, key):
        drift = 0.9 * state + 0.1 * jax.random.normal(key, state.shape, state.dtype)
        return -jnp.outer(step.r + drift, step.r_hat), drift


@case()
class GatedBySurprise(AbstractRule):
    """A trace that opens when the error is large, every other step: where and cond on scalars."""

    def init(self, net, key):
        return {"e": jnp.zeros_like(net.W), "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        open_ = jnp.linalg.norm(step.error) > 0.1
        e = jnp.where(open_, 0.5 * state["e"] + immediate(net, step), state["e"])
        G = lax.cond(state["clock"].steps % 2 == 0, lambda: credit(net, step)[:, None] * e, lambda: jnp.zeros_like(e))
        return G, {"e": e, "clock": state["clock"].tick()}


@case()
class FlatTrace(AbstractRule):
    """RFLO's trace laid out as one vector of n m numbers: still a matrix."""

    def init(self, net, key):
        return jnp.zeros(net.W.size, net.W.dtype)

    def update(self, net, step, state, key):
        trace = (1 - net.alpha) * state + immediate(net, step).ravel()
        return credit(net, step)[:, None] * trace.reshape(net.W.shape), trace


@case()
class RowByRow(AbstractRule):
    """RFLO's trace, one row of it at each round of a scan."""

    def init(self, net, key):
        return {"trace": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        def row(_, at):
            c, gain, trace = at
            trace = (1 - net.alpha) * trace + gain * step.r_hat
            return _, (c * trace, trace)

        _, (G, trace) = lax.scan(row, None, (credit(net, step), net.gain(step.v), state["trace"]))
        return G, {"trace": trace}


@case()
class DeadCode(AbstractRule):
    """What it computes and throws away decides nothing."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        J = net.jacobian(step.v)
        _ = (J @ J).T @ step.v + jax.random.normal(key) * jnp.roll(step.r, 1)
        return credit(net, step)[:, None] * immediate(net, step), 0.9 * state + immediate(net, step)


@case(weighs=("ii-local",))
class NormalisedTrace(AbstractRule):
    """A trace divided by its norm: a scalar from a whole matrix, a global signal."""

    def init(self, net, key):
        return jnp.ones_like(net.W)

    def update(self, net, step, state, key):
        trace = 0.9 * state / jnp.linalg.norm(state) + immediate(net, step)
        return credit(net, step)[:, None] * trace, trace


@case(weighs=("ii-local",))
class CentredTrace(AbstractRule):
    """The mean of a whole matrix, taken off each of its entries."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        trace = 0.9 * (state - jnp.einsum("ij->", state) / state.size) + immediate(net, step)
        return credit(net, step)[:, None] * trace, trace


@case(weighs=("v",))
class SignedUnits(AbstractRule):
    """An independent random sign on each unit's factor: noise that multiplies."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        signs = jax.random.rademacher(key, (net.n,), net.W.dtype)
        trace = 0.9 * state + signs[:, None] * immediate(net, step)
        return credit(net, step)[:, None] * trace, trace
