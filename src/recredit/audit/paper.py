"""What the paper itself says about its rules, next to what an audit finds. No verdict depends on it."""

import csv
from dataclasses import dataclass
from importlib.resources import files

from recredit.audit.verdicts import THE_PAPERS, Audit, Cell, Verdict


@dataclass(frozen=True)
class Said:
    """One verdict of Marschall, Cho & Savin 2019: a row of paper.csv. Where the paper is silent, there is no row."""

    rule: str
    criterion: str
    verdict: str
    """"pass" or "fail"."""
    stated: str
    """"explicit" or "implied"."""
    place: str
    """Where in the paper."""
    quotation: str
    note: str
    """What to know where an audit differs, or ""."""


@dataclass(frozen=True)
class Comparison:
    """The paper's verdict and the audit's on one criterion."""

    said: Said
    found: Verdict
    agrees: bool
    reason: str
    """If they differ, why the audit decides otherwise."""


def read() -> tuple[Said, ...]:
    """Everything that the paper says, rule by rule."""
    text = files("recredit.audit").joinpath("paper.csv").read_text(encoding="utf-8")
    return tuple(Said(**row) for row in csv.DictReader(text.splitlines()))


def compare(audit: Audit) -> tuple[Comparison, ...]:
    """The audit compared with the paper, where both have a verdict.

    Empty for a rule, a choice of building blocks, or a network that is not the paper's.
    """
    rows = read() if audit.network == THE_PAPERS else ()
    beside = ((said, audit.cells[said.criterion]) for said in rows if said.rule == audit.rule)
    return tuple(_judged(said, cell) for said, cell in beside if cell.verdict != "n/a")


def _judged(said: Said, cell: Cell) -> Comparison:
    agrees = cell.verdict == said.verdict
    return Comparison(said, cell.verdict, agrees, "" if agrees else f"{cell.why} {said.note}".strip())
