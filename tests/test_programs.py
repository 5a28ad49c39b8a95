"""What is compiled is shared by all that differ in numbers alone, and is forgotten when there is too much of it."""

import gc
import subprocess
import sys
import weakref
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recredit.network import Network
from recredit.rules import DNI, RFLO
from recredit.tasks import Add
from recredit.training.loop import train
from recredit.training.programs import COMPILED, TracedFunction, program_of

TASK, NETWORK = Add(1, 2, 1), Network(n=4)
X = jnp.arange(3.0)


def scaled(rate, steps=1, offset=(0.0, 1.0, 2.0)):
    offset = jnp.array(offset)

    @jax.jit
    def inner(x):
        return jax.lax.cond(x[0] < 0.5, lambda x: x * rate, lambda x: x / rate, x) + offset

    return TracedFunction.of(lambda x: inner(x) * jnp.minimum(x, steps), X)


def test_programs_that_differ_in_numbers_are_equal_and_each_has_its_own_numbers():
    one, other = scaled(0.5), scaled(0.25, steps=3, offset=(1.0, 1.0, 1.0))
    assert one.program == other.program
    assert hash(one.program) == hash(other.program)
    np.testing.assert_allclose(one(X), [0.0, 1.5, 3.0])
    np.testing.assert_allclose(other(X), [0.0, 1.25, 3.0])
    np.testing.assert_allclose(jax.jit(jax.vmap(other))(X + jnp.eye(3))[0], [5.0, 5.0, 18.0])


def called_back(power):
    return TracedFunction.of(lambda x: jax.pure_callback(lambda x: x**power, X, x), X)


def test_programs_that_compute_something_else_differ():
    programs = [
        scaled(0.5).program,
        TracedFunction.of(jnp.sin, X).program,
        TracedFunction.of(lambda x: (jnp.sin(x),), X).program,
    ]
    programs += [TracedFunction.of(jnp.sin, X[:2]).program, called_back(2).program, called_back(3).program]
    assert len(set(programs)) == len(programs)
    np.testing.assert_array_equal(called_back(3)(X), X**3)


def optimizers(rate, end):
    yield optax.sgd(rate)
    yield optax.adam(optax.linear_schedule(rate, 0.0, end), b1=1 - rate)
    yield optax.MultiSteps(
        optax.chain(optax.clip_by_global_norm(rate), optax.noisy_sgd(rate, key=end)), 2
    ).gradient_transformation()


def test_runs_that_differ_in_numbers_are_compiled_once(compilations):
    go = partial(train, task=TASK, network=NETWORK, seeds=2, steps=24, bin=8)
    counts, losses = [compilations()], []
    for rate in (1e-2, 3e-2, 5e-2):
        for optimizer in optimizers(rate, round(100 * rate)):
            losses.append(go(DNI(rate=rate), optimizer=optimizer).loss.values[0, -1])
        counts.append(compilations())
    assert counts[1] > counts[0]
    assert counts[1:] == counts[1:2] * 3
    assert len(set(losses)) == 9


class Branching(RFLO):
    """RFLO with a factor that Python asks about."""

    factor: float = 0.5

    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return (G * self.factor if self.factor < 1 else G), state


def test_a_rule_that_branches_on_its_number_trains_too():
    watched = {"half": Branching(factor=0.5), "all": Branching(factor=1.5)}
    data = train(RFLO(), TASK, network=NETWORK, seeds=1, steps=4, bin=4, observers=watched)
    np.testing.assert_allclose(data.norm_ratio[0, :, 0], [0.5, 1.0], rtol=1e-12)


def test_the_programs_longest_unused_are_forgotten():
    first, arrays = program_of(lambda x, k: x + k, X, 1)
    np.testing.assert_array_equal(first(*arrays), X + 1)
    gone = weakref.ref(first)
    del first
    for k in range(COMPILED):
        assert gone() is not None
        program_of(lambda x, k: x + k, X, k)
    gc.collect()
    assert gone() is None


PROGRAM = """
import jax, optax
from recredit import RULES, TASKS, train
from recredit.network import Network
compiled = []
jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compiled.append("backend_compile" in event))
for i in range(200):
    rate = 1e-4 * (1 + i)
    optimizer = (optax.sgd(rate), optax.adamw(optax.linear_schedule(rate, 0, 100 + i), b1=0.9 - 1e-4 * i))[i % 2]
    rule = (RULES["rflo"](), RULES["dni"](rate=rate))[i // 2 % 2]
    train(rule, TASKS["add"](), network=Network(n=8), optimizer=optimizer, seeds=2, steps=200)
    if i in (9, 199):
        pages = int(open("/proc/self/statm").read().split()[1])
        print(pages * 4096, len(open("/proc/self/maps").readlines()), sum(compiled))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_two_hundred_runs_in_one_process_need_no_more_than_ten():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    early, late = (list(map(int, line.split())) for line in run.stdout.splitlines())
    assert late[0] < early[0] + 50e6
    assert late[1] < early[1] + 100
    assert late[2] == early[2] > 0
