"""What the family tells of rules is what their equations say; its page and figure are made of it."""

import csv
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import pytest

from recredit import RULES
from recredit.audit.account.symbolic import order
from recredit.cli.family import run_family
from recredit.network import UNITS
from recredit.report.family_page import family_page
from recredit.rules import RTRL
from recredit.studies.behaviour import bias, dependence
from recredit.studies.family import member
from recredit.studies.fits import unfit_by_units
from recredit.studies.reductions import REDUCTIONS

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"
PAST, FUTURE = "past-facing", "future-facing"
# Facing, whether it draws, and what it is beside the exact gradient: by hand, from the equations of each rule.
KNOWN = {
    "fixed_w": ("none", False, "biased"),
    "immediate": ("one step", False, "biased"),
    "rtrl": (PAST, False, "exact"),
    "rtrl_block": (PAST, False, "exact"),
    "snap": (PAST, False, "exact"),  # in a network with all synapses
    "p_bptt": (PAST, False, "biased"),
    "f_bptt": (FUTURE, False, "biased"),
    "e_bptt": ("mixed", False, "biased"),
    "uoro": (PAST, True, "unbiased"),
    "kf_rtrl": (PAST, True, "unbiased"),
    "r_kf": (PAST, True, "unbiased"),
    "ok_rtrl": (PAST, True, "unbiased"),
    "kernl": (PAST, True, "biased"),
    "dni": (FUTURE, False, "biased"),
    "dni_b": (FUTURE, False, "biased"),
    "dni_lambda": (FUTURE, False, "biased"),
    "random_walk": (PAST, True, "biased"),
} | dict.fromkeys(("rflo", "e_prop", "snap1", "hops", "mdgl", "modprop", "cascade", "pp_prop"), (PAST, False, "biased"))
QUICK = ("immediate", "rtrl", "f_bptt", "uoro", "dni")


def told(rule):
    depends = dependence(rule)
    return depends, bias(rule, depends.draws or rule.needs_noise)


@pytest.mark.parametrize("name", QUICK)  # the others with what the page tells of them
def test_what_is_measured_of_a_rule_is_what_its_equations_say(name):
    depends, near = told(RULES[name]())
    assert (depends.facing, depends.draws, near.verdict) == KNOWN[name]


def test_a_window_depends_on_its_own_steps():
    depends = dependence(RULES["f_bptt"](window=4))
    assert (depends.losses, depends.activity) == ((0, 1, 2, 3), (0,))
    depends = dependence(RULES["e_bptt"](window=3))
    assert (min(depends.losses), max(depends.losses), min(depends.activity), max(depends.activity)) == (-2, 0, -2, 0)


class ShrunkRTRL(RTRL):
    """RTRL whose gradient is a little too small."""

    share: float = 0.85

    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return self.share * G, state


class Noisy(ShrunkRTRL):
    """The same, times a number whose mean is 1."""

    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return (1 + 2 * jax.random.normal(key)) * G, state


def test_a_bias_is_seen_beneath_noise_and_no_bias_is_none():
    assert bias(ShrunkRTRL(), False).verdict == "biased"
    assert bias(ShrunkRTRL(share=1.0), False).verdict == "exact"
    assert bias(Noisy(), True).verdict == "biased"
    assert bias(Noisy(share=1.0), True).verdict == "unbiased"


def test_the_order_of_a_polynomial_is_its_power_of_n():
    texts = {"0": 0, "n_in + 4": 0, "30n + 10n_in": 1, "n·n_in": 1, "17n² + n·n_out": 2, "n³·n_in + n": 3, "4n⁴": 4}
    assert {text: order(text) for text in texts} == texts


def rows(page, heading):
    """The cells of the table under a heading, by the rule that is first in its row."""
    lines = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return table[0], {row[0].strip("`"): row[1:] for row in table[2:]}


