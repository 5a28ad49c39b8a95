"""What the audit says a rule keeps, reads and costs, and what would mend it."""

import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

import recredit
from recredit.audit.account.symbolic import SIZES, Polynomial, fit
from recredit.registry import complete
from recredit.rules import RULES
from recredit.studies.repair import repair

ROOT = Path(__file__).parent.parent
RUN = "from recredit.cli.main import main; main()"
# Numbers of learning state at n = 32 with 2 inputs and 2 outputs (derived by hand from each rule's equations).
KEPT = {"rtrl": 35840, "uoro": 1152, "kf_rtrl": 1059, "r_kf": 1152, "kernl": 2272, "rflo": 1120, "f_bptt": 990, "fixed_w": 0}


def value(text, n, n_in, n_out):
    """A polynomial's value from its text."""
    text = text.replace("−", "-").replace("²", "**2").replace("³", "**3").replace("⁴", "**4").replace("·", "*")
    return eval(re.sub(r"(\d)n", r"\1*n", text), {"n": n, "n_in": n_in, "n_out": n_out})


@pytest.mark.parametrize("name", KEPT)
def test_the_numbers_kept_are_those_of_the_equations(name):
    assert value(recredit.audit(RULES[name](), measure=False).memory, 32, 2, 2) == KEPT[name]


def test_shapes_are_symbolic():
    state = recredit.audit(RULES["rtrl"](), measure=False).state
    assert [(leaf.name, leaf.shape, leaf.order) for leaf in state] == [("M", ("n", "n", "m"), 3)]
    dni = {leaf.name: leaf.shape for leaf in recredit.audit(RULES["dni"](), measure=False).state}
    assert dni["A"] == ("n", "n+n_out+1")


def test_multiplications_are_counted_as_written():
    rflo = recredit.audit(RULES["rflo"](), measure=False).multiplications
    # error W_out; tanh², alpha D; outer product; (1 - alpha) B; c_bar B
    assert value(rflo, 7, 3, 5) == 7 * 5 + 2 * 7 + 3 * (7 * 11)
    rtrl = recredit.audit(RULES["rtrl"](), measure=False).multiplications
    assert value(rtrl, 32, 2, 2) == pytest.approx(32**3 * 35, rel=0.1)


def test_polynomials_are_fitted_exactly_or_not_at_all():
    wanted = Polynomial({(3, 1, 0): Fraction(2), (1, 0, 1): Fraction(-1), (0, 0, 0): Fraction(7)})
    assert fit(SIZES, [int(wanted(s)) for s in SIZES], 4) == wanted
    assert str(wanted) == "2n³·n_in − n·n_out + 7"
    assert fit(SIZES, [2**n for n, _, _ in SIZES], 4) is None


def test_what_a_rule_reads_is_told():
    assert recredit.audit(RULES["rflo"](), measure=False).reads == ("net.W_out", "step.r_hat", "step.v", "step.error")


def mended(name, registry=RULES):
    return repair(name, registry, complete("rule", registry, name))


@pytest.mark.slow
def test_dni_is_mended_but_for_one_thing_at_a_time():
    found = mended("dni")
    assert found.own.fails == ("ii-stored", "iii")
    remains = {attempt.changes: attempt.fails for attempt in found.nearest}
    assert remains["squash=true", "jacobian=learned"] == ("vii",)  # the paper's DNI(b)
    assert remains["squash=true",] == ("ii-stored",)


def test_a_rule_that_passes_needs_no_repair():
    found = mended("rflo")
    assert (found.own.remains, found.nearest[0].changes) == ((), ())


@pytest.mark.slow
def test_the_page_on_own_rules_shows_what_the_commands_print(tmp_path):
    page = (ROOT / "docs/judge_your_own_rule.md").read_text()
    commands = re.findall(r"^    \.venv/bin/recredit (.+)$", page, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["audit", "audit", "audit", "train", "audit"]
    commands[3] += f" --steps 100 --seeds 1 --out {tmp_path}"
    told = [
        subprocess.run([sys.executable, "-c", RUN, *c.split()], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for c in commands
    ]
    quoted = page.split("what decides it:\n\n")[1].split("\n\nLine 34")[0]
    assert "\n".join(line.removeprefix("    ") for line in quoted.splitlines()) in told[0]
    assert "net.step" in (ROOT / "examples/node_perturbation.py").read_text().splitlines()[33]
    assert "NodePerturbation fails vi. It passes with baseline=running." in told[1]
    assert "✗" not in told[2].split("fails", 1)[1]
    assert "NodePerturbation" in told[3]
    assert "passes iv, vi" in told[4]
