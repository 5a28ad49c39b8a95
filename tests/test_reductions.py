"""Every arrow of the family tree: a general rule, with the settings of the arrow, gives the gradient of the special one."""

import itertools
import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_units import KINDS, in_mask, played, restarted, run

from recredit.network import Network
from recredit.network.alif import ALIF
from recredit.registry import complete, make
from recredit.rule import Step
from recredit.rules import RULES
from recredit.studies.reductions import AS_A_WHOLE, REDUCTIONS, STEPS

LONG = pytest.mark.slow


def made(table):
    return make(RULES, complete("rule", RULES, table))


@cache
def problem(network, T=STEPS, n=3, n_in=2, n_out=2):
    """A network with biases, its first state, inputs and labels."""
    keys = jax.random.split(jax.random.key(1), 6)
    net = network.create(n_in, n_out, "softmax", keys[0])
    W = net.kept(net.W + 0.3 * jax.random.normal(keys[1], net.W.shape))
    net = net.with_weights(W, net.W_out, 0.1 * jax.random.normal(keys[2], (n_out,)))
    s = net.rest() if isinstance(net.units, ALIF) else 0.4 * jax.random.normal(keys[3], (net.n_state,))
    return net, s, 1.5 * jax.random.normal(keys[4], (T, n_in)), jax.nn.softmax(jax.random.normal(keys[5], (T, n_out)))


def gradients(rule, net, steps, kind):
    """Each step's gradient, or their sum with what a rule still owes at the end."""
    G, state = run(rule, net, steps, rule.init(net, jax.random.key(2)))
    return in_mask(net, G.sum(0) + restarted(rule, net, state)[0] if kind == "in sum" else G)


def tables(shape, T):
    """Every run of T tables of signs."""
    count = math.prod(shape)
    signs = jnp.array([*itertools.product([-1.0, 1.0], repeat=count)]).reshape(-1, *shape)
    return signs, jnp.array([*itertools.product(range(len(signs)), repeat=T)], jnp.uint32)


def mean_over_draws(rule, net, steps, monkeypatch):
    """The mean of the last step's gradient over all draws of signs, from a state of zeros on, and their spread."""
    drawn = []
    state = jax.tree.map(jnp.zeros_like, rule.init(net, jax.random.key(2)))
    monkeypatch.setattr(jax.random, "rademacher", lambda key, shape, dtype: drawn.append(shape) or jnp.ones(shape, dtype))
    jax.eval_shape(rule.update, net, jax.tree.map(lambda a: a[0], steps), state, jax.random.key(0))
    signs, draws = tables(drawn[0], len(steps.error))
    monkeypatch.setattr(jax.random, "rademacher", lambda key, shape, dtype: signs[jax.random.key_data(key)[-1]])

    def last(rows):
        def body(state, now):
            G, state = rule.update(net, now[0], state, jax.random.wrap_key_data(jnp.stack([jnp.uint32(0), now[1]])))
            return state, G

        return jax.lax.scan(body, state, (steps, rows))[1][-1]

    G = jax.jit(jax.vmap(last))(draws)
    return G.mean(0), G.std(0).max()


def mean_over_noise(rule, net, s, x, y):
    """The mean of the last step's gradient over all signs of the network's noise."""
    signs, draws = tables((len(net.W),), len(x))

    def last(rows):
        def body(carry, now):
            step = Step.of(net, carry[0], *now)
            G, state = rule.update(net, step, carry[1], jax.random.key(0))
            return (step.state, state), G

        return jax.lax.scan(body, (s, rule.init(net, jax.random.key(2))), (x, y, net.noise * signs[rows]))[1][-1]

    return jax.jit(jax.vmap(last))(draws).mean(0)


@cache
def steps_of(network):
    """A network, and a run of it."""
    net, s, x, y = problem(network)
    return net, played(net, s, x, y)


@cache
def expected_of(rule, network, kind):
    """What a rule's gradients are; several others reduce to it."""
    return gradients(rule, *steps_of(network), kind)


EXACT = [each for each in REDUCTIONS if not each.kind.startswith("on average")]
ANY = [each for each in EXACT if {*each.network} <= {"connections", "self_synapses"}]


def check(reduction, network):
    special, general = made(reduction.special), made(reduction.general)
    net, steps = steps_of(network)
    for rule in (special, general):
        rule.check_network(net)
    expected = expected_of(special, network, reduction.kind)
    assert abs(expected).max() > 1e-3
    found = gradients(general, net, steps, reduction.kind)
    np.testing.assert_allclose(found, reduction.factor * expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "reduction", [pytest.param(each, marks=LONG if each.words == AS_A_WHOLE else []) for each in EXACT], ids=str
)
def test_it_is_the_other_rule(reduction):
    check(reduction, Network(3, **reduction.network))


@LONG
@pytest.mark.parametrize("units", [name for name in KINDS if name != "leaky"])
@pytest.mark.parametrize("reduction", ANY, ids=str)
def test_on_other_units_too(reduction, units):
    if units == "lru" and reduction.network:
        pytest.skip("lru units have no recurrent synapses")
    network = Network(3, units=KINDS[units], **reduction.network)
    net = problem(network)[0]
    try:
        for table in (reduction.general, reduction.special):
            made(table).check_network(net)
    except ValueError as error:
        pytest.skip(str(error))
    check(reduction, network)


@LONG
@pytest.mark.parametrize("reduction", [each for each in REDUCTIONS if each.kind == "on average"], ids=str)
def test_the_mean_over_all_draws_is_the_other_rule(reduction, monkeypatch):
    net, s, x, y = problem(Network(2, **reduction.network), T=3, n=2, n_in=1)
    steps = played(net, s, x, y)
    expected = gradients(made(reduction.special), net, steps, "at each step")[-1]
    mean, spread = mean_over_draws(made(reduction.general), net, steps, monkeypatch)
    assert spread > 1e-3
    np.testing.assert_allclose(mean, expected, rtol=1e-10, atol=1e-12)


@LONG
@pytest.mark.parametrize("reduction", [each for each in REDUCTIONS if each.noise], ids=str)
def test_the_mean_differs_by_the_square_of_the_noise(reduction, monkeypatch):
    errors = []
    for noise in (0.04, 0.02):
        of_network = reduction.noise == "network.noise"
        rule = made({**reduction.general, **({} if of_network else {reduction.noise: noise})})
        net, s, x, y = problem(Network(2, noise=noise * of_network), T=2, n=2, n_in=1)
        quiet = played(net, s, x, y)
        expected = gradients(made(reduction.special), net, quiet, "at each step")[-1]
        told = mean_over_noise(rule, net, s, x, y) if of_network else mean_over_draws(rule, net, quiet, monkeypatch)[0]
        errors.append(abs(told - expected).max())
    assert abs(expected).max() > 1e-2
    assert errors[1] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.3)


def test_the_rules_and_settings_of_every_arrow_are_different_and_known():
    pairs = [(str(each), each.kind) for each in REDUCTIONS]
    assert len({*pairs}) == len(pairs)
    for each in REDUCTIONS:
        assert made(each.general) != made(each.special)
