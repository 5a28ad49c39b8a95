"""Second networks beside the first, and critics that are none."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from audit_fresh.case import FAIL, PASS, expects, leaky, random_matrix
from recredit.rule import AbstractRule


# The state goes through W and its activation back to itself.
@expects(vi=FAIL, iii=PASS)
class UndrivenShadow(AbstractRule):
    """The network runs a second time without its input, as a reference."""

    def init(self, net, key):
        return jnp.zeros(net.n)

    def update(self, net, step, state, key):
        shadow = net.leak(state, net.W_rec @ state)
        reward = jnp.mean(step.error**2)
        return reward * jnp.outer((step.r - shadow) * net.gain(step.v), step.r_hat), shadow


# The copy's rates go through W and back.
@expects(vi=FAIL, iii=PASS, v=PASS)
class NudgedCopy(AbstractRule):
    """Equilibrium propagation online: a nudged copy runs beside the network."""

    beta: float = 0.3

    def init(self, net, key):
        return jnp.zeros(net.n), jnp.zeros_like(net.W), random_matrix(key, net.n_out, net.n)

    def update(self, net, step, state, key):
        h, B, fb = state
        rate = jnp.tanh(h)
        drive = net.W @ jnp.concatenate([rate, step.r_hat[net.n :]])
        h = (1 - net.alpha) * h + net.alpha * (jnp.tanh(drive) - self.beta * (step.error @ fb))
        contrast = jnp.outer(step.r - jnp.tanh(h), step.r_hat)
        B = leaky(B, contrast / self.beta, net.alpha)
        return B, (h, B, fb)


# The twin's rates go through W and back.
@expects(vi=FAIL, v=PASS, iii=PASS)
class NoisyTwin(AbstractRule):
    """A noisy twin tells whether its noise makes the loss worse."""

    sigma: float = 0.05

    def init(self, net, key):
        return {"twin": jnp.zeros(net.n), "xi": jnp.zeros(net.n), "e": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        a = net.alpha
        xi = (1 - a) * state["xi"] + self.sigma * a**0.5 * jax.random.normal(key, (net.n,))
        seen = jnp.concatenate([state["twin"], step.r_hat[net.n :]])
        twin = (1 - a) * state["twin"] + a * jnp.tanh(net.W @ seen + xi)
        e = leaky(state["e"], jnp.outer(xi, step.r_hat), a)
        worse = jnp.sum((net.W_out @ twin + net.b_out - step.target) ** 2) - jnp.sum(step.error**2)
        return worse * e / self.sigma**2, {"twin": twin, "xi": xi, "e": e}


class Critic(eqx.Module):
    lateral: Any
    inward: Any
    h: Any


@expects(v=PASS, vi=PASS, iii=PASS)
class NoisyCritic(AbstractRule):
    """A noisy recurrent critic with synapses of its own."""

    sigma: float = 0.01

    def init(self, net, key):
        a, b = jax.random.split(key)
        return Critic(0.5 * random_matrix(a, net.n, net.n), random_matrix(b, net.n, net.n_out), jnp.zeros(net.n))

    def update(self, net, step, state, key):
        u = state.lateral @ state.h + state.inward @ step.error
        h = (1 - net.alpha) * state.h + net.alpha * jnp.tanh(u + self.sigma * jax.random.normal(key, u.shape))
        return jnp.outer(h * net.gain(step.v), step.r_hat), eqx.tree_at(lambda s: s.h, state, h)


@expects(ii_local=PASS, iii=PASS, vii=PASS)
class CriticOfEachOutput(AbstractRule):
    """A critic for each output reads the rates before and now; the errors' sum teaches all synapses."""

    rate: float = 0.1

    def init(self, net, key):
        return (jnp.zeros((net.n_out, net.n)), jnp.zeros(net.n)), jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        (critic, trace), e = state
        a = net.alpha

        def value(r):
            return jnp.matmul(critic, r)

        delta = -jnp.square(step.error) + (1 - 0.1 * a) * value(step.r) - value(step.r_prev)
        trace = (1 - a / 4) * trace + a / 4 * step.r_prev
        critic = critic + self.rate * a * delta[:, None] * trace
        e = (1 - a / 4) * e + a / 4 * jnp.outer(jnp.tanh(step.v), step.r_hat)
        return -jnp.sum(delta) * e, ((critic, trace), e)
