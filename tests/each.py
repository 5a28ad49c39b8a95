"""Every registered rule, for tests that all must pass: the paper's at once, the others with the long proofs."""

import pytest

from recredit.audit.paper import read
from recredit.rules import RULES

PAPERS = {row.rule for row in read()}
EACH_RULE = [pytest.param(name, marks=[] if name in PAPERS else pytest.mark.slow) for name in RULES]
