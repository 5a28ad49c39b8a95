"""The kinds of fault that the audit had stay mended: verdicts on one criterion of rules that it was not tuned to."""

import inspect
import re
from collections import Counter
from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from audit_kinds import CASES, FILES
from audit_kinds.impure import IMPURE, PURE
from audit_kinds.one_line import PAIRS
from oracles import small_net, steps_of, stream

from recredit.audit import audit
from recredit.audit.verdicts import CRITERIA
from recredit.rule import AbstractRule

TWINS_OF_PASSES = range(1, 11)  # kinds that were passed and must not be: their twins must pass
KINDS = {case.kind for case in CASES.values()}
STRUCTURAL = [criterion for criterion in CRITERIA if criterion != "ii-continuous"]


@cache
def outcome(make, measure=False):
    """The audit of a rule, or the sentence with which it is refused."""
    try:
        return audit(make(), measure=measure), ""
    except ValueError as error:
        return None, str(error)


@cache
def problem():
    net = small_net(n=4, n_in=3, n_out=2)
    return net, steps_of(net, *stream(net, 6))


def marked(name):
    return pytest.param(name, marks=[pytest.mark.slow] * (CASES[name].criterion == "ii-continuous"))


def test_each_kind_has_four_spellings_and_two_twins():
    spellings = Counter(case.kind for case in CASES.values() if not case.twin)
    twins = Counter(case.kind for case in CASES.values() if case.twin)
    assert {*range(1, 25)} <= KINDS
    assert min(spellings[kind] for kind in KINDS) >= 4
    assert min(twins[kind] for kind in KINDS) >= 2
    for case in CASES.values():
        assert case.criterion in {*CRITERIA, "contract"}
        assert case.allowed <= {"pass", "fail", "judgement"} or case.criterion == "contract"
        if case.criterion not in ("contract", "ii-stored") and case.kind <= 17:  # kind 7 is of both sorts
            assert ("pass" in case.allowed) == (case.twin == (case.kind in TWINS_OF_PASSES))


def test_no_rule_is_forgotten():
    kept = {case.make.func if isinstance(case.make, partial) else case.make for case in CASES.values()}
    for file in FILES:
        own = [each for each in vars(file).values() if inspect.isclass(each) and each.__module__ == file.__name__]
        assert {rule for rule in own if issubclass(rule, AbstractRule) and "update" in vars(rule)} <= kept


@pytest.mark.parametrize("name", CASES)
def test_a_rule_obeys_the_contract_and_runs(name):
    rule, (net, steps) = CASES[name].make(), problem()
    assert isinstance(rule, AbstractRule)
    assert not any(eqx.is_array(leaf) for leaf in jax.tree.leaves(rule))
    state, run = rule.init(net, jax.random.key(0)), jax.jit(rule.update)
    for t, step in enumerate(steps):
        G, after = run(net, step, state, jax.random.key(t))
        assert (G.shape, G.dtype) == (net.W.shape, net.W.dtype)
        assert jax.tree.structure(after) == jax.tree.structure(state)
        assert [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(after)] == [
            (leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state)
        ]
        numbers = [leaf for leaf in jax.tree.leaves((G, after)) if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
        assert all(jnp.isfinite(leaf).all() for leaf in numbers)
        assert jnp.abs(G).sum() > 0 or t == 0
        state = after


@pytest.mark.parametrize("name", [marked(name) for name in CASES])
def test_a_rule_gets_its_verdict(name):
    case = CASES[name]
    found, refusal = outcome(case.make, case.criterion == "ii-continuous")
    if case.criterion == "contract":
        assert ({"accepted"} if found else {"refused"}) == case.allowed, refusal
        assert re.search(case.named, refusal)
    else:
        assert found, refusal
        cell = found.cells[case.criterion]
        assert cell.verdict in case.allowed, cell.why


@pytest.mark.parametrize("name", [marked(name) for name in CASES if CASES[name].criterion != "contract"])
def test_every_cross_and_question_mark_has_its_line_and_is_marked_in_the_program(name):
    case = CASES[name]
    found, refusal = outcome(case.make, case.criterion == "ii-continuous")
    assert found, refusal
    for cell in found.cells.values():
        if cell.verdict in ("fail", "judgement"):
            assert cell.evidence
            marks = {criterion for each in found.operations for criterion in (*each.fails, *each.weighs)}
            assert cell.criterion in marks


@pytest.mark.parametrize("name", IMPURE)
def test_what_is_no_function_of_its_arguments_is_told(name):
    found, refusal = outcome(IMPURE[name])
    told = refusal or " ".join([*found.notes, *(cell.why for cell in found.cells.values())])
    assert re.search(r"(?i)pure|side effect|twice|leak|outside", told)


@pytest.mark.parametrize("name", PURE)
def test_what_lives_for_one_call_is_pure(name):
    found, refusal = outcome(PURE[name])
    assert found, refusal
    assert {cell.verdict for cell in found.cells.values()} <= {"pass", "n/a"}


@pytest.mark.parametrize("name", PAIRS)
def test_where_a_line_ends_decides_nothing(name):
    pair = PAIRS[name]
    audits = [outcome(make)[0] for make in (pair.one, pair.many)]
    one, many = ({criterion: found.cells[criterion].verdict for criterion in STRUCTURAL} for found in audits)
    assert one == many
    assert one[pair.criterion] == pair.right
