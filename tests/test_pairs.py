"""Every pair of gradients, part by part of W, late and summed ones too; what rules with randomness are on average; watching."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_alignment import Late, aligned, summed_until

from recredit import alignment
from recredit.network import Network
from recredit.rules import EBPTT, FBPTT, KFRTRL, RFLO, RTRL, UORO, FixedW, KeRNL, NodePerturbation
from recredit.tasks import Add, Parity
from recredit.training import sizes
from recredit.training.loop import train
from recredit.training.step import Trainer

TASK, NETWORK, STEPS, DRAWS = Add(1, 2, 1), Network(n=4), 40, 3
RULES = {
    "uoro": UORO(),
    "rtrl": RTRL(),
    "f_bptt": FBPTT(window=3),
    "e_bptt": EBPTT(window=4),
    "rflo": RFLO(),
    "fixed_w": FixedW(),
}
PARTS = {"W": slice(None), "W_rec": slice(4), "W_in": slice(4, 6), "b_rec": slice(6, 7)}


def run(rules, task=TASK, **settings):
    (driver, rule), *watching = rules.items()
    settings = {"network": NETWORK, "optimizer": optax.sgd(0.1), "seeds": [3], "steps": STEPS, "bin": STEPS, **settings}
    data = train(rule, task, observers=dict(watching), **{"pairs": "all", "draws": DRAWS} | settings)
    if "gradient" in data.coords:
        data = data.assign_coords(gradient=[driver, *dict(watching)], beside=[driver, *dict(watching)])
    return data


@pytest.fixture(scope="module")
def data():
    """Of all rules, the one with randomness driving."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "SEGMENT", 20)  # what waits and what is summed goes from one compiled call to the next
        return run(RULES).isel(seed=0, step=0)


def gradients(rules, task=TASK, steps=STEPS, **settings):
    """All that these rules and the draws of those with randomness give at every step."""
    trainer = Trainer((*rules.values(),), task, NETWORK, optax.sgd(0.1), pairs="all", draws=DRAWS, **settings)
    learner = trainer.start(3)

    @eqx.filter_jit
    def all_steps(learner):
        def step(learner, now):
            t, sample = now
            learner, _, grads = trainer.step(learner, t, *sample[:4])
            return learner, grads

        return jax.lax.scan(step, learner, (jnp.arange(steps), trainer.chunk(learner.stream, jnp.array(0), steps)[1]))[1]

    return [np.asarray(each) for each in all_steps(learner)]


@pytest.fixture(scope="module")
def grads():
    """The gradients of all these rules at every step (rules, steps, n, m), and the draws of the first (steps, draws, n, m)."""
    *own, draws = gradients(RULES)
    return np.stack(own), draws


def test_cosines_and_norms_of_every_pair_and_part_are_what_numpy_makes_of_the_gradients_of_every_step(data, grads):
    for i, (one, rule) in enumerate(RULES.items()):
        for j, (other, beside) in enumerate(RULES.items()):
            for part, columns in PARTS.items():
                both = grads[0][[i, j]][..., columns].reshape(2, STEPS, -1).swapaxes(0, 1)
                with np.errstate(invalid="ignore"):
                    cosine, *norms, _ = aligned(both, (rule, beside))
                told = np.isfinite(cosine)
                here = data.sel(gradient=one, beside=other, part=part)
                assert here.compared == told.sum()
                assert told.any() == ("fixed_w" not in (one, other))
                if told.any():
                    np.testing.assert_allclose(here.cosine, cosine[told].mean(), rtol=0, atol=1e-10)
                    np.testing.assert_allclose(here.norm, norms[0][told].mean(), rtol=1e-10)
                else:
                    assert np.isnan([here.cosine, here.norm]).all()


def test_the_matrix_is_symmetric_with_a_unit_diagonal(data):
    turned = data.cosine.transpose("beside", "gradient", "part").values
    np.testing.assert_array_equal(data.cosine.transpose("gradient", "beside", "part"), turned)
    diagonal = np.diagonal(data.cosine.sel(part="W"))
    np.testing.assert_allclose(diagonal[:-1], 1, rtol=1e-12)
    assert np.isnan(diagonal[-1])


@pytest.mark.slow
def test_a_late_rule_agrees_with_itself_when_its_lag_is_taken_out():
    late, rules = Late(late=2), {"rflo": RFLO()}
    found = run(rules | {"late": late}, draws=0).sel(gradient="late", beside="rflo").isel(seed=0, step=0)
    np.testing.assert_allclose(found.cosine, 1, rtol=0, atol=1e-10)
    assert (found.compared == STEPS - 2).all()


