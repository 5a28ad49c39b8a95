"""Rules whose evidence has to be right: the lines that decide are marked, and the names beside them mislead."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import Plain, Recurrent, Traced, credit, drive, gated, influence
from recredit.rule import AbstractRule, Clock

# The second matrix of each state jumps: it is the activity of one step. The first does not.


class Both(eqx.Module):
    """A trace and what jumps."""

    smooth: jax.Array
    sudden: jax.Array


class JumpsInADict(AbstractRule):
    def init(self, net, key):
        return {"a": jnp.zeros_like(net.W), "b": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        a = 0.9 * state["a"] + influence(net, step)
        b = jnp.outer(net.slope(step.v), step.r_hat)  # <ii-continuous>
        return credit(net, step)[:, None] * (a + b), {"a": a, "b": b}


class JumpsInATuple(AbstractRule):
    def init(self, net, key):
        return jnp.zeros_like(net.W), jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        first = 0.9 * state[0] + influence(net, step)
        second = net.slope(step.v)[:, None] * step.r_hat  # <ii-continuous>
        return credit(net, step)[:, None] * (first + second), (first, second)


class JumpsInAList(AbstractRule):
    def init(self, net, key):
        return [jnp.zeros_like(net.W), jnp.zeros_like(net.W)]

    def update(self, net, step, state, key):
        latest = jnp.einsum("i,j->ij", step.v, step.r_hat)  # <ii-continuous>
        return credit(net, step)[:, None] * state[1], [0.9 * state[0] + influence(net, step), latest]


class JumpsInAModule(AbstractRule):
    def init(self, net, key):
        return {"inner": (Both(jnp.zeros_like(net.W), jnp.zeros_like(net.W)), jnp.zeros(()))}

    def update(self, net, step, state, key):
        both, usual = state["inner"]
        smooth = both.smooth + net.alpha * (influence(net, step) - both.smooth)
        sudden = jnp.where(step.v[:, None] > 0, step.r_hat, 0.0)  # <ii-continuous>
        usual = 0.9 * usual + 0.1 * jnp.sum(step.error**2)
        return usual * credit(net, step)[:, None] * (smooth + sudden), {"inner": (Both(smooth, sudden), usual)}


def scaled(c, B, size):
    """A helper that only divides."""
    return c[:, None] * B / (1 + size)


class NormAboveAHelper(Traced):
    """The norm is taken here, not in the helper that divides by it."""

    def update(self, net, step, state, key):
        B = 0.9 * state + influence(net, step)
        size = jnp.linalg.norm(B)  # <ii-local>
        return scaled(credit(net, step), B, size), B


class SumAboveAHelper(Traced):
    """The same for a sum over each unit's traces."""

    def update(self, net, step, state, key):
        B = 0.9 * state + influence(net, step)
        total = jnp.abs(B).sum(axis=1, keepdims=True)  # <ii-local>
        return scaled(credit(net, step), B, total), B


class SendsVoltageByAHelper(Recurrent):
    """The product is here; the helper only gates."""

    def update(self, net, step, state, key):
        u = state @ step.v  # <iii>
        return gated(net, step, u), state


class DelayInACond(AbstractRule):
    """Rates are handed on in the branch."""

    def init(self, net, key):
        return jnp.zeros((4, net.n)), Clock.at_zero()

    def update(self, net, step, state, key):
        window, clock = state
        window = lax.cond(
            clock.steps % 2 == 0,
            lambda w: jnp.concatenate([step.r[None], w[:-1]]),  # <locality-time>
            lambda w: w,
            window,
        )
        return gated(net, step, window.sum(0)), (window, clock.tick())


MARKED = (NormAboveAHelper, SumAboveAHelper, SendsVoltageByAHelper, DelayInACond)
JUMPING = (JumpsInADict, JumpsInATuple, JumpsInAList, JumpsInAModule)


# What stands left of the equals sign is not what the operation is about.


class SeveralNames(AbstractRule):
    """Two results by one call, a copy's rate and its loss."""

    def init(self, net, key):
        return jnp.zeros(net.n)

    def update(self, net, step, state, key):
        def run(W):
            r = net.leak(state, W @ jnp.concatenate([state, drive(net, step)]))
            return r, jnp.sum((net.readout(r) - step.target) ** 2)

        up, loss_up = run(net.W + 0.01 * jax.random.normal(key, net.W.shape))
        return loss_up * gated(net, step, up - step.r), up


