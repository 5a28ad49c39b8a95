"""What an audit says: verdicts with their evidence, and what the rule does, keeps and costs. Typed and immutable."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "judgement", "n/a"]
THE_PAPERS = "the paper's leaky tanh units"

NOT_COUNTED = "not counted"
"""What replaces the costs of a rule whose program is too long to follow."""

# The criteria, in the order of the tables: what each one asks. memory to vi: Marschall et al. 2019; vii: ours.
CRITERIA: dict[str, str] = {
    "memory": "Is the learning state at most one matrix's worth, O(n²)?",
    "locality-time": "Does it do without the activity of many time steps at once?",
    "i": "Can every vector be a firing rate, a voltage or another intracellular variable?",
    "ii-stored": "Is each matrix that transmits signals a set of synapses?",
    "ii-local": "Is each change of a synapse local?",
    "ii-continuous": "Does each matrix change continuously in time?",
    "iii": "Is what passes through synapses a firing rate?",
    "iv": "Does it do without matrix–matrix products?",
    "v": "Is the noise independent and additive?",
    "vi": "Does it do without a second, perturbed copy of the network?",
    "vii": "Is each synapse used in one direction only?",
}


@dataclass(frozen=True)
class Evidence:
    """One operation of the rule's program that decides a criterion, and its place in the source."""

    operation: str
    """In the field's notation, with symbolic shapes: "J·B : (n×n)·(n×m)"."""
    file: str
    """The file of the rule, as a path."""
    line: int
    """The line of that file that computes it."""
    sentence: str
    """Why this decides as it does."""


@dataclass(frozen=True)
class Cell:
    """The verdict on one criterion."""

    criterion: str
    verdict: Verdict
    why: str
    """One sentence."""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One operation of the rule's update, in the order of the program."""

    kind: str
    """The building block: "matrix–vector product", "outer product", "trace", "noise draw", …"""
    text: str
    """In the field's notation, with symbolic shapes."""
    file: str
    line: int
    fails: tuple[str, ...] = ()
    """The criteria that this operation fails."""
    weighs: tuple[str, ...] = ()
    """The criteria that it leaves to judgement."""


@dataclass(frozen=True)
class StateLeaf:
    """One array of the learning state."""

    name: str
    shape: tuple[str, ...]
    """Symbolic, e.g. ("n", "n", "m")."""
    order: int
    """The power of n in which its size grows."""


@dataclass(frozen=True)
class Audit:
    """What an audit of a rule found."""

    rule: str
    """What the rule is called: a name and, in parentheses, its building blocks where they are not the default."""
    file: str
    """The rule's file."""
    cells: dict[str, Cell]
    """The verdict of each criterion, in the order of CRITERIA."""
    operations: tuple[Operation, ...]
    """Everything that its update does, in the order of the program."""
    state: tuple[StateLeaf, ...]
    """The arrays that it keeps from step to step."""
    reads: tuple[str, ...]
    """What it reads of the network and the step, e.g. ("net.W", "step.error")."""
    memory: str
    """Numbers of learning state, a polynomial in n, n_in, n_out: "n² + n·n_in + n"."""
    multiplications: str
    """Multiplications per step, likewise."""
    notes: tuple[str, ...] = ()
    """What is common or worth knowing but decides nothing."""
    slopes: dict[str, dict[str, list[float]]] | None = None
    """Of the continuity measurement: per matrix, "alpha", and "max" and "mean" over runs of the largest relative change."""
    network: str = THE_PAPERS
    """The network that the rule was audited on: its units, and what is known of its synapses."""

    def verdict(self, criterion: str) -> Verdict:
        """The verdict on a criterion."""
        return self.cells[criterion].verdict

    @property
    def passes(self) -> bool:
        """Whether no criterion fails."""
        return all(cell.verdict != "fail" for cell in self.cells.values())
