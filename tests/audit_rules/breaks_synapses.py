"""Rules whose matrices are no synapses: computed on the spot (ii-stored), not local (ii-local), jumping (ii-continuous)."""

import jax
import jax.numpy as jnp
from jax import lax

from audit_rules.case import case, credit, gated, immediate
from recredit.rule import AbstractRule


@case("ii-stored")
class GainTimesWeights(AbstractRule):
    """D_i W_ij computed on the spot, then read by the rates."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        effective = net.gain(step.v)[:, None] * net.W_rec
        return gated(net, step, effective @ step.r_prev), None  # <ii-stored>


@case("ii-stored")
class GainTimesWeightsByRows(AbstractRule):
    """The same, a row at a time under vmap."""

    def init(self, net, key):
        return ()

    def update(self, net, step, state, key):
        row = jax.vmap(lambda d, w: jnp.dot(d * w, step.r_prev))
        return gated(net, step, row(net.gain(step.v), net.W_rec)), ()


@case("ii-stored")
class SimilarityKernel(AbstractRule):
    """Units read each other through the likeness of their rates, by broadcast and sum."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        kernel = jnp.exp(-((step.r[:, None] - step.r[None, :]) ** 2))
        heard = (kernel * step.r[None, :]).sum(axis=1)  # <ii-stored>
        return gated(net, step, heard), None


@case("ii-stored")
class KernelInALoop(AbstractRule):
    """The same likeness, taken row by row in a loop with dynamic slices."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        kernel = jnp.tanh(jnp.outer(step.r, step.r_prev))

        def one(i, heard):
            row = lax.dynamic_slice_in_dim(kernel, i, 1)[0]
            return heard.at[i].set(jnp.vdot(row, step.r_prev))

        return gated(net, step, lax.fori_loop(0, net.n, one, jnp.zeros_like(step.r))), None


@case("ii-local")
class ReadsItsNeighbour(AbstractRule):
    """Each trace decays towards that of the next synapse on the same unit."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        trace = 0.8 * state + 0.1 * jnp.roll(state, 1, axis=1) + immediate(net, step)  # <ii-local>
        return credit(net, step)[:, None] * trace, trace


@case("ii-local")
class RowAboveInALoop(AbstractRule):
    """Each row of the trace takes a part of the row above it."""

    def init(self, net, key):
        return {"trace": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        trace = 0.9 * state["trace"] + immediate(net, step)
        trace = lax.fori_loop(1, net.n, lambda i, t: t.at[i].add(0.1 * t[i - 1]), trace)
        return credit(net, step)[:, None] * trace, {"trace": trace}


@case("ii-local")
class ReadsItsMirror(AbstractRule):
    """The synapse from j to i reads the one from i to j."""

    def init(self, net, key):
        return jnp.zeros_like(net.W_rec)

    def update(self, net, step, state, key):
        pairs = 0.7 * state + 0.2 * jnp.einsum("ij->ji", state) + jnp.outer(net.gain(step.v), step.r_prev)  # <ii-local>
        rest = jnp.outer(net.gain(step.v), step.r_hat[net.n :])
        return credit(net, step)[:, None] * jnp.concatenate([pairs, rest], axis=1), pairs


@case("ii-local")
class ReversedGradient(AbstractRule):
    """Each weight changes by the trace of another synapse of the same unit."""

    def init(self, net, key):
        return (jnp.zeros_like(net.W),)

    def update(self, net, step, state, key):
        trace = 0.9 * state[0] + immediate(net, step)
        return credit(net, step)[:, None] * trace[:, ::-1], (trace,)  # <ii-local>


@case("ii-local")
class CreditOfAnother(AbstractRule):
    """Each unit learns by the credit of the unit before it, which no synapse brings."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        return jnp.roll(credit(net, step), 1)[:, None] * immediate(net, step), None


@case("ii-continuous", measured=True)
class StoredJacobian(AbstractRule):
    """The Jacobian itself, written anew at each step into a state, and read by the rates."""

    def init(self, net, key):
        return jnp.zeros_like(net.W_rec)

    def update(self, net, step, state, key):
        J = net.jacobian(step.v)
        return gated(net, step, J @ step.r_prev), J


@case("ii-continuous", measured=True)
class FlippingTrace(AbstractRule):
    """A trace that changes its sign at each step."""

    def init(self, net, key):
        return jnp.ones_like(net.W)

    def update(self, net, step, state, key):
        trace = -(1 - net.alpha) * state + immediate(net, step)
        return credit(net, step)[:, None] * trace, trace


@case("ii-continuous", measured=True)
class LastOuterProduct(AbstractRule):
    """The product of rates and inputs of one step, kept for the next: it jumps with the input."""

    def init(self, net, key):
        return {"last": jnp.zeros_like(net.W)}

    def update(self, net, step, state, key):
        return credit(net, step)[:, None] * state["last"], {"last": jnp.outer(net.slope(step.v), step.r_hat)}


@case(measured=True)
class SmoothTrace(AbstractRule):
    """RFLO's trace: it changes continuously."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        trace = (1 - net.alpha) * state + immediate(net, step)
        return credit(net, step)[:, None] * trace, trace