def test_bias_and_variance_are_what_numpy_makes_of_the_draws(data, grads):
    own, draws = grads
    mean, rtrl = draws.mean(1), own[[*RULES].index("rtrl")]
    assert np.abs(draws.std(1)).max() > 1e-3
    for part, columns in PARTS.items():
        variance = draws[..., columns].var(1, ddof=1).sum((1, 2))
        bias = ((mean - rtrl)[..., columns] ** 2).sum((1, 2)) - variance / DRAWS
        here = data.sel(gradient="uoro", part=part)
        np.testing.assert_allclose(here.variance, variance.mean(), rtol=1e-10)
        np.testing.assert_allclose(here.difference.sel(beside="rtrl"), bias.mean(), rtol=1e-10)
        np.testing.assert_allclose(
            data.square.sel(gradient="rtrl", beside="uoro", part=part), (rtrl[..., columns] ** 2).sum((1, 2)).mean(), rtol=1e-10
        )


def test_of_a_rule_without_randomness_the_bias_is_its_difference(data, grads):
    own = dict(zip(RULES, grads[0], strict=True))
    assert (data.variance.sel(gradient=["rtrl", "rflo", "f_bptt", "e_bptt"]) == 0).all()
    for name in ("rflo", "fixed_w", "f_bptt", "e_bptt"):
        for part, columns in PARTS.items():
            told, exact = (summed_until(own[each][..., columns], RULES[each]) for each in (name, "rtrl"))
            ends = sorted(told.keys() & exact.keys())
            apart = np.diff([np.zeros_like(exact[0]), *(told[end] - exact[end] for end in ends)], axis=0)
            found = data.difference.sel(gradient=name, beside="rtrl", part=part)
            np.testing.assert_allclose(found, (apart**2).sum((1, 2)).mean(), rtol=1e-10)
    assert (data.difference.sel(gradient="rflo", beside="rflo") == 0).all()


def test_draws_neither_wait_nor_are_summed_so_that_their_difference_from_such_rules_is_missing(data):
    noisy = data.difference.sel(gradient="uoro", part="W")
    assert np.isnan(noisy.sel(beside=["f_bptt", "e_bptt"])).all()
    assert np.isfinite(noisy.sel(beside=["uoro", "rtrl", "rflo", "fixed_w"])).all()


@pytest.mark.slow
def test_without_draws_bias_and_variance_of_rules_with_randomness_are_missing(data):
    without = run(RULES, draws=0).isel(seed=0, step=0)
    known = without.difference.sel(part="W").notnull()
    assert not known.sel(gradient="uoro").drop_sel(beside="uoro").any()
    assert known.drop_sel(gradient="uoro", beside="uoro").all()
    assert without.variance.sel(gradient="uoro").isnull().all()
    for name in ("loss", "W"):  # the draws change nothing
        np.testing.assert_array_equal(without[name], data[name])
    np.testing.assert_allclose(without.cosine, data.cosine, rtol=1e-12)


def test_which_rules_have_randomness_is_read_off_their_programs():
    rules = {"rtrl": RTRL(), "kernl": KeRNL(), "f_bptt": FBPTT(window=3), "kf_rtrl": KFRTRL()}
    trainer = Trainer((*rules.values(),), TASK, NETWORK, optax.sgd(0.1), pairs="all", draws=2)
    assert [rule.is_random for rule in trainer.rules[:4]] == [False, True, False, True]
    assert trainer.comparing.expected == (0, 4, 2, 5)


def test_over_the_networks_noise_no_draws_tell_what_a_rule_expects():
    rules = {"node_perturbation": NodePerturbation(), "rtrl": RTRL(), "uoro": UORO()}
    data = run(rules, network=Network(n=4, noise=0.1), draws=2)
    summary = alignment(data).sel(estimate="mean", part="W")
    bias, variance = summary.relative_squared_bias.sel(beside="rtrl"), summary.relative_variance.sel(beside="rtrl")
    assert [np.isfinite(each.sel(gradient=[*rules])).values.tolist() for each in (bias, variance)] == [[False, True, True]] * 2
    assert not data.gradients.sel(gradient="node_perturbation").any()
    assert (data.compared.sel(gradient="node_perturbation", beside="rtrl", part="W") == STEPS).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["uoro", "kf_rtrl"])
def test_unbiased_rules_have_no_bias_within_its_interval_and_rflo_has_one(name):
    rules = {"rtrl": RTRL(), "rflo": RFLO(), name: {"uoro": UORO(), "kf_rtrl": KFRTRL()}[name]}
    data = run(rules, seeds=12, steps=60, draws=200)  # while the weights learn
    beside = alignment(data).sel(beside="rtrl", part="W")
    mean, high = (float(beside.relative_squared_bias.sel(gradient=name, estimate=end)) for end in ("mean", "high"))
    assert abs(mean) < 1.5 * (high - mean) < 0.1  # of a 95 % interval
    assert beside.relative_squared_bias.sel(gradient="rflo", estimate="low") > 0.2
    assert beside.relative_variance.sel(gradient=name, estimate="low") > 0.5


