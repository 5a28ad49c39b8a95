"""Whether the matrices of a rule's state change continuously in time: the paper's rules, and rules of one's own."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import measured

from recredit.audit.measurement import continuity, slope
from recredit.audit.measurement.flat_program import FlatProgram, that_differ
from recredit.blocks.jacobian import LearnedJacobian, ThroughWeights
from recredit.rule import AbstractRule, Clock
from recredit.rules import DNI, EBPTT, RTRL, RULES, UORO, DNIb, KeRNL

KEY = jax.random.key(0)


class Own(AbstractRule):
    """A user's rule: a matrix (n, m) and the function that makes its next value."""

    next: Callable
    start: float = 0.5

    def init(self, net, key):
        return {"S": jnp.full(net.W.shape, self.start) + 0.1 * jax.random.normal(key, net.W.shape), "clock": Clock.at_zero()}

    def update(self, net, step, state, key):
        return jnp.zeros_like(net.W), {"S": self.next(net, step, state["S"], key), "clock": state["clock"].tick()}


class SquareJacobian(AbstractRule):
    """A state that holds the exact Jacobian, built anew at every step."""

    def init(self, net, key):
        return jnp.eye(net.n)

    def update(self, net, step, state, key):
        return jnp.zeros_like(net.W), net.jacobian(step.v)


class Pair(AbstractRule):
    """Traces whose decay per step is hard-coded: two in one array (n, m, 2), and one transposed."""

    def init(self, net, key):
        return {"both": jnp.zeros((*net.W.shape, 2)), "turned": jnp.zeros(net.W.T.shape)}

    def update(self, net, step, state, key):
        first = 0.9 * state["both"][..., 0] + 0.1 * outer(step)
        second = state["both"][..., 1] + 0.1 * (step.r[:, None] - state["both"][..., 1])
        return jnp.zeros_like(net.W), {
            "both": jnp.stack([first, second], -1),
            "turned": (0.8 * state["turned"].T + outer(step)).T,
        }


class Driven(AbstractRule):
    """A matrix that learns, at a hard-coded rate, from a trace of the rates with a hard-coded decay."""

    def init(self, net, key):
        return {"S": jnp.ones((net.n, net.n)), "trace": jax.random.normal(key, (net.n,))}

    def update(self, net, step, state, key):
        S, trace = state["S"], 0.9 * state["trace"] + 0.1 * step.r
        return jnp.zeros_like(net.W), {"S": S - 0.05 * jnp.outer(S @ trace - jnp.tanh(step.v), trace), "trace": trace}


class Fixed(AbstractRule):
    """A matrix that never changes, and a vector that does."""

    def init(self, net, key):
        return {"S": jnp.ones(net.W.shape), "vector": jnp.zeros(net.n)}

    def update(self, net, step, state, key):
        return jnp.zeros_like(net.W), {"S": state["S"], "vector": step.v}


def outer(step):
    """An outer product that jumps when the input switches."""
    return jnp.outer(jnp.tanh(step.v), step.r_hat)


def noise(key, S):
    return jax.random.normal(key, S.shape)


def learns(S, step):
    """S with one step of gradient descent towards v = S r_hat, at a hard-coded rate."""
    return S - 0.01 * jnp.outer(S @ step.r_hat - step.v, step.r_hat)


