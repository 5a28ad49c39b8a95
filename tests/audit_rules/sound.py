"""Rules that no criterion fails, from the literature and near it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from audit_rules.case import case, credit, immediate
from recredit.rule import AbstractRule


class Perturbed(NamedTuple):
    trace: jax.Array
    v_mean: jax.Array
    baseline: jax.Array


@case()
class NodePerturbation(AbstractRule):
    """Noise on the voltages, its correlation with a global loss over a running baseline (Miconi 2017)."""

    sigma: float = 0.1

    def init(self, net, key):
        return Perturbed(jnp.zeros_like(net.W), jnp.zeros_like(net.W[:, 0]), jnp.zeros((), net.W.dtype))

    def update(self, net, step, state, key):
        v = step.v + self.sigma * jax.random.normal(key, step.v.shape, step.v.dtype)
        z = net.readout(net.leak(step.r_prev, v))
        loss = jnp.sum((z - step.target) ** 2)
        trace = 0.9 * state.trace + jnp.outer(v - state.v_mean, step.r_hat)
        G = (loss - state.baseline) * trace / self.sigma**2
        return G, Perturbed(trace, 0.9 * state.v_mean + 0.1 * v, 0.95 * state.baseline + 0.05 * loss)


@case()
class Oja(AbstractRule):
    """Two factors, pre and post, and the synapse's own strength."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        return -(jnp.outer(step.r, step.r_hat) - (step.r**2)[:, None] * net.W), None


@case()
class Hebb(AbstractRule):
    """Two factors and nothing else, spelt with einsum."""

    def init(self, net, key):
        return ()

    def update(self, net, step, state, key):
        return -jnp.einsum("i,j->ij", step.r, step.r_hat), ()


@case()
class EProp(AbstractRule):
    """An eligibility trace per synapse and a random learning signal per unit (Bellec 2020)."""

    def init(self, net, key):
        return {"eps": jnp.zeros_like(net.W), "broadcast": jax.random.normal(key, (net.n, net.n_out), net.W.dtype)}

    def update(self, net, step, state, key):
        learning = jnp.einsum("ko,o->k", state["broadcast"], step.error)
        eps = (1 - net.alpha) * state["eps"] + immediate(net, step)
        return jnp.einsum("i,ij->ij", learning, eps), {"eps": eps, "broadcast": state["broadcast"]}


@case()
class EPropAdaptive(AbstractRule):
    """E-prop for adaptive units: a 2-vector of traces per synapse, (n, m, 2)."""

    rho: float = 0.97

    def init(self, net, key):
        return jnp.zeros((*net.W.shape, 2), net.W.dtype)

    def update(self, net, step, state, key):
        fast, slow = state[..., 0], state[..., 1]
        psi = net.gain(step.v)[:, None]
        fast_new = (1 - net.alpha) * fast + step.r_hat
        slow_new = psi * fast + (self.rho - 0.1 * psi) * slow
        G = credit(net, step)[:, None] * psi * (fast_new - 0.1 * slow_new)
        return G, jnp.stack([fast_new, slow_new], axis=-1)


@case()
class EPropPair(AbstractRule):
    """The same traces stored the other way, (2, n, m), and decayed by a constant literal of two numbers."""

    def init(self, net, key):
        return jnp.zeros((2, *net.W.shape), net.W.dtype)

    def update(self, net, step, state, key):
        decay = jnp.array([0.5, 0.9], net.W.dtype)
        traces = decay[:, None, None] * state + immediate(net, step)
        return credit(net, step)[:, None] * (traces[0] - 0.5 * traces[1]), traces


@case()
class SnAp1(AbstractRule):
    """RTRL kept to each unit's own weights: the decay reads the unit's autapse (Menick 2021)."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        own = (1 - net.alpha) + net.gain(step.v) * jnp.diagonal(net.W_rec)
        trace = own[:, None] * state + immediate(net, step)
        return credit(net, step)[:, None] * trace, trace


@case()
class SnAp1Masked(AbstractRule):
    """The same autapse, picked by a sum over W times the identity."""

    def init(self, net, key):
        return (jnp.zeros_like(net.W),)

    def update(self, net, step, state, key):
        autapse = jnp.sum(net.W_rec * jnp.eye(net.n, dtype=net.W.dtype), axis=1)
        trace = (1 - net.alpha + net.gain(step.v) * autapse)[:, None] * state[0] + immediate(net, step)
        return credit(net, step)[:, None] * trace, (trace,)


@case()
class ThreeFactor(AbstractRule):
    """Pre, post and one global scalar over its running mean."""

    def init(self, net, key):
        return {"e": jnp.zeros_like(net.W), "m": jnp.zeros((), net.W.dtype)}

    def update(self, net, step, state, key):
        loss = jnp.mean(step.error**2)
        e = 0.8 * state["e"] + 0.2 * jnp.outer(step.r, step.r_hat)
        return (loss - state["m"]) * e, {"e": e, "m": 0.9 * state["m"] + 0.1 * loss}


@case()
class DiagonalDecay(AbstractRule):
    """A trace whose decay is spelt as a product with a diagonal matrix: a gain, no matrix product."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        trace = jnp.diag(1 - net.gain(step.v)) @ state + immediate(net, step)
        return jnp.diag(credit(net, step)) @ trace, trace


@case()
class CascadedTraces(AbstractRule):
    """Three leaky traces in a row: a gamma kernel of eligibility, no delay line."""

    def init(self, net, key):
        return [jnp.zeros_like(net.W)] * 3

    def update(self, net, step, state, key):
        first = 0.7 * state[0] + 0.3 * immediate(net, step)
        second = 0.7 * state[1] + 0.3 * first
        third = 0.7 * state[2] + 0.3 * second
        return credit(net, step)[:, None] * third, [first, second, third]


@case()
class VectorsOnly(AbstractRule):
    """pp-prop: the trace of each synapse is the product of a pre- and a post-synaptic vector."""

    def init(self, net, key):
        return {"pre": jnp.zeros_like(net.W[0]), "post": jnp.zeros_like(net.W[:, 0])}

    def update(self, net, step, state, key):
        pre = 0.6 * state["pre"] + step.r_hat
        own = 1 - net.alpha + net.gain(step.v) * jnp.diagonal(net.W_rec)
        post = 0.6 * own * state["post"] + 0.4 * net.gain(step.v)
        return (credit(net, step) * post)[:, None] * pre[None, :], {"pre": pre, "post": post}


@case()
class DifferentialHebb(AbstractRule):
    """The delayed presynaptic rate with the change of the postsynaptic rate: one step of delay is a synapse's own."""

    def init(self, net, key):
        return jnp.zeros_like(net.W[0])

    def update(self, net, step, state, key):
        return -jnp.outer(step.r - step.r_prev, state), step.r_hat
