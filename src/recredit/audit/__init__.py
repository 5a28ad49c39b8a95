"""The audit: which of a learning rule's operations could a neural circuit perform?

It reads the rule's own program. Nothing is declared by the rule's author, and nothing is looked up by its name.
"""

import sys
from dataclasses import replace
from types import ModuleType

from recredit.audit.account import costs, operations, reads
from recredit.audit.continuity import slope, slopes
from recredit.audit.criteria import STRUCTURAL
from recredit.audit.program import Program
from recredit.audit.pure import check_pure
from recredit.audit.verdicts import CRITERIA, Audit, Cell
from recredit.audit.verdicts import Evidence as Evidence
from recredit.contract import check_rule, random_key
from recredit.rule import AbstractRule

SMOOTH = 0.6  # the slope from which on a matrix counts as continuous: 1 is smooth, 1/2 diffusive, 0 jumps


def audit(rule: AbstractRule, *, name: str | None = None, measure: bool = True) -> Audit:
    """Judge a learning rule by the operations of its own program.

    `name`: what to call it (default: its class). `measure`: also measure whether its matrices change continuously in time,
    which takes a second or two; otherwise that criterion is n/a.

    Raises ValueError, one sentence, for what is not a rule or breaks the contract (recredit.rule).
    """
    name = name or type(rule).__name__
    check_rule(rule, name)
    p = Program(rule, name)
    impure = check_pure(rule, name, p.small.sizes)
    cells = {criterion: _known(p, decide(p)) for criterion, decide in STRUCTURAL.items()}
    curves, cells["ii-continuous"] = _measured(p) if measure else (None, Cell("ii-continuous", "n/a", "Not measured."))
    ordered = {criterion: cells[criterion] for criterion in CRITERIA}
    leaves, memory, multiplications = costs(rule)
    return Audit(
        rule=name,
        file=p.file,
        cells=ordered,
        operations=operations(p, ordered.values()),
        state=leaves,
        reads=reads(p),
        memory=memory,
        multiplications=multiplications,
        notes=(*_notes(p), *impure),
        slopes=curves,
    )


def _notes(p: Program) -> tuple[str, ...]:
    """What is common to many rules, and decides nothing."""
    entries = (p.stored_rows(product.rows).values() for product in p.transmissions if "·W_out" in p.show(product))
    if any(entry and entry[0] == "net.W_out" for found in entries for entry in found):
        return (
            "W_out is used backwards, as by every rule with exact feedback; not counted under vii. Random feedback avoids it.",
        )
    return ()


def _measured(p: Program) -> tuple[dict[str, dict[str, list[float]]] | None, Cell]:
    """The continuity measurement and its verdict; judgement for a rule that the measurement cannot run."""
    try:
        curves = slopes(p.rule, random_key(0))
    except Exception as error:  # of the rule's, or of a type of number that the measurement does not know
        sentence = f"The measurement could not run the rule: {type(error).__name__}."
        evidence = (p.evidence("update", p.returns("update"), sentence),)
        return None, Cell("ii-continuous", "judgement", sentence, evidence)
    return curves, continuous(p, curves)


def continuous(p: Program, curves: dict[str, dict[str, list[float]]]) -> Cell:
    """The verdict on ii-continuous from the measured changes of each matrix (`continuity.slopes`)."""
    if not curves:
        return Cell("ii-continuous", "pass", "It keeps no matrix.")
    found = {name: slope(curve, "max") for name, curve in curves.items()}
    shown = ", ".join(f"{name} {value:.2f}" for name, value in found.items() if value < float("inf"))
    bad = [name for name, value in found.items() if not value >= SMOOTH]
    if not bad:
        why = (
            f"The largest change per step shrinks with the time step: slope {shown}." if shown else "Its matrices never change."
        )
        return Cell("ii-continuous", "pass", why)
    evidence = []
    for name in bad:
        grows = "diverges as the time step is refined" if found[name] != found[name] else f"jumps: slope {found[name]:.2f}"
        sentence = f"{name} {grows}, where a continuous one has 1 and {SMOOTH} is asked."
        evidence.append(p.evidence(f"{name} : |ΔS|/|S| ~ α^{found[name]:.2f}", p.written(p.named(name)), sentence))
    return Cell("ii-continuous", "fail", evidence[0].sentence, tuple(evidence))


def _known(p: Program, cell: Cell) -> Cell:
    """A verdict, but no silent pass where the program uses what the audit does not know."""
    unknown = sorted({p.graph.op[i].removeprefix("unknown:") for i in p.reached if p.graph.op[i].startswith("unknown:")})
    if not unknown or cell.verdict != "pass" or cell.criterion == "memory":
        return cell
    what = f"the primitive {unknown[0]}" if len(unknown) == 1 else f"the primitives {', '.join(unknown)}"
    evidence = tuple(p.evidence(u, p.graph.unknown[u], f"The audit does not know what {u} asks of a circuit.") for u in unknown)
    return replace(cell, verdict="judgement", why=f"It uses {what}, unknown to the audit.", evidence=evidence)


class _Callable(ModuleType):
    """`recredit.audit` is this package and its main function at once."""

    def __call__(self, rule: AbstractRule, *, name: str | None = None, measure: bool = True) -> Audit:
        return audit(rule, name=name, measure=measure)


sys.modules[__name__].__class__ = _Callable
