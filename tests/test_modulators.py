"""MDGL and ModProp: what modulators tell of ways through other units, cell by cell and type by type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_paths import EACH, credit, each, told
from test_units import T, close, played, problem

from recredit.blocks.cell_types import CellTypes
from recredit.network import LeakyRNN, Network
from recredit.network.gru import GRU
from recredit.network.unitwise import row_times, row_times_trace, times_signals, times_trace
from recredit.rules import MDGL, RFLO, RTRL, Hops, ModProp

W, OUT = np.random.default_rng(0).normal(size=(6, 9)), np.random.default_rng(1).normal(size=(3, 6))
SIGNS = jnp.array([1.0, 1, 1, 1, -1, -1, 0, 0, 0])


def leaky(alpha, activation="tanh", signs=None):
    """Six units, the last two inhibitory if there are signs, and steps of them."""
    rows = jnp.asarray(W) if signs is None else jnp.where(signs == 0, W, abs(W) * signs)
    net = LeakyRNN(0.4 * rows, jnp.asarray(OUT), jnp.zeros(3), alpha, activation, "softmax", None, signs)
    keys = jax.random.split(jax.random.key(0), 3)
    r = jax.random.normal(keys[0], (6,))
    return net, played(net, r, jax.random.normal(keys[1], (T, 2)), jax.nn.softmax(jax.random.normal(keys[2], (T, 3))))


def test_without_a_leak_mdgl_is_all_ways_through_one_synapse():
    net, steps = leaky(1.0)
    found = told(MDGL(), net, steps)
    close(found, told(Hops(hops=1), net, steps))
    assert abs(found - told(RFLO(), net, steps)).max() > 0.01


@pytest.mark.parametrize("kind", EACH)
def test_ways_through_one_synapse_are_mdgl_whose_credit_is_of_later_steps_too(kind):
    net, s, x, y = problem(kind)
    steps = played(net, s, x, y)
    E, through, C = [jnp.zeros(net.own_shape)], [], 0
    for t in range(T):
        step = each(steps, t)
        at = step.at(net)
        E.append(times_trace(net.memory(at), E[-1]) + times_signals(net.gain(at), step.r_hat))
    for t in reversed(range(T)):
        step = each(steps, t)
        at = step.at(net)
        C = credit(net, step) + C  # of the state after this step, by units' own memory alone
        through.append(row_times_trace(net.times_slope(at, row_times(C, net.gain(at)) @ net.W_rec), E[t]))
        C = row_times(C, net.memory(at))
    one = told(Hops(hops=1), net, steps).sum(0) - told(Hops(hops=0), net, steps).sum(0)
    close(sum(through), one)
    cut = []  # MDGL: credit of the step itself alone
    for t in range(T):
        step = each(steps, t)
        at = step.at(net)
        a = net.times_slope(at, row_times(credit(net, step), net.gain(at)) @ net.W_rec)
        cut.append(row_times_trace(credit(net, step), E[t + 1]) + row_times_trace(a, E[t]))
    close(told(MDGL(), net, steps), jnp.stack(cut))


@pytest.mark.parametrize("signs", [None, SIGNS])
def test_types_send_the_mean_weights_between_them(signs):
    net, steps = leaky(0.4, signs=signs)
    kinds = np.array([0, 0, 0, 1, 1, 1]) if signs is None else np.array([0, 0, 1, 1, 2, 3])
    W_rec, mean = np.asarray(net.W_rec), np.zeros((6, 6))
    for i in range(6):
        for j in range(6):
            mean[i, j] = W_rec[np.ix_(kinds == kinds[i], kinds == kinds[j])].mean()
    B, found = np.zeros_like(net.W), told(MDGL(types=2), net, steps)
    for t in range(T):
        step, before = each(steps, t), B
        D, c = np.asarray(net.gain(step.v)), np.asarray(credit(net, step))
        B = 0.6 * B + np.outer(D, step.r_hat)
        close(found[t], c[:, None] * B + ((c * D) @ mean)[:, None] * before)
    N, B, found = np.zeros((6, *B.shape)), np.zeros_like(B), told(ModProp(types=2, mu=0.7), net, steps)
    for t in range(T):
        step = each(steps, t)
        N = 0.6 * N + 0.4 * 0.7 * (mean[:, :, None] * B + np.einsum("kl,lij->kij", mean, N))
        B = 0.6 * B + np.outer(net.gain(step.v), step.r_hat)
        c = np.asarray(credit(net, step))
        close(found[t], c[:, None] * B + np.einsum("k,kij->ij", c, N))


def test_each_unit_a_type_of_its_own_is_the_same_in_groups_of_one():
    net, steps = leaky(0.4)
    for rule in (MDGL, ModProp):
        close(told(rule(types=6), net, steps), told(rule(types=None), net, steps))


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_modprop_is_rtrl_where_gains_are_one_and_rflo_where_they_are_none(alpha):
    net, steps = leaky(alpha, "identity")
    exact = told(RTRL(), net, steps)
    close(told(ModProp(types=None, mu=1), net, steps), exact)
    close(told(ModProp(types=None, mu=0), net, steps), told(RFLO(), net, steps))
    assert abs(told(ModProp(types=None, mu=0.5), net, steps) - exact).max() > 0.01


def test_what_does_not_fit_is_refused():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="9 cell types need at least as many units, and the network has 6"):
        MDGL(types=9).check_network(leaky(0.5)[0])
    with pytest.raises(ValueError, match="ModProp is for leaky units, whose mean gain is one number, not GRU units"):
        ModProp().check_network(Network(n=6, units=GRU()).create(2, 3, "softmax", key))
    with pytest.raises(ValueError, match="MDGL's number of cell types must be a whole number"):
        MDGL(types=0)
    assert len(CellTypes.of(leaky(0.5, signs=SIGNS)[0], 3).members) == 6
