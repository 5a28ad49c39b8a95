"""The NumPy baseline computes what the library computes: what it is timed against is the same learning."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import small_net, stream

from recredit.network import Network
from recredit.rules import RULES
from recredit.tasks import Recorded
from recredit.training.step import Learner, Trainer, rule_key, weights

pytestmark = pytest.mark.equations

BASELINE = runpy.run_path(str(Path(__file__).parent.parent / "benchmarks" / "numpy_rules.py"))
STEPS, RATE = 60, 1e-2
SIZES = {"softmax": {"n": 6, "n_in": 2, "n_out": 2}, "linear": {"n": 5, "n_in": 4, "n_out": 3}}  # as of Add and of Mimic


class Replay:
    """A random generator that gives what it was told to, in that order."""

    def __init__(self, draws):
        self.draws = [np.asarray(draw) for draw in draws]

    def standard_normal(self, size, dtype):
        draw = self.draws.pop(0)
        assert draw.shape == (size if isinstance(size, tuple) else (size,))
        return draw.astype(dtype)

    def integers(self, high, size):
        assert high == 2
        return ((self.standard_normal(size, float) + 1) / 2).astype(int)


def draws(name, net, state, keys):
    """The standard normal numbers and random signs that the rule drew for its start and at each step."""
    shape, normal = (net.n,), jax.random.normal
    signs = {"uoro": shape, "r_kf": shape, "kf_rtrl": (2,)}
    if name in signs:
        return [state.A, state.B, *(jax.random.rademacher(key, signs[name], net.W.dtype) for key in keys)]
    if name == "kernl":
        return [normal(key, shape, net.W.dtype) for key in keys]
    return [state.A * state.A.shape[1] ** 0.5] if name in ("dni", "dni_b") else []


def baseline_of(net, dtype=float):
    arrays = (np.array(array, dtype) for array in weights(net).values())
    return BASELINE["Network"](*arrays, net.alpha, net.head)


def test_every_rule_of_the_paper_has_a_baseline():
    assert {*RULES} - {*BASELINE["RULES"]} == {"rtrl_block", "ok_rtrl"}  # the first one's baseline is rtrl's


@pytest.mark.parametrize("head", ["softmax", "linear"])
@pytest.mark.parametrize("name", BASELINE["RULES"])
def test_the_baseline_learns_what_the_library_learns(name, head):
    net = small_net(**SIZES[head], alpha=0.4, head=head)
    r, inputs, targets = stream(net, STEPS)
    key, rule = jax.random.key(2), RULES[name]()
    trainer = Trainer((rule,), Recorded(inputs, targets, head), Network(net.n, net.alpha), optax.sgd(RATE))
    state = rule.init(net, rule_key(key, 0, 0))
    learner = Learner(net, r, trainer.optimizer.init(weights(net), key), (state,), None, key)
    after, losses = jax.lax.scan(lambda now, x: trainer.step(now, *x)[:2], learner, (jnp.arange(STEPS), inputs, targets))

    rng = Replay(draws(name, net, state, [rule_key(key, 0, t + 1) for t in range(STEPS)]))
    baseline = baseline_of(net)
    rule = BASELINE["RULES"][name](baseline, rng)
    measured = BASELINE["train"](rule, baseline, *(np.asarray(array) for array in (r, inputs, targets)), RATE)
    assert not rng.draws
    np.testing.assert_allclose(measured, losses, rtol=1e-10, atol=1e-10)
    for part, learned in weights(after.net).items():
        np.testing.assert_allclose(getattr(baseline, part), learned, rtol=1e-10, atol=1e-10, err_msg=part)
        moved = np.abs(learned - weights(net)[part]).max()
        assert moved > 1e-3 or (name, part) == ("fixed_w", "W")


@pytest.mark.parametrize("name", BASELINE["RULES"])
def test_the_baseline_keeps_to_the_precision_of_the_weights(name):
    rng = np.random.default_rng(0)
    net = BASELINE["create"](6, 2, 3, rng, "softmax")
    np.testing.assert_allclose(net.W_rec @ net.W_rec.T, np.eye(6), atol=1e-5)
    rule, r = BASELINE["RULES"][name](net, rng), np.zeros(6, np.float32)
    assert np.isfinite(BASELINE["train"](rule, net, r, np.ones((12, 2)), np.full((12, 3), 1 / 3), RATE)).all()
    for _ in range(12):
        _, step = net.step(r, np.ones(3, np.float32), np.full(3, 1 / 3, np.float32))
        G = rule.update(net, step)
        kept = [*step, *vars(rule).values(), *vars(net).values(), *([] if G is None else [G])]
        assert {a.dtype for a in kept if isinstance(a, np.ndarray | np.generic)} == {np.dtype(np.float32)}
