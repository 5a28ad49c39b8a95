"""Table 1 of the paper as a page, from the rules' own files and the audit."""

from collections.abc import Mapping

from recredit.audit.paper import compare
from recredit.audit.verdicts import CRITERIA, Audit
from recredit.report.audit_tables import MARKS, MEANINGS, difference_text
from recredit.studies.explained import explained
from writing.markdown import escaped, prose, table

ROWS = {"uoro": "UORO", "kf_rtrl": "KF-RTRL", "r_kf": "R-KF", "kernl": "KeRNL", "rflo": "RFLO", "dni": "DNI"}
"""The rules of Table 1, as it names them."""
BESIDE = {"dni_b": "DNI(b)", "rtrl": "RTRL", "f_bptt": "BPTT", "fixed_w": "fixed-W"}
"""What the paper compares them with."""
TENSORS = {
    "uoro": "A_k B_ij",
    "kf_rtrl": "A_j B_ki",
    "r_kf": "A_i B_kj",
    "kernl": "A_ki B_ij",
    "rflo": "δ_ki B_ij",
    "dni": "A_li",
    "dni_b": "A_li",
    "rtrl": "M_kij",
}
"""What stands for the influence, or for DNI predicts the credit."""
INTRODUCTION = """# Table 1

The rules of Table 1 of [Marschall, Cho & Savin 2019](https://arxiv.org/abs/1907.02649), and four that the paper compares
them with: DNI(b), RTRL, BPTT and fixed-W. Equations are those of the rules' own files; costs and verdicts are read off their
programs. There are n units, n_in inputs and n_out outputs, and m = n + n_in + 1. Where the printed table differs,
[the errata](../errata.md) say why. Symbols: [notation](../notation.md)."""


def table_1(audited: Mapping[str, Audit]) -> str:
    """The page; `audited`: the audits of all rules."""
    every = ROWS | BESIDE
    costs = [
        [f"[{title}](rules/{rule}.md)", escaped(TENSORS.get(rule, "–")), audited[rule].memory, audited[rule].multiplications]
        for rule, title in every.items()
    ]
    verdicts = [
        [f"[{title}](rules/{rule}.md)", *(MARKS[cell.verdict] for cell in audited[rule].cells.values())]
        for rule, title in every.items()
    ]
    differing = [
        f"- {every[rule]}, {each.said.criterion}: {escaped(difference_text(each))}"
        for rule in every
        for each in compare(audited[rule])
        if not each.agrees
    ]
    sections = [f"### {title}\n\n{prose(explained('rule', rule).equations)}" for rule, title in every.items()]
    legend = ", ".join(f"{MARKS[verdict]} {meaning}" for verdict, meaning in MEANINGS.items())
    return "\n\n".join(
        [
            INTRODUCTION,
            "## Costs",
            table(["rule", "tensors", "numbers kept", "multiplications per step"], costs),
            "## Verdicts",
            f"What the audit finds: {legend}. "
            "What the criteria ask: [judge your own rule](../judge_your_own_rule.md#what-the-audit-looks-at).",
            table(["rule", *CRITERIA], verdicts),
            "Where the paper says otherwise:",
            "\n".join(differing),
            "## Equations",
            *sections,
            "",
        ]
    )
