"""What the tests share: small networks on small streams, rules run step by step, and exact gradients by autodiff."""

import jax
import jax.numpy as jnp
import numpy as np

from recredit.network import LeakyRNN
from recredit.rule import Step


def small_net(n=4, n_in=2, n_out=3, alpha=0.5, activation="tanh", head="softmax", seed=0):
    k_net, k_b, k_out = jax.random.split(jax.random.key(seed), 3)
    net = LeakyRNN.create((n, n_in, n_out), k_net, alpha=alpha, activation=activation, head=head)
    b_rec, b_out = 0.1 * jax.random.normal(k_b, (n,)), 0.1 * jax.random.normal(k_out, (n_out,))
    return LeakyRNN(net.W.at[:, -1].set(b_rec), net.W_out, b_out, alpha, activation, head)


def stream(net, T, seed=1):
    """Starting rates, inputs and labels."""
    k_r, k_x, k_y = jax.random.split(jax.random.key(seed), 3)
    targets = jax.nn.softmax(jax.random.normal(k_y, (T, net.n_out)))
    return 0.5 * jax.random.normal(k_r, (net.n,)), jax.random.normal(k_x, (T, net.n_in)), targets


def unstack(tree):
    """A list of trees from one tree with a leading axis."""
    leaves, structure = jax.tree.flatten(tree)
    columns = [[jnp.asarray(row) for row in np.asarray(leaf)] for leaf in leaves]
    return [jax.tree.unflatten(structure, row) for row in zip(*columns, strict=True)]


def stack(trees):
    """One tree with a leading axis from a list of trees."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def steps_of(net, r, inputs, targets):
    """The Step of each time, with frozen weights."""

    def body(r_prev, data):
        x, target = data
        r_hat, v, r = net.step(r_prev, x)
        _, error = net.loss_and_error(net.readout(r), target)
        return r, Step(r_prev, r_hat, v, r, error, target)

    return unstack(jax.lax.scan(body, r, (inputs, targets))[1])


def run_rule(rule, net, steps, state=None, keys=None):
    """Each step's gradient and state, with frozen weights."""
    state = rule.init(net, jax.random.key(0)) if state is None else jax.tree.map(jnp.asarray, state)
    keys = jax.random.split(jax.random.key(1), len(steps)) if keys is None else jnp.stack([*keys])

    def body(state, now):
        G, state = rule.update(net, now[0], state, now[1])
        return state, (G, state)

    grads, states = jax.lax.scan(body, state, (stack(steps), keys))[1]
    return grads, unstack(states) if jax.tree.leaves(states) else [states] * len(steps)


def losses(net, r, inputs, targets, W):
    """Each step's loss; W is one (n, m) matrix for all steps, or one per step (T, n, m)."""
    out = []
    for t, (x, target) in enumerate(zip(inputs, targets, strict=True)):
        used = LeakyRNN(W if W.ndim == 2 else W[t], net.W_out, net.b_out, net.alpha, net.activation, net.head)
        _, _, r = used.step(r, x)
        out.append(net.loss_and_error(net.readout(r), target)[0])
    return jnp.stack(out)


def past_gradients(net, r, inputs, targets):
    """d L^t / d W for each t: W shared by all past steps."""
    return jax.jacrev(lambda W: losses(net, r, inputs, targets, W))(net.W)


def future_gradients(net, r, inputs, targets, last=None):
    """d (sum of L^s over s <= last) / d W^(t): the copy of W used at step t."""
    W = jnp.broadcast_to(net.W, (len(inputs), *net.W.shape))
    return jax.grad(lambda W: losses(net, r, inputs, targets, W)[:last].sum())(W)
