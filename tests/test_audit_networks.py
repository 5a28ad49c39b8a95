"""The audit on networks of any units: what is a unit's own passes, what is forbidden is found as on the paper's network."""

import json
import warnings

import pytest
from audit_networks import CASES

from recredit.audit import NotForNetworkError, audit
from recredit.audit.paper import compare
from recredit.audit.program.audited import Audited
from recredit.audit.verdicts import THE_PAPERS
from recredit.blocks.feedback import RandomFeedback
from recredit.cli.main import main
from recredit.network import UNITS, Network
from recredit.report.audit_tables import as_json, as_latex, as_markdown
from recredit.report.templates import audit_page
from recredit.rules import RULES
from recredit.testing import assert_passes

with warnings.catch_warnings(action="ignore"):
    NETWORKS = {name: Network(units=units()) for name, units in UNITS.items() if name != "leaky"}
    NETWORKS |= {"paper": Network(), "dale": Network(excitatory=0.8, density=0.3, activation="relu")}
QUICK = ("lstm", "dale")
quick = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS if name not in QUICK)]

# Where a rule of CASES is another matter on some units: the cells that fail, and those left to judgement.
OTHERWISE = {
    # Gates make rates of rates by more than leaky integration; a time constant that is learned does, too.
    **{("SecondNetwork", units): ({"vi"}, {"iii"}) for units in ("gru", "lstm", "learned_leak")},
    ("SecondNetwork", "lru"): (set(), {"vi"}),  # linear units without synapses between them: no loop to be seen
    ("NextGain", "voltage"): (set(), set()),  # the same number for all units, alpha
    **{("StateSent", units): (set(), set()) for units in ("paper", "dale", "gru", "learned_leak")},  # their state is their rate
    ("StateSent", "lru"): (set(), set()),  # the read-out gets both parts of it
}


def found(rule, network):
    result = audit(rule, network=NETWORKS[network], measure=False)
    return tuple({name for name, cell in result.cells.items() if cell.verdict == verdict} for verdict in ("fail", "judgement"))


@pytest.mark.parametrize("network", quick)
@pytest.mark.parametrize("case", CASES)
def test_what_a_unit_has_of_its_own_passes_and_what_is_forbidden_is_found(case, network):
    rule, fails, weighs = CASES[case]
    assert found(rule(), network) == OTHERWISE.get((case, network), (fails, weighs))


# The cells that fail and those left to judgement. Where they are not those on the paper's network:
# alif: D of the membrane is 1, so that J holds W itself, and c J uses W backwards (vii).
# lru: J = L, a unit's own: nothing is transmitted but credit.
WINDOW = "locality-time ii-stored iii"
VERDICTS = {
    "fixed_w": {"gru": ("", ""), "alif": ("", ""), "lru": ("", "")},
    "rflo": {"gru": ("", ""), "alif": ("", ""), "lru": ("", "")},
    "uoro": {"gru": ("ii-stored iii", "ii-local v"), "alif": ("ii-stored iii", "ii-local v"), "lru": ("", "ii-local v")},
    "dni": {"gru": ("ii-stored iii", ""), "alif": ("ii-stored iii vii", ""), "lru": ("", "")},
    "kf_rtrl": {
        "gru": ("ii-stored ii-local iii iv v", ""),
        "alif": ("ii-stored ii-local iii iv v", ""),
        "lru": ("iii v", "ii-local"),
    },
    "r_kf": {
        "gru": ("ii-stored ii-local iii iv", "v"),
        "alif": ("ii-stored ii-local iii iv", "v"),
        "lru": ("iii", "ii-local v"),
    },
    "rtrl": {
        "gru": ("memory ii-stored ii-local iii iv", ""),
        "alif": ("memory ii-stored ii-local iii iv", ""),
        "lru": ("memory iii", ""),
    },
    "e_bptt": {"gru": (WINDOW, ""), "alif": (f"{WINDOW} vii", ""), "lru": ("locality-time", "")},
    "f_bptt": {"gru": (WINDOW, ""), "alif": (f"{WINDOW} vii", ""), "lru": ("locality-time", "")},
    "p_bptt": {"gru": (WINDOW, ""), "alif": (f"{WINDOW} vii", ""), "lru": ("locality-time", "")},
}


@pytest.mark.parametrize(
    ("rule", "network"),
    [
        pytest.param(rule, units, marks=() if rule in ("rflo", "uoro") and units == "gru" else pytest.mark.slow)
        for rule, each in VERDICTS.items()
        for units in each
    ],
)
def test_the_rules_get_their_verdicts_on_other_units(rule, network):
    assert found(RULES[rule](), network) == tuple(set(cells.split()) for cells in VERDICTS[rule][network])


