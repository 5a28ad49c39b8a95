"""Rules that send what is no firing rate (iii) or multiply matrices (iv).

A product of rates and gains, or a difference of rates, is no linear image of another product: left to judgement. What a unit
reads off a product of two matrices (its row's largest) is computed from strengths: ii-local, left to judgement.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from audit_rules.case import case, credit, gated
from recredit.rule import AbstractRule


class Recurrent(AbstractRule):
    """A rule with fixed random synapses between the units, in its state."""

    def init(self, net, key):
        return jax.random.normal(key, (net.n, net.n), net.W.dtype) / net.n**0.5


class TwoRecurrent(AbstractRule):
    """A rule with two sets of synapses between the units, traces of their rates."""

    def init(self, net, key):
        return jnp.zeros_like(net.W_rec), jnp.zeros_like(net.W_rec)

    def learn(self, step, state):
        """Both matrices after this step."""
        return 0.9 * state[0] + 0.1 * jnp.outer(step.r, step.r_prev), 0.8 * state[1] + 0.2 * jnp.outer(step.r, step.r)


@case("iii")
class SendsVoltage(Recurrent):
    """A voltage through synapses."""

    def update(self, net, step, state, key):
        return gated(net, step, state @ step.v), state  # <iii>


@case("iii")
class SendsLinearImage(Recurrent):
    """Twice through the same synapses, without an activation between."""

    def update(self, net, step, state, key):
        heard = jnp.tensordot(state, step.r, axes=(1, 0))
        again = jnp.tensordot(state, heard, axes=(1, 0))  # <iii>
        return gated(net, step, again), state


@case("iii")
class SendsCredit(Recurrent):
    """The credit, itself a linear image of the error, through synapses of its own."""

    def update(self, net, step, state, key):
        passed = jnp.einsum("ik,k->i", state, credit(net, step))  # <iii>
        return jnp.outer(passed * net.gain(step.v), step.r_hat), state


@case(weighs=("iii",))
class SendsGainTimesRate(Recurrent):
    """Rates times gains, row by row under vmap."""

    def update(self, net, step, state, key):
        sent = net.gain(step.v) * step.r
        return gated(net, step, jax.vmap(jnp.dot, (0, None))(state, sent)), state


@case(weighs=("iii",))
class SendsADifference(Recurrent):
    """The change of the rates: a signed difference, by broadcast and sum."""

    def update(self, net, step, state, key):
        change = (step.r - step.r_prev)[None, :]
        return gated(net, step, jnp.sum(state * change, axis=1)), state


@case("iii")
class SettlesLinearly(Recurrent):
    """Three rounds of a linear relaxation in a loop."""

    def update(self, net, step, state, key):
        u = lax.fori_loop(0, 3, lambda _, u: step.r + 0.3 * state @ u, step.r)
        return gated(net, step, u), state


@case("iii")
class JvpOfTheStep(AbstractRule):
    """The Jacobian product by jax.jvp: autodiff sends a state that is no rate through W."""

    def init(self, net, key):
        return jnp.zeros_like(net.W[:, 0])

    def update(self, net, step, state, key):
        x = step.r_hat[net.n : -1]
        _, moved = jax.jvp(lambda r: net.step(r, x)[2], (step.r_prev,), (state,))
        return gated(net, step, moved), moved - 0.1 * net.gain(step.v)


@case("iii", "iv", weighs=("ii-local",))
class MatrixProduct(TwoRecurrent):
    """A product of two stored matrices, of which the mean of the smallest and largest of each row is used."""

    def update(self, net, step, state, key):
        a, b = state
        paths = a @ b  # <iv>
        return gated(net, step, (paths.min(1) + paths.max(1)) / 2), self.learn(step, state)


@case("iii", "iv", weighs=("ii-local",))
class MatrixProductByEinsum(TwoRecurrent):
    """The same by einsum, with one of the two stored transposed; the largest of each row is used."""

    def update(self, net, step, state, key):
        strongest = jnp.max(jnp.einsum("ik,jk->ij", *state), axis=1)  # <iv>
        return gated(net, step, strongest), self.learn(step, state)


@case("iii", "iv", weighs=("ii-local",))
class MatrixProductByBroadcast(TwoRecurrent):
    """The same by broadcast and sum."""

    def update(self, net, step, state, key):
        paths = (state[0][:, :, None] * state[1][None]).sum(1)  # <iv>
        return gated(net, step, paths.max(1)), self.learn(step, state)


@case("iii", "iv", weighs=("ii-local",))
class MatrixProductByColumns(TwoRecurrent):
    """The same, a column at a time under vmap."""

    def update(self, net, step, state, key):
        paths = jax.vmap(partial(jnp.matmul, state[0]), 1, 1)(state[1])
        return gated(net, step, jnp.max(paths, axis=1)), self.learn(step, state)


@case("iii", "iv", weighs=("ii-local",))
class MatrixProductByRows(TwoRecurrent):
    """The same, a row at each round of a scan, inside a nested jit."""

    def update(self, net, step, state, key):
        @jax.jit
        def strongest(a, b):
            return lax.scan(lambda carry, row: (carry, jnp.max(row @ b)), 0.0, a)[1]

        return gated(net, step, strongest(*state)), self.learn(step, state)


@case("iii", "iv", weighs=("ii-local",))
class MatrixProductInALoop(TwoRecurrent):
    """The same as a sum of outer products over the units between, in a loop."""

    def update(self, net, step, state, key):
        a, b = state
        paths = lax.fori_loop(0, net.n, lambda k, c: c + jnp.outer(a[:, k], b[k]), jnp.zeros_like(a))
        return gated(net, step, paths.max(1)), self.learn(step, state)
