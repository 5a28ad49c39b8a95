"""RFLO and KeRNL: what they reduce to, and what KeRNL learns."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import run_rule, small_net, steps_of, stream

from recredit.blocks.jacobian import AbstractJacobian
from recredit.network import LeakyRNN
from recredit.rule import Step
from recredit.rules import RFLO, RTRL, KeRNL


class LeakOnly(AbstractJacobian):
    """J := (1 - alpha) I."""

    def init(self, net, key):
        return None

    def learn(self, net, step, state):
        return None

    def forward(self, net, v, state, a):
        return (1 - net.alpha) * a

    def backward(self, net, v, state, c):
        return (1 - net.alpha) * c


def close(a, b, tolerance=1e-10):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.fixture
def problem():
    net = small_net()
    return net, steps_of(net, *stream(net, 10))


def diagonal_net(kappa, alpha=0.5, n=3):
    """A linear network of units that feel only themselves: J = kappa I."""
    W_rec = jnp.eye(n) * (kappa - (1 - alpha)) / alpha
    rest = small_net(n=n, n_in=2, n_out=2, alpha=alpha)
    W = jnp.concatenate([W_rec, rest.W[:, n:]], axis=1)
    return LeakyRNN(W, rest.W_out, rest.b_out, alpha, "identity", "linear")


def test_rflo_is_rtrl_with_the_leak_for_a_jacobian(problem):
    net, steps = problem
    close(run_rule(RFLO(), net, steps)[0], run_rule(RTRL(jacobian=LeakOnly()), net, steps)[0])
    assert abs(run_rule(RFLO(), net, steps)[0] - run_rule(RTRL(), net, steps)[0]).max() > 1e-3


def test_rflos_learning_of_a_linear_network_has_the_rank_of_the_readout():
    net = small_net(n=8, n_in=1, n_out=2, activation="identity", head="linear")
    steps = steps_of(net, *stream(net, 100))
    rank = lambda rule: int(jnp.linalg.matrix_rank(run_rule(rule, net, steps)[0].sum(0), rtol=1e-8))  # noqa: E731
    assert rank(RFLO()) == 2
    assert rank(RTRL()) == 8


@pytest.mark.slow
def test_kernl_that_does_not_learn_is_rflo(problem):
    net, steps = problem
    with jax.disable_jit():  # to the last bit, which fused operations would blur
        kernl = run_rule(KeRNL(rate=0.0, inverse_timescale=net.alpha), net, steps)[0]
        assert (kernl == run_rule(RFLO(), net, steps)[0]).all()


def test_kernls_perturbed_copy_starts_with_the_network_and_differs_by_its_noise(problem):
    net, steps = problem
    keys = jax.random.split(jax.random.key(1), len(steps))
    _, states = run_rule(KeRNL(sigma=0.1), net, steps, keys=keys)
    copy = steps[0].r_prev
    for step, state, key in zip(steps, states, keys, strict=True):
        copy = net.step(copy, step.r_hat[net.n : -1])[2] + 0.1 * jax.random.normal(key, (net.n,))
        close(state.r_tilde, copy, 1e-14)
    _, quiet = run_rule(KeRNL(sigma=1e-12), net, steps, keys=keys)
    close(quiet[-1].r_tilde, steps[-1].r, 1e-10)


def test_kernls_gamma_is_the_slope_of_omega_in_the_inverse_timescale(problem):
    net, steps = problem
    keys = jax.random.split(jax.random.key(1), len(steps))

    def omega(a):
        total = jnp.zeros(net.n)
        for key in keys:
            total = (1 - a) * total + 1e-3 * jax.random.normal(key, (net.n,))
        return total

    _, states = run_rule(KeRNL(rate=0.0, inverse_timescale=0.3), net, steps, keys=keys)
    close(states[-1].Omega, omega(0.3), 1e-15)
    close(states[-1].Gamma, jax.jacfwd(omega)(0.3), 1e-14)


def test_kernl_with_the_true_kernel_is_rtrl_on_a_diagonal_network():
    net = diagonal_net(kappa=0.6)
    steps = steps_of(net, *stream(net, 20))
    close(run_rule(KeRNL(rate=0.0, inverse_timescale=0.4), net, steps)[0], run_rule(RTRL(), net, steps)[0])


def learned(net, rule, steps):
    """KeRNL's state after learning alone, the weights frozen, on a silent input."""

    @jax.jit
    def run(state):
        def body(carry, t):
            r_prev, state = carry
            r_hat, v, r = net.step(r_prev, jnp.zeros(net.n_in))
            step = Step(r_prev, r_hat, v, r, jnp.zeros(net.n_out), jnp.zeros(net.n_out))
            return (r, rule.update(net, step, state, jax.random.fold_in(jax.random.key(7), t))[1]), None

        return jax.lax.scan(body, (jnp.zeros(net.n), state), jnp.arange(steps))[0][1]

    start = rule.init(net, jax.random.key(0))
    start = eqx.tree_at(lambda s: s.A, start, 0.5 * start.A)  # away from the truth
    return run(start)


