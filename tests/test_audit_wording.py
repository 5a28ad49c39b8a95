"""What the audit says beside its verdicts: lines, names, shapes, each sentence once; and standard output is for verdicts."""

import inspect
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from audit_kinds import wording
from audit_kinds.wording import JUMPING, MARKED, WRONG_NAMES

import recredit
from recredit.audit import audit
from recredit.cli.main import main
from recredit.registry import complete
from recredit.rules import RULES
from recredit.studies.repair import repair

HOME = Path(recredit.__file__).parent
FORMATS = ([], ["--format", "json"], ["--format", "html"], ["--format", "markdown"], ["--format", "latex"])


@cache
def judged(rule, measure=False):
    return audit(rule(), measure=measure)


def marks(rule):
    """Criteria and the lines that a comment such as `# <iv>` at their end marks."""
    lines, first = inspect.getsourcelines(rule)
    return [(mark[1], at) for at, line in enumerate(lines, first) if (mark := re.search(r"# <(.*)>$", line.rstrip()))]


def told(found):
    """All that an audit says of what it does not pass."""
    cells = [cell for cell in found.cells.values() if cell.verdict in ("fail", "judgement")]
    return [text for cell in cells for e in cell.evidence for text in (cell.why, e.operation, e.sentence)]


def cited(found, criterion):
    """The lines of the file of these rules that the evidence for a criterion cites; it cites no other file."""
    evidence = found.cells[criterion].evidence
    assert {Path(e.file).name for e in evidence} == {Path(wording.__file__).name}
    return {e.line for e in evidence}


@pytest.mark.parametrize("rule", MARKED)
def test_evidence_stands_where_the_number_is_made(rule):
    [(criterion, line)] = marks(rule)
    lines, first = inspect.getsourcelines(wording.scaled)
    assert line in cited(judged(rule), criterion)
    assert not cited(judged(rule), criterion) & {*range(first, first + len(lines))}


@pytest.mark.slow
@pytest.mark.parametrize("rule", JUMPING)
def test_the_matrix_that_jumps_is_cited_not_the_first_of_the_state(rule):
    found = judged(rule, True)
    assert found.cells["ii-continuous"].verdict == "fail"
    [(criterion, line)] = marks(rule)
    assert cited(found, criterion) == {line}
    assert any(criterion in each.fails and each.line == line for each in found.operations)


@pytest.mark.parametrize("rule", WRONG_NAMES)
def test_no_name_misleads(rule):
    texts = told(judged(rule))
    assert texts
    assert not [text for text in texts if re.search(WRONG_NAMES[rule], text)]


@pytest.mark.parametrize("rule", [wording.NormOfTheState, wording.NormOfTheUpdated])
def test_a_norm_is_left_to_judgement_before_and_after_the_update(rule):
    assert judged(rule).cells["ii-local"].verdict == "judgement"


@pytest.mark.parametrize("rule", [wording.FlatAndWide, wording.DelayInACond, RULES["f_bptt"]])
def test_shapes_are_written_out(rule):
    found = judged(rule)
    texts = [*told(found), *(each.text for each in found.operations)]
    sizes = [size.strip() for text in texts for shape in re.findall(r"\(([^()]*×[^()]*)\)", text) for size in shape.split("×")]
    assert sizes
    assert not [size for size in sizes if "…" in size or size in ("5", "7")]  # the sizes of the trace have letters


@pytest.mark.parametrize("rule", [wording.NormAboveAHelper, wording.SendsVoltageByAHelper, RULES["kf_rtrl"]])
def test_no_word_stands_twice(rule):
    assert not [text for text in told(judged(rule)) if re.search(r"\b(\w{3,}) \1\b", text)]


@pytest.mark.slow
@pytest.mark.parametrize("rule", [wording.SumsInWindows, wording.EmptiedWindows])
def test_an_accumulator_that_starts_again_jumps_and_does_not_diverge(rule):
    found = judged(rule, True)
    assert found.cells["ii-continuous"].verdict == "fail"
    assert not [text for text in told(found) if re.search(r"nan|diverge", text)]


