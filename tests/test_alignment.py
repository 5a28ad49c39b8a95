"""Observers' gradients beside the driver's: compared at the step they belong to, however late or summed they are."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

from recredit.network import Network
from recredit.report.tables import alignment_line
from recredit.rule import Clock
from recredit.rules import EBPTT, FBPTT, RFLO, RTRL, FixedW
from recredit.tasks import Add
from recredit.training import sizes
from recredit.training.loop import train
from recredit.training.step import Trainer

TASK, NETWORK, STEPS = Add(1, 2, 1), Network(n=4), 40


def run(driver, observers, **settings):
    settings = {"network": NETWORK, "optimizer": optax.sgd(0.1), "seeds": [3], "steps": STEPS, "bin": 10, **settings}
    return train(driver, TASK, observers=observers, **settings).isel(seed=0)


class Late(RFLO):
    """RFLO's gradient, `late` steps late and summed over every `every` steps."""

    late: int = 0
    every: int = 1
    broken_from: int = STEPS
    """From this step on, of those that gradients belong to, they are not numbers."""

    @property
    def delay(self):
        return self.late

    @property
    def period(self):
        return self.every

    def init(self, net, key):
        line = jnp.zeros((self.late + 1, *net.W.shape))
        return {"own": super().init(net, key), "line": line, "sum": line[0], "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        G, own = super().update(net, step, state["own"], key)
        G = jnp.where(state["clock"].steps >= self.broken_from, jnp.nan, G)
        line, clock = jnp.concatenate([G[None], state["line"][:-1]]), state["clock"].tick()
        total, due = state["sum"] + line[-1], clock.steps % self.every == 0
        return jnp.where(due, total, 0), {"own": own, "line": line, "sum": jnp.where(due, 0, total), "clock": clock}


SAME = {
    "both at once": ((0, 1), (0, 1), range(40)),
    "an observer that is late": ((0, 1), (3, 1), range(3, 40)),
    "a driver that is late": ((3, 1), (0, 1), range(3, 40)),
    "both late": ((5, 1), (3, 1), range(5, 40)),
    "an observer that sums": ((0, 1), (0, 4), range(3, 40, 4)),
    "a driver that sums": ((0, 4), (0, 1), range(3, 40, 4)),
    "both sum": ((0, 4), (0, 6), (11, 23, 35)),
    "one late, the other sums": ((3, 1), (0, 4), range(6, 40, 4)),
    "late and summed": ((0, 1), (2, 4), range(3, 40, 4)),
    "no end of a window in common": ((0, 2), (1, 2), ()),
}


@pytest.mark.parametrize("name", SAME)
def test_a_rule_agrees_wholly_with_itself_late_or_summed(name, monkeypatch):
    monkeypatch.setattr(sizes, "SEGMENT", 5)  # what waits and what is summed goes from one compiled call to the next
    driver, observer, steps = SAME[name]
    data = run(Late(late=driver[0], every=driver[1]), {"it": Late(late=observer[0], every=observer[1])}).sel(observer="it")
    expected = np.histogram([*steps], [0, 10, 20, 30, 40])[0]
    np.testing.assert_array_equal(data.compared, expected)
    for measure in (data.cosine, data.norm_ratio):
        np.testing.assert_array_equal(measure.isnull(), expected == 0)
        np.testing.assert_allclose(measure[expected > 0], 1, rtol=1e-12)
    assert not data.not_finite.any()


RULES = {"rtrl": RTRL(), "f 5": FBPTT(window=5), "f 3": FBPTT(window=3), "e 4": EBPTT(window=4), "e 6": EBPTT(window=6)}


def summed_until(grads, rule):
    """By the last step that a sum of gradients belongs to, the sum of all gradients until then."""
    return {t - rule.delay: grads[: t + 1].sum(0) for t in range(rule.delay, len(grads)) if (t + 1) % rule.period == 0}


def aligned(grads, rules):
    """Cosine, norms and the step of each comparison of a driver's and an observer's gradients (steps, two, n m)."""
    sums = [summed_until(grads[:, k], rule) for k, rule in enumerate(rules)]
    ends = sorted(sums[0].keys() & sums[1].keys())
    a, b = (np.diff([np.zeros_like(grads[0, 0]), *(each[end] for end in ends)], axis=0) for each in sums)
    norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    return (a * b).sum(1) / (norms[0] * norms[1]), *norms, np.array(ends) + max(rule.delay for rule in rules)


@pytest.mark.parametrize(("name", "rate"), [("rtrl", 0), ("f 5", 0.1), ("e 4", 0.1)])
def test_alignment_is_what_numpy_makes_of_the_gradients_of_every_step(name, rate):
    driver, observers = RULES[name], {other: rule for other, rule in RULES.items() if other != name}
    data = run(driver, observers, optimizer=optax.sgd(rate))
    grads = gradients((driver, *observers.values()), optax.sgd(rate))
    for k, (other, rule) in enumerate(observers.items()):
        cosine, *norms, steps = aligned(grads[:, [0, k + 1]], (driver, rule))
        here = data.sel(observer=other)
        for which in range(4):
            now = steps // 10 == which
            assert here.compared[which] == now.sum()
            if now.any():
                np.testing.assert_allclose(here.cosine[which], cosine[now].mean(), rtol=0, atol=1e-10)
                np.testing.assert_allclose(here.norm_ratio[which], norms[1][now].sum() / norms[0][now].sum(), rtol=1e-10)


def gradients(rules, optimizer):
    """All rules' gradients at every step (steps, rules, n m)."""
    trainer = Trainer(rules, TASK, NETWORK, optimizer)
    learner = trainer.start(3)
    inputs, targets = TASK.chunk(learner.stream, jnp.array(0), STEPS)[1][:2]

    @eqx.filter_jit
    def all_steps(learner):
        def step(learner, now):
            learner, _, grads = trainer.step(learner, *now)
            return learner, jnp.stack(grads)

        return jax.lax.scan(step, learner, (jnp.arange(STEPS), inputs, targets))[1]

    return np.asarray(all_steps(learner)).reshape(STEPS, len(rules), -1)


def test_steps_at_which_a_gradient_is_not_finite_are_counted_and_named():
    broken = {"at once": Late(broken_from=25), "late": Late(late=3, broken_from=25), "sums": Late(every=4, broken_from=25)}
    data = run(RFLO(), {**broken, "sound": RFLO()})
    assert data.not_finite.values.tolist() == [[0, 0, 5, 10], [0, 0, 2, 10], [0, 0, 1, 3], [0] * 4]
    assert data.not_finite_at.values.tolist() == [25, 25, 27, -1]
    assert data.compared.values.tolist() == [[10, 10, 5, 0], [7, 10, 8, 0], [2, 3, 1, 0], [10] * 4]
    np.testing.assert_allclose(data.cosine[:3, :3], 1, rtol=1e-12)
    np.testing.assert_array_equal(data.cosine[:3, 3], np.nan)
    driven = run(Late(broken_from=25), {"it": RFLO()}, optimizer=optax.sgd(0)).sel(observer="it")
    assert driven.not_finite.values.tolist() == [0, 0, 5, 0]  # every seed has diverged by then: the last bin is not computed
    assert driven.not_finite_at == 25


def test_the_norm_ratio_is_one_of_means_which_a_step_with_a_tiny_gradient_does_not_rule():
    class Faint(RFLO):
        def update(self, net, step, state, key):
            G, state = super().update(net, step, state, key)
            return G * jnp.where(step.r_hat[-2] > 0, 1e-9, 1), state

    ratio = run(Faint(), {"it": RFLO()}, optimizer=optax.sgd(0), bin=20).norm_ratio
    assert (ratio < 10).all()
    assert (ratio > 1.3).all()


def alone(**variables):
    """A run's dataset of one observer, of two bins and one seed."""
    full = {"cosine": [1.0, 0.5], "norm_ratio": [2.0, 4.0], "compared": [10, 30], "not_finite": [0, 0], **variables}
    data = {name: (("seed", "step"), [values]) for name, values in full.items() if name != "not_finite_at"}
    return xr.Dataset(data | {"not_finite_at": ("seed", [full.get("not_finite_at", -1)])})


WORDS = {
    "mean cosine 0.625, norm 3.5 times as large": {},
    "no step has a gradient of both to compare": {"cosine": [np.nan] * 2, "norm_ratio": [np.nan] * 2, "compared": [0, 0]},
    "mean cosine 0.625, norm 3.5 times as large; 1,960 of 2,000 comparisons are left out, because one of the two was not "
    "finite, "
    "from step 1,040 on": {"not_finite": [60, 1900], "not_finite_at": 1040},
    "no step has a gradient of both to compare; 40 of 40 comparisons are left out, because one of the two was not finite, from "
    "step 0 on": {"compared": [0, 0], "not_finite": [10, 30], "not_finite_at": 0},
}


@pytest.mark.parametrize("words", WORDS)
def test_alignment_in_words(words):
    assert alignment_line(alone(**WORDS[words]), "rtrl", "it") == f"it's gradient beside rtrl's: {words}"


def test_fixed_w_has_nothing_to_compare_as_driver_or_observer():
    for driver, observer in ((FixedW(), RFLO()), (RFLO(), FixedW())):
        data = run(driver, {"it": observer}).sel(observer="it")
        assert "no step has a gradient" in alignment_line(data.expand_dims("seed"), "driver", "it")


class Windows(RFLO):
    """Of gradients summed over windows."""

    period: int = 6
    delay: int = 0


def test_of_windows_that_never_end_together_the_line_says_so():
    nothing = alone(compared=[0, 0], not_finite=[0, 0])
    apart, together = (Windows(), Windows(delay=4)), (Windows(), Windows(period=4, delay=2))
    assert "their sums, over 6 and 6 steps, never end at the same step" in alignment_line(nothing, "a", "b", apart)
    assert "no step has a gradient" in alignment_line(nothing, "a", "b", together)