OWN = {  # the next value of S, and whether it changes continuously
    "a trace with a hard-coded decay": (lambda net, step, S, key: 0.9 * S + 0.1 * outer(step), True),
    "the same, divided": (lambda net, step, S, key: (S + outer(step)) / 1.25, True),
    "the same, as an increment": (lambda net, step, S, key: S - 0.1 * (S - outer(step)), True),
    "the same, compiled by itself": (lambda net, step, S, key: jax.jit(lambda a: 0.9 * a + 0.1 * outer(step))(S), True),
    "the same, in 32 bits inside": (lambda net, step, S, key: (0.9 * S.astype("float32") + outer(step)).astype(S.dtype), True),
    "the same, by rows": (lambda net, step, S, key: jnp.linspace(0.5, 0.9, net.n)[:, None] * S + outer(step), True),
    "a trace with alpha": (lambda net, step, S, key: (1 - net.alpha) * S + net.alpha * outer(step), True),
    "the same, as an increment with alpha": (lambda net, step, S, key: S + net.alpha * (outer(step) - S), True),
    "a learned matrix": (lambda net, step, S, key: learns(S, step), True),
    "the same, bounded": (lambda net, step, S, key: jnp.clip(learns(S, step), -3, 3), True),
    "the same, in place": (lambda net, step, S, key: S.at[:].add(learns(S, step) - S), True),
    "the same, when gated": (lambda net, step, S, key: jnp.where(step.error[0] > 0, learns(S, step), S), True),
    "the same, by a branch": (
        lambda net, step, S, key: jax.lax.cond(step.error[0] > 0, lambda: learns(S, step), lambda: S),
        True,
    ),
    "Oja's decay": (lambda net, step, S, key: (1 - 0.01 * step.r[:, None] ** 2) * S + 0.01 * outer(step), True),
    "rates times inputs, built anew": (lambda net, step, S, key: jnp.outer(step.r, step.r_hat), False),
    "rates times rates, built anew": (lambda net, step, S, key: jnp.outer(step.r, step.r_hat.at[net.n :].set(1.0)), True),
    "the activity itself": (lambda net, step, S, key: outer(step), False),
    "the same, written as a difference": (lambda net, step, S, key: S + (outer(step) - S), False),
    "signs that flip": (lambda net, step, S, key: -S, False),
    "random signs": (lambda net, step, S, key: jax.random.rademacher(key, ()).astype(S.dtype) * S, False),
    "random resets": (lambda net, step, S, key: (1 - jax.random.bernoulli(key, 0.2)) * S + outer(step), False),
    "noise that adds up": (lambda net, step, S, key: S + jnp.outer(noise(key, S[:, 0]), step.r_hat), False),
    "a trace of noise": (lambda net, step, S, key: 0.9 * S + jnp.outer(noise(key, S[:, 0]), step.r_hat), False),
    "growth": (lambda net, step, S, key: 1.2 * S, False),
    "slow growth": (lambda net, step, S, key: 1.05 * S, False),
    "rows turned round": (lambda net, step, S, key: S[::-1], False),
    "rows turned round and fading": (lambda net, step, S, key: 0.5 * S[::-1] + outer(step), False),
    "a rescaled matrix": (lambda net, step, S, key: S * jnp.abs(step.v).sum() / jnp.linalg.norm(S), False),
}


@pytest.mark.parametrize("name", OWN)
def test_a_users_rule_is_judged_by_what_it_does(name):
    following, continuous = OWN[name]
    found = measured(Own(following), KEY)
    assert list(found) == ["S"]
    assert (slope(found["S"]) >= 0.6) == continuous


GOLDEN = {  # the paper's rules: the slope, and how far it may be off
    "rflo": {"B": 1.0},
    "rtrl": {"M": 1.0},
    "kernl": {"A": 0.93, "B": 0.95},
    "dni": {"A": 0.98, "A_frozen": 0.98},
    "dni_b": {"A": 1.0, "A_frozen": 1.0, "jacobian": 1.0},
    "uoro": {"B": 0.44},
    "r_kf": {"B": 0.46},
    "kf_rtrl": {"B": -0.02},
    "fixed_w": {},
    "e_bptt": {},
    "f_bptt": {},
    "p_bptt": {},
}


@cache
def of_the_paper(name, seed):
    return measured(RULES[name](), jax.random.key(seed))


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_papers_rules(name, seed):
    found = of_the_paper(name, seed)
    assert {matrix: slope(curve) for matrix, curve in found.items()} == pytest.approx(GOLDEN[name], abs=0.11)


def test_what_is_brought_up_to_date_at_the_end_of_a_block_of_steps_jumps():
    found = measured(RULES["rtrl_block"](block=16), KEY)  # M, by 16 steps' worth; J, to what it is at this step
    assert {name: slope(curve) < 0.1 for name, curve in found.items()} == {"M": True, "J": True}


