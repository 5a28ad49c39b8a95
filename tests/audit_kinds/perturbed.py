"""Kind 20, noise that multiplies, or that is added to synapses, whatever else contains it (v is left to judgement)."""

import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import Plain, Recurrent, Traced, credit, gated, influence, shows, twin
from recredit.rule import AbstractRule, Clock


def draws(net, key):
    return 0.1 * jax.random.normal(key, (net.n,))


def cost(net, step, r):
    """The squared error of the read-out of some rates."""
    return jnp.sum((net.W_out @ r - step.target) ** 2)


@shows(20, "v", "judgement")
class NodePerturbed(Plain):
    """Node perturbation: the draws of the perturbation, paid by what it costs."""

    def update(self, net, step, state, key):
        xi = draws(net, key)
        return jnp.outer(cost(net, step, jnp.tanh(step.v + xi)) * xi, step.r_hat), None


@shows(20, "v", "judgement")
class ThereAndBack(Plain):
    """The same, each draw tried in both directions."""

    def update(self, net, step, state, key):
        xi = draws(net, key)
        there, back = (cost(net, step, jnp.tanh(step.v + sign * xi)) for sign in (1, -1))
        return jnp.einsum("i,j->ij", (there - back) * xi, step.r_hat), None


@shows(20, "v", "judgement")
class PaidRates(Plain):
    """Each unit's draw times a rate that contains it."""

    def update(self, net, step, state, key):
        xi = draws(net, key)
        return jnp.outer(xi * jnp.tanh(step.v + xi), step.r_hat), None


@shows(20, "v", "judgement")
class WeightPerturbed(Plain):
    """Weight perturbation: a draw for each synapse, times the change of the loss."""

    def update(self, net, step, state, key):
        xi = 0.1 * jax.random.normal(key, net.W.shape)
        r = jnp.tanh((net.W + xi) @ step.r_hat)
        return (cost(net, step, r) - cost(net, step, step.r)) * xi, None


@shows(20, "v", "judgement")
class WhatIsLeft(Plain):
    """The perturbed voltages without the unperturbed ones: the draws, spelt as a difference."""

    def update(self, net, step, state, key):
        jittered = step.v + draws(net, key)
        return jnp.outer(jittered - step.v, step.r_hat), None


@shows(20, "v", "judgement")
class OneStepLate(AbstractRule):
    """The last step's draws, kept as they were, times the input of now."""

    def init(self, net, key):
        return jnp.zeros(net.n)

    def update(self, net, step, state, key):
        return jnp.outer(state, step.r_hat), draws(net, key)


@shows(20, "v", "judgement")
class OnlyIfActive(Plain):
    """Noise that comes where a unit is active."""

    def update(self, net, step, state, key):
        return gated(net, step, step.r + jnp.where(step.r > 0, draws(net, key), 0.0)), None


@shows(20, "v", "judgement")
class ByTheClock(AbstractRule):
    """Draws, but at every tenth step, times the input."""

    def init(self, net, key):
        return Clock.at_zero()

    def update(self, net, step, state, key):
        xi = lax.cond(state.steps % 10 == 9, lambda: jnp.zeros(net.n), lambda: draws(net, key))
        return xi[:, None] * step.r_hat, state.tick()


@shows(20, "v", "judgement")
class ByTheLoss(Plain):
    """Noise on each unit, the louder the larger the error."""

    def update(self, net, step, state, key):
        return gated(net, step, step.r + jnp.sum(step.error**2) * draws(net, key)), None


@shows(20, "v", "judgement")
class IntoTheSynapses(Traced):
    """A draw for each synapse, added to its trace."""

    def update(self, net, step, state, key):
        trace = 0.9 * state + influence(net, step) + jax.random.normal(key, state.shape)
        return credit(net, step)[:, None] * trace, trace


@shows(20, "v", "judgement")
class NoisyReward(Traced):
    """One draw on the reward that all synapses hear."""

    def update(self, net, step, state, key):
        trace = 0.9 * state + influence(net, step)
        return (jnp.sum(step.error**2) + jax.random.normal(key)) * trace, trace


@shows(20, "v", "judgement")
class Correlated(Recurrent):
    """Noise through a fixed matrix: each unit has some of every draw."""

    def update(self, net, step, state, key):
        return gated(net, step, step.r + state @ draws(net, key)), state


@twin(20, "v", "pass")
class NoisyFactor(Plain):
    """The draws added to each unit's voltage; what it makes of them multiplies."""

    def update(self, net, step, state, key):
        return jnp.outer(credit(net, step) * jnp.tanh(step.v + draws(net, key)), step.r_hat), None


@twin(20, "v", "pass")
class SlowAndPaid(AbstractRule):
    """A slow noise of each unit's own, kept beside a trace of it times the input, paid by the loss."""

    def init(self, net, key):
        return jnp.zeros(net.n), jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        z = 0.8 * state[0] + draws(net, key)
        trace = 0.9 * state[1] + 0.1 * jnp.outer(z, step.r_hat)
        return jnp.sum(step.error**2) * trace, (z, trace)


@twin(20, "v", "pass")
class FadingNoise(AbstractRule):
    """Noise that a clock lets fade, added to each unit."""

    def init(self, net, key):
        return Clock.at_zero()

    def update(self, net, step, state, key):
        return gated(net, step, step.r + draws(net, key) / (1 + state.steps)), state.tick()


@twin(20, "v", "pass")
class SeveralCompartments(AbstractRule):
    """Two compartments of each unit, each with draws of its own."""

    def init(self, net, key):
        return jnp.zeros((2, net.n))

    def update(self, net, step, state, key):
        u = 0.9 * state + 0.1 * (step.r + jax.random.normal(key, state.shape))
        return gated(net, step, jnp.tanh(u[0]) * jnp.tanh(u[1])), u
