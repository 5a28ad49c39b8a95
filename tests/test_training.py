"""The training loop against the same steps made by hand: bins, seeds, observers, divergence, optimisers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recredit.network import Network
from recredit.rule import Step
from recredit.rules import DNI, EBPTT, RFLO, RTRL, UORO, FixedW
from recredit.tasks import AbstractTask, Add, Mimic, Recorded, Sample
from recredit.training import sizes
from recredit.training.loop import train
from recredit.training.step import Trainer, weights

TASK, NETWORK, SGD = Add(1, 2, 1), Network(n=4), optax.sgd(0.1)
STEP = eqx.filter_jit(Trainer.step)


def by_hand(trainer, seed, steps):
    """One seed's final weights, and its loss and all gradients at every step."""
    learner = trainer.start(seed)
    inputs, targets = trainer.task.chunk(learner.stream, jnp.array(0), steps)[1][:2]
    losses, grads = [], []
    for t in range(steps):
        learner, loss, told = STEP(trainer, learner, jnp.array(t), inputs[t], targets[t])
        losses.append(float(loss))
        grads.append(np.stack(told))
    return weights(learner.net), np.array(losses), np.stack(grads)


def train_small(rule, **settings):
    return train(rule, settings.pop("task", TASK), network=NETWORK, **{"steps": 12, "bin": 12, "optimizer": SGD, **settings})


def test_bins_are_the_means_of_every_step_made_by_hand(monkeypatch):
    monkeypatch.setattr(sizes, "SEGMENT", 4)  # the first bin is two compiled calls
    rules, told = (UORO(), RFLO(), FixedW()), []
    data = train_small(rules[0], seeds=[0, 3], bin=8, observers={"a": rules[1], "b": rules[2]}, progress=told.append)
    assert data.step.values.tolist() == [8, 12]
    assert told == [4, 8, 12]
    for seed in (0, 3):
        final, loss, grads = by_hand(Trainer(rules, TASK, NETWORK, SGD), seed, 12)
        here, driver, rflo = data.sel(seed=seed), *grads[:, :2].reshape(12, 2, -1).swapaxes(0, 1)
        norms = np.linalg.norm(driver, axis=1), np.linalg.norm(rflo, axis=1)
        cosine = (driver * rflo).sum(1) / (norms[0] * norms[1])
        means = [np.array([each[:8].mean(), each[8:].mean()]) for each in (loss, cosine, *norms)]
        watched = here.sel(observer="a")
        np.testing.assert_allclose(here.loss, means[0], rtol=1e-10)
        np.testing.assert_allclose(watched.cosine, means[1], rtol=1e-10)
        np.testing.assert_allclose(watched.norm_ratio, means[3] / means[2], rtol=1e-10)
        assert here.cosine.sel(observer="b").isnull().all()  # fixed-W never has a gradient to compare
        for name, array in final.items():
            np.testing.assert_allclose(here[name], array, rtol=0, atol=1e-12)


@pytest.mark.parametrize("task", [TASK, Mimic(2, 3)], ids=str)
def test_seeds_are_paired_across_rules(task):
    starts = [Trainer(rules, task, NETWORK, SGD).start(5) for rules in ((FixedW(),), (RFLO(), UORO(), DNI()))]
    data = [task.chunk(start.stream, jnp.array(0), 20)[1][:2] for start in starts]
    first, *others = (jax.tree.leaves((weights(s.net), s.s, d)) for s, d in zip(starts, data, strict=True))
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)
    another = Trainer((FixedW(),), task, NETWORK, SGD).start(6)
    assert not np.array_equal(another.net.W, starts[0].net.W)
    assert not np.array_equal(task.chunk(another.stream, jnp.array(0), 20)[1], data[0][0])