@pytest.mark.slow
def test_the_page_tells_which_rules_are_for_which_units():
    head, told = rows(PAGE.read_text(), "The networks that they are for")
    assert head == ["rule", *UNITS]
    assert [name for name in RULES if name in told] == [*told]  # of a new rule nothing is told until `make docs`
    for name, units in told.items():
        assert units == ["yes" if why is None else "–" for why in unfit_by_units(RULES[name]()).values()]


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_the_page_tells_what_is_so(name):
    page = PAGE.read_text()
    if name not in rows(page, "The networks that they are for")[1]:
        pytest.skip("the page is older than the rule: make docs")
    found = member(name)
    assert name not in KNOWN or (found.depends.facing, found.depends.draws, found.bias.verdict) == KNOWN[name]
    now = family_page([found], REDUCTIONS)
    for heading in ("What they keep, depend on and cost", "What they ask of a neural circuit"):
        expected, said = (rows(text, heading)[1][name] for text in (now, page))
        cosine = re.compile(r"-?\d\.\d\d")
        assert [cosine.sub("", cell) for cell in expected] == [cosine.sub("", cell) for cell in said]
        of_both = [[float(each) for cell in cells for each in cosine.findall(cell)] for cells in (expected, said)]
        assert of_both[0] == pytest.approx(of_both[1], abs=0.02)  # JAX's versions draw otherwise


OWN = '''
from recredit.rules import RFLO, RTRL


class Mine(RFLO):
    """RFLO under another name."""


class Other(RTRL):
    """Half of RTRL."""

    def update(self, net, step, state, key):
        G, state = super().update(net, step, state, key)
        return G / 2, state
'''


def read_csv(file):
    with open(file, newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.slow
def test_an_own_rule_takes_its_place(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("recredit.cli.family.RULES", {name: RULES[name] for name in ("rtrl", "rflo")})
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN)
    with ThreadPoolExecutor(1) as pool:
        run_family(pool, ["own.py:Mine", "own.py:Other"], Path("out"))
    page, picture = Path("out/rules.md").read_text(), Path("out/rules.svg").read_text()
    _, facts = rows(page, "What they keep, depend on and cost")
    assert [*facts] == ["rtrl", "rflo", "Mine", "Other"]
    assert facts["Mine"] == facts["rflo"]
    assert facts["Other"][1:4] == [PAST, "–", "biased, cosine 1.00"]
    _, arrows = rows(page, "Which rule reduces to which")
    assert arrows["Mine"] == ["`rflo`", "in a run", "any", "at each step"]
    assert "Other" not in arrows
    assert [name for name in ("rtrl", "rflo", "Mine", "Other") if f">{name}</text>" not in picture] == []
    assert "in a run → rflo</text>" in picture
    numbers, reductions = (read_csv(f"out/{name}.csv") for name in ("rules", "reductions"))
    assert [(row["rule"], row["numbers_kept"]) for row in numbers] == [(name, facts[name][4]) for name in facts]
    assert {row["i"] for row in numbers} <= {"pass", "fail", "judgement", "n/a"}
    assert {"general": "Mine", "special": "rflo", "condition": "in a run", "equal": "at each step"} in reductions
    assert capfd.readouterr().out.startswith(
        "Wrote out/rules.md, out/rules.svg, out/rules.png, out/rules.csv and out/reductions.csv."
    )


def test_two_own_rules_of_one_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("a.py", "b.py"):
        Path(file).write_text(OWN)
    with (
        pytest.raises(ValueError, match=r"two rules are called Mine, a\.py:Mine and b\.py:Mine"),
        ThreadPoolExecutor(1) as pool,
    ):
        run_family(pool, ["rtrl", "a.py:Mine", "b.py:Mine"], Path("out"))
    assert not Path("out").exists()


class OneProcess(ThreadPoolExecutor):
    """It works out what is asked for first, and nothing after it."""

    asked: int = 0

    def submit(self, fn, /, *args, **kwargs):
        self.asked += 1
        return super().submit(fn if self.asked == 1 else {}.__getitem__, *args, **kwargs)


def test_an_own_rule_that_breaks_the_contract_is_refused_at_once_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN.replace("G / 2", "G[0]"))
    with pytest.raises(ValueError, match="Other's update must return a gradient of W's type"), OneProcess(1) as pool:
        run_family(pool, ["own.py:Other"], Path("out"))
    assert not Path("out").exists()
