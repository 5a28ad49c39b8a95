"""Rules in disguise: what they do is spelt so that a reader of programs might miss it, or suspect what is not there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from recredit.audit import audit
from recredit.rule import AbstractRule, Clock


class Kept(AbstractRule):
    """A rule with a matrix (n, n), or (n, m), that starts at random."""

    wide: bool = False

    def init(self, net, key):
        return 0.1 * jax.random.normal(key, net.W.shape if self.wide else (net.n, net.n))


def learning(net, step, vector):
    """A gradient gated by a vector of the units'."""
    return jnp.outer(vector * net.gain(step.v), step.r_hat)


def trace(net, step):
    return jnp.outer(net.gain(step.v), step.r_hat)


class ProductByScatter(AbstractRule):
    """J a by adding each product to the entry of its row."""

    def init(self, net, key):
        return jnp.ones(net.n)

    def update(self, net, step, state, key):
        rows, J = jnp.repeat(jnp.arange(net.n), net.n), net.jacobian(step.v)
        moved = jnp.zeros(net.n).at[rows].add((J * state).ravel())
        return learning(net, step, moved), moved


class WindowByMask(AbstractRule):
    """A ring buffer whose place is chosen by arithmetic."""

    def init(self, net, key):
        return jnp.zeros((10, net.n)), Clock.at_zero()

    def update(self, net, step, state, key):
        held, clock = state
        here = (jnp.arange(10) == clock.steps % 10).astype(held.dtype)[:, None]
        held = held * (1 - here) + here * step.r
        return learning(net, step, held.sum(0)), (held, clock.tick())


class TracksTheTranspose(Kept):
    """Feedback weights that follow the forward ones."""

    def update(self, net, step, state, key):
        return learning(net, step, state @ jnp.tanh(step.error @ net.W_out)), state + 0.01 * (net.W_rec.T - state)


class NoiseForAll(AbstractRule):
    """One draw, felt by every unit."""

    def init(self, net, key):
        return jnp.zeros(net.n)

    def update(self, net, step, state, key):
        level = 0.9 * state + 0.1 * jax.random.normal(key, ())
        return learning(net, step, step.r + level), level


class CopyByChoice(AbstractRule):
    """A second network whose activation is written as a choice."""

    def init(self, net, key):
        return jnp.zeros(net.n)

    def update(self, net, step, state, key):
        v = net.W @ jnp.concatenate([state, step.r_hat[net.n :]])
        copy = 0.5 * state + 0.5 * jnp.where(v > 0, v, 0.0)
        return learning(net, step, copy), copy


class TraceOfAnother(AbstractRule):
    """Each trace grows by the gain of the unit before."""

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        state = 0.9 * state + jnp.outer(jnp.roll(net.gain(step.v), 1), step.r_hat)
        return (step.error @ net.W_out)[:, None] * state, state


class ScaledStart(Kept):
    """Random weights, only their scale is taken from W."""

    def init(self, net, key):
        return jax.random.normal(key, (net.n, net.n)) * jnp.std(net.W)

    def update(self, net, step, state, key):
        return learning(net, step, state @ step.r), state


class SpikesSent(Kept):
    """Spikes, a threshold on the voltage, pass through synapses."""

    def update(self, net, step, state, key):
        return learning(net, step, state @ (step.v > 0).astype(state.dtype)), state


class ReadoutAgain(AbstractRule):
    """The error computed anew from the read-out, then sent back."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        error = jax.nn.softmax(net.readout(step.r)) - step.target
        return learning(net, step, error @ net.W_out), None


class TransposeByDoubling(AbstractRule):
    """The rates sent back through W_rec transposed, by additions that read their own result twice."""

    def init(self, net, key):
        return None

    def update(self, net, step, state, key):
        sent = jnp.zeros(net.n)
        for k in range(net.n):
            sent = sent + (sent + net.W_rec[k] * step.r[k])
        return learning(net, step, sent), None


EXPECTED = {
    ProductByScatter: ("ii-stored iii", ""),
    WindowByMask: ("locality-time", ""),
    TracksTheTranspose: ("vii", ""),  # tanh makes rates of the credit
    NoiseForAll: ("", "v"),
    CopyByChoice: ("vi", ""),
    TraceOfAnother: ("ii-local", ""),
    ScaledStart: ("", ""),
    SpikesSent: ("", ""),
    ReadoutAgain: ("", "iii"),
    TransposeByDoubling: ("vii", ""),
}


@pytest.mark.parametrize("make", EXPECTED, ids=lambda make: make.__name__)
def test_a_disguise_changes_nothing(make):
    fails, weighs = ({*text.split()} for text in EXPECTED[make])
    cells = audit(make(), measure=False).cells.values()
    assert {c.criterion for c in cells if c.verdict == "fail"} == fails
    assert {c.criterion for c in cells if c.verdict == "judgement"} == weighs


TABLE = np.random.default_rng(0).normal(size=(40, 40))


class Sliced(Kept):
    def update(self, net, step, state, key):
        return learning(net, step, (TABLE[: net.n, : net.n] * 1) @ step.r), state


def test_a_piece_of_a_hidden_array_is_refused():
    with pytest.raises(ValueError, match="closes over"):
        audit(Sliced(), measure=False)


LEAKS = {
    "scan": lambda s, P: lax.scan(lambda c, x: (c, 0.9 * x[0] + x[1]), 0, (s, P))[1],
    "loop": lambda s, P: lax.fori_loop(0, s.shape[0], lambda i, t: t.at[i].set(0.9 * t[i] + P[i]), s),
    "einsum": lambda s, P: jnp.einsum("ij,ij->ij", s, jnp.full_like(s, 0.9)) + P,
    "division": lambda s, P: (9 * s + P) / 10,
}


class Leak(AbstractRule):
    spelling: str

    def init(self, net, key):
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        state = LEAKS[self.spelling](state, trace(net, step))
        return (step.error @ net.W_out)[:, None] * state, state


@pytest.mark.parametrize("spelling", LEAKS)
def test_a_leak_is_continuous_in_every_spelling(spelling):
    assert audit(Leak(spelling)).verdict("ii-continuous") == "pass"
