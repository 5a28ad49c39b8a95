"""Rules that learn from the loss alone: their mean over all signs of the noise is the past-facing gradient, to O(sigma^2)."""

import itertools
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_units
from test_units import KINDS, played, run, updated

from recredit.network import Network
from recredit.rule import Step
from recredit.rules import RFLO, NodePerturbation, RandomWalk, ThreeFactor, WeightPerturbation
from recredit.rules.node_perturbation import NodePerturbationState

SIGMAS = np.array([0.08, 0.04, 0.02])


def slow(*values):
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow) for value in values]


@cache
def problem(kind, n, T, **settings):
    """A tiny network, its first state, and a stream: inputs, labels and weights of the steps, one of which is not scored."""
    net = Network(n, units=KINDS[kind], **settings).create(1, 2, "softmax", jax.random.key(1))
    keys = jax.random.split(jax.random.key(2), 4)
    net = net.with_weights(net.kept(net.W + 0.3 * jax.random.normal(keys[0], net.W.shape)), net.W_out, net.b_out)
    s = 0.4 * jax.random.normal(keys[1], (net.n_state,))
    x, y = jax.random.normal(keys[2], (T, 1)), jax.nn.softmax(jax.random.normal(keys[3], (T, 2)))
    return net, s, (x, y, jnp.array([1.0, 0.0, 1.0, 0.5])[-T:])


def gradients(rule, net, s, state, data, xi, keys):
    """Each step's gradient, of a run whose voltages have the noise xi (T, P)."""

    def body(carry, now):
        s, state = carry
        x, y, weight, xi, key = now
        step = Step.of(net, s, x, y, xi).weighted(weight)
        G, state = rule.update(net, step, state, key)
        return (step.state, state), G

    return jax.lax.scan(body, (s, state), (*data, xi, keys))[1]


told = eqx.filter_jit(gradients)


@eqx.filter_jit
def past(net, s, data, decay, xi=None):
    """F^t: the gradients dL^t / dW^{t'} of all steps up to t, each times decay^{t - t'}."""
    T = len(data[0])

    def losses(W):
        def body(s, now):
            W, x, y, weight, xi = now
            step = Step.of(net.with_weights(W, net.W_out, net.b_out), s, x, y, xi).weighted(weight)
            return step.state, step.loss

        return jax.lax.scan(body, s, (W, *data, xi))[1]

    G = jax.jacrev(losses)(jnp.broadcast_to(net.W, (T, *net.W.shape)))
    lag = jnp.arange(T)[:, None] - jnp.arange(T)
    return jnp.einsum("ts,tspm->tpm", jnp.where(lag >= 0, decay ** jnp.maximum(lag, 0), 0), G)


def signs(T, count):
    """Every table (T, count) of signs."""
    return jnp.asarray(np.array(list(itertools.product([-1.0, 1.0], repeat=T * count))).reshape(-1, T, count))


def slope(errors):
    """Of the largest error over sigma, both logarithmic."""
    return np.polyfit(np.log(SIGMAS), np.log([abs(error).max() for error in errors]), 1)[0]


NODES = [
    ("leaky", 2, 4, 0.7, -3.0, 0.0),
    *slow(
        ("leaky", 2, 4, 1, 0.0, 0.0), ("leaky", 2, 4, 0.7, 0.0, 0.4), ("gru", 1, 3, 0.7, 2.0, 0.0), ("gru", 1, 3, 1, 1.0, 0.2)
    ),
]


@pytest.mark.parametrize(("kind", "n", "T", "decay", "L_bar", "rate"), NODES)
def test_the_mean_of_node_perturbation_is_the_discounted_gradient(kind, n, T, decay, L_bar, rate):
    net, s, data = problem(kind, n, T)
    F, weight, expected, seen = past(net, s, data, decay), data[2], [], 0
    for t in range(T):
        seen = decay * seen  # by a running baseline, of earlier steps' gradients
        expected.append(F[t] - weight[t] * seen)
        seen = seen + rate * expected[t]
    rule, keys = NodePerturbation(decay, rate), jax.random.split(jax.random.key(0), T)
    state = NodePerturbationState(jnp.zeros_like(net.W), jnp.array(L_bar))

    def error(sigma):
        net, s, data = problem(kind, n, T, noise=float(sigma))
        G = jax.vmap(lambda xi: told(rule, net, s, state, data, xi, keys))(sigma * signs(T, len(net.W)))
        return G.mean(0) - jnp.stack(expected)

    errors = [*map(error, SIGMAS)]
    assert abs(F).max() > 0.05
    assert abs(errors[-1]).max() < 1e-3
    assert slope(errors) == pytest.approx(2, abs=0.05)


WEIGHTS = [
    ("leaky", 1, 4, 0.7, {}),
    *slow(
        ("leaky", 2, 2, 1, {}),
        ("leaky", 2, 2, 0.7, {"self_synapses": False}),
        ("voltage", 1, 4, 0.7, {"noise": 0.1}),
    ),
]


