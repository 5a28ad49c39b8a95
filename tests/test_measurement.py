"""Continuity entry by entry: what jumps seldom, a little, or in one place; what only looks as if it did; events of clocks."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from oracles import measured

from recredit.audit import audit
from recredit.audit.measurement import continuity, slope
from recredit.audit.measurement.clocks import clocks, events, schedule
from recredit.audit.measurement.flat_program import FlatProgram
from recredit.audit.measurement.time_scales import MOVED, SCALED, Known, follow, time_scales
from recredit.rule import AbstractRule
from recredit.rules import RFLO

KEY = jax.random.key(0)


class Own(AbstractRule):
    """A rule that only keeps a state: a matrix first."""

    start: Callable
    next: Callable

    def init(self, net, key):
        return self.start(net, key)

    def update(self, net, step, state, key):
        return jnp.zeros_like(net.W), self.next(net, step, state, key)


def zeros(net, key):
    return jnp.zeros_like(net.W)


def positive(net, key):
    return jnp.exp(0.1 * jax.random.normal(key, net.W_rec.shape))


def signed(net, key):
    return 0.3 * jax.random.normal(key, net.W_rec.shape)


def pair(net, key):
    return zeros(net, key), zeros(net, key)


def timed(start, *clocks):
    return lambda net, key: (start(net, key), *map(jnp.array, clocks))


def half(dtype):
    return lambda net, key: jnp.zeros(net.W.shape, dtype)


def seen(step):
    return jnp.outer(jnp.tanh(step.v), step.r_hat)


def hebb(step):
    return jnp.outer(step.r, step.r_prev)


def faded(net, step, S):
    return (1 - net.alpha) * S + net.gain(step.v)[:, None] * step.r_hat


def leaked(step, S):
    return 0.9 * S + 0.1 * seen(step)


def kept(function):
    """A state of two: the trace, and a function of it."""
    return lambda net, step, s, key: (leaked(step, s[0]), function(leaked(step, s[0])))


def reset_by_cond(net, step, s, key):
    return lax.cond(s[1] % 1500 == 1499, jnp.zeros_like, lambda S: faded(net, step, S), s[0]), s[1] + 1


def reset_by_countdown(net, step, s, key):
    due = s[1] == 0
    return jnp.where(due, 0.0, leaked(step, s[0])), jnp.where(due, 3000, s[1] - 1)


def reset_by_two_clocks(net, step, s, key):
    S, days, hours = s
    hours = (hours + 1) % 50
    days = jnp.where(hours == 0, days + 1, days)
    return jnp.where((days == 40) & (hours == 0), 0.0, faded(net, step, S)), days, hours


def one_entry_in_turn(net, step, s, key):
    S, row = faded(net, step, s[0]), s[1] // 600 % net.n
    return S.at[row, 0].set(jnp.where(s[1] % 600 == 599, 0.0, S[row, 0])), s[1] + 1


def scaled_at_own_rates(net, step, s, key):
    S, rate, eta = s
    rate = 0.98 * rate + 0.02 * step.r**2
    return S * (1 + eta * (0.2 - rate))[:, None], rate, eta


def bounded_in_norm(net, step, S, key):
    S = S + 0.02 * hebb(step)
    return S / jnp.maximum(1, jnp.linalg.norm(S, axis=1, keepdims=True))


def normalised(net, step, S, key):
    S = S * jnp.exp(0.05 * hebb(step))
    return S / S.sum(axis=1, keepdims=True)


def by_branches(net, step, S, key):
    later = lax.cond(step.r[0] > 0, lambda: 0.99 * S, lambda: S)
    return jnp.where(step.error[0] > 0, S + 0.02 * (seen(step) - S), later)


def bootstrapped(net, step, A, key):
    error = A @ step.r_prev - step.r - (A @ step.r) @ net.jacobian(step.v)
    return A - 0.01 * jnp.outer(error, step.r_prev)


def sums(net, step, s, key):
    fast, slow = 0.5 * s[0] + 0.5 * seen(step), leaked(step, s[1])
    return fast, slow, slow - 0.3 * fast


RULES = {  # the state at the start, the next, and whether its matrices change continuously
    "reset by a branch": (timed(zeros, 0), reset_by_cond, False),
    "reset when a countdown ends": (timed(zeros, 3000), reset_by_countdown, False),
    "reset by two clocks": (timed(zeros, 0, 0), reset_by_two_clocks, False),
    "reset at step 90,000": (
        timed(zeros, 0.0),
        lambda net, step, s, key: (jnp.where(s[1] == 90_000, 0.0, faded(net, step, s[0])), s[1] + 1.0),
        False,
    ),
    "reset at a time": (
        timed(zeros, 0.0),
        lambda net, step, s, key: (jnp.where(s[1] % 500 < net.alpha, 0.0, faded(net, step, s[0])), s[1] + net.alpha),
        False,
    ),
    "a drive of a clock's own": (
        timed(zeros, 0.0),
        lambda net, step, s, key: (jnp.sin(s[1]) * jnp.outer(step.r, jnp.ones_like(step.r_hat)), s[1] + net.alpha),
        True,
    ),
    "reset after so many steps as the state says": (
        timed(zeros, 0, 2000),
        lambda net, step, s, key: (jnp.where(s[1] == 0, 0.0, leaked(step, s[0])), (s[1] + 1) % s[2], s[2]),
        False,
    ),
    "reset by a factor": (
        timed(zeros, 0),
        lambda net, step, s, key: (leaked(step, s[0]) * (1 - (s[1] % 900 == 899)), s[1] + 1),
        False,
    ),
    "one entry in turn": (timed(zeros, 0), one_entry_in_turn, False),
    "eight bits": (pair, kept(lambda S: jnp.round(S * 127) / 127), False),
    "four bits of bfloat16": (
        lambda net, key: (zeros(net, key), zeros(net, key).astype("bfloat16")),
        kept(lambda S: (jnp.floor(S * 8) / 8).astype("bfloat16")),
        False,
    ),
    "whole numbers": (
        lambda net, key: (zeros(net, key), zeros(net, key).astype("int8")),
        kept(lambda S: (S * 16).astype("int8")),
        False,
    ),
    "a small threshold": (pair, kept(lambda S: jnp.where(jnp.abs(S) > 0.03, S, 0)), False),
    "rounded on and on": (zeros, lambda net, step, S, key: jnp.round(8 * leaked(step, S)) / 8, False),
    "pruned on and on": (
        signed,
        lambda net, step, S, key: (L := S + 0.02 * hebb(step), jnp.where(abs(L) < 0.1, 0, L))[1],
        False,
    ),
    "noise in proportion": (positive, lambda net, step, S, key: S * (1 + 0.05 * jax.random.normal(key, S.shape)), False),
    "a leak at own rates": (
        lambda net, key: (positive(net, key), jnp.zeros(net.n), jnp.linspace(0.005, 0.05, net.n)),
        scaled_at_own_rates,
        True,
    ),
    "normalised, exponentiated": (positive, normalised, True),
    "a norm with a bound": (signed, bounded_in_norm, True),
    "bounds": (signed, lambda net, step, S, key: jnp.clip(S + 0.02 * hebb(step), -0.4, 0.4), True),
    "branches": (zeros, by_branches, True),
    "bootstrapped": (signed, bootstrapped, True),
    "sums of leaks": (lambda net, key: (zeros(net, key),) * 3, sums, True),
    "bfloat16": (half("bfloat16"), lambda net, step, S, key: leaked(step, S.astype("float32")).astype("bfloat16"), True),
    "float16": (half("float16"), lambda net, step, S, key: faded(net, step, S.astype(net.W.dtype)).astype("float16"), True),
    "a scan": (
        positive,
        lambda net, step, S, key: lax.scan(lambda c, x: (c, x[0] * (1 + 0.02 * (x[1] - x[0]))), 0, (S, hebb(step)))[1],
        True,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_rules_that_jump_and_that_do_not(name):
    start, following, continuous = RULES[name]
    found = measured(Own(start, following), KEY)
    assert found
    assert (min(map(slope, found.values())) >= 0.6) == continuous


def test_the_clocks_are_found_and_run_ahead():
    def ticks(a, t, c, key):
        return a * (t % 7), t + 1, jnp.where(c == 0, 40, c - 1)

    arguments = jnp.ones(3), jnp.array(0), jnp.array(40), KEY
    program = FlatProgram.trace(ticks, *arguments)
    assert clocks(program, 0, [*arguments[:3]]) == [1, 2]
    course, met = schedule(program, 0, [1, 2], lambda: [*arguments[1:3]], 50)
    np.testing.assert_array_equal(course[0][:200], np.arange(200))
    np.testing.assert_array_equal(course[1][:82], [*range(40, -1, -1)] * 2)
    assert met.tolist() == [81, 82]  # the countdown is at 0, and no longer; t % 7 changes too often to be awaited


def test_an_event_is_what_changes_seldom():
    changed = np.zeros((1000, 3), bool)
    changed[::2, 0] = changed[[300, 301, 900], 1] = changed[5, 2] = True
    assert events(changed, 10).tolist() == [300]  # what changes at every second step, or once at the start, is none


def test_a_value_is_computed_again_with_others_changed():
    program = FlatProgram.trace(lambda x, y: (total := x + y, total * y), 1.0, 2.0)
    values = program.values([1.0, 2.0], {}, {})
    total, product = program.outputs
    assert program.again(product, values, {program.inputs[0]: 5.0}) == 14
    assert program.again(product, values, {program.inputs[0]: 5.0}, cut={total}) == 6


def test_a_value_is_refined_before_it_is_rounded_bounded_or_chosen():
    def following(S, P):
        return jnp.clip(jnp.where(P > 0, jnp.round((0.9 * S + P) * 4) / 4, 0.0), -1, 1)

    program = FlatProgram.trace(following, jnp.ones(3), jnp.ones(3))
    [(point, leaf)] = time_scales(program, set(), 0, [0]).points.items()
    assert (program.by[point].name, leaf) == ("add", 0)


LOOPS = {
    "scan": lambda S, P: lax.scan(lambda S, P: (0.9 * S + P, None), S, jnp.stack([P, P]))[0],
    "scan over the array": lambda S, P: lax.scan(lambda c, x: (c, 0.9 * x[0] + x[1] * P[0]), 0, (S, P))[1],
    "while": lambda S, P: lax.while_loop(lambda c: c[0] < P[0], lambda c: (c[0] + 1, 0.9 * c[1] + P), (0.0, S))[1],
    "counted loop": lambda S, P: lax.fori_loop(0, 4, lambda _, S: 0.9 * S + P, S),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_value_is_followed_through_a_loop(name):
    program = FlatProgram.trace(LOOPS[name], jnp.ones(3), jnp.ones(3))
    assert time_scales(program, set(), 0, [0]).points == {program.outputs[0]: 0}
    assert follow(program, [Known(frozenset({MOVED})), Known()], set(), set())[program.outputs[0]].entry == {SCALED}


def test_a_bound_is_told(monkeypatch):
    monkeypatch.setattr(continuity, "OPERATIONS", 3)
    cell = audit(RFLO()).cells["ii-continuous"]
    assert cell.verdict == "judgement"
    assert "more than the 3 that are examined" in cell.why
