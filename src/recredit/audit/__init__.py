"""The audit: which of a learning rule's operations could a neural circuit perform?

It reads the rule's own program. Nothing is declared by the rule's author, and nothing is looked up by its name.
"""

import contextlib
import io
import sys
from dataclasses import replace
from types import ModuleType

import jax

from recredit.audit.account.operations import costs, operations, reads
from recredit.audit.criteria.structural import STRUCTURAL
from recredit.audit.facts.named import Program
from recredit.audit.facts.neurons import LARGE, SMALL
from recredit.audit.measurement.verdict import measured
from recredit.audit.program.audited import Audited
from recredit.audit.program.graph import TooLargeError
from recredit.audit.program.pure import check_pure
from recredit.audit.program.trace import traced
from recredit.audit.verdicts import CRITERIA, NOT_COUNTED, Audit, Cell, Evidence, Operation
from recredit.contract import check_rule, in_a_sentence, returns
from recredit.network import Network
from recredit.rule import AbstractRule


def audit(rule: AbstractRule, *, name: str | None = None, network: Network | None = None, measure: bool = True) -> Audit:
    """Judge a learning rule by the operations of its own program.

    `name`: what to call it (default: its class). `network`: what it is to train (default: the paper's network); the rule's
    program depends on its units, and on whether synapses are sparse or keep their signs, not on its size or its weights.
    `measure`: also measure whether its matrices change continuously in time, which takes a second or two; otherwise that
    criterion is n/a.

    Raises ValueError, one sentence, for anything that is not a rule or breaks the contract (recredit.rule), and
    NotForNetworkError, also one sentence, for a rule that does not support this network.
    """
    name = name or type(rule).__name__
    check_rule(rule, name)
    audited = Audited(network, rule.needs_noise)
    with contextlib.redirect_stdout(_Prints()):
        _check_network(rule, audited)
    with contextlib.redirect_stdout(_Prints()):
        try:
            impure = check_pure(rule, name, SMALL, audited)
            traced(rule, LARGE, name, audited)
            found = _sentenced(rule, name, audited, measure)
            jax.effects_barrier()
        except TooLargeError as reached:
            return _bounded(rule, name, audited, str(reached))
    return replace(found, notes=(*found.notes, *impure))


OWN = (
    "In states, voltages and the rows of matrices, the entries i, i + n, i + 2n, ... belong to unit i, and so do its "
    "derivatives L, D and R; the synapses from one neuron to the voltages of another count as one."
)


class NotForNetworkError(ValueError):
    """The rule does not support the network on which it was to be audited; a sentence."""


def _check_network(rule: AbstractRule, audited: Audited) -> None:
    try:
        rule.check_network(audited.example(SMALL)[0])
    except ValueError as error:
        raise NotForNetworkError(str(error)) from None


def _sentenced(rule: AbstractRule, name: str, audited: Audited, measure: bool) -> Audit:
    """The audit of a rule that obeys the contract; whatever else goes wrong is reported in a sentence, not in a traceback."""
    try:
        return _audit(rule, name, audited, measure)
    except TooLargeError:
        raise
    except Exception as error:
        with in_a_sentence(f"the audit of {name}", rule.update):
            raise error


def _bounded(rule: AbstractRule, name: str, audited: Audited, sentence: str) -> Audit:
    """The audit of a rule whose program is too long to be followed."""
    file, line = returns(rule, "update")
    cells = {c: Cell(c, "judgement", sentence, (Evidence("update", file or "?", line, sentence),)) for c in CRITERIA}
    update = Operation("program", "update", file or "?", line, weighs=tuple(CRITERIA))
    return Audit(name, file or "?", cells, (update,), (), (), NOT_COUNTED, NOT_COUNTED, network=str(audited))


def _audit(rule: AbstractRule, name: str, audited: Audited, measure: bool) -> Audit:
    p = Program(rule, name, audited)
    cells = {criterion: _known(p, decide(p)) for criterion, decide in STRUCTURAL.items()}
    curves, cells["ii-continuous"] = measured(p) if measure else (None, Cell("ii-continuous", "n/a", "Not measured."))
    ordered = {criterion: cells[criterion] for criterion in CRITERIA}
    leaves, memory, multiplications = costs(rule, audited)
    return Audit(
        rule=name,
        file=p.file,
        cells=ordered,
        operations=operations(p, ordered.values()),
        state=leaves,
        reads=reads(p),
        memory=memory,
        multiplications=multiplications,
        notes=_notes(p),
        network=str(audited),
        slopes=curves,
    )


def _notes(p: Program) -> tuple[str, ...]:
    """What is common to many rules, or how the network was read; it decides nothing."""
    own = () if p.audited.is_simple else (OWN,)
    entries = (p.stored_rows(product.rows).values() for product in p.transmissions if "·W_out" in p.show(product))
    if any(entry and entry[0] == "net.W_out" for found in entries for entry in found):
        return (
            "W_out is used backwards, as in every rule with exact feedback; vii does not count it. Random feedback avoids it.",
            *own,
        )
    return own


def _known(p: Program, cell: Cell) -> Cell:
    """A verdict, but no silent pass where the program uses what the audit does not know."""
    unknown = sorted({p.graph.op[i].removeprefix("unknown:") for i in p.reached if p.graph.op[i].startswith("unknown:")})
    if not unknown or cell.verdict != "pass" or cell.criterion == "memory":
        return cell
    what = f"the primitive {unknown[0]}" if len(unknown) == 1 else f"the primitives {', '.join(unknown)}"
    evidence = tuple(
        p.evidence(u, p.graph.unknown[u], f"The audit does not know what {u} would require of a circuit.") for u in unknown
    )
    return replace(cell, verdict="judgement", why=f"It uses {what}, which the audit does not know.", evidence=evidence)


class _Prints(io.TextIOBase):
    """Takes what a rule prints when it is traced or run, and shows it, cut short, apart from the verdicts."""

    def __init__(self) -> None:
        self.left = 10_000  # characters

    def write(self, text: str) -> int:
        """Show a text on standard error, until there has been too much."""
        sys.stderr.write(text[: self.left] if len(text) < self.left or not self.left else f"{text[: self.left]}\n...\n")
        self.left = max(self.left - len(text), 0)
        return len(text)


class _Callable(ModuleType):
    """`recredit.audit` is this package and its main function at once."""

    def __call__(
        self, rule: AbstractRule, *, name: str | None = None, network: Network | None = None, measure: bool = True
    ) -> Audit:
        return audit(rule, name=name, network=network, measure=measure)


sys.modules[__name__].__class__ = _Callable
