"""What every registered rule owes: checked for all of RULES, by no one's name."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from each import EACH_RULE
from oracles import noise_for, small_net, stack, steps_of, stream

from recredit.blocks.feedback import FEEDBACKS
from recredit.blocks.jacobian import JACOBIANS, LearnedJacobian
from recredit.rules import RULES

SIZES = [{}, {"n": 1, "n_in": 1, "n_out": 1, "head": "linear"}, {"n": 5, "n_in": 3, "n_out": 2, "activation": "relu"}]


def variants():
    """Each rule as it comes, and with every other building block that it takes."""
    for name, make in RULES.items():
        yield name, make()
        fields = make().__dataclass_fields__
        blocks = {"feedback": FEEDBACKS, "jacobian": JACOBIANS}
        for kind, registry in blocks.items():
            if kind in fields:
                yield from ((f"{name}+{block}_{kind}", make(**{kind: registry[block]()})) for block in registry)
        if "jacobian" in fields:
            settings = [("zero", "r1"), ("leaky", "r_hat")]
            yield from ((f"{name}+learned{s}", make(jacobian=LearnedJacobian(1e-2, *s))) for s in settings)


VARIANTS = dict(variants())


def problem(length=3, **settings):
    net = small_net(**settings)
    return net, steps_of(net, *stream(net, length))


@cache
def compiled(name):
    """The update of a rule as it comes, and a list with an entry for each time that it was traced."""
    traces = []

    @jax.jit
    def update(*arguments):
        traces.append(1)
        return RULES[name]().update(*arguments)

    return update, traces


def shapes(tree):
    return jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("settings", SIZES, ids=str)
@pytest.mark.parametrize("name", VARIANTS)
def test_gradient_and_state_keep_their_shapes(name, settings):
    rule = VARIANTS[name]
    net, steps = problem(noise=noise_for(rule), **settings)
    before = jax.eval_shape(rule.init, net, jax.random.key(0))
    G, after = jax.eval_shape(rule.update, net, steps[0], before, jax.random.key(1))
    assert G.shape == net.W.shape
    assert G.dtype == net.W.dtype
    assert shapes(after) == shapes(before)


@pytest.mark.parametrize("name", EACH_RULE)
def test_a_gradient_comes_when_the_rule_says(name):
    rule = RULES[name]()
    net, steps = problem(length=21, noise=noise_for(rule))
    state, update, told = rule.init(net, jax.random.key(0)), jax.jit(rule.update), []
    for t, step in enumerate(steps):
        G, state = update(net, step, state, jax.random.key(t))
        told.append(bool(G.any()))
    expected = [t >= rule.delay and (t + 1) % rule.period == 0 for t in range(21)]
    assert told == ([False] * 21 if name == "fixed_w" else expected)


def test_windows_of_ten_steps_are_late_or_told_at_their_ends():
    assert (RULES["f_bptt"]().delay, RULES["e_bptt"]().period) == (9, 10)


@pytest.mark.parametrize("name", EACH_RULE)
def test_results_are_finite(name):
    net, steps = problem(length=12, noise=noise_for(RULES[name]()))
    state, (update, _) = RULES[name]().init(net, jax.random.key(0)), compiled(name)
    for t, step in enumerate(steps):
        G, state = update(net, step, state, jax.random.key(t))
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((G, state)))


@pytest.mark.parametrize("name", VARIANTS)
def test_no_array_hides_in_the_rule_or_in_its_trace(name):
    rule = VARIANTS[name]
    net, steps = problem(noise=noise_for(rule))
    assert not any(eqx.is_array(leaf) for leaf in jax.tree.leaves(rule))
    state = jax.eval_shape(rule.init, net, jax.random.key(0))
    trace = jax.make_jaxpr(rule.update)(net, steps[0], state, jax.random.key(1))
    assert all(np.ndim(constant) == 0 for constant in trace.consts)


@pytest.mark.parametrize("name", EACH_RULE)
def test_the_second_step_is_not_compiled_again(name):
    (net, steps), (update, traces) = problem(noise=noise_for(RULES[name]())), compiled(name)
    state = RULES[name]().init(net, jax.random.key(0))
    for t, step in enumerate(steps):
        _, state = update(net, step, state, jax.random.key(t))
    assert len(traces) == 1


@pytest.mark.parametrize("name", EACH_RULE)
def test_vectorised_seeds_equal_seeds_one_by_one(name):
    rule, seeds, length = RULES[name](), 3, 11
    nets = [small_net(seed=seed, noise=noise_for(rule)) for seed in range(seeds)]
    steps = [steps_of(net, *stream(net, length, seed=seed)) for seed, net in enumerate(nets)]
    keys = jax.random.split(jax.random.key(5), (length, seeds))
    alone = [rule.init(net, jax.random.key(seed)) for seed, net in enumerate(nets)]
    states, together, (update, _) = stack(alone), jax.jit(jax.vmap(rule.update)), compiled(name)
    for t in range(length):
        G, states = together(stack(nets), stack([s[t] for s in steps]), states, keys[t])
        for seed in range(seeds):
            expected, alone[seed] = update(nets[seed], steps[seed][t], alone[seed], keys[t, seed])
            np.testing.assert_allclose(G[seed], expected, rtol=0, atol=1e-12)
