"""Every kind of unit keeps the contract, and every rule that fits it is what its equations say.

L, D, R and J are autodiff's; RTRL and the windows that reach back to the start give autodiff's gradient; the mean of the
stochastic rules over all draws is RTRL's step; RFLO is RTRL with J := L.
"""

import itertools
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recredit.blocks.jacobian import AbstractJacobian, LearnedJacobian, ThroughWeights
from recredit.network import RNN, UNITS, LeakyRNN, Network
from recredit.network.alif import ALIF
from recredit.network.unitwise import matrix
from recredit.rule import Step
from recredit.rules import DNI, EBPTT, FBPTT, KFRTRL, OKRTRL, PBPTT, RFLO, RKF, RTRL, UORO, KeRNL, RTRLBlock

T = 7
# ALIF with what makes its units spike within a few steps; the others as they come, biases and decays drawn
KINDS = {name: make() for name, make in UNITS.items()} | {
    "alif": ALIF(tau_a=8.0, tau_m=4.0, tau_out=2.0, threshold=0.3, beta=0.9, refractory=1)
}

EACH = [pytest.param(name, marks=[] if name in ("gru", "alif") else pytest.mark.slow) for name in KINDS]


def close(a, b, tol=1e-10):
    np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


@cache
def problem(name, n=4, n_in=2, n_out=3, **synapses):
    """A network of these units with biases, its first state, inputs and labels."""
    network, sizes = Network(n, units=KINDS[name], **synapses), (n_in, n_out)

    @jax.jit
    def drawn():
        net = network.create(*sizes, "softmax", jax.random.key(0))
        keys = jax.random.split(jax.random.key(1), 5)
        W = net.kept(net.W + 0.3 * jax.random.normal(keys[0], net.W.shape))
        net = net.with_weights(W, net.W_out, 0.1 * jax.random.normal(keys[1], (n_out,)))
        s = 0.4 * jax.random.normal(keys[2], (net.n_state,)) if name != "alif" else net.rest()
        x, y = 1.5 * jax.random.normal(keys[3], (T, n_in)), jax.nn.softmax(jax.random.normal(keys[4], (T, n_out)))
        return net, s, x, y

    return drawn()


@eqx.filter_jit
def played(net, s, x, y):
    def body(s, now):
        step = Step.of(net, s, *now)
        return step.state, step

    return jax.lax.scan(body, s, (x, y))[1]


@eqx.filter_jit
def run(rule, net, steps, state):
    """Each step's gradient and the last state, with weights that stand still."""

    def body(state, now):
        step, key = now
        G, state = rule.update(net, step, state, key)
        return state, G

    state, G = jax.lax.scan(body, state, (steps, jax.random.split(jax.random.key(3), len(steps.error))))
    return G, state


@eqx.filter_jit
def updated(rule, net, step, state):
    return rule.update(net, step, state, jax.random.key(0))


@eqx.filter_jit
def restarted(rule, net, state):
    return rule.restart(net, state)


@eqx.filter_jit
def losses(net, s, x, y, W):
    def body(s, now):
        W, x, y = now
        _, _, s = net.with_weights(W, net.W_out, net.b_out).step(s, x)
        return s, net.loss_and_error(net.readout(s), y)[0]

    return jax.lax.scan(body, s, (jnp.broadcast_to(W, (len(x), *net.W.shape)), x, y))[1]


def learned(rule, name, **synapses):
    net, s, x, y = problem(name, **synapses)
    return run(rule, net, played(net, s, x, y), rule.init(net, jax.random.key(2)))


def in_mask(net, G):
    return G if net.mask is None else jnp.where(net.mask, G, 0)


@cache
def past(name, **synapses):
    """d L^t / d W for each t, of the synapses that exist."""
    net, s, x, y = problem(name, **synapses)
    return in_mask(net, jax.jacrev(lambda W: losses(net, s, x, y, net.kept(W)))(net.W))


@cache
def future(name):
    """d (sum of all losses) / d W^(t)."""
    net, s, x, y = problem(name)
    W = jnp.broadcast_to(net.W, (T, *net.W.shape))
    return in_mask(net, jax.grad(lambda W: losses(net, s, x, y, W).sum())(W))


def of_units(net, s, v):
    """The next state by what each unit does alone."""
    return jnp.concatenate(net.units.f(tuple(s.reshape(-1, net.n)), tuple(v.reshape(-1, net.n))))


@eqx.filter_jit
def derivatives(net, x, step):
    """What a network says of one step, and what autodiff does; and how far J is from the units' own L."""
    at = step.at(net)
    L, D = jax.jacfwd(lambda s, v: of_units(net, s, v), (0, 1))(step.state_prev, step.v)
    J = jax.jacfwd(lambda s: net.step(s, x)[2])(step.state_prev)
    R, R_out = jax.jacfwd(net.rates)(step.state_prev), jax.jacfwd(net.out)(step.state)
    c, c_out, a = (
        jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(3, net.n), (len(R_out),), (len(step.state), 2)])
    )
    given = net.memory(at)
    pairs = [
        (given * jnp.eye(net.n) if isinstance(given, float) else matrix(given), L),
        (matrix(net.gain(at)), D),
        (net.jacobian(at), J),
        (net.times_slope(at, c), c @ R),
        (net.times_out_slope(step.state, c_out), c_out @ R_out),
        (net.sent(at, a), R @ a),
    ]
    return pairs, abs(J - L).max()


