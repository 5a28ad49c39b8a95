"""The verdict follows the operations: a rule of the paper in other words gets the verdicts of the rule."""

from functools import cache

import numpy as np
import pytest
from oracles import run_rule, small_net, steps_of, stream
from respelled import PAIRS

from recredit.audit import audit
from recredit.audit.verdicts import CRITERIA


@cache
def verdicts(make):
    cells = audit(make(), measure=False).cells
    return {criterion: cells[criterion].verdict for criterion in CRITERIA if criterion != "ii-continuous"}


@cache
def gradients(make):
    net = small_net()
    return run_rule(make(), net, steps_of(net, *stream(net, 6)))[0]


@pytest.mark.parametrize("pair", PAIRS)
def test_a_rule_in_other_words_computes_the_same_and_gets_the_same_verdicts(pair):
    registered, respelled = PAIRS[pair]
    np.testing.assert_allclose(gradients(respelled), gradients(registered), rtol=1e-10, atol=1e-10)  # else it is another rule
    assert verdicts(respelled) == verdicts(registered)
