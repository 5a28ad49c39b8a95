"""BP(lambda) learns from lambda-returns: DNI at 0, regression on the true future credit at 1."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_units import KINDS, T, close, played, problem, run, updated

from recredit.network.unitwise import matrix
from recredit.rule import Step
from recredit.rules import DNI, DNILambda

EACH = [pytest.param(name, marks=[] if name == "leaky" else pytest.mark.slow) for name in KINDS]


@pytest.mark.parametrize("trace", ["exact", "local"])
@pytest.mark.parametrize("kind", EACH)
def test_at_lambda_0_it_is_dni(kind, trace):
    net, s, x, y = problem(kind)
    steps, states = played(net, s, x, y), []
    for rule in (DNI(0.1, refresh=2), DNILambda(0.1, refresh=2, lam=0, trace=trace)):
        G, state = run(rule, net, steps, rule.init(net, jax.random.key(1)))
        states.append((G, state.A, rule.restart(net, state)[1].A))
    for one, other in zip(*states, strict=True):
        close(one, other)
    assert abs(states[0][1] - DNI().init(net, jax.random.key(1)).A).max() > 0.01


@eqx.filter_jit
def summed(rule, net, steps):
    """What A is changed by in a trial, for a rate of 1, were A not changed meanwhile: its slope by the rate."""

    def A(rate):
        made = eqx.tree_at(lambda rule: rule.rate, rule, rate)
        state = run.__wrapped__(made, net, steps, made.init(net, jax.random.key(1)))[1]
        return made.restart(net, state)[1].A

    return jax.jacfwd(A)(0.0)


@eqx.filter_jit
def credits(net, s, x, y):
    """d (sum of the losses of step t and later) / d s^t, of the first state and of each."""

    def loss(shifts):
        def body(s, now):
            x, y, shift = now
            s = net.step(s, x)[2] + shift
            return s, net.loss_and_error(net.readout(s), y)[0]

        return jax.lax.scan(body, s + shifts[0], (x, y, shifts[1:]))[1].sum()

    return jax.grad(loss)(jnp.zeros((len(x) + 1, net.n_state)))


def features(steps):
    """r_tilde of the first state and of each step."""
    states = jax.vmap(lambda step: (step.state_prev, step.state))(steps)
    before, after = (np.concatenate([s, steps.target, np.ones((T, 1))], axis=1) for s in states)
    return np.concatenate([before[:1], after])


@pytest.mark.parametrize("kind", EACH)
def test_at_lambda_1_a_trial_regresses_on_the_true_credit(kind):
    net, s, x, y = problem(kind)
    steps, rule = played(net, s, x, y), DNILambda(lam=1)
    A, f = rule.init(net, jax.random.key(1)).A, features(steps)
    c = credits(net, s, x, y)
    close(summed(rule, net, steps), (c - f @ A.T).T @ f)
    assert abs(c[:-1]).max() > 0.01


@pytest.mark.parametrize("trace", ["exact", "local"])
@pytest.mark.parametrize("kind", EACH)
def test_in_between_errors_reach_back_by_powers_of_lambda(kind, trace):
    net, s, x, y = problem(kind)
    steps, rule = played(net, s, x, y), DNILambda(lam=0.6, trace=trace)
    A, f, c_bar = np.asarray(rule.init(net, jax.random.key(1)).A), features(steps), np.zeros((T + 1, net.n_state))
    J, ways = [], []
    for t in range(T):
        step = jax.tree.map(lambda a, t=t: a[t], steps)
        at = step.at(net)
        L = net.memory(at)
        J.append(np.asarray(net.jacobian(at)))
        own = L * np.eye(net.n) if isinstance(L, float) else np.asarray(matrix(L))
        ways.append(J[-1] if trace == "exact" else own)
        c_bar[t + 1] = net.times_out_slope(step.state, step.error @ net.W_out)
    expected = 0
    for t in range(T + 1):
        error = c_bar[t] - A @ f[t] + ((A @ f[t + 1]) @ J[t] if t < T else 0)
        for before in range(t, -1, -1):  # the error of the credit of s^t, brought back to s^before
            expected = expected + np.outer(error, f[before])
            error = 0.6 * error @ ways[before - 1]
    close(summed(rule, net, steps), expected)


def test_a_trial_begins_without_a_trace():
    net, s, x, y = problem("leaky")
    rule = DNILambda()
    state = run(rule, net, played(net, s, x, y), rule.init(net, jax.random.key(1)))[1]
    assert abs(state.E).max() > 0.1
    assert not rule.restart(net, state)[1].E.any()


def test_its_state_keeps_the_type_of_the_weights():
    net, s, x, y = problem("alif")
    net = jax.tree.map(lambda a: a.astype("float32") if a.dtype == "float64" else a, net)
    rule = DNILambda(trace="local")
    before = rule.init(net, jax.random.key(0))
    G, after = rule.update(net, Step.of(net, *(a.astype("float32") for a in (s, x[0], y[0]))), before, jax.random.key(0))
    assert [a.dtype for a in jax.tree.leaves(after)] == [a.dtype for a in jax.tree.leaves(before)]
    assert G.dtype == net.W.dtype == "float32"


@pytest.mark.parametrize("rule", [DNI(), DNILambda()])
def test_before_the_first_trial_nothing_is_learned_of_an_end(rule):
    net, s, x, y = problem("leaky")
    state = rule.init(net, jax.random.key(0))
    np.testing.assert_array_equal(rule.restart(net, state)[1].A, state.A)
    after = updated(rule, net, Step.of(net, s, x[0], y[0]), state)[1]
    assert (rule.restart(net, after)[1].A != after.A).any()
