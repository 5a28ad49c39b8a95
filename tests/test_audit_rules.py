"""The small rules that try the audit are rules: they obey the contract and run."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from audit_rules import CASES
from oracles import run_rule, small_net, steps_of, stream


def shapes(tree):
    return jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


@cache
def problem():
    net = small_net(n=5, n_in=3, n_out=2)
    return net, steps_of(net, *stream(net, 6))


@pytest.mark.parametrize("name", CASES)
def test_a_small_rule_obeys_the_contract(name):
    rule, (net, steps) = CASES[name].make(), problem()
    assert not any(eqx.is_array(leaf) for leaf in jax.tree.leaves(rule))
    before = jax.eval_shape(rule.init, net, jax.random.key(0))
    G, after = jax.eval_shape(rule.update, net, steps[0], before, jax.random.key(1))
    assert (G.shape, G.dtype) == (net.W.shape, net.W.dtype)
    assert shapes(after) == shapes(before)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_small_rule_runs(name):
    rule, (net, steps) = CASES[name].make(), problem()
    grads, states = run_rule(rule, net, steps)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((grads, states)))
    assert jnp.abs(grads).sum() > 0