@pytest.mark.slow
def test_a_rule_that_cannot_run_is_told_with_its_own_words():
    cell = judged(wording.RefusesFineSteps, True).cells["ii-continuous"]
    assert cell.verdict == "judgement"
    assert "the spring is broken" in cell.why


@pytest.mark.parametrize("rule", [wording.NormAboveAHelper, wording.SeveralNames, wording.FlatAndWide, wording.ManyTransforms])
def test_every_cross_and_question_mark_is_marked_in_the_program(rule):
    found = judged(rule)
    open_ = {c for c, cell in found.cells.items() if cell.verdict in ("fail", "judgement")}
    assert open_
    assert open_ <= {criterion for each in found.operations for criterion in (*each.fails, *each.weighs)}


SOURCE = '''"""A rule of the user's own."""

import jax
import jax.numpy as jnp

from recredit import AbstractRule

print("loaded")


class Own(AbstractRule):
    """It shows what it does, and looks at its neighbours."""

    def init(self, net, key):
        print("started")
        return jnp.zeros_like(net.W)

    def update(self, net, step, state, key):
        print("traced")
        jax.debug.print("norm {x}", x=step.r.sum())
        B = 0.9 * state + 0.1 * jnp.roll(state, 1, axis=0) + jnp.outer(net.gain(step.v), step.r_hat)
        return (step.error @ net.W_out)[:, None] * B, B
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A file of a user's own, in a folder beside the one that the command runs in."""
    file = tmp_path / "elsewhere" / "own.py"
    file.parent.mkdir()
    file.write_text(SOURCE)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return file


def printed(capfd, *arguments):
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["audit", *map(str, arguments)])
    out, err = capfd.readouterr()
    assert ended.value.code == 0, err
    return out, err


def test_a_rules_own_prints_do_not_mix_with_the_verdicts(own, capfd):
    out, err = printed(capfd, own, "--format", "json")
    assert json.loads(out)["audits"][0]["cells"]["ii-local"]["verdict"] == "fail"
    for word in ("loaded", "started", "traced", "norm"):
        assert word in err
    assert len(err.splitlines()) < 1000


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form[-1] if form else "table")
def test_no_output_holds_an_absolute_path(own, capfd, form):
    for rule in (own, "uoro"):
        out, _ = printed(capfd, rule, *form)
        assert str(own.parent) not in out
        assert str(HOME) not in out
        assert "own.py" in out or rule == "uoro" or form[-1:] in (["markdown"], ["latex"])


def test_no_explanation_holds_an_absolute_path_and_each_cross_is_marked(own, capfd):
    out, _ = printed(capfd, "--explain", own)
    assert str(own.parent) not in out
    assert re.search(r"✗ ii-local .*own\.py:21", out)
    out, _ = printed(capfd, "--explain", "uoro")
    assert str(HOME) not in out
    for criterion in ("ii-stored", "ii-continuous", "iii"):
        assert f"✗ {criterion}" in out


def test_one_sentence_is_said_once(capfd):
    out, _ = printed(capfd, f"{wording.__file__}:ManyTransforms")
    sentences = Counter(re.findall(r"[A-Z][^.?!]*\bfft\b[^.?!]*[.]", " ".join(out.split())))
    assert sentences
    assert max(sentences.values()) == 1


@pytest.mark.slow
def test_repair_says_all_that_remains(capfd):
    found = repair("uoro", RULES, complete("rule", RULES, "uoro"))
    assert found.nearest
    for attempt in found.nearest:
        settings = [word for change in attempt.changes for word in ("--with", change)]
        [told] = json.loads(printed(capfd, "uoro", *settings, "--format", "json")[0])["audits"]
        verdicts = {criterion: cell["verdict"] for criterion, cell in told["cells"].items()}
        assert {*attempt.fails} == {criterion for criterion, verdict in verdicts.items() if verdict == "fail"}
        assert {*attempt.judgements} == {criterion for criterion, verdict in verdicts.items() if verdict == "judgement"}
