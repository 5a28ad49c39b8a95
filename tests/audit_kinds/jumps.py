"""Kind 8, entries that jump, each by itself or all now and then. Kind 16, changes in proportion (ii-continuous)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import Traced, credit, gated, influence, shows, twin
from recredit.rule import AbstractRule, Clock

# Kind 8, ii-continuous fails: some entry changes by a fixed amount however fine the time step. The twins' entries have bends,
# or learn only now and then, but never jump.


class Pair(eqx.Module):
    """A matrix that moves smoothly, and what is made of it and kept."""

    S: jax.Array
    Q: jax.Array


def faded(net, step, B):
    return (1 - net.alpha) * B + influence(net, step)


@shows(8, "ii-continuous", "fail")
class RoundedCopy(AbstractRule):
    """Strengths in steps of an eighth: each entry jumps at its own times."""

    def init(self, net, key):
        return {"S": jnp.zeros_like(net.W), "Q": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        S = faded(net, step, state["S"])
        Q = jnp.round(S * 8) / 8
        return credit(net, step)[:, None] * Q, {"S": S, "Q": Q}


@shows(8, "ii-continuous", "fail")
class StochasticRounding(AbstractRule):
    """Strengths in steps of an eighth, rounded up by chance."""

    def init(self, net, key):
        return (jnp.zeros_like(net.W),)

    def update(self, net, step, state, key):
        exact = faded(net, step, state[0])
        S = jnp.floor(8 * exact + jax.random.uniform(key, exact.shape)) / 8
        return credit(net, step)[:, None] * S, (S,)


@shows(8, "ii-continuous", "fail")
class ResetOnce(AbstractRule):
    """All traces start again at step 2,000, and never more."""

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        B = faded(net, step, state["B"])
        B = jnp.where(state["clock"].steps == 2000, 0.0, B)
        return credit(net, step)[:, None] * B, {"B": B, "clock": state["clock"].tick()}


@shows(8, "ii-continuous", "fail")
class ResetNowAndThen(AbstractRule):
    """The traces start again every 700 steps, by a cond with a counter of its own."""

    def init(self, net, key):
        return jnp.array(0), jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        t, B = state
        B = lax.cond(t == 699, lambda b: jnp.zeros_like(b), lambda b: faded(net, step, b), B)
        return credit(net, step)[:, None] * B, ((t + 1) % 700, B)


@shows(8, "ii-continuous", "fail")
class OneEntryFlips(AbstractRule):
    """The first entry changes its sign at each step, all others move smoothly."""

    def init(self, net, key):
        return jnp.ones_like(net.W)

    def update(self, net, step, state, key):
        B = faded(net, step, state).at[0, 0].set(-state[0, 0])
        return credit(net, step)[:, None] * B, B


@shows(8, "ii-continuous", "fail")
class Pruned(AbstractRule):
    """Small strengths are cut off: at the threshold an entry falls to zero."""

    def init(self, net, key):
        return [jnp.zeros_like(net.W), jnp.zeros_like(net.W)]

    def update(self, net, step, state, key):
        S = faded(net, step, state[0])
        kept = jnp.where(jnp.abs(S) > 0.1, S, 0.0)
        return credit(net, step)[:, None] * kept, [S, kept]


@shows(8, "ii-continuous", "fail")
class BinarySynapses(AbstractRule):
    """Weak or strong, by the sign of a hidden variable (Fusi 2005)."""

    def init(self, net, key):
        return Pair(jnp.zeros_like(net.W), jnp.zeros_like(net.W))

    def update(self, net, step, state, key):
        S = faded(net, step, state.S)
        Q = (S > 0).astype(S.dtype)
        return credit(net, step)[:, None] * Q, Pair(S, Q)


@shows(8, "ii-continuous", "fail")
class UnitsBornAnew(AbstractRule):
    """Every 400 steps one unit's synapses are drawn again."""

    def init(self, net, key):
        return {"S": jax.random.normal(key, (net.n, net.n)) / net.n**0.5, "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        S, t = state["S"], state["clock"].steps
        fresh = S.at[t // 400 % net.n].set(jax.random.normal(key, (net.n,)))
        S = jnp.where(t % 400 == 399, fresh, S + 0.01 * jnp.outer(step.r - S @ step.r_prev, step.r_prev))
        return gated(net, step, S @ step.r), {"S": S, "clock": state["clock"].tick()}


@twin(8, "ii-continuous", "pass")
class Shrunk(AbstractRule):
    """A soft threshold: an entry reaches zero before it is cut off."""

    def init(self, net, key):
        return Pair(jnp.zeros_like(net.W), jnp.zeros_like(net.W))

    def update(self, net, step, state, key):
        S = faded(net, step, state.S)
        Q = jnp.sign(S) * jnp.maximum(jnp.abs(S) - 0.02, 0.0)
        return credit(net, step)[:, None] * Q, Pair(S, Q)


@twin(8, "ii-continuous", "pass")
class Bounded(AbstractRule):
    """Strengths that learn, held between bounds."""

    def init(self, net, key):
        return (0.1 * jax.random.normal(key, (net.n, net.n)),)

    def update(self, net, step, state, key):
        S = state[0] + 0.01 * jnp.outer(step.r - state[0] @ step.r_prev, step.r_prev)
        return gated(net, step, S @ step.r), (jnp.clip(S, -0.5, 0.5),)


@twin(8, "ii-continuous", "pass")
class LearnsAtTimes(AbstractRule):
    """Learning is on for 100 steps in every 500."""

    def init(self, net, key):
        return {"S": 0.1 * jax.random.normal(key, (net.n, net.n)), "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        S, on = state["S"], state["clock"].steps % 500 < 100
        S = jnp.where(on, S + 0.01 * jnp.outer(step.r - S @ step.r_prev, step.r_prev), S)
        return gated(net, step, S @ step.r), {"S": S, "clock": state["clock"].tick()}


# Kind 16, ii-continuous passes: each step changes the strengths by a small part of themselves, in whatever words, or leaks them
# at a rate of each unit's own. The twins change them by chance, or by all of themselves.


class Positive(AbstractRule):
    """A rule with positive strengths between the units."""

    def init(self, net, key):
        return {"S": jnp.exp(0.1 * jax.random.normal(key, (net.n, net.n))), "rate": 0.2 * jnp.ones(net.n)}


@shows(16, "ii-continuous", "pass")
class SynapticScaling(Positive):
    """Each unit's synapses grow or shrink together with how far its rate is from a target (Turrigiano 2008)."""

    def update(self, net, step, state, key):
        rate = 0.99 * state["rate"] + 0.01 * step.r**2
        S = state["S"] * (1 + 0.01 * (0.2 - rate))[:, None]
        return gated(net, step, S @ step.r), {"S": S, "rate": rate}


@shows(16, "ii-continuous", "pass")
class ScalingAsAnIncrement(AbstractRule):
    """The same as S + eta (target - u^2) S, with what the synapses bring as the rate; row by row."""

    def init(self, net, key):
        return (0.5 * jax.random.normal(key, (net.n, net.n)),)

    def update(self, net, step, state, key):
        S = state[0]
        short = 0.2 - (S @ step.r) ** 2
        S = jax.vmap(lambda s, d: s + 1e-2 * d * s)(S, short)
        return gated(net, step, S @ step.r), (S,)


@shows(16, "ii-continuous", "pass")
class ExponentiatedGradient(Positive):
    """S exp(eta g), with g towards the product of the rates."""

    def update(self, net, step, state, key):
        g = 1 + jnp.outer(step.r, step.r_prev) - state["S"]
        S = state["S"] * jnp.exp(0.01 * g)
        return gated(net, step, S @ step.r), {**state, "S": S}


@shows(16, "ii-continuous", "pass")
class ExponentiatedInLogarithms(Positive):
    """The same as exp(log S + eta g)."""

    def update(self, net, step, state, key):
        g = 1 + jnp.outer(step.r, step.r_prev) - state["S"]
        S = jnp.exp(jnp.log(state["S"]) + 0.01 * g)
        return gated(net, step, jnp.einsum("ij,j->i", S, step.r)), {**state, "S": S}


@shows(16, "ii-continuous", "pass")
class ScalingByDivision(Positive):
    """S / (1 + eta (S - target)), entry by entry."""

    def update(self, net, step, state, key):
        S = state["S"] / (1 + 0.01 * (state["S"] - 1 - jnp.outer(step.r, step.r_prev)))
        return gated(net, step, S @ step.r), {**state, "S": S}


@shows(16, "ii-continuous", "pass")
class GateByOneMinusSigmoid(Traced):
    """B + (1 - sigma(v)) (x - B)."""

    def update(self, net, step, state, key):
        B = state + (1 - jax.nn.sigmoid(step.v))[:, None] * (step.r_hat[None, :] - state)
        return credit(net, step)[:, None] * B, B


@shows(16, "ii-continuous", "pass")
class GateBySigmoidOfMinus(Traced):
    """B + sigma(-v) (x - B): the same number."""

    def update(self, net, step, state, key):
        B = state + jax.nn.sigmoid(-step.v)[:, None] * (step.r_hat[None, :] - state)
        return credit(net, step)[:, None] * B, B


@twin(16, "ii-continuous", "fail")
class RandomGrowth(Positive):
    """Strengths multiplied by the exponential of a draw of their own: they wander, whatever the time step."""

    def update(self, net, step, state, key):
        g = 0.2 * jax.random.normal(key, state["S"].shape) + 0.1 * (1 - state["S"])
        S = state["S"] * jnp.exp(g)
        return gated(net, step, S @ step.r), {**state, "S": S}


@twin(16, "ii-continuous", "fail")
class GateOfZeroOrOne(Traced):
    """B + [v > 0] (x - B): the whole row is replaced while the unit is driven."""

    def update(self, net, step, state, key):
        gate = (step.v > 0).astype(state.dtype)
        B = state + gate[:, None] * (step.r_hat[None, :] - state)
        return credit(net, step)[:, None] * B, B


@twin(16, "ii-continuous", "fail")
class ScaledToTheDrive(Positive):
    """Each unit's synapses are rescaled to what it was driven by at this step."""

    def update(self, net, step, state, key):
        S = state["S"] * ((0.1 + step.v**2) / jnp.sum(state["S"], axis=1))[:, None]
        return gated(net, step, S @ step.r), {**state, "S": S}