@pytest.mark.parametrize(
    ("rule", "smooth"),
    [
        (RTRL(ThroughWeights()), {"M"}),
        (RTRL(LearnedJacobian(init_from="leaky")), {"M", "jacobian"}),
        (RTRL(LearnedJacobian()), {"jacobian"}),  # J starts as W_rec, which turns M round at every step
        (UORO(ThroughWeights()), set()),
        (EBPTT(jacobian=LearnedJacobian()), {"jacobian"}),
        (DNI(refresh=5), {"A", "A_frozen"}),
        (DNIb(refresh=5, jacobian=LearnedJacobian(regressors="r_hat")), {"A", "A_frozen", "jacobian"}),
        (KeRNL(inverse_timescale=0.5), {"A", "B"}),
    ],
    ids=["rtrl through", "rtrl leaky", "rtrl W_rec", "uoro through", "e_bptt", "dni 5", "dni_b 5", "kernl 0.5"],
)
def test_building_blocks_and_settings(rule, smooth):
    assert {name for name, curve in measured(rule, KEY).items() if slope(curve) >= 0.6} == smooth


def test_a_trace_without_memory_jumps():
    assert slope(measured(KeRNL(inverse_timescale=1), KEY)["B"]) < 0.1  # kappa = 1 - a = 0


def test_the_exact_jacobian_kept_as_a_state_jumps():
    found = measured(SquareJacobian(), KEY)
    assert list(found) == ["state"]
    assert abs(slope(found["state"])) < 0.1


def test_matrices_are_found_in_any_layout():
    found = measured(Pair(), KEY)
    assert set(found) == {"both", "turned"}
    assert all(slope(curve) > 0.9 for curve in found.values())


def test_a_matrix_that_learns_from_a_trace_is_continuous():
    assert slope(measured(Driven(), KEY)["S"]) > 0.8


def test_what_never_changes_is_continuous_and_a_vector_is_not_judged():
    found = measured(Fixed(), KEY)
    assert list(found) == ["S"]
    assert slope(found["S"]) == float("inf")


def test_what_diverges_has_no_slope():
    curve = measured(Own(lambda net, step, S, key: 2 * S), KEY)["S"]
    assert np.isnan(curve["max"]).all()
    assert np.isnan(slope(curve))
    assert np.isnan(slope({"alpha": [0.5, 0.25], "max": [np.nan, 0.1], "mean": [np.nan, 0.1]}))


def test_the_slope_is_the_exponent():
    curve = {"alpha": [0.5, 0.25, 0.125], "max": [0.25, 0.0625, 0.015625], "mean": [0.2, 0.05, 0.0125]}
    assert slope(curve) == pytest.approx(2)
    assert slope(curve | {"mean": [0.2, 0.05, 0.05]}) == pytest.approx(0)
    assert slope(curve | {"max": [0.25, 0.25, 0.25]}) == pytest.approx(0)


def test_a_key_fixes_the_result_in_32_and_in_64_bits():
    rule, first = RULES["uoro"](), of_the_paper("uoro", 0)
    again = measured(rule, KEY)
    with jax.enable_x64(False):
        narrow = measured(rule, KEY)
    assert first == again == narrow
    assert first != of_the_paper("uoro", 1)
    assert first["B"]["alpha"] == list(continuity.ALPHAS)


def test_a_rule_whose_program_changes_with_alpha_still_runs():
    def steps_per_unit(net, step, S, key):
        for _ in range(round(1 / net.alpha) % 3):
            S = 1.0 * S
        return (1 - net.alpha) * S + net.alpha * outer(step)

    assert slope(measured(Own(steps_per_unit), KEY)["S"]) > 0.9


def test_a_program_computes_what_its_function_does_and_shows_where_alpha_stands():
    def function(alpha):
        return lambda x, flag: jax.lax.cond(flag, lambda a: alpha * jnp.tanh(a), lambda a: jax.nn.relu(a) - alpha, x)

    x = jnp.linspace(-1.0, 1.0, 5)
    programs = [FlatProgram.trace(function(alpha), x, True) for alpha in (0.5, 0.25)]
    for flag in (True, False):
        np.testing.assert_allclose(programs[0].run([x, jnp.array(flag)])[0], function(0.5)(x, flag), rtol=1e-12)
        constants, operations = that_differ(programs)
        assert [float(programs[0].constants[i]) for i in sorted(constants)] == [0.5, 0.5]
        assert not operations
        lifted = {i: programs[1].constants[i] for i in constants}
        np.testing.assert_allclose(programs[0].run([x, jnp.array(flag)], lifted)[0], function(0.25)(x, flag), rtol=1e-12)