@pytest.mark.parametrize("rule", ["kernl", "rtrl_block", "dni_b"])
def test_a_rule_that_is_not_for_these_units_says_so(rule):
    with pytest.raises(NotForNetworkError, match="GRU units"):
        audit(RULES[rule](), network=NETWORKS["gru"])


def test_continuity_is_measured_of_leaky_units_with_any_synapses_and_of_others_it_is_unsure():
    dale, gru = NETWORKS["dale"], NETWORKS["gru"]
    smooth = audit(RULES["rflo"](), network=dale)
    assert smooth.verdict("ii-continuous") == "pass"
    assert smooth.slopes is not None
    unsure = audit(RULES["rflo"](), network=gru)
    assert (unsure.verdict("ii-continuous"), unsure.slopes) == ("judgement", None)
    assert "GRU units" in unsure.cells["ii-continuous"].why
    assert audit(RULES["fixed_w"](), network=gru).verdict("ii-continuous") == "pass"  # nothing that could jump


@pytest.mark.slow
def test_a_matrix_that_jumps_jumps_in_a_sparse_network_of_fixed_signs_too():
    assert audit(RULES["uoro"](), network=NETWORKS["dale"]).verdict("ii-continuous") == "fail"


def test_whose_an_entry_is():
    lstm, n, m = Audited(NETWORKS["lstm"]), 5, 8  # S = 2, G = 4
    unit, synapse = 1 << 3, 1 << 3 | 1 << 6
    for shape, index, owner in (
        ((10,), (5 + 3,), unit),
        ((20, m), (15 + 3, 6), synapse),
        ((2, 4, n, m), (1, 2, 3, 6), synapse),
        ((3, n), (2, 3), 1 << 3 | 1 << m + 2),  # an output's synapse
    ):
        assert lstm.owners(shape, index, (n, 2, 3)) == owner
    assert lstm.folded((20, m), (18, 6), n) == (3, 6)
    assert Audited(NETWORKS["alif"]).owners((5, 1, n, m), (4, 0, 3, 6), (n, 2, 3)) == synapse  # though S = n


@pytest.mark.slow
def test_the_paper_s_network_given_is_the_paper_s():
    rule = RULES["uoro"]()
    assert audit(rule, network=Network(n=7)) == audit(rule)


def test_tables_say_which_network_it_was_and_the_paper_is_silent_on_others():
    result = audit(RULES["rflo"](feedback=RandomFeedback()), name="rflo", network=NETWORKS["lstm"], measure=False)
    assert result.network == "LSTM units (forget_bias 1.0); N = 2n state variables, P = 4n voltages"
    assert "i, i + n, i + 2n" in result.notes[-1]
    assert not compare(result)
    for write in (as_markdown, audit_page, as_latex, as_json):
        assert "LSTM units" in write([result])
    assert json.loads(as_json([result]))["audits"][0]["network"] == result.network
    paper = audit(RULES["fixed_w"](), measure=False)
    assert paper.network == THE_PAPERS
    assert not paper.notes


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["audit", *arguments])
    assert end.value.code == 0


def test_the_command_takes_units_or_settings_of_the_network(capfd):
    run("fixed_w", "kernl", "--network", "gru")
    shown = capfd.readouterr()
    assert "Network: GRU units; P = 4n voltages." in shown.out
    assert (
        shown.err.strip() == "Left out: KeRNL is for units of one state variable and one voltage, and GRU units have 1 and 4."
    )
    run("fixed_w", "--network", "excitatory=0.8", "density=0.3", "activation=relu", "--format", "markdown")
    assert "not all synapses, synapses of a fixed sign" in capfd.readouterr().out


REFUSED = {
    "unknown units": (["--network", "gruu"], 'Did you mean "gru"?'),
    "unknown setting": (["--network", "units=gru", "denstiy=0.3"], 'Did you mean "density"?'),
    "not for these units": (["--network", "alif"], "KeRNL is for units of one state variable"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_network_that_does_not_fit_is_refused_in_one_sentence(capfd, what):
    arguments, sentence = REFUSED[what]
    with pytest.raises(SystemExit) as end:
        main(["audit", "kernl", *arguments])
    told = capfd.readouterr()
    assert (end.value.code, told.out) == (2, "")
    assert sentence in told.err
    assert told.err.count("\n") == 1


def test_in_python_a_network_is_its_settings():
    with pytest.raises(TypeError, match="the network must be a Network"):
        audit(RULES["fixed_w"](), network="gru")


def test_ones_own_tests_may_name_the_network():
    assert_passes("rflo", "ii-local", "iv", network={"units": "gru"})
    with pytest.raises(AssertionError, match="ii-stored"):
        assert_passes("uoro", "ii-stored", network={"units": "gru"})
