"""What the tests share: small networks on small streams, rules run step by step, and exact gradients by autodiff.

Each is one compiled program, kept by its shapes and settings, so that tests of the same problem compile it once.
"""

from functools import lru_cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from recredit.audit.facts.named import Program
from recredit.audit.measurement import slopes
from recredit.audit.measurement.verdict import matrices
from recredit.audit.program.audited import Audited
from recredit.network import LeakyRNN
from recredit.rule import Step


@lru_cache
def small_net(n=4, n_in=2, n_out=3, alpha=0.5, activation="tanh", head="softmax", seed=0, noise=0.0):
    return LeakyRNN(*drawn_weights((n, n_in, n_out), seed), alpha, activation, head, noise=noise)


def noise_for(rule):
    """The noise of a network on which a rule can learn."""
    return 0.1 if rule.needs_noise else 0.0


@partial(jax.jit, static_argnums=0)
def drawn_weights(sizes, seed):
    """W, W_out and b_out, with biases."""
    k_net, k_b, k_out = jax.random.split(jax.random.key(seed), 3)
    net = LeakyRNN.create(sizes, k_net, alpha=1.0, head="linear")
    b_rec, b_out = (0.1 * jax.random.normal(key, (size,)) for key, size in ((k_b, net.n), (k_out, net.n_out)))
    return net.W.at[:, -1].set(b_rec), net.W_out, b_out


def stream(net, T, seed=1):
    """Starting rates, inputs and labels."""
    return drawn_stream((net.n, net.n_in, net.n_out), T, seed)


@partial(jax.jit, static_argnums=(0, 1))
def drawn_stream(sizes, T, seed):
    n, n_in, n_out = sizes
    k_r, k_x, k_y = jax.random.split(jax.random.key(seed), 3)
    targets = jax.nn.softmax(jax.random.normal(k_y, (T, n_out)))
    return 0.5 * jax.random.normal(k_r, (n,)), jax.random.normal(k_x, (T, n_in)), targets


def unstack(tree):
    """A list of trees from one tree with a leading axis."""
    leaves, structure = jax.tree.flatten(tree)
    columns = [[jnp.asarray(row) for row in np.asarray(leaf)] for leaf in leaves]
    return [jax.tree.unflatten(structure, row) for row in zip(*columns, strict=True)]


def stack(trees):
    """One tree with a leading axis from a list of trees."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *trees)


def steps_of(net, r, inputs, targets):
    """The Step of each time, with frozen weights."""
    return unstack(played(net, r, inputs, targets))


@eqx.filter_jit
def played(net, r, inputs, targets):
    def body(r_prev, data):
        x, target, key = data
        xi = net.noise_of(key)
        r_hat, v, r = net.step(r_prev, x, xi)
        loss, error = net.loss_and_error(net.readout(r), target)
        return r, Step(r_prev, r_hat, v, r, error, target, loss=loss, xi=xi, weight=jnp.ones(()))

    return jax.lax.scan(body, r, (inputs, targets, jax.random.split(jax.random.key(6), len(inputs))))[1]


def run_rule(rule, net, steps, state=None, keys=None):
    """Each step's gradient and state, with frozen weights."""
    state = rule.init(net, jax.random.key(0)) if state is None else jax.tree.map(jnp.asarray, state)
    keys = jax.random.split(jax.random.key(1), len(steps)) if keys is None else jnp.stack([*keys])
    grads, states = learned(rule, net, state, stack(steps), keys)
    return grads, unstack(states) if jax.tree.leaves(states) else [states] * len(steps)


@eqx.filter_jit
def learned(rule, net, state, steps, keys):
    def body(state, now):
        G, state = rule.update(net, now[0], state, now[1])
        return state, (G, state)

    return jax.lax.scan(body, state, (steps, keys))[1]


def losses(net, r, inputs, targets, W):
    """Each step's loss; W is one (n, m) matrix for all steps, or one per step (T, n, m)."""

    def body(r, now):
        W, x, target = now
        _, _, r = LeakyRNN(W, net.W_out, net.b_out, net.alpha, net.activation, net.head).step(r, x)
        return r, net.loss_and_error(net.readout(r), target)[0]

    return jax.lax.scan(body, r, (jnp.broadcast_to(W, (len(inputs), *net.W.shape)), inputs, targets))[1]


@eqx.filter_jit
def past_gradients(net, r, inputs, targets):
    """d L^t / d W for each t: W shared by all past steps."""
    return jax.jacrev(lambda W: losses(net, r, inputs, targets, W))(net.W)


def future_gradients(net, r, inputs, targets, last=None):
    """d (sum of L^s over s <= last) / d W^(t): the copy of W used at step t."""
    T = len(inputs)
    return weighted_gradients(net, r, inputs, targets, 1.0 * (np.arange(T) < (T if last is None else last)))


@eqx.filter_jit
def weighted_gradients(net, r, inputs, targets, weights):
    W = jnp.broadcast_to(net.W, (len(inputs), *net.W.shape))
    return jax.grad(lambda W: losses(net, r, inputs, targets, W) @ weights)(W)


def measured(rule, key):
    """The `slopes` of a rule's matrices."""
    audited = Audited(noisy=rule.needs_noise)
    return slopes(rule, matrices(Program(rule, "a rule", audited)), key, audited)
