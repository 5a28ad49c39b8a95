"""Miconi's rule is the published program's, and node perturbation where it is told the noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_units import KINDS

from recredit.network import Network
from recredit.rule import Step
from recredit.rules import Miconi, NodePerturbation

TRIALS, LENGTH, N = 4, 12, 5
BASELINE_RATE = 0.25


class Told(Miconi):
    """Miconi's rule without a cube, that is told what of the voltages is noise."""

    def supralinear(self, z):
        return z

    def fluctuation(self, step, x, x_bar):
        return step.xi


@eqx.filter_jit
def gone(rule, net, state, s, data):
    """Each step's gradient, and the state after, of one trial."""

    def body(carry, now):
        s, state = carry
        x, y, weight, xi = now
        step = Step.of(net, s, x, y, xi).weighted(weight)
        G, state = rule.update(net, step, state, jax.random.key(0))
        return (step.state, state), (G, step.loss)

    (_, state), (G, losses) = jax.lax.scan(body, (s, state), data)
    return G, losses, state


def drawn(kind, key):
    """A network, and what happens to it in each trial; the last step is scored."""
    net = Network(N, units=KINDS[kind], noise=0.5).create(2, 1, "linear", jax.random.key(key))
    x, y, xi = (
        jax.random.normal(jax.random.fold_in(jax.random.key(key), i), (TRIALS, LENGTH, size))
        for i, size in enumerate((2, 1, len(net.W)))
    )
    weight = jnp.zeros((TRIALS, LENGTH)).at[:, -1].set(1)
    return net, (x, y, weight, 0.5 * xi)


def trials(rule, net, data):
    """The gradient of each trial's last step, and its loss."""
    state = rule.init(net, jax.random.key(0))
    for trial in range(TRIALS):
        G, losses, state = gone(rule, net, state, net.rest(), jax.tree.map(lambda a, k=trial: a[k], data))
        assert not G[:-1].any()
        yield G[-1], losses[-1]
        owed, state = rule.restart(net, state)
        assert not owed.any()


def published(net, data, dt_over_tau):
    """The change of J | win and its like of the bias, for a learning rate of 1, at each trial's end.

    As the published program goes, in its names, with a quadratic error; its L_bar outside of dJ is left out.
    """
    J, win, b = np.asarray(net.W_rec), np.asarray(net.W[:, N:-1]), np.asarray(net.W[:, -1])
    meanerrtrace = 0.0
    for trial in range(TRIALS):
        inputs, targets, _, modul = (np.asarray(part[trial]) for part in data)
        x, x_trace, hebb = np.zeros(N), np.zeros(N), np.zeros((N, N + 3))
        r = np.tanh(x)
        for t in range(LENGTH):
            rprev = np.concatenate([r, inputs[t], [1]])
            total_exc = J @ r + win @ inputs[t] + b + modul[t]
            x = x + dt_over_tau * (-x + total_exc)
            r = np.tanh(x)
            delta_x = x - x_trace
            x_trace = 0.05 * x_trace + 0.95 * x
            for i in range(N):
                for j in range(N + 3):
                    incr = rprev[j] * delta_x[i]
                    hebb[i, j] += incr * incr * incr
        meanerr = 0.5 * np.sum((np.asarray(net.W_out) @ r + np.asarray(net.b_out) - targets[-1]) ** 2)
        yield -hebb * (meanerr - meanerrtrace), meanerr
        meanerrtrace = (1 - BASELINE_RATE) * meanerrtrace + BASELINE_RATE * meanerr


def test_it_is_the_published_program():
    net, data = drawn("voltage", 3)
    rule = Miconi(decay=1, baseline_rate=BASELINE_RATE)
    for (G, loss), (dJ, meanerr) in zip(trials(rule, net, data), published(net, data, KINDS["voltage"].alpha), strict=True):
        np.testing.assert_allclose(loss, meanerr, rtol=1e-10)
        np.testing.assert_allclose(-G, dJ, rtol=1e-10, atol=1e-10 * abs(dJ).max())


@pytest.mark.parametrize("kind", ["leaky", pytest.param("gru", marks=pytest.mark.slow)])
def test_told_the_noise_and_without_a_cube_it_is_node_perturbation(kind):
    net, data = drawn(kind, 4)
    told, node = (trials(rule(decay=0.8, baseline_rate=0.1), net, data) for rule in (Told, NodePerturbation))
    for (G, _), (expected, _) in zip(told, node, strict=True):
        np.testing.assert_allclose(G, expected * net.noise**2, rtol=1e-10, atol=1e-12)
        assert abs(G).max() > 1e-3


def test_what_is_expected_at_a_trials_first_step_is_a_network_at_rest():
    net, (x, y, weight, _) = drawn("leaky", 5)
    still = (0 * x, y, weight, jnp.zeros((TRIALS, LENGTH, N)))
    first = gone(Miconi(), net, Miconi().init(net, jax.random.key(0)), net.rest(), jax.tree.map(lambda a: a[0, :1], still))[2]
    assert not first.e.any()
