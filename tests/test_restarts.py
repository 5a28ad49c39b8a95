"""Trials: units and learning states begin anew, delayed gradients are told all the same, and bins average what is scored.

A ledger in place of an optimiser adds up all the gradients that reach it and moves nothing, so that a trial's sum can be held
against autodiff's of that trial alone.
"""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recredit.network import UNITS, Network
from recredit.rule import AbstractRule
from recredit.rules import DNI, EBPTT, FBPTT, KFRTRL, PBPTT, RFLO, RKF, RTRL, UORO, FixedW, KeRNL, RTRLBlock
from recredit.tasks import AbstractTask, Sample
from recredit.training.loop import train
from recredit.training.step import Trainer

LENGTHS = (5, 3, 1, 7, 4)
STARTS = np.cumsum([0, *LENGTHS])
T = int(STARTS[-1])
NETWORK = Network(4)


def slow(*values):
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


class Rounds(AbstractTask):
    """The trials of `LENGTHS`, over and over, on a stream of noise; some steps are not scored."""

    trials: bool = True
    weighted: bool = True
    scored: str = "late"
    shift: int = 0
    n_in: int = eqx.field(default=2, init=False)
    n_out: int = eqx.field(default=3, init=False)
    head: str = eqx.field(default="softmax", init=False, static=True)
    classes = True

    def init(self, net, key):
        return key

    def stream(self, state, number, count):
        return jax.random.fold_in(state, number)

    def chunk(self, state, start, length):
        t = start + jnp.arange(length)
        keys = jax.vmap(lambda i: jax.random.fold_in(state, i))(t + self.shift)
        x = jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys)
        target = jax.nn.one_hot(jax.vmap(lambda key: jax.random.randint(key, (), 0, 3))(keys), 3)
        place = (t[:, None] + self.shift) % T - STARTS[:-1]
        begins = (place == 0).any(1)
        late = jnp.min(jnp.where(place >= 0, place, T), axis=1)
        weight = {"late": jnp.where(late == 0, 0.0, 0.5 * late), "none": jnp.zeros(length)}[self.scored]
        return state, Sample(x, target, weight if self.weighted else None, begins if self.trials else None)


def ledger():
    def update(gradient, total, weights=None, **_):
        return jax.tree.map(jnp.zeros_like, gradient), jax.tree.map(jnp.add, total, gradient)

    return optax.GradientTransformationExtraArgs(lambda weights: jax.tree.map(jnp.zeros_like, weights), update)


@cache
def told(rule, steps, network=NETWORK, **settings):
    """The sum of all gradients of W that have reached the optimiser after each step, and the run's data and first network."""
    task = Rounds(**{k: v for k, v in settings.items() if k in ("trials", "weighted", "scored", "shift")})
    trainer = Trainer((rule,), task, network, ledger(), across_trials=settings.get("across_trials", False))
    learner = trainer.start(3)
    _, sample = trainer.chunk(learner.stream, jnp.array(0), steps)

    def go(learner, now):
        learner, _, _ = trainer.stepped(learner, now[0], now[1])
        return learner, sum(memory.state["W"] for memory in learner.optimizer if hasattr(memory.state["W"], "shape"))

    return eqx.filter_jit(jax.lax.scan)(go, learner, (jnp.arange(steps), sample))[1], learner.net, sample


def autodiff(net, sample, cuts):
    """The gradient of the weighted loss of the steps from each cut to the next, with no credit passing a cut."""
    ends = np.array([*cuts[1:], len(sample.x)])
    return pieces(
        net, sample, np.isin(np.arange(len(sample.x)), cuts), np.searchsorted(ends, np.arange(len(sample.x)), "right")
    )


@eqx.filter_jit
def pieces(net, sample, is_cut, piece):
    def loss(W, which):
        def body(s, now):
            x, target, weight, start, cut, mine = now
            s = jnp.where(start, net.rest(), s)
            s = jnp.where(cut, jax.lax.stop_gradient(s), s)
            _, _, s = net.with_weights(W, net.W_out, net.b_out).step(s, x)
            return s, jnp.where(mine == which, weight, 0) * net.loss_and_error(net.readout(s), target)[0]

        return jax.lax.scan(body, net.rest(), (*sample[:4], is_cut, piece))[1].sum()

    G = jax.vmap(jax.grad(loss), (None, 0))(net.W, jnp.arange(len(sample.x)))
    return G if net.mask is None else jnp.where(net.mask, G, 0)


LATE = {"f_bptt": FBPTT(window=7), "f_bptt, a longer window": FBPTT(window=10)}
AT_ONCE = {"rtrl": RTRL(), "p_bptt": PBPTT(window=7), "rtrl_block": RTRLBlock(block=3)}