@pytest.mark.parametrize(("kind", "n", "T", "decay", "settings"), WEIGHTS)
def test_the_mean_of_weight_perturbation_is_the_discounted_gradient(kind, n, T, decay, settings, monkeypatch):
    net, s, data = problem(kind, n, T, **settings)
    xi = net.noise * jax.random.normal(jax.random.key(5), (T, len(net.W)))  # of the network itself, one and the same
    exists = np.ones(net.W.shape, bool) if net.mask is None else np.asarray(net.mask)
    draws = signs(T, exists.sum())
    table = jnp.zeros((len(draws) * T, *net.W.shape)).at[:, exists].set(draws.reshape(-1, exists.sum()))
    monkeypatch.setattr(jax.random, "rademacher", lambda key, shape, dtype: table[jax.random.key_data(key)[-1]])
    keys = jax.vmap(jax.random.key)(jnp.arange(len(table))).reshape(-1, T)  # the i-th draws the i-th row
    F = jnp.where(exists, past(net, s, data, decay, xi), 0)

    def error(sigma):
        rule = WeightPerturbation(decay, float(sigma))
        state = rule.init(net, jax.random.key(0))
        G = jax.jit(jax.vmap(lambda keys: gradients(rule, net, s, state, data, xi, keys)))(keys)
        return G.mean(0) - F

    errors = [*map(error, SIGMAS)]
    assert abs(F).max() > 0.05
    assert abs(errors[-1]).max() < 1e-3
    assert slope(errors) == pytest.approx(2, abs=0.05)


def test_a_perturbed_copy_starts_and_restarts_with_the_network():
    net, s, (x, y, _) = problem("leaky", 2, 4)
    rule, make = WeightPerturbation(sigma=1e-9), eqx.filter_jit(Step.of)
    step = make(net, s, x[0], y[0])
    state = updated(rule, net, step, rule.init(net, jax.random.key(0)))[1]
    np.testing.assert_allclose(state.s_tilde, step.state, atol=1e-8)
    owed, state = rule.restart(net, state)
    assert not owed.any()
    assert not state.E.any()
    step = make(net, net.rest(), x[1], y[1])
    np.testing.assert_allclose(updated(rule, net, step, state)[1].s_tilde, step.state, atol=1e-8)


class Ones(ThreeFactor):
    """The modulator is 1, always."""

    def modulator(self, net, step, m):
        return super().modulator(net, step, jnp.ones(()))


class Credit(ThreeFactor):
    """The modulator is each unit's own credit."""

    def modulator(self, net, step, m):
        return net.times_out_slope(step.state, step.error @ net.W_out)


def test_weights_of_a_step_multiply():
    net, s, (x, y, _) = problem("leaky", 2, 1)
    step = Step.of(net, s, x[0], y[0])
    twice, once = step.weighted(jnp.array(0.5)).weighted(jnp.array(0.5)), step.weighted(jnp.array(0.25))
    assert (once.weight, once.loss) == (0.25, 0.25 * step.loss)
    assert eqx.tree_equal(twice, once)


def test_node_perturbation_says_that_a_step_has_no_noise():
    net, s, (x, y, _) = problem("leaky", 2, 1)
    rule, key = NodePerturbation(), jax.random.key(0)
    with pytest.raises(ValueError, match="the step has no noise to learn from"):
        rule.update(net, Step.of(net, s, x[0], y[0]), rule.init(net, key), key)


@pytest.mark.parametrize("kind", ["leaky", *slow("alif", "lru")])
def test_three_factors_are_rflos_traces_times_one_number(kind):
    net, s, x, y = test_units.problem(kind)
    weight = jnp.array([1, 1, 0, 0.5, 1, 0, 2])
    steps = jax.vmap(Step.weighted)(played(net, s, x, y), weight)
    rules = ThreeFactor(0.3), Ones(), Credit(), RFLO()
    (G, state), (ones, _), (gated, _), (rflo, _) = (run(rule, net, steps, rule.init(net, jax.random.key(0))) for rule in rules)
    L_bar = 0.0
    for t in range(len(weight)):
        m = steps.loss[t] - weight[t] * L_bar
        np.testing.assert_allclose(G[t], m * ones[t], rtol=1e-10)
        L_bar = L_bar + 0.3 * m
    assert abs(G[-1]).max() > 1e-3
    np.testing.assert_allclose(state.L_bar, L_bar, rtol=1e-12)
    np.testing.assert_allclose(gated, rflo, rtol=1e-12)


@pytest.mark.parametrize("kind", ["leaky", *slow("gru")])
def test_a_random_walk_has_rflos_norm_and_no_direction(kind):
    net, s, x, y = test_units.problem(kind, **({} if kind == "gru" else {"density": 0.5}))
    steps, key = played(net, s, x, y), jax.random.key(0)
    states = [rule.init(net, key) for rule in (RandomWalk(), RFLO())]
    G, rflo = (run(rule, net, steps, state)[0] for rule, state in zip((RandomWalk(), RFLO()), states))
    exists = np.ones(net.W.shape, bool) if net.mask is None else np.asarray(net.mask)
    np.testing.assert_allclose(norm(G), norm(jnp.where(exists, rflo, 0)), rtol=1e-10)
    assert norm(rflo).min() > 1e-3
    assert not G[:, ~exists].any()
    step = jax.tree.map(lambda a: a[-1], steps)
    many = eqx.filter_jit(lambda keys: jax.vmap(lambda key: RandomWalk().update(net, step, states[0], key)[0])(keys))
    keys = jax.random.split(jax.random.key(9), 2000)
    direction = many(keys)
    unit = direction / norm(direction)[:, None, None]
    assert norm(unit.mean(0)) == pytest.approx(2000**-0.5, rel=0.35)  # of independent directions
    others = jax.vmap(lambda key: jax.random.normal(key, net.W.shape))(keys)  # what else may be drawn with these keys
    between = jnp.sum(unit * others, axis=(1, 2))
    assert abs(between.mean()) < 5 / 2000**0.5
    assert between.std() == pytest.approx(1, rel=0.1)


def norm(G):
    """Of the last two axes."""
    return np.linalg.norm(G, axis=(-2, -1))
