"""What is done for speed changes no result: draws made ahead, seeds in groups, writes in place; no number of seeds hangs."""

import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from each import TRAINED
from oracles import noise_for

from recredit.blocks.buffers import put
from recredit.jaxprs import programs_of
from recredit.network import Network
from recredit.rules import RFLO, RULES, UORO, RTRLBlock
from recredit.tasks import Add
from recredit.training import sizes
from recredit.training import step as one_step
from recredit.training.loop import train
from recredit.training.precompute import split
from recredit.training.sizes import fitting_seeds
from recredit.training.step import Trainer

pytestmark = pytest.mark.equations

ADD, SMALL, SGD = Add(1, 2, 1), Network(n=5), optax.sgd(0.05)


@pytest.mark.parametrize("name", TRAINED)
def test_a_segment_is_its_steps_one_by_one(name, monkeypatch):
    monkeypatch.setattr(one_step, "DRAWN", 4)
    made = Trainer((RULES[name](),), ADD, Network(n=5, noise=noise_for(RULES[name]())), SGD)
    segment, step, learner, loss = eqx.filter_jit(made.segment), eqx.filter_jit(made.step), made.start(3), 0.0
    inputs, targets = made.chunk(learner.stream, jnp.array(0), 12)[1][:2]
    for t in range(12):
        learner, lost, _ = step(learner, jnp.array(t), inputs[t], targets[t])
        loss += lost
        if t + 1 not in (7, 12):  # of these, one is drawn one by one, the other four at a time
            continue
        after, measured = segment(made.start(3), jnp.array(0), t + 1)
        np.testing.assert_allclose(measured.scores.loss, loss, rtol=1e-12)
        for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(learner), strict=True):
            if not jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
                np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


def operations(jaxpr, within=()):
    """Each operation of a program, with the lengths of the scans that it is in."""
    for eqn in jaxpr.eqns:
        yield eqn.primitive.name, within
        inside = (*within, eqn.params["length"]) if eqn.primitive.name == "scan" else within
        for inner in programs_of(eqn):
            yield from operations(inner, inside)


def test_random_numbers_are_drawn_outside_of_the_loop_over_steps():
    made = Trainer((UORO(),), ADD, SMALL, SGD)
    program = jax.make_jaxpr(lambda learner: made.segment(learner, jnp.array(0), 30))(made.start(0))
    found = set(operations(program.jaxpr))
    assert ("dot_general", (3, 10)) in found
    assert {within for name, within in found if name == "random_bits"} <= {(), (3,)}
    assert ("random_bits", (3,)) in found


def test_split_hands_over_only_what_is_needed_early():
    big = jnp.arange(6.0)

    def function(early, late):
        drawn = jax.random.normal(early, (2,))
        return drawn @ drawn + late, (big * 2)[0], early

    key = jax.random.key(1)
    first, then = split(function, key, 1.0)
    handed = first(key)
    assert [a.shape for a in handed] == [()]
    for one, other in zip(then(handed, key, 2.0)[:2], function(key, 2.0)[:2], strict=True):
        assert one == other


def test_put_writes_one_row_for_all_seeds_or_one_each():
    rows, row = jnp.arange(24.0).reshape(2, 4, 3), -jnp.ones((2, 3))
    for i, axis in [(jnp.array(2), None), (jnp.array([2, 0]), 0)]:
        written = jax.vmap(put, in_axes=(0, axis, 0))(rows, i, row)
        expected = np.array(rows)
        for seed in range(2):
            expected[seed, 2 if axis is None else i[seed]] = -1
        np.testing.assert_array_equal(written, expected)
    both = jax.vmap(jax.vmap(put, in_axes=(0, None, 0)), in_axes=(0, None, None))  # as of seeds and their streams
    arguments = jnp.stack([rows, rows + 1, rows + 2]), jnp.array(3), row
    np.testing.assert_array_equal(both(*arguments), arguments[0].at[:, :, 3].set(-1.0))
    assert "scatter" not in {name for name, _ in operations(jax.make_jaxpr(both)(*arguments).jaxpr)}
    slopes = jax.jacfwd(lambda row: put(rows[0], jnp.array(1), row))(row[0])
    np.testing.assert_array_equal(slopes, np.eye(12).reshape(4, 3, 12)[:, :, 3:6])
    shared = jax.vmap(put, in_axes=(None, None, 0))(rows[0], jnp.array(1), row)
    np.testing.assert_array_equal(shared, np.stack([rows[0].at[1].set(-1.0)] * 2))


@pytest.mark.parametrize("rule", [UORO(), RTRLBlock()])
@pytest.mark.parametrize("at_once", [1, 2, 5, 64])
def test_seeds_in_groups_are_the_seeds_together(rule, at_once):
    told = []
    data, whole = (
        train(rule, ADD, network=SMALL, optimizer=SGD, seeds=5, steps=40, bin=20, seeds_at_once=k, progress=p)
        for k, p in ((at_once, told.append), (5, None))
    )
    for name in whole:
        np.testing.assert_allclose(data[name], whole[name], rtol=1e-10, err_msg=name)
    assert list(data.seed) == [0, 1, 2, 3, 4]
    assert told == sorted(told)
    assert told[-1] == 40


def test_seeds_at_once_follow_from_the_size_of_what_a_seed_carries(monkeypatch):
    def fitting(rule, n):
        return fitting_seeds(Trainer((rule,), ADD, Network(n=n), SGD).size)

    assert fitting(RFLO(), 16) > fitting(RFLO(), 64) > fitting(RTRLBlock(), 64) >= 1
    assert fitting(RTRLBlock(), 200) == 1
    monkeypatch.setattr(sizes, "CACHE", 8 * 10**9)
    assert fitting(RTRLBlock(), 200) > 1
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert fitting(RTRLBlock(), 200) == 100_000  # the most that there may be


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2, 3, 7, 20, 33, 64])
def test_no_number_of_seeds_hangs(seeds, tmp_path):
    rules = ("rtrl", "rtrl_block", "uoro", "e_bptt")
    command = "from recredit.cli.main import main; main()", "train", "--rule", *rules, "--task", "add"
    options = ["--seeds", str(seeds), "--steps", "400", "--out", str(tmp_path / "out"), "--set", "network.n=16"]
    done = subprocess.run([sys.executable, "-c", *command, *options], timeout=480, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Constant(RFLO):
    """A rule that returns numbers as its state, and draws in a setting of its own."""

    def init(self, net, key):
        return super().init(net, key), jnp.array(1.0)

    def update(self, net, step, state, key):
        G, after = super().update(net, step, state[0], key)
        with jax.threefry_partitionable(False):
            noise = jax.random.normal(key, (3,)).sum()
        return G * noise, (after, jnp.array(0.0))


def test_constants_in_a_state_and_settings_around_a_draw_are_kept():
    made = Trainer((Constant(),), ADD, SMALL, SGD)
    first = made.start(0)
    inputs, targets = made.chunk(first.stream, jnp.array(0), 10)[1][:2]
    learner = first
    for t in range(10):
        learner, _, _ = made.step(learner, t, inputs[t], targets[t])
    np.testing.assert_allclose(made.segment(first, jnp.array(0), 10)[0].net.W, learner.net.W, rtol=1e-10)


def test_seeds_too_large_for_the_generator_are_refused():
    with pytest.raises(ValueError, match="at most 2,147,483,647, not 4294967296"):
        train(RFLO(), ADD, network=SMALL, seeds=[0, 2**32], steps=20)
