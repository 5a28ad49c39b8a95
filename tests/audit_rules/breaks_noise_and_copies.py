"""Rules with shared noise (v), a second copy of the network (vi), or synapses used in both directions (vii)."""

import jax
import jax.numpy as jnp
from jax import lax

from audit_rules.case import case, credit, gated, immediate
from recredit.rule import AbstractRule, Clock


class Traced(AbstractRule):
    """A rule with one trace per synapse."""

    def init(self, net, key):
        return jnp.ones_like(net.W)


@case("v")
class SignOfAll(Traced):
    """One random sign for a whole matrix."""

    def update(self, net, step, state, key):
        sign = jax.random.rademacher(key, (), net.W.dtype)
        trace = 0.9 * sign * state + immediate(net, step)  # <v>
        return credit(net, step)[:, None] * trace, trace


@case("v")
class CoinOfAll(Traced):
    """One coin decides on the sign of a whole matrix, by where."""

    def update(self, net, step, state, key):
        trace = 0.9 * jnp.where(jax.random.bernoulli(key), state, -state) + immediate(net, step)  # <v>
        return credit(net, step)[:, None] * trace, trace


@case("v")
class CoinInACond(Traced):
    """The same coin taken by a cond."""

    def update(self, net, step, state, key):
        heads = jax.random.uniform(key) < 0.5
        trace = lax.cond(heads, lambda s: 0.9 * s, lambda s: -0.9 * s, state) + immediate(net, step)
        return credit(net, step)[:, None] * trace, trace


@case("v")
class ShakesAll(Traced):
    """One draw added to every entry of a matrix."""

    def update(self, net, step, state, key):
        shake = jax.random.normal(key, (1, 1), net.W.dtype)
        trace = 0.9 * state + jnp.broadcast_to(shake, state.shape) + immediate(net, step)
        return credit(net, step)[:, None] * trace, trace


class Copied(AbstractRule):
    """A rule with a second network, started elsewhere."""

    def init(self, net, key):
        return jnp.tanh(jax.random.normal(key, (net.n,), net.W.dtype))


@case("vi")
class PerturbedCopy(Copied):
    """The network run again from a perturbed state, with noise on its voltages."""

    def update(self, net, step, state, key):
        r_hat = jnp.concatenate([state, step.r_hat[net.n :]])
        noise = 0.1 * jax.random.normal(key, (net.n,), net.W.dtype)
        copy = net.leak(state, net.W @ r_hat + noise)  # <vi>
        return gated(net, step, copy - step.r), copy


@case("vi")
class CopyByParts(Copied):
    """The same without noise, W taken apart and the activation written out."""

    def update(self, net, step, state, key):
        inward, bias = net.W[:, net.n : -1], net.W[:, -1]
        v = jnp.einsum("ij,j->i", net.W_rec, state) + jnp.einsum("ij,j->i", inward, step.r_hat[net.n : -1]) + bias
        copy = (1 - net.alpha) * state + net.alpha * net.phi(v)
        return gated(net, step, copy), copy


@case("vi")
class TwoCopiesAtOnce(AbstractRule):
    """Two copies, rows of one array, run side by side under vmap."""

    def init(self, net, key):
        return jnp.tanh(jax.random.normal(key, (2, net.n), net.W.dtype))

    def update(self, net, step, state, key):
        x = step.r_hat[net.n : -1]
        copies = jax.vmap(lambda r: net.step(r, x)[2])(state)
        return gated(net, step, copies[0] - copies[1]), copies


@case("vi")
class LooksAhead(AbstractRule):
    """The network run on by four steps of its own, in a scan, to see where it goes."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        x = step.r_hat[net.n : -1]
        ahead = lax.scan(lambda r, _: (net.step(r, x)[2], None), step.r, length=4)[0]
        return gated(net, step, ahead - step.r), None


@case("vii")
class WeightsBackwards(AbstractRule):
    """A rate of the credit through W_rec from its targets to its sources."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        rate = jnp.tanh(credit(net, step))
        return gated(net, step, rate @ net.W_rec), None  # <vii>


@case("vii")
class WeightsBackwardsBySum(AbstractRule):
    """The same by broadcast and sum over the targets."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        rate = jax.nn.sigmoid(credit(net, step))
        return gated(net, step, (rate[:, None] * net.W_rec).sum(0)), None  # <vii>


@case("vii")
class WeightsBackwardsInALoop(AbstractRule):
    """The same, a row of W at each round of a loop."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        rate = jax.nn.relu(credit(net, step))
        heard = lax.fori_loop(0, net.n, lambda i, u: u + rate[i] * net.W[i], jnp.zeros_like(step.r_hat))
        return gated(net, step, heard[: net.n]), None


@case("vii")
class WeightsBackwardsByVjp(AbstractRule):
    """The same by jax.vjp of the linear part of the network."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        _, pull = jax.vjp(lambda r: net.W_rec @ r, step.r_prev)
        return gated(net, step, pull(jnp.tanh(credit(net, step)))[0]), None


@case("vii")
class BothWays(AbstractRule):
    """Synapses of its own, read from either end."""

    def init(self, net, key):
        return {"S": jnp.zeros_like(net.W_rec)}

    def update(self, net, step, state, key):
        S = state["S"] + 0.01 * jnp.outer(step.r - state["S"] @ step.r_prev, step.r_prev)
        return gated(net, step, jnp.einsum("ij,i->j", S, step.r)), {"S": S}


@case("vii")
class BothWaysTransposed(AbstractRule):
    """The same, stored transposed and flattened, read every other step from the other end."""

    def init(self, net, key):
        return jnp.zeros(net.n * net.n, net.W.dtype), Clock.at_zero()

    def update(self, net, step, state, key):
        S = state[0].reshape(net.n, net.n).T
        heard = lax.cond(state[1].steps % 2 == 0, lambda: jnp.matmul(S, step.r), lambda: jnp.matmul(step.r, S))
        S = 0.99 * S + 0.01 * jnp.outer(step.r, step.r_prev)
        return gated(net, step, heard), (S.T.ravel(), state[1].tick())


@case("vii")
class SmuggledWeights(AbstractRule):
    """A copy of W_rec taken at the start and used backwards only: weight transport all the same."""

    def init(self, net, key):
        return net.W_rec  # <vii>

    def update(self, net, step, state, key):
        return gated(net, step, jnp.tanh(credit(net, step)) @ state), state


@case("vii")
class SmuggledTranspose(AbstractRule):
    """The same copy, stored the other way round, read as if it were a feedback matrix, and learning on its own."""

    def init(self, net, key):
        return {"feedback": 0.5 * net.W[:, : net.n].T}

    def update(self, net, step, state, key):
        feedback = state["feedback"] + 0.01 * jnp.outer(step.r_prev, step.r)
        rate = jax.nn.sigmoid(credit(net, step))
        return gated(net, step, jnp.einsum("ij,j->i", feedback, rate)), {"feedback": feedback}
