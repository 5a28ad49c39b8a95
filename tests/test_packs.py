"""Runs that share one compiled program, trained together: the numbers of each are those of its own run."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from each import EACH_RULE
from oracles import noise_for

from recredit.network import Network
from recredit.rules import DNI, EBPTT, RFLO, RTRL, RULES, UORO, RTRLBlock
from recredit.tasks import AbstractTask, Add, Mimic, Recorded, Sample
from recredit.training import pack, sizes
from recredit.training.lanes import pack_key
from recredit.training.loop import train
from recredit.training.pack import Member, train_pack
from recredit.training.step import Trainer

TASK, NETWORK, STEPS, BIN = Add(1, 2, 1), Network(n=4), 40, 15
SGD = optax.sgd(0.05)


def trainer(rule, optimizer=SGD, task=TASK, network=NETWORK, streams=1, observers=(), **compared):
    return Trainer((rule, *observers), task, network, optimizer, streams, STEPS, **compared)


def noisy(rate, seed):
    return optax.chain(optax.noisy_sgd(rate, key=seed), optax.scale_by_schedule(optax.linear_schedule(1.0, rate, 30)))


class Primed(RFLO):
    """RFLO whose traces do not begin at 0."""

    at_start: float = 0.0

    def init(self, net, key):
        return jax.tree.map(lambda trace: trace + self.at_start, super().init(net, key))


PACKS = {
    "what a rule begins with": [(Primed(at_start=start), SGD) for start in (0.1, 0.2, 0.3)],
    "learning rates of sgd": [(RFLO(), optax.sgd(rate)) for rate in (0.01, 0.1, 1.0)],
    "numbers of adam": [(RTRL(), optax.adam(rate, b1=b1)) for rate, b1 in ((0.01, 0.9), (0.1, 0.8), (0.02, 0.9))],
    "noise and schedules": [(RFLO(), noisy(rate, seed)) for rate, seed in ((0.01, 1), (0.1, 2))],
    "a rule's rate": [(DNI(rate=rate), SGD) for rate in (0.01, 0.02, 0.03)],
    "both": [(DNI(rate=rate), optax.sgd(10 * rate)) for rate in (0.01, 0.02)],
    "a rule's randomness": [(UORO(), optax.sgd(rate)) for rate in (0.01, 0.1)],
    "a gradient once a window": [(EBPTT(window=5), optax.adam(rate)) for rate in (0.01, 0.1)],
    "a rule with a clock": [(RTRLBlock(), optax.sgd(rate)) for rate in (0.01, 0.1)],
}


QUICK = {("learning rates of sgd", 1), ("what a rule begins with", 1)}


@pytest.mark.parametrize(
    ("what", "streams"),
    [
        pytest.param(what, streams, marks=() if (what, streams) in QUICK else pytest.mark.slow)
        for what in PACKS
        for streams in (1, 2)
        if streams == 2 or (what, streams) in QUICK
    ],
)
def test_each_member_of_a_pack_is_its_own_run(what, streams):
    seeds = [[0, 3], [3], [1, 0, 2]]
    runs = PACKS[what]
    observers = {"rflo": RFLO(), "block": RTRLBlock()} if what in ("both", "learning rates of sgd") else {}
    trainers = [trainer(*each, streams=streams, observers=observers.values()) for each in runs]
    assert len(set(map(pack_key, trainers))) == 1
    found = train_pack([Member(t, s, ["driver", *observers]) for t, s in zip(trainers, seeds)], STEPS, BIN)
    for (rule, optimizer), own, data in zip(runs, seeds, found):
        settings = {"network": NETWORK, "optimizer": optimizer, "seeds": own, "streams": streams, "observers": observers}
        alone = train(rule, TASK, steps=STEPS, bin=BIN, **settings)
        assert data.drop_vars(data).identical(alone.drop_vars(alone))
        for name in alone:
            assert data[name].attrs == alone[name].attrs
            np.testing.assert_allclose(data[name], alone[name], rtol=1e-6, atol=1e-9, err_msg=name)
    assert len({tuple(data.W.sel(seed=data.seed[0]).values.ravel()) for data in found}) == len(runs)


def test_what_is_no_number_of_the_rule_or_the_optimiser_makes_another_pack():
    others = [
        trainer(RFLO()),
        trainer(UORO()),
        trainer(RFLO(), optax.adam(0.05)),
        trainer(RFLO(), optax.sgd(0.05, momentum=0.9)),
        trainer(RFLO(), network=Network(n=5)),
        trainer(RFLO(), network=Network(n=4, alpha=0.25)),
        trainer(RFLO(), task=Add(1, 3, 1)),
        trainer(RFLO(), task=Mimic(2, 2)),
        trainer(RFLO(), streams=2),
        trainer(RFLO(), observers=(UORO(),)),
        trainer(RFLO(), task=Recorded(np.ones((40, 2)), np.ones((40, 2)))),
        trainer(RFLO(), task=Recorded(np.ones((40, 2)), np.zeros((40, 2)))),
    ]
    assert len(set(map(pack_key, others))) == len(others)
    with pytest.raises(ValueError, match="must differ in numbers of their rules and optimisers alone"):
        train_pack([Member(each, [0]) for each in others[:2]], STEPS, BIN)


@pytest.mark.parametrize("name", EACH_RULE)
def test_every_rule_can_be_packed_over_learning_rates(name):
    network = Network(n=4, noise=noise_for(RULES[name]()))
    one, other = (trainer(RULES[name](), optax.sgd(rate), network=network) for rate in (0.05, 0.1))
    assert pack_key(one) == pack_key(other)


def test_one_trainer_is_one_program_and_a_pack_another(compilations):
    go = partial(train_pack, steps=STEPS, bin=STEPS)
    packs = [[Member(trainer(RFLO(), optax.sgd(rate * k)), [0, 1]) for k in (1, 2)] for rate in (0.1, 0.2)]
    go(packs[0])
    before = compilations()
    go(packs[1])
    assert compilations() == before


class Bursting(AbstractTask):
    """Labels of 1e200 from step 22 on."""

    n_in: int = 2
    n_out: int = 1
    head: str = eqx.field(default="linear", static=True)

    def init(self, net, key):
        return None

    def chunk(self, state, start, length):
        t = start + jnp.arange(length, dtype=float)[:, None]
        return state, Sample(jnp.cos(t * jnp.array([1.0, 2.0])), jnp.where(t >= 22, 1e200, jnp.sin(t)))


def lengths_of_calls(monkeypatch):
    calls = []
    fast = pack.fast_segment
    monkeypatch.setattr(pack, "fast_segment", lambda *given: calls.append(given[3]) or fast(*given))
    return calls


def test_a_run_whose_seeds_have_all_diverged_is_not_computed_further(monkeypatch):
    calls, told = lengths_of_calls(monkeypatch), []
    settings = {"network": NETWORK, "seeds": 3, "steps": 100, "observers": [RTRL()], "optimizer": SGD}
    data = train(RFLO(), Bursting(), bin=10, progress=told.append, **settings)
    assert calls == [10, 10, 10]
    assert told == [10, 20, 100]
    assert (data.diverged_at == 22).all()
    assert np.isfinite(data.loss).values.tolist() == [[True, True] + [False] * 8] * 3
    assert data.loss[:, 3:].isnull().all()
    assert data.compared.sum("step").values.tolist() == [[22]] * 3
    assert data.W.isnull().all()
    assert data.b_out.isnull().all()


def test_a_lane_that_diverges_beside_healthy_ones_is_told_as_it_is_alone(monkeypatch):
    calls = lengths_of_calls(monkeypatch)
    rates = 0.01, 1e60
    settings = {"steps": STEPS, "bin": 5}
    members = [
        Member(trainer(RFLO(), optax.sgd(rate), Mimic(2, 2), observers=(RTRL(),)), [0, 1], ["rflo", "rtrl"]) for rate in rates
    ]
    found = train_pack(members, **settings)
    assert calls == [5] * 8
    for rate, data in zip(rates, found):
        alone = train(
            RFLO(), Mimic(2, 2), network=NETWORK, optimizer=optax.sgd(rate), seeds=2, observers={"rtrl": RTRL()}, **settings
        )
        for name in alone:
            np.testing.assert_allclose(data[name], alone[name], rtol=1e-6, atol=1e-9, err_msg=name)
    assert (found[0].diverged_at == -1).all()
    assert (found[1].diverged_at >= 0).all()
    assert found[1].loss[:, -1].isnull().all()
    assert (found[1].W.isnull()).all()


def test_calls_are_shorter_for_learners_larger_than_the_cache():
    lengths = [sizes.segment_steps(size) for size in (1, sizes.CACHE, sizes.CACHE + 1, 9 * sizes.CACHE, 10**15)]
    assert lengths == [10_000, 10_000, 5_000, 1_000, 1]


def test_packs_fit_a_cores_cache_and_are_equal_where_they_can_be(monkeypatch):
    most = sizes.PACK // 10_000
    found = [sizes.pack_lanes(10_000, lanes) for lanes in (1, most, 3 * (most - 5), most + 1, 6 * most)]
    assert found == [1, most, most - 5, most, most]  # 61 is a prime number
    assert sizes.pack_lanes(10 * sizes.PACK, 20) == 1
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert sizes.pack_lanes(10 * sizes.PACK, 20) == 20


def test_to_ask_for_a_learner_s_size_does_not_change_what_it_can_be_packed_with():
    one, other = (Trainer((RFLO(),), Add(), Network(n=3), optax.sgd(rate)) for rate in (0.1, 0.2))
    assert one.size == other.size > 0
    assert pack_key(one) == pack_key(other)