class Noisy(Late):
    """`Late` with randomness that changes nothing, in trials too."""

    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return G + 0 * jax.random.normal(key, G.shape), state

    def restart(self, net, state):
        owed = state["sum"] + state["line"].sum(0)
        still = {name: jax.tree.map(jnp.zeros_like, state[name]) for name in ("own", "line", "sum")}
        return owed, state | still


class Dice(RFLO):
    """Nothing but randomness."""

    def update(self, net, step, state, key):
        return jax.random.normal(key, net.W.shape, net.W.dtype), state


SETTINGS = {
    "one": {},
    "streams": {"streams": 2},
    "trials": {"task": Parity(3, hold=2, shortest_delay=0, longest_delay=3, decision=2)},
}


@pytest.mark.parametrize("what", [pytest.param(what, marks=() if what == "trials" else pytest.mark.slow) for what in SETTINGS])
def test_draws_of_late_and_summed_rules_with_clocks_are_theirs_in_streams_and_trials(what):
    rules = {"rflo": RFLO(), "at once": Noisy(), "late": Noisy(late=1), "summed": Noisy(every=4), "dice": Dice()}
    _, *grads = gradients(rules, **SETTINGS[what])
    for own, draws in zip(grads[:3], grads[4:7], strict=True):
        assert np.abs(own).max() > 0
        np.testing.assert_allclose(draws, np.broadcast_to(own[:, None], draws.shape), rtol=0, atol=1e-14)
    own, draws = grads[3], grads[7]
    assert len(np.unique(np.append(own[:, None], draws, axis=1))) == own.size + draws.size


@pytest.mark.slow
def test_watching_changes_nothing():
    alone = train(RULES["uoro"], TASK, network=NETWORK, optimizer=optax.sgd(0.1), seeds=[3, 5], steps=STEPS, bin=10)
    watched = run(RULES, seeds=[3, 5], bin=10)
    for name in alone.data_vars:
        np.testing.assert_array_equal(watched[name], alone[name])


@pytest.mark.slow
def test_means_are_over_all_that_was_compared_then_over_seeds_with_students_interval():
    data = run({"rtrl": RTRL(), "rflo": RFLO(), "e_bptt": EBPTT(window=8)}, seeds=[1, 2, 3], bin=6, draws=0)
    pair = data.sel(gradient="rflo", beside="e_bptt", part="W")
    assert 0 in pair.compared
    by_seed = (pair.cosine.fillna(0) * pair.compared).sum("step") / pair.compared.sum("step")
    half = 4.302653 * by_seed.std("seed", ddof=1) / np.sqrt(3)  # t of two degrees of freedom, from a table
    found = alignment(data).sel(gradient="rflo", beside="e_bptt", part="W")
    np.testing.assert_allclose(found.mean_cosine, [by_seed.mean(), by_seed.mean() - half, by_seed.mean() + half], rtol=1e-6)
    other = alignment(data).norm_ratio.sel(gradient="e_bptt", beside="rflo", part="W", estimate="mean")
    norm = (data.norm.fillna(0) * data.compared).sum("step")
    ratio = norm.sel(gradient="e_bptt", beside="rflo", part="W") / norm.sel(gradient="rflo", beside="e_bptt", part="W")
    np.testing.assert_allclose(other, ratio.mean(), rtol=1e-10)
    with pytest.raises(TypeError, match="alignment's data must be a"):
        alignment("run.nc")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match='has no pairs of rules; train with pairs="all"'):
        alignment(run({"rtrl": RTRL(), "rflo": RFLO()}, pairs="driver", draws=0))


@pytest.mark.slow
def test_seeds_that_diverged_are_left_out():
    wild = run({"rtrl": RTRL(), "rflo": RFLO()}, seeds=[1, 2], draws=0)
    wild["diverged_at"][0] = 30
    summary = alignment(wild)
    assert summary.seeds == 1
    np.testing.assert_array_equal(
        summary.mean_cosine.sel(estimate="mean", part="W"), wild.cosine.isel(seed=1, step=0).sel(part="W")
    )
    assert summary.mean_cosine.sel(estimate=["low", "high"]).isnull().all()


WRONG = {
    "draws must be 0, or at least 2, enough for a variance, not 1": {"draws": 1},
    'only if every pair is compared: give pairs = "all" with the 4 draws': {"draws": 4, "pairs": "driver"},
    'pairs "al" is unknown; allowed: driver, all. Did you mean "all"': {"pairs": "al"},
    "the number of draws must be": {"draws": -1},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_pairs_and_draws_are_refused(message):
    with pytest.raises(ValueError, match=message):
        run({"rtrl": RTRL()}, **WRONG[message])


def test_two_rules_of_one_name_are_refused():
    with pytest.raises(ValueError, match="rflo drives, and another rule has the same name"):
        train("rflo", TASK, observers=["rflo"], pairs="all", steps=5)
