"""The way the error comes back: feedback that learns, mirrors, relays, hops."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from audit_fresh.case import FAIL, NOT_PASS, PASS, eligibility, expects, immediate, random_feedback
from recredit.rule import AbstractRule


class Mirror(eqx.Module):
    u: jax.Array
    K: jax.Array
    B: jax.Array
    fb: jax.Array


@expects(iii=PASS, v=PASS, vii=PASS, ii_local=PASS, vi=PASS)
class WeightMirror(AbstractRule):
    """A weight mirror: slow private noise drives probe cells, W_rec carries their rates, K learns W_rec's transpose."""

    def init(self, net, key):
        return Mirror(
            jnp.zeros(net.n, net.W.dtype),
            jnp.zeros((net.n, net.n), net.W.dtype),
            jnp.zeros_like(net.W),
            random_feedback(net, key),
        )

    def update(self, net, step, state, key):
        a = net.alpha
        u = state.u + a * (0 - state.u) + a**0.5 * jax.random.normal(key, state.u.shape, state.u.dtype)
        probe = jnp.tanh(u)
        answer = net.W_rec @ probe
        K = (1 - 0.01 * a) * state.K + 0.01 * a * jnp.outer(probe, answer)
        c_bar = step.error @ state.fb
        B = (1 - a) * state.B + immediate(net, step)
        G = (c_bar + a * (K @ jnp.tanh(c_bar)))[:, None] * B
        return G, Mirror(u, K, B, state.fb)


@expects(vii=PASS, ii_local=PASS, ii_continuous=PASS)
class KolenPollackInOrder(AbstractRule):
    """Feedback weights of their own that follow the read-out's delta rule with decay, and so align with it."""

    rate: float = 0.05
    decay: float = 0.01

    def init(self, net, key):
        return (random_feedback(net, key), jnp.zeros_like(net.W))

    def update(self, net, step, state, key):
        F, B = state
        c_bar = step.error @ F
        F = F - net.alpha * (self.rate * jnp.outer(step.error, step.r) + self.decay * F)
        B = (1 - net.alpha) * B + immediate(net, step)
        return jax.vmap(jnp.multiply)(c_bar, B), (F, B)


# F2 @ F1 is evaluated first, and its entries are made of many synapses.
@expects(iv=FAIL, ii_stored=NOT_PASS)
class RelayFeedback(AbstractRule):
    """Error feedback over a relay of four cells: one line, F2 @ F1 @ error; F2 learns to align with the trace of the rates."""

    relay: int = 4

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        return {
            "F1": jax.random.normal(k1, (self.relay, net.n_out), net.W.dtype),
            "F2": jax.random.normal(k2, (net.n, self.relay), net.W.dtype) / self.relay**0.5,
        }

    def update(self, net, step, state, key):
        c = state["F2"] @ state["F1"] @ step.error
        F2 = state["F2"] - 0.01 * net.alpha * jnp.outer(step.r, jnp.tanh(state["F1"] @ step.error))
        return c[:, None] * immediate(net, step), {"F1": state["F1"], "F2": F2}


# W runs backwards, and what it transmits is no rate.
@expects(vii=FAIL, iii=NOT_PASS, ii_stored=PASS, vi=PASS)
class CellSpecificMDGL(AbstractRule):
    """Multidigraph learning without cell types: a modulator from every unit one hop downstream, weighted by the synapse."""

    def init(self, net, key):
        return {"trace": jnp.zeros_like(net.W), "feedback": jax.random.normal(key, (net.n_out, net.n), net.W.dtype)}

    def update(self, net, step, state, key):
        credit = step.error @ state["feedback"]
        secretion = credit * net.gain(step.v)
        modulator = net.W_rec.T @ secretion
        trace = (1 - net.alpha) * state["trace"] + jnp.outer(net.gain(step.v), step.r_hat)
        G = credit[:, None] * trace + modulator[:, None] * state["trace"]
        return G, {"trace": trace, "feedback": state["feedback"]}


class KPState(NamedTuple):
    B: Any
    back: Any