@pytest.mark.parametrize("name", EACH)
def test_derivatives_are_autodiffs(name):
    net, s, x, y = problem(name)
    steps = played(net, s, x, y)
    for t in range(3, T):
        pairs, between = derivatives(net, x[t], jax.tree.map(lambda a, t=t: a[t], steps))
        for given, expected in pairs:
            close(given, expected)
    if name != "alif":
        assert between > 0.01 or name == "lru"


@pytest.mark.parametrize("jacobian", [None, ThroughWeights()], ids=["matrix", "through weights"])
@pytest.mark.parametrize("name", EACH)
def test_rtrl_and_a_whole_window_are_autodiff(name, jacobian):
    blocks = {} if jacobian is None else {"jacobian": jacobian}
    net = problem(name)[0]
    rtrl, window = in_mask(net, learned(RTRL(**blocks), name)[0]), in_mask(net, learned(PBPTT(window=T, **blocks), name)[0])
    assert abs(past(name)).max() > 0.01
    close(rtrl, past(name))
    close(window, past(name))


@pytest.mark.parametrize("name", EACH)
def test_future_facing_windows_are_autodiff(name):
    net, s, x, y = problem(name)
    G, state = learned(FBPTT(window=T), name)
    owed, after = restarted(FBPTT(window=T), net, state)
    close(in_mask(net, G[-1]), future(name)[0])
    close(in_mask(net, G[-1] + owed), future(name).sum(0))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves((after.c, after.v, after.r_hat)))
    close(in_mask(net, learned(EBPTT(window=T), name)[0][-1]), future(name).sum(0))
    G, state = learned(EBPTT(window=T - 2), name)  # a window and two steps more
    owed = restarted(EBPTT(window=T - 2), net, state)[0]
    end = jax.tree.map(lambda a: a[-2], played(net, s, x, y)).state_prev
    W = jnp.broadcast_to(net.W, (2, *net.W.shape))
    close(in_mask(net, owed), in_mask(net, jax.grad(lambda W: losses(net, end, x[-2:], y[-2:], W).sum())(W).sum(0)))


def test_the_fast_rtrl_is_rtrl_on_every_unit_of_one_variable():
    for name in ("leaky", "voltage"):
        close(learned(RTRLBlock(block=3), name)[0], past(name))


# Stochastic rules: what the mean over all draws of one step does to the influence A (x) B.
STOCHASTIC = {
    "uoro": (UORO(), "k,pj->kpj"),
    "kf_rtrl": (KFRTRL(), "j,kp->kpj"),
    "r_kf": (RKF(), "p,kj->kpj"),
    "ok_rtrl": (OKRTRL(rank=2), "jr,kpr->kpj"),
}


@pytest.mark.parametrize("rule", STOCHASTIC)
@pytest.mark.parametrize("name", EACH)
def test_the_mean_over_all_draws_is_rtrls_step(name, rule, monkeypatch):
    rule, structure = STOCHASTIC[rule]
    net, s, x, y = problem(name, n=2, n_in=1, n_out=2)
    step = jax.tree.map(lambda a: a[2], played(net, s, x, y))
    factors = jax.eval_shape(rule.init, net, jax.random.key(4))
    A, B = (jax.random.normal(jax.random.key(i), factor.shape) for i, factor in enumerate((factors.A, factors.B)))
    state = eqx.tree_at(lambda s: (s.A, s.B), rule.init(net, jax.random.key(4)), (A, B))
    drawn = []
    monkeypatch.setattr(jax.random, "rademacher", lambda key, shape, dtype: drawn.append(shape) or jnp.ones(shape, dtype))
    jax.eval_shape(rule.update, net, step, state, jax.random.key(0))
    (count,) = drawn[0]
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=count)))  # at most 2^10
    table = jnp.asarray(signs)
    monkeypatch.setattr(jax.random, "rademacher", lambda key, shape, dtype: table[jax.random.key_data(key)[-1]])
    keys = jax.vmap(jax.random.key)(jnp.arange(len(signs)))  # the i-th draws the i-th row
    G, after = jax.jit(jax.vmap(lambda key: rule.update(net, step, state, key)))(keys)
    M = jnp.einsum(f"z{structure.replace(',', ',z').replace('->', '->z')}", after.A, after.B)
    rtrl = eqx.tree_at(lambda s: s.M, RTRL().init(net, jax.random.key(0)), jnp.einsum(structure, state.A, state.B))
    expected_G, expected = updated(RTRL(), net, step, rtrl)
    assert M.std(axis=0).max() > 1e-3
    close(M.mean(0), expected.M, 1e-11)
    close(G.mean(0), expected_G, 1e-11)


