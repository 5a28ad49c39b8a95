"""Registered rules, for tests that all must pass: the paper's at once, the others with the long proofs."""

import pytest

from recredit.audit.paper import read
from recredit.rules import RULES

PAPERS = {row.rule for row in read()}
EACH_RULE = [pytest.param(name, marks=[] if name in PAPERS else pytest.mark.slow) for name in RULES]
# What the training loop does is the same for every rule. Beside the paper's: rules that learn from its noise, or from the
# weights of its steps, with decompositions of matrices, and one that restarts its traces.
OTHERS = ("node_perturbation", "weight_perturbation", "ok_rtrl", "dni_lambda")
TRAINED = [each for each in EACH_RULE if each.values[0] in {*PAPERS, *OTHERS}]
