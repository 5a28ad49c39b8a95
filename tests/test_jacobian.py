"""The Jacobian, its products, and the learned one of Eq. 3."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import small_net, steps_of, stream

from recredit.blocks.jacobian import ExactJacobian, LearnedJacobian, ThroughWeights
from recredit.network import LeakyRNN
from recredit.rule import Step

ACTIVATIONS = ["tanh", "relu", "sigmoid", "identity"]


def close(a, b, tolerance=1e-10):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def seen(r_prev, r, net):
    r_hat = jnp.concatenate([r_prev, jnp.zeros(net.n_in), jnp.ones(1)])
    return Step(r_prev, r_hat, net.W @ r_hat, r, jnp.zeros(net.n_out), jnp.zeros(net.n_out))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slope_and_jacobian_are_derivatives(activation):
    net = small_net(activation=activation)
    step = steps_of(net, *stream(net, 3))[-1]
    close(net.slope(step.v), jax.vmap(jax.grad(net.phi))(step.v))
    x = step.r_hat[net.n : -1]
    close(net.jacobian(step.v), jax.jacfwd(lambda r: net.step(r, x)[2])(step.r_prev))


@pytest.mark.parametrize("shape", [(4,), (4, 7), (4, 4, 7)])
def test_exact_products(shape):
    net = small_net()
    v, a = steps_of(net, *stream(net, 1))[0].v, jax.random.normal(jax.random.key(2), shape)
    J = net.jacobian(v)
    for block in (ExactJacobian(), ThroughWeights()):
        close(block.forward(net, v, None, a), jnp.einsum("kl,l...->k...", J, a))
        close(block.backward(net, v, None, J[0]), J[0] @ J)


def test_the_authors_example_of_eq_3():
    net = LeakyRNN(jnp.eye(2, 4), jnp.ones((1, 2)), jnp.zeros(1), 1.0, "tanh", "linear")
    block = LearnedJacobian(rate=1.0)
    state = block.init(net, jax.random.key(0))
    close(state, jnp.eye(2), 0)
    close(block.learn(net, seen(jnp.ones(2), 2 * jnp.ones(2), net), state), jnp.array([[2, 1], [1, 2]]), 0)


def test_eq_3_descends_the_squared_error_of_the_prediction():
    net, block = small_net(), LearnedJacobian(rate=0.05)
    state = block.init(net, jax.random.key(0))
    for step in steps_of(net, *stream(net, 20)):
        after = block.learn(net, step, state)
        error = lambda JJ, step=step: jnp.sum((step.r - JJ @ step.r_prev) ** 2)  # noqa: E731
        assert error(after) < error(state)
        state = after


def test_initialisations_and_a_rate_of_zero():
    net = small_net(alpha=0.3)
    starts = {"W_rec": net.W_rec, "leaky": 0.7 * jnp.eye(4) + 0.3 * net.W_rec, "zero": jnp.zeros((4, 4))}
    for name, expected in starts.items():
        for regressors, width in {"r": 4, "r1": 5, "r_hat": 7}.items():
            block = LearnedJacobian(0.0, name, regressors)
            state = block.init(net, jax.random.key(0))
            close(state, jnp.zeros((4, width)).at[:, :4].set(expected), 0)
            close(block.learn(net, steps_of(net, *stream(net, 1))[0], state), state, 0)
            close(block.backward(net, jnp.zeros(4), state, jnp.arange(4.0)), jnp.arange(4.0) @ expected)


def test_with_gaussian_rates_and_a_bias_eq_3_learns_the_mean_jacobian():
    """Stein's lemma: without the bias regressor the fixed point is another one."""
    net = small_net(n=4, n_in=2)
    k_S, k_mu, k_r = jax.random.split(jax.random.key(0), 3)
    mu, S = 0.3 * jax.random.normal(k_mu, (4,)), 0.5 * jax.random.normal(k_S, (4, 4))
    r_prev = mu + jax.random.normal(k_r, (200_000, 4)) @ S.T

    def respond(r):
        _, v, r_next = net.step(r, jnp.zeros(2))
        return net.jacobian(v), r_next

    J, r = jax.vmap(respond)(r_prev)
    mean, bias = J.mean(0), r.mean(0) - J.mean(0) @ r_prev.mean(0)

    def mean_update(block, state):
        # zero on average exactly at the fixed point
        change = jax.vmap(lambda a, b: block.learn(net, seen(a, b, net), state) - state)(r_prev, r)
        return jnp.linalg.norm(change.mean(0)) / jnp.sqrt((change**2).mean())

    fixed_point = jnp.concatenate([mean, bias[:, None]], axis=1)
    assert mean_update(LearnedJacobian(1.0, "zero", "r1"), fixed_point) < 0.02
    assert mean_update(LearnedJacobian(1.0, "zero", "r"), mean) > 0.2
