"""Kind 4, numbers made of many strengths, kept for a step. Kind 11, units with one synapse that learns (ii-local)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import Plain, Traced, credit, gated, influence, shows, twin
from recredit.rule import AbstractRule, Clock

# Kind 4, ii-local does not pass: a number made of many strengths is a global signal wherever it is kept. The twins keep numbers
# that are made of activity, of the error, or of one synapse.


class Bounded(eqx.Module):
    """Traces, and what was made of them."""

    B: jax.Array
    scale: jax.Array


@shows(4, "ii-local", "fail", "judgement")
class RunningMeanSquare(AbstractRule):
    """The gradient over the root of its mean square of late, one number for all synapses."""

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "ms": jnp.ones(())}

    def update(self, net, step, state, key):
        B = (1 - net.alpha) * state["B"] + influence(net, step)
        G = credit(net, step)[:, None] * B
        ms = 0.99 * state["ms"] + 0.01 * jnp.mean(G**2)
        return G / jnp.sqrt(state["ms"]), {"B": B, "ms": ms}


@shows(4, "ii-local", "fail", "judgement")
class NormOfTheLastStep(AbstractRule):
    """The traces' norm, used one step later."""

    def init(self, net, key):
        return jnp.zeros_like(net.W), jnp.zeros(())

    def update(self, net, step, state, key):
        B, norm = state
        B = 0.9 * B + influence(net, step)
        return credit(net, step)[:, None] * B / (1 + norm), (B, jnp.linalg.norm(B))


@shows(4, "ii-local", "fail", "judgement")
class TotalOfEachUnit(AbstractRule):
    """The sum of the strengths on each unit, kept: each weight moves by what the unit's other weights are."""

    def init(self, net, key):
        return jnp.ones(net.n)

    def update(self, net, step, state, key):
        total = jnp.abs(net.W).sum(axis=1)
        return gated(net, step, step.r) + 0.01 * (state - 1)[:, None], total


@shows(4, "ii-local", "fail", "judgement")
class NormOfEachInput(AbstractRule):
    """The norm of all traces that one input reaches, kept for each input."""

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "column": jnp.ones(net.W.shape[1])}

    def update(self, net, step, state, key):
        B = 0.8 * state["B"] + influence(net, step)
        column = jnp.sqrt(jnp.einsum("ij,ij->j", B, B))
        return credit(net, step)[:, None] * B / (1 + state["column"]), {"B": B, "column": column}


@shows(4, "ii-local", "fail", "judgement")
class FadingPeak(AbstractRule):
    """The largest trace of late."""

    def init(self, net, key):
        return Bounded(jnp.zeros_like(net.W), jnp.ones(()))

    def update(self, net, step, state, key):
        B = 0.9 * state.B + influence(net, step)
        peak = jnp.maximum(0.99 * state.scale, jnp.abs(B).max())
        return credit(net, step)[:, None] * B / state.scale, Bounded(B, peak)


@shows(4, "ii-local", "fail", "judgement")
class ScaleTakenEveryTenthStep(AbstractRule):
    """The largest weight, looked up at every tenth step by a cond."""

    def init(self, net, key):
        return jnp.ones(()), Clock.at_zero()

    def update(self, net, step, state, key):
        scale, clock = state
        following = lax.cond(clock.steps % 10 == 0, lambda: jnp.max(jnp.abs(net.W)), lambda: scale)
        return gated(net, step, step.r) * scale, (following, clock.tick())


@shows(4, "ii-local", "fail", "judgement")
class AlignmentKept(AbstractRule):
    """How far traces and weights point the same way, kept and averaged."""

    def init(self, net, key):
        return [jnp.zeros_like(net.W), jnp.zeros(())]

    def update(self, net, step, state, key):
        B, alignment = state
        B = 0.9 * B + influence(net, step)
        gate = 1 + jnp.tanh(alignment)
        return gate * credit(net, step)[:, None] * B, [B, 0.9 * alignment + 0.1 * jnp.vdot(B, net.W)]


@shows(4, "ii-local", "fail", "judgement")
class SquaresSummedInALoop(AbstractRule):
    """The mean square, a row at each round of a loop."""

    def init(self, net, key):
        return {"trace": jnp.zeros_like(net.W), "power": jnp.ones(())}

    def update(self, net, step, state, key):
        trace = 0.9 * state["trace"] + influence(net, step)
        power = lax.fori_loop(0, net.n, lambda i, s: s + trace[i] @ trace[i], jnp.zeros(()))
        return credit(net, step)[:, None] * trace * lax.rsqrt(1 + state["power"]), {"trace": trace, "power": power}


@twin(4, "ii-local", "pass")
class MomentOfEachSynapse(AbstractRule):
    """The same running mean square for each synapse."""

    def init(self, net, key):
        return {"B": jnp.zeros_like(net.W), "ms": jnp.ones_like(net.W)}

    def update(self, net, step, state, key):
        B = (1 - net.alpha) * state["B"] + influence(net, step)
        G = credit(net, step)[:, None] * B
        return G / jnp.sqrt(state["ms"]), {"B": B, "ms": 0.99 * state["ms"] + 0.01 * G**2}


@twin(4, "ii-local", "pass")
class PowerOfTheInput(AbstractRule):
    """A normalised delta rule whose divisor is the mean square of the rates of late: activity, no strength."""

    def init(self, net, key):
        return jnp.ones(())

    def update(self, net, step, state, key):
        power = 0.9 * state + 0.1 * jnp.sum(step.r_hat**2)
        return gated(net, step, step.r) / (1 + state), power


