"""JAX's settings: its strict modes refuse nothing here, and none of them changes a seed's numbers."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import Literal

from recredit.network import Network
from recredit.rules import RULES, UORO
from recredit.tasks import Add, Mimic
from recredit.training import lanes
from recredit.training.loop import train
from recredit.training.step import Trainer

ALL = tuple(make() for make in RULES.values())
NETWORK = Network(n=4, noise=0.1)  # that some rules learn from
TASKS = {"add": Add(labels="sampled"), "mimic": Mimic(3, 2)}
STRICT = {
    "types": lambda: jax.numpy_dtype_promotion("strict"),
    "ranks": lambda: jax.numpy_rank_promotion("raise"),
    "leaks": lambda: jax.checking_leaks(),
}
SLOW = {"nans": lambda: jax.debug_nans(True), "no compiler": lambda: jax.disable_jit()}
GENERATORS = {
    "rbg": lambda: jax.default_prng_impl("rbg"),
    "threefry's older way": lambda: jax.threefry_partitionable(False),
}


def written(jaxpr):
    """A program's operations, inner programs written out wherever they run: which are printed once hangs on JAX's caches."""
    numbers = {}
    told = [[numbers.setdefault(variable, len(numbers)) for variable in (*jaxpr.constvars, *jaxpr.invars)]]
    for operation in jaxpr.eqns:
        given = [str(v) if isinstance(v, Literal) else numbers[v] for v in operation.invars]
        made = [(numbers.setdefault(v, len(numbers)), str(v.aval)) for v in operation.outvars]
        settings = {}
        for name, value in operation.params.items():
            programs = [getattr(each, "jaxpr", each) for each in jax.tree.leaves(value) if hasattr(each, "eqns")]
            settings[name] = [written(each) for each in programs] or re.sub("0x[0-9a-f]+", "", str(value))
        told.append((operation.primitive.name, given, made, settings))
    return told


def programs(rules, task):
    """Of two seeds: their start and twenty steps, as the compiler is given them."""
    trainer = Trainer(rules, task, NETWORK, optax.adam(0.1))
    seeds = jnp.arange(2)
    learners = eqx.filter_eval_shape(lanes.start, trainer, seeds, 20)[0]
    start = jax.make_jaxpr(lambda seeds: lanes.start(trainer, seeds, 20))(seeds)
    segment = jax.make_jaxpr(lambda learners, first: lanes.segment(trainer, learners, first, 20))(learners, jnp.array(0))
    return written(start.jaxpr), written(segment.jaxpr)


@pytest.mark.slow
@pytest.mark.parametrize(("rules", "task"), [(ALL, "add"), (ALL[:1], "mimic")], ids=["every rule", "mimic"])
def test_every_rule_and_task_has_the_same_program_in_jaxs_strict_modes(rules, task):
    expected = programs(rules, TASKS[task])
    for mode, context in STRICT.items():
        with context():
            assert programs(rules, TASKS[task]) == expected, mode


def every_rule(task):
    observers = {name: make() for name, make in RULES.items()}
    return train(UORO(), task, network=NETWORK, optimizer=optax.sgd(0.1), seeds=2, steps=20, bin=20, observers=observers)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mode", SLOW)
def test_every_rule_and_task_gives_the_same_numbers_in_jaxs_slow_modes(mode, task):
    usual = every_rule(TASKS[task])
    with SLOW[mode]():
        found = every_rule(TASKS[task])
    for name in ("loss", "W", "W_out", "cosine", "norm_ratio"):
        np.testing.assert_allclose(found[name], usual[name], rtol=1e-9, atol=1e-12)


def short_run(seeds):
    return train(UORO(), TASKS["add"], network=Network(n=4), optimizer=optax.sgd(0.1), seeds=seeds, steps=20, bin=20)


@pytest.fixture(scope="module")
def usual():
    return short_run([1, 4])


@pytest.mark.parametrize("setting", GENERATORS)
def test_a_seeds_numbers_do_not_depend_on_the_generator_that_jax_is_set_to(setting, usual):
    with GENERATORS[setting]():
        found = short_run([4])
    for name in ("loss", "W", "W_out"):
        np.testing.assert_allclose(found[name][0], usual[name].sel(seed=4), rtol=0, atol=1e-13)
