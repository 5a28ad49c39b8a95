"""UORO, KF-RTRL and R-KF are unbiased: every possible draw of signs, averaged, is RTRL's influence.

The keys are the enumeration: for each pattern of signs a key is found that makes the rule draw it.
"""

import itertools
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import run_rule, small_net, steps_of, stream

from recredit.rules import KFRTRL, RKF, RTRL, UORO

N, T = 2, 3
RULES = {"uoro": (UORO(), "k,ij->kij"), "kf_rtrl": (KFRTRL(), "j,ki->kij"), "r_kf": (RKF(), "i,kj->kij")}


def problem(**net):
    net = small_net(n=N, n_in=1, n_out=2, **net)
    return net, steps_of(net, *stream(net, T))


@cache
def keys_of_all_signs():
    """A key for each of the four patterns of two signs."""
    keys = [jax.random.key(i) for i in range(40)]
    found = {tuple(jax.random.rademacher(key, (N,)).tolist()): key for key in keys}
    assert len(found) == 4
    return list(found.values())


def start(rule, net, zero):
    state = rule.init(net, jax.random.key(3))
    return eqx.tree_at(lambda s: (s.A, s.B), state, replace_fn=jnp.zeros_like) if zero else state


@eqx.filter_jit
def every_draw(rule, net, steps, state, keys):
    """The gradients and states at the end of each (draw, t) row of keys."""

    def run(keys):
        now = state
        for t, step in enumerate(steps):
            G, now = rule.update(net, step, now, keys[t])
        return G, now

    return jax.vmap(run)(keys)


@pytest.mark.parametrize("settings", [{}, {"alpha": 1.0}, {"activation": "sigmoid", "head": "linear"}], ids=str)
@pytest.mark.parametrize("zero", [False, True], ids=["random start", "zero start"])
@pytest.mark.parametrize("name", RULES)
def test_mean_over_all_signs_is_rtrl(name, zero, settings):
    rule, structure = RULES[name]
    net, steps = problem(**settings)
    state = start(rule, net, zero)
    rtrl = eqx.tree_at(lambda s: s.M, RTRL().init(net, jax.random.key(0)), jnp.einsum(structure, state.A, state.B))
    expected_G, expected = run_rule(RTRL(), net, steps, state=rtrl)

    draws = np.array(list(itertools.product(range(4), repeat=T)))
    G, states = every_draw(rule, net, steps, state, jnp.stack(keys_of_all_signs())[draws])
    influence = jax.vmap(lambda A, B: jnp.einsum(structure, A, B))(states.A, states.B)
    assert len(influence) == 64
    assert influence.std(axis=0).max() > 1e-3  # the draws do differ
    np.testing.assert_allclose(influence.mean(axis=0), expected[-1].M, rtol=0, atol=1e-12)
    np.testing.assert_allclose(G.mean(axis=0), expected_G[-1], rtol=0, atol=1e-12)


def test_kf_rtrls_first_influence_is_exact_for_every_draw():
    net, steps = problem()
    for key in keys_of_all_signs():
        _, state = KFRTRL().update(net, steps[0], start(KFRTRL(), net, zero=True), key)
        expected = run_rule(RTRL(), net, steps[:1])[1][0].M
        np.testing.assert_allclose(jnp.einsum("j,ki->kij", state.A, state.B), expected, rtol=0, atol=1e-12)


def test_the_mean_of_two_draws_is_unbiased_and_has_half_the_variance():
    net, steps = problem()
    found = {}
    for draws in (1, 2):
        shape = (draws, 2) if draws > 1 else (2,)
        keys = jax.random.split(jax.random.key(0), 200)
        drawn = np.asarray(jax.vmap(lambda key, shape=shape: jax.random.rademacher(key, shape))(keys))
        _, first = np.unique(drawn.reshape(200, -1), axis=0, return_index=True)
        assert len(first) == 4**draws
        paths = np.array([*itertools.product(first, repeat=T)])  # 64 and 4096
        rule = KFRTRL(draws=draws)
        found[draws] = np.asarray(every_draw(rule, net, steps, start(rule, net, zero=True), keys[paths])[0])
    expected = run_rule(RTRL(), net, steps)[0][-1]
    for G in found.values():
        np.testing.assert_allclose(G.mean(0), expected, rtol=0, atol=1e-12)
    assert found[1].var(0).max() > 1e-6
    np.testing.assert_allclose(found[2].var(0), found[1].var(0) / 2, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", ["uoro", "r_kf"])
def test_flipping_every_sign_changes_nothing(name):
    rule, structure = RULES[name]
    net, steps = problem()
    keys = keys_of_all_signs()
    signs = [jax.random.rademacher(key, (N,)) for key in keys]
    opposite = {i: j for i in range(4) for j in range(4) if (signs[i] == -signs[j]).all()}
    draw = [0, 2, 1]
    results = []
    for chosen in (draw, [opposite[i] for i in draw]):
        _, states = run_rule(rule, net, steps, state=start(rule, net, zero=True), keys=[keys[i] for i in chosen])
        results.append(jnp.einsum(structure, states[-1].A, states[-1].B))
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", RULES)
def test_dead_units_leave_no_nan(name):
    rule, _ = RULES[name]
    net = small_net(n=N, n_in=1, n_out=2, activation="relu", alpha=1.0)
    net = eqx.tree_at(lambda net: net.W, net, net.W.at[:, -1].set(-100.0))
    steps = steps_of(net, *stream(net, T))
    grads, states = run_rule(rule, net, steps, state=start(rule, net, zero=False))
    assert jnp.isfinite(grads).all()
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(states))
