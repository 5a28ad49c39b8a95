"""What the audit must find: in small rules that each break one criterion, and in the paper's ten."""

import inspect
import re
from pathlib import Path

import pytest
from audit_rules import CASES, FILES

from recredit.audit import audit
from recredit.audit.verdicts import CRITERIA
from recredit.blocks.jacobian import ThroughWeights
from recredit.rules import RULES

MEASURED = [name for name, case in CASES.items() if case.measured]


def cells(result, verdict):
    return {criterion for criterion, cell in result.cells.items() if cell.verdict == verdict}


def test_the_rules_break_every_criterion_in_several_spellings():
    broken = [criterion for case in CASES.values() for criterion in case.fails]
    assert min(broken.count(criterion) for criterion in CRITERIA) >= 3
    assert sum(len(case.fails) == 1 for case in CASES.values()) >= 28
    assert sum(not case.fails for case in CASES.values()) >= 12
    classes = [
        rule for file in FILES for rule in vars(file).values() if inspect.isclass(rule) and rule.__module__ == file.__name__
    ]
    assert {rule.__name__ for rule in classes if "update" in vars(rule)} == set(CASES)  # none is forgotten


def check_words(result):
    """Every verdict says why, and every fault where."""
    assert list(result.cells) == list(CRITERIA)
    for criterion, cell in result.cells.items():
        assert cell.criterion == criterion
        assert cell.why.strip()
        assert "\n" not in cell.why
        assert cell.evidence or cell.verdict in ("pass", "n/a")
        for evidence in cell.evidence:
            lines = Path(evidence.file).read_text().splitlines()
            assert 1 <= evidence.line <= len(lines)
            assert lines[evidence.line - 1].strip()
            assert evidence.operation
            assert evidence.sentence


def marks(rule):
    """Criteria and the lines that a comment such as `# <iv>` at their end marks."""
    lines, first = inspect.getsourcelines(rule)
    for at, line in enumerate(lines, first):
        if mark := re.search(r"# <(.*)>$", line.rstrip()):
            yield mark[1], at


@pytest.mark.parametrize("name", CASES)
def test_exactly_the_broken_criteria_are_found_where_they_are(name):
    case, result = CASES[name], audit(CASES[name].make(), measure=False)
    assert (cells(result, "fail"), cells(result, "judgement")) == (case.fails - {"ii-continuous"}, case.weighs)
    assert cells(result, "n/a") <= {"ii-continuous"}
    assert result.passes == (not case.fails - {"ii-continuous"})
    check_words(result)
    file = Path(inspect.getsourcefile(case.make)).resolve()
    assert Path(result.file).resolve() == file
    for criterion, line in marks(case.make):
        evidence = result.cells[criterion].evidence
        assert {Path(e.file).resolve() for e in evidence} == {file}
        assert line in {e.line for e in evidence}


@pytest.mark.parametrize("name", MEASURED)
def test_a_matrix_that_jumps_is_measured_to_jump(name):
    case, result = CASES[name], audit(CASES[name].make())
    assert (cells(result, "fail"), cells(result, "judgement")) == (case.fails, case.weighs)
    check_words(result)


def test_marks_cover_most_criteria():
    marked = {criterion for case in CASES.values() for criterion, _ in marks(case.make)}
    assert marked == {"ii-stored", "ii-local", "iii", "iv", "v", "vi", "vii"}


# formulas.md, section 5.2b. Each rule: the cells that fail, the cells left to judgement.
GOLDEN = {
    "fixed_w": (RULES["fixed_w"], "", ""),
    "rflo": (RULES["rflo"], "", ""),
    "rtrl": (RULES["rtrl"], "memory ii-stored ii-local iii iv", ""),
    "uoro": (RULES["uoro"], "ii-stored ii-continuous iii", "ii-local v"),
    "uoro through weights": (lambda: RULES["uoro"](jacobian=ThroughWeights()), "ii-continuous iii", "ii-local v"),
    "kf_rtrl": (RULES["kf_rtrl"], "ii-stored ii-local ii-continuous iii iv v", ""),
    "r_kf": (RULES["r_kf"], "ii-stored ii-local ii-continuous iii iv", "v"),
    "kernl": (RULES["kernl"], "iii vi vii", ""),
    "dni": (RULES["dni"], "ii-stored iii", ""),
    "dni through weights": (lambda: RULES["dni"](jacobian=ThroughWeights()), "iii vii", ""),
    "dni_b": (RULES["dni_b"], "vii", ""),
}


# formulas.md, section 4, by the paper's own reasoning.
NEWER = {
    "ok_rtrl": (RULES["ok_rtrl"], "ii-stored ii-continuous iii iv", "locality-time i ii-local v vi vii"),  # an SVD is unknown
    "e_prop": (RULES["e_prop"], "", ""),
    "immediate": (RULES["immediate"], "", ""),
    "snap1": (RULES["snap1"], "", ""),
    "snap": (RULES["snap"], "memory ii-stored ii-local iii iv", ""),
    "hops": (RULES["hops"], "memory ii-local iii", ""),
    "hops of two": (lambda: RULES["hops"](hops=2), "memory ii-local iii iv", ""),
    "mdgl": (RULES["mdgl"], "iii vii", ""),  # the credit that is sent is no rate, and it goes through W backwards
    "mdgl of two types": (lambda: RULES["mdgl"](types=2), "iii", ""),
    "modprop": (RULES["modprop"], "i ii-local iii", ""),
    "cascade": (RULES["cascade"], "", ""),
    "pp_prop": (RULES["pp_prop"], "", ""),
    "three_factor": (RULES["three_factor"], "", ""),
    "node_perturbation": (RULES["node_perturbation"], "", ""),
    "miconi": (RULES["miconi"], "", ""),
    "weight_perturbation": (RULES["weight_perturbation"], "ii-stored ii-continuous vi", "v"),
    "dni_lambda": (RULES["dni_lambda"], "memory ii-stored ii-local ii-continuous iii iv", ""),
    "random_walk": (RULES["random_walk"], "", "ii-local v"),
}


@pytest.mark.parametrize(("make", "fails", "weighs"), GOLDEN.values(), ids=GOLDEN)
def test_the_papers_rules_get_their_verdicts(make, fails, weighs):
    result = audit(make(), measure=False)
    assert (cells(result, "fail"), cells(result, "judgement")) == (set(fails.split()) - {"ii-continuous"}, set(weighs.split()))
    assert cells(result, "n/a") == {"ii-continuous"}
    check_words(result)


@pytest.mark.slow
@pytest.mark.parametrize(("make", "fails", "weighs"), (GOLDEN | NEWER).values(), ids=GOLDEN | NEWER)
def test_registered_rules_get_their_verdicts_measured(make, fails, weighs):
    result = audit(make())
    assert (cells(result, "fail"), cells(result, "judgement")) == (set(fails.split()), set(weighs.split()))
    assert not cells(result, "n/a") - {"ii-continuous"}
    check_words(result)


def test_the_name_decides_nothing():
    one, other = audit(RULES["kernl"](), measure=False), audit(RULES["kernl"](), name="RFLO", measure=False)
    assert one.cells == other.cells
    assert one.operations == other.operations
    assert "RFLO" in other.rule
