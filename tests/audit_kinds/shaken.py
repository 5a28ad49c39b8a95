"""Kind 2, second networks whose weights do not stand there bare (vi)."""

import equinox as eqx
import jax
import jax.numpy as jnp

from audit_kinds.case import Plain, Recurrent, drive, gated, shows, twin
from recredit.rule import AbstractRule


class Copied(AbstractRule):
    """A rule with one number a unit, a copy's rate or its potential."""

    def init(self, net, key):
        return jnp.tanh(jax.random.normal(key, (net.n,)))


# vi does not pass: the copy's weights are made of W entry by entry. The twins shake or mask weights, and no vector but
# the network's own goes round through them.


@shows(2, "vi", "fail", "judgement")
class ShakenWeights(Copied):
    """Weight perturbation: every weight of the copy shaken."""

    def update(self, net, step, state, key):
        xi = 0.01 * jax.random.normal(key, net.W.shape)
        copy = net.leak(state, (net.W + xi) @ jnp.concatenate([state, drive(net, step)]))
        return jnp.sum(copy - step.r) * xi, copy


@shows(2, "vi", "fail", "judgement")
class SPSA(AbstractRule):
    """Two copies, the weights moved to either side; the difference of their losses."""

    sigma: float = 0.01

    def init(self, net, key):
        return {"plus": jnp.zeros(net.n), "minus": jnp.zeros(net.n)}

    def update(self, net, step, state, key):
        delta = jax.random.rademacher(key, net.W.shape, net.W.dtype)

        def run(r, W):
            r = net.leak(r, W @ jnp.concatenate([r, drive(net, step)]))
            return r, net.loss_and_error(net.readout(r), step.target)[0]

        plus, above = run(state["plus"], net.W + self.sigma * delta)
        minus, below = run(state["minus"], net.W - self.sigma * delta)
        return (above - below) / (2 * self.sigma) * delta, {"plus": plus, "minus": minus}


@shows(2, "vi", "fail", "judgement")
class DropConnect(Copied):
    """Each of the copy's synapses fails with some chance."""

    def update(self, net, step, state, key):
        works = jax.random.bernoulli(key, 0.8, net.W_rec.shape)
        copy = net.leak(state, jnp.where(works, net.W_rec, 0) @ state)
        return gated(net, step, copy - step.r), copy


@shows(2, "vi", "fail", "judgement")
class RelativeNoise(AbstractRule):
    """Each weight of the copy shaken in proportion to itself, by einsum."""

    def init(self, net, key):
        return [jnp.zeros(net.n)]

    def update(self, net, step, state, key):
        shaken = net.W * (1 + 0.1 * jax.random.normal(key, net.W.shape))
        v = jnp.einsum("ij,j->i", shaken, jnp.concatenate([state[0], drive(net, step)]))
        return gated(net, step, jnp.tanh(v) - step.r), [jnp.tanh(v)]


@shows(2, "vi", "fail", "judgement")
class ShakenByTreeAt(Copied):
    """A network with other weights, made by tree surgery, runs its own step."""

    def update(self, net, step, state, key):
        shaken = eqx.tree_at(lambda n: n.W, net, net.W + 0.05 * jax.random.normal(key, net.W.shape))
        copy = shaken.step(state, step.r_hat[net.n : -1])[2]
        return gated(net, step, copy - step.r), copy


@shows(2, "vi", "fail", "judgement")
class EnsembleOfShakenCopies(AbstractRule):
    """Four copies with weights of their own under vmap."""

    def init(self, net, key):
        return jnp.zeros((4, net.n))

    def update(self, net, step, state, key):
        def one(h, k):
            W = net.W + 0.02 * jax.random.normal(k, net.W.shape)
            return jnp.tanh(W @ jnp.concatenate([h, drive(net, step)]))

        copies = jax.vmap(one)(state, jax.random.split(key, 4))
        return gated(net, step, copies.mean(0) - step.r), copies


@shows(2, "vi", "fail", "judgement")
class SlowlyShakenWeights(AbstractRule):
    """The weights' noise wanders slowly, kept in the state; potentials, so that the activation comes first."""

    def init(self, net, key):
        return {"u": jnp.zeros(net.n), "xi": jnp.zeros_like(net.W_rec)}

    def update(self, net, step, state, key):
        xi = 0.95 * state["xi"] + 0.05 * jax.random.normal(key, state["xi"].shape)
        u = 0.5 * state["u"] + 0.5 * jnp.dot(net.W_rec + xi, jnp.tanh(state["u"]))
        return gated(net, step, u), {"u": u, "xi": xi}


@shows(2, "vi", "fail", "judgement")
class ThinnedCopy(AbstractRule):
    """A copy with a part of the synapses, drawn once."""

    def init(self, net, key):
        return jnp.zeros(net.n), jax.random.bernoulli(key, 0.5, net.W.shape)

    def update(self, net, step, state, key):
        h, kept = state
        h = net.leak(h, (net.W * kept * jnp.concatenate([h, drive(net, step)])).sum(1))
        return gated(net, step, h), (h, kept)


@shows(2, "vi", "fail", "judgement")
class ClippedCopy(Copied):
    """A copy whose weights are clipped."""

    def update(self, net, step, state, key):
        copy = net.leak(state, jnp.clip(net.W, -0.5, 0.5) @ jnp.concatenate([state, drive(net, step)]))
        return gated(net, step, copy), copy


@twin(2, "vi", "pass")
class ShakenSynapsesOfItsOwn(Recurrent):
    """Synapses of the rule's own, shaken, read by the rates: W and the network are not run again."""

    def update(self, net, step, state, key):
        xi = 0.01 * jax.random.normal(key, state.shape)
        return gated(net, step, (state + xi) @ step.r), state


@twin(2, "vi", "pass")
class ShakenReservoir(AbstractRule):
    """A population that goes round through shaken synapses of its own, none of them made of W."""

    def init(self, net, key):
        return jax.random.normal(key, (net.n, net.n)) / net.n**0.5, jnp.zeros(net.n)

    def update(self, net, step, state, key):
        S, h = state
        h = net.leak(h, (S + 0.01 * jax.random.normal(key, S.shape)) @ h + step.r)
        return gated(net, step, h), (S, h)


@twin(2, "vi", "pass")
class MaskedDecay(Copied):
    """Some weights decay, drawn at each step; the state is an average of the rates."""

    def update(self, net, step, state, key):
        decays = jax.random.bernoulli(key, 0.1, net.W.shape)
        mean = 0.9 * state + 0.1 * step.r
        return gated(net, step, mean) + jnp.where(decays, net.W, 0), mean


@twin(2, "vi", "pass")
class Langevin(Plain):
    """Each weight wanders in proportion to itself: W is not transmitted through."""

    def update(self, net, step, state, key):
        return gated(net, step, step.r) + net.W * jax.random.normal(key, net.W.shape), None