@pytest.mark.parametrize("name", ["rtrl", "f_bptt", *slow("p_bptt", "rtrl_block", "f_bptt, a longer window")])
def test_the_gradients_of_a_trial_sum_to_autodiffs_of_that_trial_alone(name):
    totals, net, sample = told((AT_ONCE | LATE)[name], 2 * T)
    starts = np.flatnonzero(sample.start)
    assert len(starts) == 10
    shift = 1 if name in LATE else 0  # what is owed comes with the next trial's first step, whose own gradient is not yet told
    before = jnp.zeros_like(net.W)
    for end, expected in zip(starts[1:], autodiff(net, sample, starts)):
        now = totals[end - 1 + shift]
        np.testing.assert_allclose(now - before, expected, rtol=1e-10, atol=1e-12)
        before = now
    assert abs(before).max() > 0.01


@pytest.mark.parametrize("unit", ["gru", *slow("lstm", "alif", "lru")])
def test_so_they_do_for_other_units(unit):
    network = Network(3, units=UNITS[unit]())
    totals, net, sample = told(FBPTT(window=7), T + 6, network)
    exact, _, _ = told(RTRL(), T + 6, network)
    before, starts = jnp.zeros_like(net.W), np.flatnonzero(sample.start)
    for first, end, G in zip(starts, starts[1:], autodiff(net, sample, starts)):
        np.testing.assert_allclose(totals[end] - before, G, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(exact[end - 1] - (exact[first - 1] if first else 0), G, rtol=1e-10, atol=1e-12)
        before = totals[end]


@pytest.mark.parametrize("window", [4, *slow(2, 7)])
def test_windows_of_their_own_tell_what_the_trials_end_has_cut_short(window):
    """E-BPTT over windows that a trial's end may cut: the sum of the parts, told at the windows' ends."""
    totals, net, sample = told(EBPTT(window=window), 2 * T)
    cuts = sorted({*np.flatnonzero(sample.start), *range(0, 2 * T, window)})
    last = 2 * T // window * window
    parts = [G for end, G in zip([*cuts[1:], 2 * T], autodiff(net, sample, cuts)) if end <= last]
    np.testing.assert_allclose(totals[last - 1], sum(parts), rtol=1e-10, atol=1e-12)
    still = [t for t in range(1, 2 * T) if (t + 1) % window]
    assert all(np.array_equal(totals[t], totals[t - 1]) for t in still)


def test_what_is_owed_is_most_of_a_short_trials_gradient():
    """Without it, a window as long as the trial tells only what is complete before the trial ends."""
    totals = told(FBPTT(window=7), T)[0]
    assert abs(totals[4]).max() == 0  # 5 steps: nothing is told within the trial
    assert abs(totals[5]).max() > 0


@pytest.mark.parametrize(
    "rule",
    [FBPTT(window=4), DNI(), *slow(RTRL(), EBPTT(window=4), UORO(), KeRNL(), RFLO())],
    ids=lambda rule: type(rule).__name__,
)
def test_across_trials_is_the_unbroken_stream(rule):
    across = told(rule, T, across_trials=True)[0]
    np.testing.assert_array_equal(across, told(rule, T, trials=False)[0])
    assert abs(across - told(rule, T)[0]).max() > 1e-6


@pytest.mark.parametrize(
    "rule",
    [RTRLBlock(block=4), KeRNL(rate=0.0), *slow(RTRL(), PBPTT(window=3), FBPTT(window=2), RFLO(), UORO(), KFRTRL(), RKF())],
    ids=lambda rule: type(rule).__name__,
)
def test_whatever_came_before_a_trial_is_forgotten(rule):
    """The gradients of a trial after another are those of one after none: nothing is left of the state but synapses."""
    trainer = Trainer((rule,), Rounds(), NETWORK, ledger())
    learner = trainer.start(3)
    _, sample = trainer.chunk(learner.stream, jnp.array(0), T)

    @jax.jit
    def run(learner, t, now):
        learner, _, (G,) = trainer.stepped(learner, t, now)
        return learner, G

    told = {}
    for first in (0, 5):
        now, told[first] = learner, []
        for t in range(first, 8):
            now, G = run(now, jnp.array(t), jax.tree.map(lambda a, t=t: a[t], sample))
            told[first].append(G)
    np.testing.assert_allclose(told[0][5:], told[5], rtol=1e-12, atol=1e-14)
    assert abs(told[5][-1]).max() > 1e-4


def test_a_masked_step_moves_nothing():
    data = train("rtrl", Rounds(scored="none"), network=NETWORK, seeds=2, steps=T, bin=4, optimizer=0.1)
    start = Trainer((RTRL(),), Rounds(), NETWORK, optax.sgd(0.1)).start(0).net
    np.testing.assert_allclose(data.W[0], start.W, rtol=1e-14)  # drawn by another compiled program
    np.testing.assert_allclose(data.W_out[0], start.W_out, rtol=1e-14)
    np.testing.assert_array_equal(data.b_out[0], start.b_out)
    assert np.isnan(data.loss).all()
    assert np.isnan(data.accuracy).all()
    assert np.isnan(data.loss_at_start).all()
    assert (data.diverged_at == -1).all()


@pytest.mark.parametrize("streams", [1, 2])
def test_bins_average_by_weight(streams):
    data = train("fixed_w", Rounds(), network=NETWORK, seeds=1, steps=T, bin=4, optimizer=0.0, streams=streams)
    trainer = Trainer((FixedW(),), Rounds(), NETWORK, optax.sgd(0.0), streams)
    learner = trainer.start(0)
    _, sample = trainer.chunk(learner.stream, jnp.array(0), T)
    if streams == 1:
        sample = jax.tree.map(lambda a: a[:, None], sample)
    losses, right = np.zeros((2, T, streams))
    for k in range(streams):
        s, net = net_state(learner, k, streams)
        for t in range(T):
            s = net.rest() if sample.start[t, k] else s
            s = net.step(s, sample.x[t, k])[2]
            z = net.readout(s)
            losses[t, k] = net.loss_and_error(z, sample.target[t, k])[0]
            right[t, k] = jnp.argmax(z) == jnp.argmax(sample.target[t, k])
    w = np.asarray(sample.weight)
    for first, loss, accuracy in zip(range(0, T, 4), data.loss[0], data.accuracy[0], strict=True):
        part = slice(first, first + 4)
        np.testing.assert_allclose(loss, (w * losses)[part].sum() / w[part].sum(), rtol=1e-10)
        np.testing.assert_allclose(accuracy, (w * right)[part].sum() / w[part].sum(), rtol=1e-10)
    np.testing.assert_allclose(data.loss_at_start[0], (w * losses).sum() / w.sum(), rtol=1e-10)


def net_state(learner, k, streams):
    return (learner.s if streams == 1 else learner.s[k]), learner.net


def test_a_bin_in_which_nothing_is_scored_has_no_loss():
    data = train("rflo", Rounds(), network=NETWORK, seeds=1, steps=T, bin=1, optimizer=0.01)
    unscored = np.array([t in STARTS for t in range(T)])
    np.testing.assert_array_equal(np.isnan(data.loss[0]), unscored)
    np.testing.assert_array_equal(np.isnan(data.accuracy[0]), unscored)
    assert np.isin(data.accuracy[0][~unscored], (0, 1)).all()


class NoRestart(AbstractRule):
    def init(self, net, key):
        return jnp.zeros(())

    def update(self, net, step, state, key):
        return jnp.zeros_like(net.W), state


class Owing(NoRestart):
    def restart(self, net, state):
        return jnp.zeros(3), state


def test_a_rule_that_cannot_restart_is_for_unbroken_streams():
    with pytest.raises(ValueError, match="NoRestart has no `restart`, so it cannot learn from trials"):
        Trainer((NoRestart(),), Rounds(), NETWORK, optax.sgd(0.1))
    Trainer((NoRestart(),), Rounds(), NETWORK, optax.sgd(0.1), across_trials=True)
    with pytest.raises(ValueError, match=r"Owing's restart must owe a gradient like W, float64 of shape \(4, 7\), not"):
        Trainer((Owing(),), Rounds(), NETWORK, optax.sgd(0.1))


class Wrong(Rounds):
    what: str = "nan"

    def chunk(self, state, start, length):
        state, sample = super().chunk(state, start, length)
        odd = start + jnp.arange(length) == 9
        if self.what == "nan":
            return state, sample._replace(weight=jnp.where(odd, jnp.nan, sample.weight))
        return state, sample._replace(weight=jnp.where(odd, -1.0, sample.weight))


@pytest.mark.parametrize(("what", "message"), [("nan", "data that are not finite"), ("below", "weights below 0")])
def test_weights_that_are_none_are_refused(what, message):
    with pytest.raises(ValueError, match=message):
        train("rflo", Wrong(what=what), network=NETWORK, seeds=1, steps=T, bin=T)


def test_observers_are_compared_within_trials():
    """RTRL beside itself and beside F-BPTT of the longest trial, whose owed gradients belong to no one step."""
    watching = {"same": "rtrl", "late": FBPTT(window=7)}
    data = train("rtrl", Rounds(), observers=watching, network=NETWORK, seeds=1, steps=4 * T, bin=4 * T)
    np.testing.assert_allclose(data.cosine.sel(observer="same"), 1, rtol=1e-12)
    assert data.compared.sel(observer="late") < data.compared.sel(observer="same")


def test_sums_are_compared_with_what_the_trials_end_has_cut_short():
    """E-BPTT over windows that end where trials do is RTRL, in sums, though trials end within the windows too."""
    data = train(
        "rtrl", Rounds(), observers={"e": EBPTT(window=T)}, network=NETWORK, seeds=1, steps=4 * T, bin=4 * T, optimizer=0.0
    )
    np.testing.assert_allclose(data.cosine, 1, rtol=1e-12)
    np.testing.assert_allclose(data.norm_ratio, 1, rtol=1e-12)
    assert data.compared == 4