@twin(4, "ii-local", "pass")
class LossOfLate(AbstractRule):
    """The root of the mean squared error of late."""

    def init(self, net, key):
        return jnp.zeros_like(net.W), jnp.ones(())

    def update(self, net, step, state, key):
        B, ms = state
        B = 0.9 * B + influence(net, step)
        return credit(net, step)[:, None] * B / jnp.sqrt(ms), (B, 0.99 * ms + 0.01 * jnp.mean(step.error**2))


@twin(4, "ii-local", "pass")
class HeardOneStepAgo(AbstractRule):
    """What the synapses brought to each unit, kept for a step: transmitted, not summed up."""

    def init(self, net, key):
        return {"S": jnp.zeros((net.n, net.n)), "heard": jnp.zeros(net.n)}

    def update(self, net, step, state, key):
        S = state["S"] + 0.01 * jnp.outer(step.r - state["heard"], step.r_prev)
        heard = S @ step.r
        return gated(net, step, heard), {"S": S, "heard": heard}


# Kind 11, ii-local passes: what is transmitted to a unit is the unit's own, also where only one of its synapses learns. The
# twins take what belongs to another unit.


class OnePerUnit(AbstractRule):
    """A rule with one trace a unit."""

    def init(self, net, key):
        return {"e": jnp.zeros(net.n)}


@shows(11, "ii-local", "pass")
class BiasesAlone(OnePerUnit):
    """RFLO on the last column."""

    def update(self, net, step, state, key):
        e = (1 - net.alpha) * state["e"] + net.gain(step.v)
        return jnp.zeros_like(net.W).at[:, -1].set(credit(net, step) * e), {"e": e}


@shows(11, "ii-local", "pass")
class BiasesPutBeside(AbstractRule):
    """The same with traces in a column (n, 1), put beside zeros."""

    def init(self, net, key):
        return (jnp.zeros((net.n, 1)),)

    def update(self, net, step, state, key):
        e = (1 - net.alpha) * state[0] + net.gain(step.v)[:, None]
        return jnp.concatenate([jnp.zeros_like(net.W[:, 1:]), credit(net, step)[:, None] * e], axis=1), (e,)


@shows(11, "ii-local", "pass")
class BiasesWithDecay(Plain):
    """The immediate gradient of each bias, and its own decay; built by a stack of columns."""

    def update(self, net, step, state, key):
        bias = credit(net, step) * net.gain(step.v) + 0.01 * net.W[:, -1]
        columns = [jnp.zeros(net.n)] * (net.W.shape[1] - 1) + [bias]
        return jnp.stack(columns, axis=1), None


@shows(11, "ii-local", "pass")
class BiasesByRandomFeedback(AbstractRule):
    """The same by random feedback, unit by unit under vmap."""

    def init(self, net, key):
        return jnp.zeros(net.n), jax.random.normal(key, (net.n, net.n_out))

    def update(self, net, step, state, key):
        e, F = state
        e = 0.8 * e + net.slope(step.v)
        row = jax.vmap(lambda f, one: jnp.zeros_like(net.W[0]).at[-1].set((f @ step.error) * one))
        return row(F, e), (e, F)


@shows(11, "ii-local", "pass")
class AutapsesAlone(OnePerUnit):
    """RFLO on each unit's synapse on itself, by a diagonal matrix."""

    def update(self, net, step, state, key):
        e = (1 - net.alpha) * state["e"] + net.gain(step.v) * step.r_prev
        own = jnp.diag(credit(net, step) * e)
        return jnp.pad(own, ((0, 0), (0, net.W.shape[1] - net.n))), {"e": e}


@shows(11, "ii-local", "pass")
class AutapsesByAMask(Traced):
    """The same: the identity masks a whole matrix of traces."""

    def update(self, net, step, state, key):
        own = jnp.eye(*net.W.shape)
        B = ((1 - net.alpha) * state + influence(net, step)) * own
        return credit(net, step)[:, None] * B, B


@shows(11, "ii-local", "pass")
class AutapsesInALoop(OnePerUnit):
    """The same, unit by unit in a loop."""

    def update(self, net, step, state, key):
        e, c = 0.9 * state["e"] + step.r_prev, credit(net, step) * net.gain(step.v)
        return lax.fori_loop(0, net.n, lambda i, G: G.at[i, i].set(c[i] * e[i]), jnp.zeros_like(net.W)), {"e": e}


@twin(11, "ii-local", "fail")
class BiasOfTheNeighbour(OnePerUnit):
    """Each bias moves by the trace and credit of the unit before it."""

    def update(self, net, step, state, key):
        e = (1 - net.alpha) * state["e"] + net.gain(step.v)
        return jnp.zeros_like(net.W).at[:, -1].set(jnp.roll(credit(net, step) * e, 1)), {"e": e}


@twin(11, "ii-local", "fail")
class AutapseOfAnother(OnePerUnit):
    """Each autapse moves by the trace of the unit opposite."""

    def update(self, net, step, state, key):
        e = (1 - net.alpha) * state["e"] + net.gain(step.v) * step.r_prev
        own = jnp.diag((credit(net, step) * e)[::-1])
        return jnp.pad(own, ((0, 0), (0, net.W.shape[1] - net.n))), {"e": e}


@twin(11, "ii-local", "fail")
class BiasesThatMix(Plain):
    """Each bias decays towards that of another unit."""

    def update(self, net, step, state, key):
        bias = credit(net, step) * net.gain(step.v) + 0.01 * (net.W[:, -1] - net.W[::-1, -1])
        return jnp.zeros_like(net.W).at[:, -1].set(bias), None
