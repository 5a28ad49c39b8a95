"""Kind 7, populations of a fixed size and hidden layers (iii, vii, ii-stored)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from audit_kinds.case import gated, shows, twin
from recredit.rule import AbstractRule

# A population of k neurons is one whatever n is: two products in a row without an activation fail iii, weights used from both
# ends fail vii. The twins have the activation, or other weights for the way back; and weights that stay are stored, too.


class Layers(eqx.Module):
    """Weights to a hidden layer of k neurons and from it."""

    V: jax.Array  # (k, n)
    U: jax.Array  # (n, k)


class Hidden(AbstractRule):
    """A rule with a hidden layer of k neurons, fixed random weights."""

    k: int = 16

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        return Layers(jax.random.normal(k1, (self.k, net.n)) / 3, jax.random.normal(k2, (net.n, self.k)) / 3)


@shows(7, "iii", "fail")
class ThroughThree(AbstractRule):
    """A bottleneck of three neurons that sends on what it hears."""

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        return {"V": jax.random.normal(k1, (3, net.n)), "U": jax.random.normal(k2, (net.n, 3))}

    def update(self, net, step, state, key):
        return gated(net, step, state["U"] @ (state["V"] @ step.r)), state


@shows(7, "iii", "fail")
class ThroughSixteen(Hidden):
    """The same with sixteen, by einsum."""

    def update(self, net, step, state, key):
        hidden = jnp.einsum("kn,n->k", state.V, step.r)
        return gated(net, step, jnp.einsum("nk,k->n", state.U, hidden)), state


@shows(7, "iii", "fail")
class ThreeStages(AbstractRule):
    """A list of layers, each of which is linear."""

    def init(self, net, key):
        sizes = [(4, net.n), (6, 4), (net.n, 6)]
        return [jax.random.normal(k, size) / 2 for k, size in zip(jax.random.split(key, 3), sizes)]

    def update(self, net, step, state, key):
        signal = step.r
        for M in state:
            signal = jnp.dot(M, signal)
        return gated(net, step, signal), state


@shows(7, "iii", "fail")
class ThroughThreeBySums(AbstractRule):
    """The bottleneck by broadcast and sum, the way out under vmap; the way in learns."""

    def init(self, net, key):
        return 0.1 * jax.random.normal(key, (3, net.n)), jnp.ones((net.n, 3))

    def update(self, net, step, state, key):
        V, U = state
        hidden = (V * step.r[None, :]).sum(axis=1)
        V = V + 0.01 * jnp.outer(jnp.tanh(hidden), step.r)
        return gated(net, step, jax.vmap(lambda u: jnp.sum(u * hidden))(U)), (V, U)


@shows(7, "vii", "fail")
class TiedAutoencoder(AbstractRule):
    """Sixteen neurons hear the rates and send back through the same weights."""

    def init(self, net, key):
        return {"V": 0.3 * jax.random.normal(key, (16, net.n))}

    def update(self, net, step, state, key):
        code = jnp.tanh(state["V"] @ step.r)
        again = jnp.tanh(code @ state["V"])
        V = state["V"] + 0.01 * jnp.outer(code, step.r - again)
        return gated(net, step, step.r - again), {"V": V}


@shows(7, "vii", "fail")
class GradOfAHiddenLayer(Hidden):
    """A layer that predicts the rates, its gradient at the rates by jax.grad: the weights backwards."""

    def update(self, net, step, state, key):
        def surprise(r):
            return 0.5 * jnp.sum((step.r - state.U @ jnp.tanh(state.V @ r)) ** 2)

        return gated(net, step, jax.grad(surprise)(step.r_prev)), state


@shows(7, "vii", "fail")
class PulledBackByHand(Hidden):
    """Backpropagation to the rates by hand, with the weights transposed."""

    k: int = 3

    def update(self, net, step, state, key):
        hidden = jax.nn.sigmoid(state.V @ step.r_prev)
        error = jnp.tanh(state.U @ hidden) - step.r
        delta = (state.U.T @ jnp.tanh(error)) * hidden * (1 - hidden)
        return gated(net, step, state.V.T @ jnp.tanh(delta)), state


@shows(7, "vii", "fail")
class BothWaysInALoop(Hidden):
    """Forwards a row at a time, backwards by sums over the hidden layer, in loops."""

    k: int = 4

    def update(self, net, step, state, key):
        V = state.V
        heard = lax.map(lambda row: jax.nn.relu(row @ step.r), V)
        back = lax.fori_loop(0, self.k, lambda a, u: u + heard[a] * V[a], jnp.zeros(net.n))
        return gated(net, step, back), state


@twin(7, "iii", "pass")
class HiddenLayer(Hidden):
    """An activation between the two products."""

    def update(self, net, step, state, key):
        return gated(net, step, state.U @ jax.nn.relu(state.V @ step.r)), state


@twin(7, "ii-stored", "pass")
class HiddenLayerThatStays(Hidden):
    """Weights drawn once and never changed are stored."""

    k: int = 3

    def update(self, net, step, state, key):
        return gated(net, step, jnp.einsum("nk,k->n", state.U, jnp.tanh(jnp.einsum("kn,n->k", state.V, step.r)))), state


@twin(7, "ii-stored", "pass")
class HiddenLayerThatLearns(AbstractRule):
    """The same, the way in learning by Oja's rule."""

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        return 0.3 * jax.random.normal(k1, (8, net.n)), jax.random.normal(k2, (net.n, 8))

    def update(self, net, step, state, key):
        V, U = state
        code = jnp.tanh(V @ step.r)
        V = V + 0.01 * (jnp.outer(code, step.r) - (code**2)[:, None] * V)
        return gated(net, step, U @ code), (V, U)


@twin(7, "vii", "pass")
class OtherWeightsForTheWayBack(AbstractRule):
    """An autoencoder whose way back has weights of its own."""

    def init(self, net, key):
        k1, k2 = jax.random.split(key)
        return {"V": 0.3 * jax.random.normal(k1, (16, net.n)), "back": 0.3 * jax.random.normal(k2, (16, net.n))}

    def update(self, net, step, state, key):
        code = jnp.tanh(state["V"] @ step.r)
        again = jnp.tanh(code @ state["back"])
        return gated(net, step, step.r - again), state


@twin(7, "iii", "pass")
class ThreeStagesWithActivations(AbstractRule):
    """The list of layers with an activation behind each."""

    def init(self, net, key):
        sizes = [(4, net.n), (6, 4), (net.n, 6)]
        return [jax.random.normal(k, size) / 2 for k, size in zip(jax.random.split(key, 3), sizes)]

    def update(self, net, step, state, key):
        signal = step.r
        for M in state:
            signal = jax.nn.sigmoid(jnp.dot(M, signal))
        return gated(net, step, signal), state
