"""RTRL and the BPTT family against automatic differentiation."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import future_gradients, past_gradients, run_rule, small_net, steps_of, stream

from recredit.blocks.jacobian import ThroughWeights
from recredit.network import Network
from recredit.rules import EBPTT, FBPTT, PBPTT, RTRL, RULES, RTRLBlock
from recredit.tasks import Add
from recredit.training.loop import train

pytestmark = pytest.mark.equations

T = 7
NETS = [
    {"alpha": alpha, "activation": activation, "head": head}
    for alpha in (1.0, 0.5)
    for activation in ("tanh", "relu", "sigmoid", "identity")
    for head in ("softmax", "linear")
] + [{"n": 1, "n_in": 1, "n_out": 1, "head": "linear"}]


def close(a, b, tolerance=1e-10):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def problem(length=T, **net):
    net = small_net(**net)
    data = stream(net, length)
    return net, data, steps_of(net, *data)


@eqx.filter_jit
def influence(net, r, inputs):
    """d r / d W at the end."""

    def rates(W, r):
        for x in inputs:
            v = W @ jnp.concatenate([r, x, jnp.ones(1)])
            r = (1 - net.alpha) * r + net.alpha * net.phi(v)
        return r

    return jax.jacfwd(rates)(net.W, r)


@pytest.mark.parametrize("settings", NETS, ids=str)
def test_rtrl_is_the_gradient_of_each_steps_loss(settings):
    net, data, steps = problem(**settings)
    grads, states = run_rule(RTRL(), net, steps)
    close(grads, past_gradients(net, *data))
    close(states[-1].M, influence(net, *data[:2]))


@pytest.mark.parametrize("block", [1, 3, 7, 20])
@pytest.mark.parametrize("settings", [NETS[0], NETS[3], NETS[-1]], ids=str)
def test_rtrl_block_is_the_gradient_of_each_steps_loss(settings, block):
    net, data, steps = problem(**settings)
    close(run_rule(RTRLBlock(block), net, steps)[0], past_gradients(net, *data))


@pytest.mark.parametrize("settings", NETS, ids=str)
def test_p_bptt_with_a_window_over_all_steps_is_rtrl(settings):
    net, data, steps = problem(**settings)
    close(run_rule(PBPTT(window=T), net, steps)[0], past_gradients(net, *data))


def test_p_bptt_with_a_shorter_window_drops_the_older_steps():
    net, data, steps = problem()
    grads, window = run_rule(PBPTT(window=3), net, steps)[0], 3
    for t in range(T):
        first = max(0, t - window + 1)
        r, inputs, targets = steps[first].r_prev, data[1][first : t + 1], data[2][first : t + 1]
        close(grads[t], past_gradients(net, r, inputs, targets)[-1])


@pytest.mark.parametrize("settings", NETS, ids=str)
def test_f_bptt_is_the_truncated_future_facing_gradient_late(settings):
    net, data, steps = problem(**settings)
    window = 3
    grads = run_rule(FBPTT(window=window), net, steps)[0]
    close(grads[: window - 1], 0)
    for t in range(window - 1, T):
        close(grads[t], future_gradients(net, *data, last=t + 1)[t - window + 1])


def test_f_bptt_over_all_steps_then_flushed_sums_to_the_total_gradient():
    net, data, steps = problem()
    silent = [jax.tree.map(jnp.zeros_like, steps[-1])] * (T - 1)  # no error, so no more credit
    grads = run_rule(FBPTT(window=T), net, steps + silent)[0]
    close(grads.sum(0), past_gradients(net, *data).sum(0))
    close(grads[T - 1 :], future_gradients(net, *data))


@pytest.mark.parametrize("settings", NETS, ids=str)
def test_e_bptt_is_the_gradient_within_each_window(settings):
    net, data, steps = problem(length=8, **settings)
    grads = run_rule(EBPTT(window=4), net, steps)[0]
    close(grads[jnp.array([0, 1, 2, 4, 5, 6])], 0)
    for last in (4, 8):
        r, piece = steps[last - 4].r_prev, slice(last - 4, last)
        close(grads[last - 1], past_gradients(net, r, data[1][piece], data[2][piece]).sum(0))


def takes(setting):
    return [name for name, make in RULES.items() if setting in make().__dataclass_fields__]


@pytest.mark.parametrize("name", [name for name in takes("jacobian") if name != "dni_b"])
def test_products_through_the_weights_equal_products_with_the_jacobian(name):
    net, _, steps = problem(length=12)
    rounding = 1e-8 if name == "ok_rtrl" else 1e-10  # the last bits of small singular values, whose roots it takes
    close(run_rule(RULES[name](jacobian=ThroughWeights()), net, steps)[0], run_rule(RULES[name](), net, steps)[0], rounding)


@cache
def trained(rule, steps=400, rate=1e-5, n=16, seeds=2):
    network, optimizer = Network(n=n, alpha=1.0), optax.sgd(rate)
    return train(rule, Add(hold=1), network=network, optimizer=optimizer, seeds=seeds, steps=steps, bin=steps)


@pytest.mark.slow
def test_slow_learning_makes_the_exact_rules_agree():
    W = [trained(rule, steps=400).W for rule in (RTRL(), FBPTT(25), EBPTT(100))]
    start = trained(RULES["fixed_w"](), steps=10).W
    assert abs(W[0] - start).max() > 4e-4
    close(W[1], W[0], 1e-4)
    close(W[2], W[0], 1e-4)


def test_rtrl_block_equals_rtrl_while_the_weights_learn_and_seeds_are_vectorised():
    dense, block = (trained(rule, steps=300, rate=1e-2, n=8) for rule in (RTRL(), RTRLBlock(block=7)))
    close(block.W, dense.W)
    assert abs(dense.W[0, :, :8] - trained(RULES["fixed_w"](), steps=10, n=8).W[0, :, :8]).max() > 0.01


@pytest.mark.slow
def test_rtrl_block_equals_rtrl_over_ten_thousand_learning_steps():
    dense, block = (trained(rule, steps=10_000, rate=1e-3, n=16) for rule in (RTRL(), RTRLBlock()))
    close(block.W, dense.W)


def test_fixed_w_never_moves():
    short, long = (trained(RULES["fixed_w"](), steps=steps, rate=0.1) for steps in (10, 200))
    assert (short.W.values == long.W.values).all()
    assert (short.W_out.values != long.W_out.values).any()
