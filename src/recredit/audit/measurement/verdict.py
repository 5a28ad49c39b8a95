"""The verdict on ii-continuous, from what was measured."""

import math

from recredit.audit.facts.named import Program
from recredit.audit.measurement.continuity import NotMeasuredError, slope, slopes
from recredit.audit.verdicts import Cell
from recredit.contract import random_key
from recredit.network.leaky import Leaky

SMOOTH = 0.6  # a matrix with at least this slope counts as continuous: 1 is smooth, 1/2 diffusive, 0 jumps
CRITERION = "ii-continuous"

Curves = dict[str, dict[str, list[float]]]  # as `slopes` returns them


def measured(p: Program) -> tuple[Curves | None, Cell]:
    """The measurement and its verdict; judgement for a rule or for units that the measurement cannot run."""
    if not isinstance(units := p.audited.units, Leaky):
        names = matrices(p)
        if not any(int(i) not in p.fixed for name in names for i in p.small.inputs[_array(p, name)].ravel()):
            return None, Cell(CRITERION, "pass", "Its matrices never change." if names else "It keeps no matrix.")
        kind = type(units).__name__
        sentence = (
            "Whether its matrices change continuously was not measured: this is seen as the time step of leaky units is "
            f"made finer, but {kind} units are run only at their own time step."
        )
        return None, _unmeasured(p, sentence)
    try:
        curves = slopes(p.rule, matrices(p), random_key(0), p.audited)
    except NotMeasuredError as bound:
        return None, _unmeasured(p, f"Whether its matrices change continuously was not measured: {bound}.")
    except Exception as error:  # an error of the rule's own
        words = (str(error).strip().splitlines() or ["no message"])[0].rstrip(".")
        return None, _unmeasured(p, f"The measurement could not run the rule: {type(error).__name__}: {words}.")
    return curves, continuous(p, curves)


def matrices(p: Program) -> list[str]:
    """The matrices of the rule's state, as its other criteria know them, and whatever else transmits, by their paths."""
    rows = (row for product in p.transmissions for row in product.rows)
    transmit = {entry[0] for row in rows for i in row if (entry := p.owner.get(i))}
    return [_path(name) for name in p.small.after if p.is_matrix(name) or name in transmit]


def _unmeasured(p: Program, sentence: str) -> Cell:
    return Cell(CRITERION, "judgement", sentence, (p.evidence("update", p.returns("update"), sentence),))


def continuous(p: Program, curves: Curves) -> Cell:
    """The verdict from the measured changes of each matrix."""
    if not curves:
        return Cell(CRITERION, "pass", "It keeps no matrix.")
    found = {name: slope(curve) for name, curve in curves.items()}
    bad = {name: value for name, value in found.items() if not value >= SMOOTH}
    if not bad:
        shown = ", ".join(f"{_symbol(name)} {value:.2f}" for name, value in found.items() if value < math.inf)
        change = "The largest change per step of any entry"
        why = f"{change} shrinks with the time step: slope {shown}." if shown else "Its matrices never change."
        return Cell(CRITERION, "pass", why)
    evidence = tuple(
        p.evidence(_operation(_symbol(name), value), p.written(_array(p, name)), _sentence(_symbol(name), value))
        for name, value in bad.items()
    )
    return Cell(CRITERION, "fail", evidence[0].sentence, evidence)


def _operation(symbol: str, value: float) -> str:
    return f"{symbol} : |Δ{symbol}_ij| grows without bound" if math.isnan(value) else f"{symbol} : max |ΔS_ij| ~ α^{value:.2f}"


def _sentence(symbol: str, value: float) -> str:
    if math.isnan(value):
        return f"{symbol} grows without bound."
    how = "jumps" if value < 0.25 else "changes too much in a short time"
    return f"{symbol} {how}: the largest change of an entry has slope {value:.2f}, below {SMOOTH}; a smooth change has slope 1."


def _symbol(name: str) -> str:
    """What an array is called in a sentence: by its field's or key's name, or "state[0]" by its place."""
    first, *rest = name.split(".")
    return name if not first.isdecimal() else ".".join([f"state[{first}]", *rest])


def _array(p: Program, name: str) -> str:
    """The name that the program knows the array by."""
    return next(array for array in p.small.after if _path(array) == name)


def _path(name: str) -> str:
    """`state['inner'][0].sudden` as the measurement writes it, "inner.0.sudden"; "state" for a state that is one array."""
    path = name.removeprefix("state")
    for bracket in ("['", "']", "[", "]"):
        path = path.replace(bracket, ".")
    return ".".join(part for part in path.split(".") if part) or "state"
