"""Rules put together at random from sound blocks pass; one forbidden operation at a random place is found."""

import jax
import jax.numpy as jnp
import pytest
from audit_forbidden import FORBIDDEN
from audit_random import compose
from oracles import run_rule, small_net, steps_of, stream

from recredit.audit import audit

NET = small_net(n=5, n_in=3, n_out=2)
COMMON, ALL = range(20), range(120)
PER_TEST = 10


def not_passed(rule):
    """The structural criteria that a rule does not pass."""
    cells = audit(rule, measure=False).cells
    return {criterion: cell.verdict for criterion, cell in cells.items() if cell.verdict not in ("pass", "n/a")}


def check(seed):
    """What is wrong with the verdicts on the rule of a seed, without and with a forbidden operation."""
    forbidden = [*FORBIDDEN][seed % len(FORBIDDEN)]
    if unsound := not_passed(compose(seed)):
        yield f"{seed}: sound, but {unsound}"
    if FORBIDDEN[forbidden] not in not_passed(compose(seed, forbidden)):
        yield f"{seed}: {forbidden.__name__} is not found under {FORBIDDEN[forbidden]}"


@pytest.mark.parametrize("seed", COMMON)
def test_a_random_rule_passes_until_one_forbidden_operation_is_put_in(seed):
    assert list(check(seed)) == []


@pytest.mark.slow
@pytest.mark.parametrize("first", ALL[len(COMMON) :: PER_TEST])
def test_random_rules_pass_until_one_forbidden_operation_is_put_in(first):
    assert [wrong for seed in range(first, first + PER_TEST) for wrong in check(seed)] == []


@pytest.mark.parametrize("seed", COMMON)
def test_a_random_rule_runs(seed):
    steps = steps_of(NET, *stream(NET, 6))
    for forbidden in (None, [*FORBIDDEN][seed % len(FORBIDDEN)]):
        grads, states = run_rule(compose(seed, forbidden), NET, steps)
        assert grads.shape == (6, *NET.W.shape)
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((grads, states)))
        assert jnp.abs(grads).sum() > 0


def test_a_seed_fixes_the_rule_and_seeds_differ():
    steps = steps_of(NET, *stream(NET, 3))
    first, again, other = (run_rule(compose(seed), NET, steps)[0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
