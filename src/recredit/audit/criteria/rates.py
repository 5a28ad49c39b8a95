"""Which numbers of a program can be firing rates (criterion iii)."""

from typing import Literal, NamedTuple

import numpy as np

from recredit.audit.facts.named import Program
from recredit.audit.facts.neurons import RATES
from recredit.audit.facts.numbers import ONE, Weights
from recredit.audit.program.graph import COMPARE
from recredit.network.leaky import Leaky

# rate: a firing rate. neutral: nothing by itself, as the state that is asked about, or noise on top of a rate.
# mixed: made of rates alone, but by more than leaky integration: to be weighed. no: anything else.
Kind = Literal["rate", "neutral", "mixed", "no"]


class Answer(NamedTuple):
    kind: Kind
    why: str = ""


Part = tuple[str, int]  # of the state: an array, and which of a unit's variables
RATE, NEUTRAL = Answer("rate"), Answer("neutral")


class Rates:
    """Answers, for one program, whether a number is a firing rate."""

    def __init__(self, program: Program):
        self.program, self.graph = program, program.graph
        self.states: dict[Part, Answer] = {}  # of state vectors, those that hold rates, or what is made of rates alone
        self._memo: dict[int, Answer] = {}
        rows = program.small.inputs["net.W"].tolist()  # of a voltage that reads the bias alone: a unit's own parameter
        self.parameters = {row[-1] for row in rows if all(map(program.graph.is_constant, row[:-1]))}
        vectors = {name: ids for name, ids in program.small.after.items() if program.orders.get(name, 1) <= 1}
        parts: dict[Part, list[int]] = {}
        for name, ids in vectors.items():
            for index in np.ndindex(*ids.shape):
                parts.setdefault(self._part(name, index), []).append(int(ids[index]))
        for _ in range(len(parts) + 1):  # a state may hold another's rates
            found = {part: answer for part, nodes in parts.items() if (answer := self._held(part, nodes))}
            if found == self.states:
                break
            self.states = found
        self._memo = {}

    def _part(self, name: str, index: tuple[int, ...]) -> Part:
        """The state vector that an entry is of, and which of a unit's variables it holds."""
        p, shape = self.program, self.program.small.after[name].shape
        n = p.small.sizes[0]
        return name, index[0] // n if len(shape) == 1 and shape[0] > n and p.audited.of_units(shape[0], n) else 0

    def __call__(self, i: int) -> Answer:
        """Whether a number is a firing rate."""
        answer = self._ask(i, ("", 0))
        return answer if answer.kind != "neutral" else Answer("no", "noise, not a firing rate")

    def _held(self, part: Part, nodes: list[int]) -> Answer | None:
        """What a state vector holds, by its entries' next values; None: no rates.

        Units other than leaky ones make their rates of rates by more than leaky integration, as by gates: to be weighed.
        """
        self._memo = {}
        answers = [self._ask(i, part) for i in nodes]
        if {answer.kind for answer in answers} <= {"rate"}:
            return RATE
        if isinstance(self.program.audited.units, Leaky):
            return None
        mixed = [answer for answer in answers if answer.kind == "mixed"]
        return mixed[0] if {answer.kind for answer in answers} <= {"rate", "mixed"} else None

    def _ask(self, i: int, asked: Part) -> Answer:
        if i not in self._memo:
            self._memo[i] = Answer("no")  # until the answer is known
            self._memo[i] = self._find(i, asked)
        return self._memo[i]

    def _find(self, i: int, asked: Part) -> Answer:
        graph, program = self.graph, self.program
        if graph.is_constant(i) or i in self.parameters or (i in program.fixed and not program.made(i).entries):
            return RATE
        alone, form = program.function_of(i), program.weighted(i)
        if i in program.random and not any(program.variable(a) for a in alone):
            return NEUTRAL
        if i in program.small.sent or self.graph.op[i] in COMPARE or (alone and not any(program.strength(a) for a in alone)):
            return RATE  # a threshold, or an activation: a function of one number that is not affine
        return self._atom(i, asked) if form == {i: 1.0} else self._mixture(form, asked)

    def _mixture(self, form: Weights, asked: Part) -> Answer:
        """Of a weighted sum: a rate if it is of one unit's rates and no weight is below 0, as in a leaky average."""
        atoms = [a for a in form if a != ONE]
        worst = self._together([self._ask(a, asked) for a in atoms])
        if worst.kind == "neutral" and ONE in form:
            return RATE  # a leaky average of a constant, as of a unit that is always on
        if worst.kind != "rate":
            return worst
        if any((weight := form[a]) is not None and weight < 0 for a in atoms):
            return Answer("mixed", "a rate with its sign reversed" if len(atoms) == 1 else "a difference of firing rates")
        if len({unit for a in atoms for unit in self.program.homes(a)}) > 1:
            return Answer("mixed", "a combination of several units' rates")
        return worst

    def _atom(self, i: int, asked: Part) -> Answer:
        """Of a number that is no weighted sum of others."""
        graph, program = self.graph, self.program
        op, args = graph.op[i], graph.args[i]
        if op == "in":
            name, index = graph.data[i]
            part = self._part(name, index) if name in program.small.after else (name, 0)
            if name in RATES or i in program.small.sent:
                return RATE
            if part in self.states:
                return self.states[part]
            if part == asked:
                return NEUTRAL
            if name == "step.v":
                return Answer("no", "the voltage v")
            if name in ("step.s", "step.s_prev"):
                return Answer("no", f"a variable within each unit, of its state {program.short(name)}")
            if program.is_matrix(name):
                return Answer("no", f"the strength of a synapse, {program.short(name)}")
            return Answer("no", "a variable of the rule's own, not a firing rate")
        if i in program.product_sums:
            return Answer("no", f"a linear image of another product, {program.show(program.product_sums[i])}")
        if op == "select":
            return self._together([self._ask(a, asked) for a in args[1:]])
        worst = self._together([self._ask(a, asked) for a in args])
        if worst.kind == "no":
            return worst
        if worst.kind == "neutral":
            return Answer("no", "a variable that is not a firing rate")
        return Answer("mixed", "computed from firing rates by more than leaky integration or an activation function")

    @staticmethod
    def _together(answers: list[Answer]) -> Answer:
        for kind in ("no", "mixed", "rate"):
            for answer in answers:
                if answer.kind == kind:
                    return answer
        return NEUTRAL