class ThrownAway(AbstractRule):
    """Three results, two of no use."""

    def init(self, net, key):
        return jnp.zeros(net.n)

    def update(self, net, step, state, key):
        _, _, rates = net.step(state, step.r_hat[net.n : -1])
        return gated(net, step, rates - step.r), rates


class NamedByItsResult(Plain):
    """A matrix without a name, read in the line that names its result r."""

    def update(self, net, step, state, key):
        r = (net.slope(step.v)[:, None] * net.W_rec) @ step.r_prev
        return gated(net, step, r), None


class GradientOnTheLeft(Recurrent):
    """A voltage is sent in the line that names the gradient."""

    def update(self, net, step, state, key):
        G = jnp.outer(state @ step.v, step.r_hat)
        return G, state


WRONG_NAMES = {
    SeveralNames: r"up, loss_up",
    ThrownAway: r"_, _",
    NamedByItsResult: r"\br is (computed|built|made)",
    GradientOnTheLeft: r"\bG passes",
}


class NormOfTheState(Traced):
    """The norm of the traces as they were."""

    def update(self, net, step, state, key):
        B = 0.9 * state + influence(net, step)
        return credit(net, step)[:, None] * B / (1 + jnp.linalg.norm(state)), B


class NormOfTheUpdated(Traced):
    """The norm of the traces as they are now."""

    def update(self, net, step, state, key):
        B = 0.9 * state + influence(net, step)
        return credit(net, step)[:, None] * B / (1 + jnp.linalg.norm(B)), B


class SumsInWindows(AbstractRule):
    """An accumulator that is set to zero at every tenth step."""

    def init(self, net, key):
        return {"total": jnp.zeros_like(net.W), "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        started = state["clock"].steps % 10 == 0
        total = jnp.where(started, 0.0, state["total"]) + influence(net, step)
        return credit(net, step)[:, None] * total, {"total": total, "clock": state["clock"].tick()}


class EmptiedWindows(AbstractRule):
    """The same, emptied when its sum is told: at those steps the state is zero throughout."""

    def init(self, net, key):
        return jnp.zeros_like(net.W), jnp.array(0)

    def update(self, net, step, state, key):
        total, t = state
        total = total + influence(net, step)
        due = t % 10 == 9
        G = jnp.where(due, credit(net, step)[:, None] * total, 0.0)
        return G, (jnp.where(due, jnp.zeros_like(total), total), t + 1)


class RefusesFineSteps(Traced):
    """It runs as it is, and raises when the time step is refined."""

    def update(self, net, step, state, key):
        if net.alpha < 0.5:
            raise ValueError("the spring is broken")
        B = (1 - net.alpha) * state + influence(net, step)
        return credit(net, step)[:, None] * B, B


class ManyTransforms(AbstractRule):
    """An operation that the audit need not know, in many places."""

    def init(self, net, key):
        return [jnp.zeros(net.n) for _ in range(3)]

    def update(self, net, step, state, key):
        state = [0.5 * s + 0.5 * jnp.fft.irfft(jnp.fft.rfft(step.r), n=net.n) for s in state]
        u = jnp.fft.fft(step.r).real + jnp.fft.fft(step.r_prev).imag
        return gated(net, step, u + sum(state)), state


class FlatAndWide(AbstractRule):
    """Synapses and traces of awkward shapes: (n n,), (3 n, m), (15, n)."""

    def init(self, net, key):
        n, m = net.W.shape
        return {"flat": jnp.ones(n * n), "wide": jnp.zeros((3 * n, m)), "rows": jnp.zeros((15, n))}

    def update(self, net, step, state, key):
        n, m = net.W.shape
        rows = jnp.concatenate([step.v[None], state["rows"][:-1]])
        S = state["flat"].reshape(n, n)
        sent = rows @ (net.gain(step.v)[:, None] * S)
        wide = 0.9 * state["wide"] + jnp.tile(influence(net, step), (3, 1))
        G = gated(net, step, sent[-1]) + wide.reshape(3, n, m).sum(0)
        return G, {"flat": state["flat"], "wide": wide, "rows": rows}
