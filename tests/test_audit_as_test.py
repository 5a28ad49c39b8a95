"""Verdicts pinned in the tests and the CI of a rule's author."""

import pytest

from recredit.audit.verdicts import CRITERIA
from recredit.cli.main import main
from recredit.rules import RFLO
from recredit.testing import assert_passes


def test_a_rule_that_keeps_its_promise_passes_in_silence():
    assert_passes("rflo", "iv", "vi")
    assert_passes(RFLO())
    assert_passes({"name": "dni", "jacobian": "learned", "squash": True}, "ii-stored", "iii")


def test_a_broken_promise_is_told_with_its_reason_and_line():
    with pytest.raises(AssertionError) as told:
        assert_passes("rtrl", "iv", "v", "iii")
    first, *lines = str(told.value).splitlines()
    assert first == "RTRL does not pass iv, iii:"
    assert [line.split(",")[0] for line in lines] == ["iv", "iii"]
    assert all("rtrl.py:" in line for line in lines)


def test_what_is_left_to_judgement_does_not_pass():
    with pytest.raises(AssertionError, match="v, judgement: The noise"):
        assert_passes("uoro", "v")


def test_a_criterion_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r'criterion "ii-store" is unknown; .* Did you mean "ii-stored"'):
        assert_passes("rflo", "ii-store")


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["audit", *arguments])
    return ended.value.code, *capsys.readouterr()


def test_the_command_ends_with_1_if_any_rule_breaks_a_promise(capsys):
    code, out, _ = run(capsys, "rflo", "rtrl", "--as-test", "iv", "v")
    assert code == 1
    assert out.splitlines()[0] == "rflo passes iv, v"
    assert out.splitlines()[1] == "rtrl does not pass iv"
    assert "rtrl.py:" in out.splitlines()[2]
    assert run(capsys, "rflo", "--as-test", "iv", "v")[:2] == (0, "rflo passes iv, v\n")


def test_all_means_every_criterion_and_other_words_are_refused(capsys):
    assert run(capsys, "rflo", "--as-test", "all")[1] == f"rflo passes {', '.join(CRITERIA)}\n"
    for wrong in (["--as-test", "xi"], ["--as-test", "iv", "--repair"], ["--as-test", "iv", "--format", "json"]):
        code, out, said = run(capsys, "rflo", *wrong)
        assert (code, out) == (2, "")
        assert len(said.splitlines()) == 1
