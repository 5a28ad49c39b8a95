"""The family of learning rules as a page: what each is, what it asks of a circuit, what it is for, what it becomes."""

from collections.abc import Mapping, Sequence
from typing import Any

from recredit.audit.verdicts import CRITERIA
from recredit.network import UNITS
from recredit.report.audit_tables import MARKS, MEANINGS
from recredit.report.figures import as_csv
from recredit.studies.behaviour import COUNTS, RESOLVED, SIZES, Bias, Dependence
from recredit.studies.family import Member
from recredit.studies.reductions import STEPS, Reduction

INTRODUCTION = """# The family of learning rules

Written by `recredit family` from the rules' own programs; `make docs` rewrites it. A rule of your own joins them
with `recredit family path/to/file.py:MyRule`.

![The rules by what they keep and by facing, and which reduces to which](rules.svg)

Rules further down keep less. An arrow leads from a general rule to a special one, which it equals under the condition written
in the arrow's colour; each arrow is a test, in `tests/test_reductions.py`.
"""

FACTS = f"""
## What they keep, depend on and cost

The rules with default settings, on the paper's network of n units, n_in inputs and n_out outputs; m = n + n_in + 1. State:
the arrays that a rule carries from step to step. Memory counts their numbers, and time the multiplications of a step, as the
program is written.

Facing: what a step's gradient depends on. *Past-facing*: that step's loss and the activity of steps before it. *Future-facing*:
that step's activity and later losses, or what was learned about losses. *Mixed*: both. *One step*: neither. Loss and
presynaptic signals are changed at one step after another, and a change counts if it moves the gradient by
{100 * COUNTS:.0f} % of the largest effect: that of a running mean, or of what learns slowly, does not.

Gradient: its sum over a run compared with that of autodiff, with fixed weights (n = {SIZES[0]}, alpha = 0.5, 64 bits).
*Exact*: at each step; *exact in sum*: only over the whole run. *Unbiased*: its mean over draws is exact, where a bias of
{100 * RESOLVED:.0f} % would have been seen; *not resolved*, where it would not. *Biased*: given with the cosine between
the sum, or its mean over draws, and the exact one. This is about one small network with random weights; where
credit is learned (DNI), learning has only just begun.
"""

VERDICTS = """
## What they ask of a neural circuit

The audit's verdicts, on the paper's network: {}.
The criteria and their reasons: `recredit audit`, [judge your own rule](judge_your_own_rule.md).
"""

NETWORKS = """
## The networks that they are for

The rules with default settings, by units ([networks](networks.md)). A rule that learns from noise needs a network that has
some, `network.noise`.
"""

ARROWS = f"""
## Which rule reduces to which

With fixed weights, each a test over a run of {STEPS} steps, or over 2 or 3 steps with two units where it averages
over all possible draws; *in sum* includes what is returned at the end of a trial.
"""


def family_page(members: Sequence[Member], reductions: Sequence[Reduction]) -> str:
    """The page, in Markdown; the figure that it shows is rules.svg beside it."""
    marks = ", ".join(f"{MARKS[verdict]} {meaning}" for verdict, meaning in MEANINGS.items())
    facts = table(
        ["rule", "state", "facing", "randomness", "gradient", "memory", "time"],
        [[f"`{each.name}`", *_facts(each)] for each in members],
    )
    verdicts = [[f"`{each.name}`", *(MARKS[cell.verdict] for cell in each.audit.cells.values())] for each in members]
    networks = fits_page({each.name: each.units for each in members})
    arrows = [_arrow(each) for each in _among(members, reductions)]
    return "".join(
        [
            INTRODUCTION + FACTS,
            facts,
            VERDICTS.format(marks),
            table(["rule", *CRITERIA], verdicts),
            NETWORKS,
            networks,
            ARROWS,
            table(["rule", "is", "when", "network", "gradient"], arrows),
        ]
    )


def fits_page(fits: Mapping[str, Mapping[str, str | None]]) -> str:
    """The table of rules and units."""
    rows = [[f"`{rule}`", *("yes" if units[each] is None else "–" for each in UNITS)] for rule, units in fits.items()]
    return table(["rule", *UNITS], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rules_csv(members: Sequence[Member]) -> bytes:
    """What the figure shows of each rule, as CSV: its costs, facing, randomness and bias, and the audit's verdicts."""
    head = ("rule", "numbers_kept", "multiplications", "facing", "randomness", "bias", *CRITERIA)
    return as_csv(head, [_row(each) for each in members])


def _row(member: Member) -> list[str]:
    verdicts = (cell.verdict for cell in member.audit.cells.values())
    costs = member.audit.memory, member.audit.multiplications
    return [member.name, *costs, member.depends.facing, member.randomness, member.bias.verdict, *verdicts]


def reductions_csv(members: Sequence[Member], reductions: Sequence[Reduction]) -> bytes:
    """The arrows of the figure, as CSV: which rule becomes which, when, and what of the gradient is then equal."""
    arrows = _among(members, reductions)
    head = ("general", "special", "condition", "equal")
    return as_csv(head, [(each.general["name"], each.special["name"], each.words, each.kind) for each in arrows])


def _among(members: Sequence[Member], reductions: Sequence[Reduction]) -> list[Reduction]:
    """The reductions of which both rules are there."""
    known = {each.name for each in members}
    return [each for each in reductions if {each.general["name"], each.special["name"]} <= known]


def _facts(member: Member) -> list[str]:
    state = ", ".join(f"{leaf.name} ({', '.join(leaf.shape)})" for leaf in member.audit.state if leaf.shape)
    randomness = {"draws": "its own draws", "noise": "the network's noise", "noise and draws": "both"}
    return [
        state or "–",
        facing_text(member.depends),
        randomness.get(member.randomness, "–"),
        bias_text(member.bias, member.depends),
        member.audit.memory,
        member.audit.multiplications,
    ]


def facing_text(depends: Dependence) -> str:
    """Its facing, with what tells the two kinds of credit from the future apart."""
    learned = depends.facing == "future-facing" and max(depends.losses) < 0
    return "future-facing (learned)" if learned else "–" if depends.facing == "none" else depends.facing


def bias_text(bias: Bias, depends: Dependence) -> str:
    """How the gradient lies to the exact one."""
    if depends.facing == "none":
        return "0"
    near = "its mean is 0 within the noise" if bias.cosine is None else f"cosine {bias.cosine:.2f}"
    return f"{bias.verdict}, {near}" if bias.verdict in ("biased", "not resolved") else bias.verdict


def _arrow(each: Reduction) -> list[str]:
    settings = _settings(each.network) or "any"
    factor = "" if each.factor == 1 else f", {each.factor:g} times"
    return [_rule(each.general), _rule(each.special), each.words, settings, each.kind + factor]


def _rule(told: Mapping[str, Any]) -> str:
    return f"`{' '.join([told['name'], *_settings({k: v for k, v in told.items() if k != 'name'}).split()])}`"


def _settings(told: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in told.items())