class OwnMemory(AbstractJacobian):
    """J := L, so that no influence passes through synapses."""

    def init(self, net, key):
        return None

    def learn(self, net, step, state):
        return None

    def forward(self, net, at, state, a):
        L = net.memory(at)
        return L * a if isinstance(L, float) else jnp.tensordot(matrix(L), a, axes=1)

    def backward(self, net, at, state, c):
        raise NotImplementedError


@pytest.mark.parametrize("name", EACH)
def test_rflo_is_rtrl_with_the_units_own_memory(name):
    G = learned(RFLO(), name)[0]
    close(G, learned(RTRL(jacobian=OwnMemory()), name)[0])
    if name != "lru":
        assert abs(in_mask(problem(name)[0], G) - past(name)).max() > 1e-4


@pytest.mark.parametrize("name", EACH)
def test_without_recurrent_synapses_rflo_is_exact(name):
    synapses = {"connections": "none"} if name != "lru" else {}
    net = problem(name, **synapses)[0]
    assert not net.W_rec.any()
    close(in_mask(net, learned(RFLO(), name, **synapses)[0]), past(name, **synapses), 1e-12)


@pytest.mark.parametrize(
    "synapses", [{"density": 0.5}, {"connections": "stack", "areas": 2}, {"self_synapses": False}], ids=str
)
@pytest.mark.parametrize("name", ["leaky", "gru"])
def test_masked_rtrl_is_autodiff_with_masked_weights(name, synapses):
    net = problem(name, **synapses)[0]
    assert not net.mask.all()
    assert not net.W[~net.mask].any()
    close(in_mask(net, learned(RTRL(), name, **synapses)[0]), past(name, **synapses))


@eqx.filter_jit
def around(net, x, step):
    """J, D and the error's credit of the state, by autodiff."""
    D = jax.jacfwd(lambda v: of_units(net, step.state_prev, v))(step.v)
    return jax.jacfwd(lambda s: net.step(s, x)[2])(step.state_prev), D, step.error @ net.W_out @ jax.jacfwd(net.out)(step.state)


@pytest.mark.parametrize("name", EACH)
def test_dni_bootstraps_the_credit_of_the_state(name):
    rule = DNI(rate=0.1)
    net, s, x, y = problem(name)
    now, then = (jax.tree.map(lambda a, t=t: jnp.asarray(np.asarray(a)[t]), played(net, s, x, y)) for t in (4, 3))
    (J, D, c), (_, _, c_then) = around(net, x[4], now), around(net, x[3], then)
    _, state = learned(rule, name)
    state = eqx.tree_at(lambda s: (s.c_bar_prev, s.target_prev), state, (c_then, y[3]))
    G, after = updated(rule, net, now, state)
    before, r_tilde = (np.concatenate([s, y, [1.0]]) for s, y in ((then.state, y[3]), (now.state, y[4])))
    label = state.c_bar_prev + (np.asarray(state.A_frozen) @ r_tilde) @ J
    A = np.asarray(state.A)
    A = A - 0.1 * np.outer(A @ before - label, before)
    close(after.A, A)
    close(G, np.outer((A @ r_tilde) @ D, now.r_hat))
    _, new = restarted(rule, net, after)
    close(new.A, A - 0.1 * np.outer(A @ r_tilde - c, r_tilde))


@pytest.mark.parametrize("name", EACH)
def test_a_learned_jacobian_predicts_the_state(name):
    jacobian = LearnedJacobian(rate=0.5, init_from="zero")
    net, s, x, y = problem(name)
    step = jax.tree.map(lambda a: a[3], played(net, s, x, y))
    after = jacobian.learn(net, step, jacobian.init(net, jax.random.key(0)))
    close(after, 0.5 * jnp.outer(step.state, step.state_prev))
    if name not in ("leaky", "voltage"):
        with pytest.raises(ValueError, match="must start from zero"):
            LearnedJacobian().init(net, jax.random.key(0))


def test_the_papers_network_is_leaky_units():
    net = LeakyRNN.create((5, 2, 2), jax.random.key(0), alpha=0.3, head="softmax")
    drawn = Network(5, 0.3).create(2, 2, "softmax", jax.random.key(0))
    assert type(drawn) is LeakyRNN
    for a, b in zip(jax.tree.leaves(net), jax.tree.leaves(drawn), strict=True):
        np.testing.assert_array_equal(a, b)
    general = RNN(net.W, net.W_out, net.b_out, net.units, "softmax")
    r, x = jnp.ones(5) / 3, jnp.ones(2)
    close(general.step(r, x)[2], net.step(r, x)[2], 0)


@pytest.mark.parametrize("rule", [KeRNL(), RTRLBlock()], ids=lambda rule: type(rule).__name__)
def test_a_rule_that_is_not_for_these_units_says_so(rule):
    with pytest.raises(
        ValueError, match=f"{type(rule).__name__} is for units of one state variable and one voltage, and GRU units"
    ):
        rule.check_network(problem("gru")[0])
    rule.check_network(problem("voltage")[0])