def test_kernl_learns_the_sensitivity_of_a_diagonal_network():
    net = diagonal_net(kappa=0.6)
    state = learned(net, KeRNL(rate=2e-3, inverse_timescale=0.4), 20_000)
    close(state.A, jnp.eye(3), 0.05)  # the published order of injection would end at 0.36 or 0.9
    close(state.a, 0.4, 0.05)


def test_kernl_learns_the_time_scale_of_a_diagonal_network():
    net = diagonal_net(kappa=0.6)
    state = learned(net, KeRNL(rate=2e-3, inverse_timescale=0.8), 60_000)
    close(state.a, 0.4, 0.05)
    close(state.A, jnp.eye(3), 0.05)


def test_kernl_starts_its_copy_and_its_traces_anew_at_every_reset_and_goes_on_as_before_between(problem):
    net, steps = problem
    plain, reset, keys = KeRNL(), KeRNL(reset=4), jax.random.split(jax.random.key(2), len(steps))
    update = eqx.filter_jit(lambda rule, *arguments: rule.update(*arguments))
    state = plain.init(net, jax.random.key(0))
    for t, (step, key) in enumerate(zip(steps, keys, strict=True)):
        if t and t % 4 == 0:
            zero = jnp.zeros(net.n)
            fresh = eqx.tree_at(
                lambda s: (s.r_tilde, s.B, s.Omega, s.Gamma), state, (step.r_prev, jnp.zeros_like(net.W), zero, zero)
            )
            assert abs(fresh.B - state.B).max() > 0.1
        else:
            fresh = state
        expected = update(plain, net, step, fresh, key)
        found = update(reset, net, step, state, key)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            close(a, b, 1e-14)
        state = found[1]


def test_a_reset_keeps_kernls_copy_beside_a_chaotic_network():
    net = small_net(n=32)
    net = eqx.tree_at(lambda net: net.W, net, net.W.at[:, :32].multiply(4).at[:, 32:].set(0))
    r, inputs, targets = stream(net, 1500)

    @eqx.filter_jit
    def apart(rule):
        def body(carry, now):
            (r, state), (x, target, key) = carry, now
            r_hat, v, r_new = net.step(r, x)
            step = Step(r, r_hat, v, r_new, net.loss_and_error(net.readout(r_new), target)[1], target)
            state = rule.update(net, step, state, key)[1]
            return (r_new, state), jnp.linalg.norm(state.r_tilde - r_new)

        keys = jax.random.split(jax.random.key(1), len(inputs))
        start = r, rule.init(net, jax.random.key(0))
        return jax.lax.scan(body, start, (inputs, targets, keys))[1].mean()

    # On the average, and far apart: chaos makes another run of the last bits, which processors round otherwise.
    assert apart(KeRNL()) > 1
    assert apart(KeRNL(reset=20)) < 0.1