@expects(vii=PASS, ii_local=PASS, ii_stored=PASS)
class KolenPollackUpdatedFirst(AbstractRule):
    """Feedback synapses of their own that learn by the same local product as the read-out's, with decay."""

    rate: float = 0.02
    decay: float = 0.01

    def init(self, net, key):
        return KPState(jnp.zeros_like(net.W), jax.random.normal(key, (net.n_out, net.n), net.W.dtype) / net.n_out**0.5)

    def learn_back(self, net, step, back):
        return back - self.rate * net.alpha * step.error[:, None] * step.r[None, :] - self.decay * net.alpha * back

    def update(self, net, step, state, key):
        back = self.learn_back(net, step, state.back)
        B = (1 - net.alpha) * state.B + net.gain(step.v)[:, None] * step.r_hat
        return (step.error @ back)[:, None] * B, KPState(B, back)


class MirrorState(NamedTuple):
    B: Any
    mirror: Any
    hop: Any


# Each feedback synapse reads the strength of another; the credit goes through two matrices with nothing between.
@expects(ii_local=NOT_PASS, iii=FAIL, ii_stored=PASS)
class DriftingMirror(AbstractRule):
    """Feedback synapses that drift to the strengths of the forward synapses of their pairs, and a hop of credit by them."""

    speed: float = 0.1

    def init(self, net, key):
        mirror = jax.random.normal(key, (net.n, net.n_out), net.W.dtype)
        return MirrorState(jnp.zeros_like(net.W), mirror, jnp.zeros((net.n, net.n), net.W.dtype))

    def drift(self, follower, leader):
        return follower + self.speed * (leader.T - follower)

    def update(self, net, step, state, key):
        mirror, hop = self.drift(state.mirror, net.W_out), self.drift(state.hop, net.W_rec)
        B = (1 - net.alpha) * state.B + net.gain(step.v)[:, None] * step.r_hat
        credit = mirror @ step.error
        return (credit + net.alpha * (hop @ credit))[:, None] * B, MirrorState(B, mirror, hop)


@expects(ii_local=PASS, iii=PASS, iv=PASS, vii=PASS)
class KolenPollack(AbstractRule):
    """RFLO whose feedback learns by Kolen and Pollack's recipe: the same Hebbian product and decay as the read-out."""

    rate: float = 1e-3
    decay: float = 0.1

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "F": random_feedback(net, key)}

    def update(self, net, step, state, key):
        B = eligibility(net, step, state["B"])
        credit = step.error @ state["F"]
        hebb = step.error[:, None] * step.r[None, :]
        F = (1 - self.rate * self.decay) * state["F"] - self.rate * hebb
        return credit[:, None] * B, {"B": B, "F": F}


# The credit, itself a product, goes back through W; the network uses W forwards.
@expects(iii=NOT_PASS, vii=NOT_PASS, ii_local=PASS, ii_stored=PASS)
class OneHopVJP(AbstractRule):
    """RFLO and one hop of credit more: jax.vjp pulls the credit back by one step, where it meets the trace of that step."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        x = step.r_hat[net.n : -1]
        c_bar = step.error @ net.W_out
        _, pull = jax.vjp(lambda r: net.step(r, x)[2], step.r_prev)
        (c_before,) = pull(c_bar)
        B = (1 - net.alpha) * state + immediate(net, step)
        return c_bar[:, None] * B + (c_before - (1 - net.alpha) * c_bar)[:, None] * state, B


# Autodiff runs W and W_out backwards.
@expects(memory=PASS, iv=PASS, vii=FAIL)
class OneStepBack(AbstractRule):
    """RFLO plus one step of true backpropagation, left to autodiff: how would the last rates have had to differ?"""

    weight: float = 0.5

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        def loss(r_prev):
            v = net.W @ jnp.concatenate([r_prev, step.r_hat[net.n :]])
            return net.loss_and_error(net.readout(net.leak(r_prev, v)), step.target)[0]

        earlier = jax.grad(loss)(step.r_prev)
        credit = step.error @ net.W_out
        B = eligibility(net, step, state)
        return credit[:, None] * B + self.weight * earlier[:, None] * state, B
