"""DNI and DNI(b): closed form, limits, and an independent writing of their equations in NumPy."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import future_gradients, run_rule, small_net, steps_of, stream

from recredit.blocks.feedback import RandomFeedback
from recredit.blocks.jacobian import LearnedJacobian
from recredit.network import LeakyRNN
from recredit.rule import Step
from recredit.rules import DNI, DNIb


def close(a, b, tolerance=1e-10):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def with_A(rule, net, A):
    return eqx.tree_at(lambda s: (s.A, s.A_frozen), rule.init(net, jax.random.key(0)), (A, A))


@cache
def autonomous(n=5, n_out=2, T=300):
    """A linear network without input whose labels turn by themselves, its steps, and the exact A (formula 1.11 of DNI)."""
    rng = np.random.default_rng(0)
    W_rec, Phi = 0.8 * np.linalg.qr(rng.normal(size=(n, n)))[0], 0.9 * np.linalg.qr(rng.normal(size=(n_out, n_out)))[0]
    W_out, alpha = rng.normal(size=(n_out, n)) / np.sqrt(n), 0.5
    W = jnp.array(np.concatenate([W_rec, np.zeros((n, 2))], axis=1))
    net = LeakyRNN(W, jnp.array(W_out), jnp.zeros(n_out), alpha, "identity", "linear")
    J = (1 - alpha) * np.eye(n) + alpha * W_rec
    P, Q = np.zeros((n, n)), np.zeros((n, n_out))
    for _ in range(2000):
        P, Q = W_out.T @ W_out + J.T @ P @ J, W_out.T + J.T @ Q @ Phi
    A = jnp.array(np.concatenate([P, -Q, np.zeros((n, 1))], axis=1))
    labels = [rng.normal(size=n_out)]
    for _ in range(T - 1):
        labels.append(Phi @ labels[-1])
    data = jnp.array(rng.normal(size=n)), jnp.zeros((T, 1)), jnp.array(labels)
    return net, data, steps_of(net, *data), A


def test_the_closed_form_is_the_future_credit_and_dnis_fixed_point():
    net, data, steps, A = autonomous()
    grads, states = run_rule(DNI(rate=0.1), net, steps, with_A(DNI(rate=0.1), net, A))
    # The first step has no label before it, so that its bootstrap is off; start the learning at the second.
    state = eqx.tree_at(lambda s: s.A, states[0], A)
    state = eqx.tree_at(lambda s: s.A_frozen, state, A)
    grads, states = run_rule(DNI(rate=0.1), net, steps[1:], state)
    close(states[-1].A, A, 1e-12)
    close(grads[:100], future_gradients(net, *data)[1:101])
    assert abs(grads[:100]).max() > 0.01


def test_the_exact_future_credit_sums_to_the_total_gradient():
    net, data, steps, A = autonomous()
    grads, _ = run_rule(DNI(rate=0.0), net, steps, with_A(DNI(rate=0.0), net, A))
    W = jnp.broadcast_to(net.W, (len(steps), *net.W.shape))
    assert W.shape[0] == 300
    close(grads.sum(0), future_gradients(net, *data).sum(0), 1e-9)


def test_bootstrapping_converges_to_the_closed_form():
    net, _, _, A = autonomous()
    n, n_out, rule = net.n, net.n_out, DNI(rate=2e-3)
    Phi = 0.9 * jnp.linalg.qr(jax.random.normal(jax.random.key(1), (n_out, n_out)))[0]
    J, W_out = net.jacobian(jnp.zeros(n)), net.W_out
    P, Q = jnp.zeros((n, n)), jnp.zeros((n, n_out))
    for _ in range(500):
        P, Q = W_out.T @ W_out + J.T @ P @ J, W_out.T + J.T @ Q @ Phi
    A = jnp.concatenate([P, -Q, jnp.zeros((n, 1))], axis=1)

    @jax.jit
    def learn(state):
        def body(carry, t):
            r, y, state = carry
            k_r, k_y = jax.random.split(jax.random.fold_in(jax.random.key(3), t))
            kick = jax.random.normal(k_r, (n,))  # an input that reaches every unit
            r_hat = jnp.concatenate([r, jnp.zeros(1), jnp.ones(1)])
            v = net.W @ r_hat + kick
            r_next, target = net.leak(r, v), Phi @ y + 0.4 * jax.random.normal(k_y, (n_out,))
            step = Step(r, r_hat, v, r_next, net.readout(r_next) - target, target)
            return (r_next, target, rule.update(net, step, state, k_r)[1]), None

        start = (jnp.zeros(n), jnp.zeros(n_out), state)
        return jax.lax.scan(body, start, jnp.arange(100_000))[0][2]

    learned = learn(with_A(rule, net, jnp.zeros_like(A))).A
    assert jnp.linalg.norm(learned - A) < 0.1 * jnp.linalg.norm(A)


def test_no_prediction_no_gradient():
    net = small_net()
    steps = steps_of(net, *stream(net, 6))
    rule = DNI(rate=0.0)
    close(run_rule(rule, net, steps, with_A(rule, net, jnp.zeros((4, 8))))[0], 0, 0)


def test_an_A_that_predicts_the_immediate_credit_gives_the_immediate_gradient():
    net = small_net(head="linear")
    steps = steps_of(net, *stream(net, 6))
    rule, W_out = DNI(rate=0.0), net.W_out
    A = jnp.concatenate([W_out.T @ W_out, -W_out.T, (W_out.T @ net.b_out)[:, None]], axis=1)
    immediate = [jnp.outer((s.error @ W_out) * net.gain(s.v), s.r_hat) for s in steps]
    close(run_rule(rule, net, steps, with_A(rule, net, A))[0], jnp.stack(immediate))


@pytest.mark.parametrize("refresh", [1, 5])
@pytest.mark.parametrize("b", [False, True], ids=["DNI", "DNI(b)"])
def test_equations_written_again_in_numpy(b, refresh):
    net, T, rate, rate_J = small_net(), 23, 0.05, 0.02
    steps = steps_of(net, *stream(net, T))
    jacobian = LearnedJacobian(rate_J)
    rule = DNIb(rate, refresh, jacobian, RandomFeedback()) if b else DNI(rate, refresh)
    state = rule.init(net, jax.random.key(0))
    grads, states = run_rule(rule, net, steps, state)

    A = np.array(state.A)
    frozen, JJ, W_FB = A.copy(), np.array(net.W)[:, :4], np.array(state.feedback if b else net.W_out)
    c_bar, y_prev = np.zeros(4), np.array(steps[0].target)
    for t, s in enumerate(steps):
        r_prev, r, v, y = (np.array(a) for a in (s.r_prev, s.r, s.v, s.target))
        JJ = JJ + rate_J * np.outer(r - JJ @ r_prev, r_prev)
        slope = 1 - np.tanh(v) ** 2
        J = JJ if b else 0.5 * np.eye(4) + 0.5 * slope[:, None] * np.array(net.W)[:, :4]
        now, before = np.concatenate([r, y, [1]]), np.concatenate([r_prev, y_prev, [1]])
        u = frozen @ now
        label = c_bar + (np.tanh(u) if b else u) @ J
        A = A - rate * np.outer(A @ before - label, before)
        close(grads[t], np.outer((A @ now) * 0.5 * slope, s.r_hat), 1e-13)
        if (t + 1) % refresh == 0:
            frozen = A.copy()
        c_bar, y_prev = np.array(s.error) @ W_FB, y
    close(states[-1].A, A, 1e-13)


def test_dni_b_without_a_jacobian_regresses_the_immediate_credit():
    net = small_net()
    steps = steps_of(net, *stream(net, 12))
    rule = DNIb(rate=0.1, jacobian=LearnedJacobian(0.0, "zero"))
    state = rule.init(net, jax.random.key(0))
    A, c_bar, y_prev = state.A, jnp.zeros(net.n), steps[0].target
    _, states = run_rule(rule, net, steps, state)
    for step in steps:
        before = jnp.concatenate([step.r_prev, y_prev, jnp.ones(1)])
        A = A - 0.1 * jnp.outer(A @ before - c_bar, before)
        c_bar, y_prev = step.error @ net.W_out, step.target
    close(states[-1].A, A, 1e-13)