def test_fixed_w_keeps_the_recurrent_weights_it_started_with():
    early, late = (train_small(FixedW(), seeds=2, steps=steps, bin=3) for steps in (3, 12))
    start = Trainer((FixedW(),), TASK, NETWORK, SGD).start(1).net
    np.testing.assert_array_equal(late.W, early.W)
    np.testing.assert_allclose(late.W.sel(seed=1), start.W, rtol=0, atol=1e-15)
    assert abs(late.W_out - early.W_out).min() > 0


def test_a_seed_does_not_depend_on_the_seeds_beside_it():
    alone, beside = train_small(UORO(), seeds=[4]), train_small(UORO(), seeds=[1, 4])
    np.testing.assert_allclose(beside.sel(seed=[4]).loss, alone.loss, rtol=1e-12)
    np.testing.assert_allclose(beside.sel(seed=[4]).W, alone.W, rtol=0, atol=1e-13)
    assert abs(np.diff(beside.loss.values, axis=0)) > 1e-3


def keys_as(convert, learner):
    """The learner with its typed keys, and no other leaf, converted."""
    return jax.tree.map(lambda a: convert(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a, learner)


@pytest.mark.parametrize("task", [TASK, Mimic(2, 3)], ids=str)
def test_a_learner_that_was_written_to_a_file_goes_on_as_if_it_had_not_been(task, tmp_path):
    trainer = Trainer((UORO(), EBPTT(window=3)), task, NETWORK, SGD)
    go = eqx.filter_jit(trainer.segment)
    half = go(trainer.start(0), jnp.array(0), 5)[0]
    eqx.tree_serialise_leaves(tmp_path / "half.eqx", keys_as(jax.random.key_data, half))
    read = eqx.tree_deserialise_leaves(tmp_path / "half.eqx", keys_as(jax.random.key_data, trainer.start(1)))
    is_key = jax.tree.map(lambda a: jnp.issubdtype(a.dtype, jax.dtypes.prng_key), half)
    again = jax.tree.map(lambda a, key: jax.random.wrap_key_data(a, impl="threefry2x32") if key else a, read, is_key)
    for a, b in zip(*(jax.tree.leaves(weights(go(each, jnp.array(5), 5)[0].net)) for each in (half, again)), strict=True):
        np.testing.assert_array_equal(a, b)


def assert_same_driver(a, b):
    """Equal to the last bit."""
    for name in ("loss", "W", "W_out", "b_out", "diverged_at"):
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_observers_do_not_touch_the_driver_and_stochastic_ones_draw_their_own_noise():
    watched = train_small(UORO(), seeds=2, observers={"twin": UORO(), "other": UORO()})
    assert_same_driver(watched, train_small(UORO(), seeds=2))
    assert abs(watched.cosine).max() < 0.99
    assert not np.allclose(watched.cosine.sel(observer="twin"), watched.cosine.sel(observer="other"))


def test_an_observer_equal_to_the_driver_agrees_with_it_wholly():
    twin = train_small(RTRL(), seeds=2, observers={"twin": RTRL(), "other": RFLO()})
    assert_same_driver(twin, train_small(RTRL(), seeds=2))
    for measure in (twin.cosine, twin.norm_ratio):
        np.testing.assert_allclose(measure.sel(observer="twin"), 1, rtol=0, atol=1e-12)
        assert (abs(measure.sel(observer="other") - 1) > 1e-3).all()


class Loud(AbstractTask):
    """Labels of 1e200 from step 7 on, for the seeds whose key says so: their squared error is not a finite number."""

    n_in: int = 2
    n_out: int = 1
    head: str = eqx.field(default="linear", static=True)

    def init(self, net, key):
        return jax.random.bernoulli(key)

    def chunk(self, state, start, length):
        t = start + jnp.arange(length, dtype=float)[:, None]
        return state, Sample(jnp.cos(t * jnp.array([1.0, 2.0])), jnp.where(state & (t >= 7), 1e200, jnp.sin(t)))


def test_a_seed_that_diverges_is_marked_and_leaves_the_others_alone():
    settings = {"task": Loud(), "bin": 4}
    runs = [train_small(RFLO(), seeds=seeds, **settings) for seeds in (range(4), range(4, 8))]
    starts = [Trainer((RFLO(),), Loud(), NETWORK, SGD).start(seed) for seed in range(8)]
    loud = np.array([bool(start.stream) for start in starts])
    assert 0 < loud[:4].sum() < 4
    np.testing.assert_array_equal(np.concatenate([run.diverged_at for run in runs]), np.where(loud, 7, -1))
    assert np.isfinite(runs[0].loss).values.tolist() == [[True, not it, not it] for it in loud[:4]]
    quiet = np.flatnonzero(~loud)[:4].tolist()
    calm = train_small(RFLO(), seeds=quiet, **settings)
    for seed in quiet:
        np.testing.assert_allclose(runs[seed // 4].sel(seed=seed).loss, calm.sel(seed=seed).loss, rtol=1e-12)
        np.testing.assert_allclose(runs[seed // 4].sel(seed=seed).W, calm.sel(seed=seed).W, rtol=0, atol=1e-13)


def test_a_huge_learning_rate_is_marked_at_the_first_loss_that_is_not_finite():
    data = train_small(RFLO(), task=Mimic(2, 2), seeds=2, bin=1, optimizer=optax.sgd(1e60))
    first = np.isfinite(data.loss.values).argmin(axis=1)
    assert first.min() > 0
    np.testing.assert_array_equal(data.diverged_at, first)


OPTIMIZERS = {
    "adam": optax.adam(0.01),
    # optax works out a schedule in float32: rates that float32 holds are the same in every program
    "momentum": optax.chain(optax.clip_by_global_norm(0.05), optax.sgd(optax.linear_schedule(0.125, 0, 8), momentum=0.9)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optax_optimiser_works_on_all_three_arrays_together(name):
    optimizer, rule = OPTIMIZERS[name], RFLO()

    @jax.jit
    def step(net, r, state, memory, x, target):
        r_hat, v, r_new = net.step(r, x)
        error = jax.nn.softmax(net.readout(r_new)) - target
        G, state = rule.update(net, Step(r, r_hat, v, r_new, error, target), state, jax.random.key(0))
        updates, memory = optimizer.update({"W": G, "W_out": jnp.outer(error, r_new), "b_out": error}, memory, weights(net))
        return net.with_weights(**jax.tree.map(jnp.add, weights(net), updates)), r_new, state, memory

    start = Trainer((rule,), TASK, NETWORK, optimizer).start(0)
    now = (start.net, start.s, start.states[0], optimizer.init(weights(start.net)))
    for x, target in zip(*TASK.chunk(start.stream, jnp.array(0), 12)[1][:2], strict=True):
        now = step(*now, x, target)
    data = train_small(rule, seeds=1, optimizer=optimizer)
    for which, array in weights(now[0]).items():
        np.testing.assert_allclose(data[which][0], array, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spoiled", ["inputs", "targets"])
def test_data_that_are_not_finite_are_named_by_their_steps(monkeypatch, spoiled):
    monkeypatch.setattr(sizes, "SEGMENT", 4)
    task = Recorded(np.ones((12, 2)), np.ones((12, 2)))
    object.__setattr__(task, spoiled, getattr(task, spoiled).at[6, 1].set(np.nan))  # Recorded itself would refuse it
    with pytest.raises(ValueError, match="not finite between steps 4 and 8"):
        train_small(FixedW(), task=task, seeds=2)


BAD = {
    "steps must be a whole number": {"steps": 0},
    "the bin must be a whole number": {"bin": 0},
    "the number of seeds must be": {"seeds": 0},
    "seeds must be different whole numbers of at least 0": {"seeds": [1, 1]},
    "a seed must be a whole number of at least 0, not -1": {"seeds": [-1]},
    "lag reaches back 2 network steps": {"steps": 2},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_counts_are_refused_at_once(message):
    with pytest.raises(ValueError, match=message):
        train_small(RFLO(), **BAD[message])
