"""Kind 21, vii passes: a matrix that starts as W, and is only compared with it entry by entry. The twins' copies transmit."""

import jax
import jax.numpy as jnp

from audit_kinds.case import credit, gated, influence, shows, twin
from recredit.rule import AbstractRule


def delta(net, step):
    return credit(net, step)[:, None] * influence(net, step)


class Anchored(AbstractRule):
    """A rule that keeps W as it was."""

    def init(self, net, key):
        return net.W


@shows(21, "vii", "pass")
class PulledBack(Anchored):
    """Elastic: each weight is pulled back to where it started."""

    def update(self, net, step, state, key):
        return delta(net, step) + 0.1 * (net.W - state), state


@shows(21, "vii", "pass")
class Consolidated(AbstractRule):
    """An anchor that follows W slowly, and the importance of each synapse."""

    def init(self, net, key):
        return {"anchor": jnp.array(net.W), "importance": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        G = delta(net, step)
        importance = 0.99 * state["importance"] + 0.01 * G**2
        anchor = state["anchor"] + 0.01 * (net.W - state["anchor"])
        return G + importance * (net.W - anchor), {"anchor": anchor, "importance": importance}


@shows(21, "vii", "pass")
class RecurrentPartOnly(AbstractRule):
    """Only the recurrent weights have an anchor, of half their size."""

    def init(self, net, key):
        return (0.5 * net.W_rec,)

    def update(self, net, step, state, key):
        return delta(net, step).at[:, : net.n].add(0.1 * (net.W_rec - state[0])), state


@shows(21, "vii", "pass")
class FlatAnchor(AbstractRule):
    """The anchor is stored flat, and each weight's distance from it is bounded."""

    def init(self, net, key):
        return net.W.ravel()

    def update(self, net, step, state, key):
        pull = jax.vmap(lambda w, a: jnp.clip(w - a, -0.1, 0.1))(net.W.ravel(), state)
        return delta(net, step) + pull.reshape(net.W.shape), state


@shows(21, "vii", "pass")
class LastWeights(Anchored):
    """The weights of the step before: momentum from how they moved."""

    def update(self, net, step, state, key):
        return delta(net, step) - 0.5 * (net.W - state), net.W


@twin(21, "vii", "fail")
class AnchorThatTransmits(AbstractRule):
    """A Jacobian that is learned from W_rec on, and carries the credit backwards."""

    def init(self, net, key):
        return net.W_rec

    def update(self, net, step, state, key):
        K = state + 0.01 * jnp.outer(step.r - state @ step.r_prev, step.r_prev)
        return gated(net, step, jnp.tanh(credit(net, step)) @ K), K


@twin(21, "vii", "fail")
class AnchorOfFeedback(AbstractRule):
    """The feedback is pulled towards an anchor that starts as W_rec, transposed."""

    def init(self, net, key):
        return {"K": jnp.zeros_like(net.W_rec), "anchor": net.W_rec.T}

    def update(self, net, step, state, key):
        K = state["K"] + 0.01 * (state["anchor"] - state["K"])
        return gated(net, step, K @ jnp.tanh(credit(net, step))), {"K": K, "anchor": state["anchor"]}


@twin(21, "vii", "fail", "judgement")
class AnchorOfTheOppositeSynapse(AbstractRule):
    """Each weight is pulled to where the one of the opposite direction started."""

    def init(self, net, key):
        return net.W_rec.T

    def update(self, net, step, state, key):
        return delta(net, step).at[:, : net.n].add(0.1 * (net.W_rec - state)), state
