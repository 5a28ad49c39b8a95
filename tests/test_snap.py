"""SnAp is RTRL whose influence is cut, after each step, to what weights reach within some synapses; and it costs less."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_paths import masked_rtrl, told
from test_units import KINDS, close, played, problem

from recredit.network import RNN, Network
from recredit.rules import RTRL, SnAp, SnAp1
from recredit.tasks import Add
from recredit.training.step import Trainer

EACH = [pytest.param(name, marks=[] if name == "lstm" else pytest.mark.slow) for name in KINDS if name != "lru"]
SPARSE = {"n": 6, "density": 0.34}


def paths(net, hops):
    """Which states are of units that the unit of a row of W reaches within so many synapses, one unit after another."""
    mask = np.zeros((net.n, net.n))
    for start in range(net.n):
        reached = {start}
        for _ in range(hops):
            reached |= {k for i in reached for k in range(net.n) if net.mask is None or net.mask[k :: net.n, i].any()}
        mask[[*reached], start] = 1
    return np.tile(mask, (net.n_state // net.n, len(net.W) // net.n))


@pytest.mark.parametrize("kind", EACH)
def test_it_is_rtrl_that_is_cut_after_each_step(kind):
    net, s, x, y = problem(kind, **SPARSE)
    steps, found = played(net, s, x, y), []
    for order in (1, 2, 3):
        found.append(told(SnAp(order=order), net, steps))
        close(found[-1], masked_rtrl(net, steps, paths(net, order - 1)))
    assert kind == "alif" or min(abs(a - b).max() for a, b in itertools.pairwise(found)) > 1e-9
    close(found[0], told(SnAp1(), net, steps))
    close(told(SnAp(order=30), net, steps), told(RTRL(), net, steps))


@pytest.mark.parametrize("synapses", [{"connections": "stack", "areas": 3}, {"connections": "diagonal"}, "mask.csv"], ids=str)
def test_units_that_reach_fewer_than_others_have_places_left_over(synapses, tmp_path):
    if synapses == "mask.csv":
        mask = np.maximum(np.eye(6, 9, 2), np.arange(9) >= 6)
        mask[:3, 4] = 1
        np.savetxt(tmp_path / synapses, mask, delimiter=",", fmt="%d")
        synapses = {"connections": str(tmp_path / synapses)}
    net, s, x, y = problem("leaky", n=6, **synapses)
    steps = played(net, s, x, y)
    for order in (2, 3):
        state = SnAp(order=order).init(net, jax.random.key(0))
        assert state.units is None if synapses["connections"] == "diagonal" else (state.units == net.n).any()
        close(told(SnAp(order=order), net, steps), masked_rtrl(net, steps, paths(net, order - 1)))


def test_where_the_fan_out_is_not_known_all_units_may_be_reached():
    net, s, x, y = problem("leaky", **SPARSE)
    steps, unknown = played(net, s, x, y), RNN(net.W, net.W_out, net.b_out, net.units, net.head, net.mask)
    close(told(SnAp(), unknown, steps), told(SnAp(), net, steps), 0)
    assert SnAp().init(unknown, jax.random.key(0)).M.shape == (6, 6, 1, 9)
    assert SnAp().init(net, jax.random.key(0)).M.shape == (6, 3, 1, 9)


def costs(rule, n, **network):
    """XLA's count of operations in one step, and the numbers in the learning state."""
    trainer = Trainer((rule,), Add(), Network(n=n, **network), optax.sgd(1e-4))
    learner = eqx.filter_eval_shape(trainer.start, 0)
    sample = [jax.ShapeDtypeStruct((2,), learner.net.W.dtype)] * 2
    step = jax.jit(lambda *now: trainer.step(*now)[:2])
    flops = step.lower(learner, jax.ShapeDtypeStruct((), jnp.int32), *sample).compile().cost_analysis()["flops"]
    return np.array([flops, sum(leaf.size for leaf in jax.tree.leaves(learner.states))])


def test_time_falls_with_the_square_of_the_density_and_memory_with_the_density():
    n, exact = 64, costs(RTRL(), 64)
    for density in (1.0, 0.5, 0.25, 0.125):
        share = costs(SnAp(), n, density=density) / exact
        q = min(n, 1 + density * n) / n
        np.testing.assert_allclose(share[1], q, rtol=0.02)
        assert q**2 < share[0] < 1.03 * q**2 + 0.01
    assert (costs(SnAp(order=4), n, density=0.5) < 1.03 * exact).all()  # and no more where all are reached
