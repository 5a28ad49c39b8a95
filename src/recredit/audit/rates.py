"""Which numbers of a program can be firing rates (criterion iii)."""

from typing import Literal, NamedTuple

from recredit.audit.facts import ACTIVATIONS, RATES
from recredit.audit.graph import COMPARE
from recredit.audit.program import Program

# rate: a firing rate. neutral: nothing by itself, as the state that is asked about, or noise on top of a rate.
# mixed: made of rates alone, but by more than leaky integration: to be weighed. no: anything else.
Kind = Literal["rate", "neutral", "mixed", "no"]


class Answer(NamedTuple):
    kind: Kind
    why: str = ""


RATE, NEUTRAL = Answer("rate"), Answer("neutral")


class Rates:
    """Answers, for one program, whether a number is a firing rate."""

    def __init__(self, program: Program):
        self.program, self.graph = program, program.graph
        self.states: set[str] = set()  # state vectors that hold rates
        self._memo: dict[int, Answer] = {}
        names = [name for name in program.small.after if program.orders.get(name, 1) <= 1]
        for _ in range(len(names) + 1):  # a state may hold another's rates
            found = {name for name in names if self._holds(name)}
            if found == self.states:
                break
            self.states = found
        self._memo = {}

    def __call__(self, i: int) -> Answer:
        """Whether a number is a firing rate."""
        answer = self._ask(i, "")
        return answer if answer.kind != "neutral" else Answer("no", "noise, which no neuron fires")

    def _holds(self, name: str) -> bool:
        self._memo = {}
        answers = {self._ask(int(i), name).kind for i in self.program.small.after[name].ravel().tolist()}
        return bool(answers) and answers <= {"rate"}

    def _ask(self, i: int, asked: str) -> Answer:
        if i not in self._memo:
            self._memo[i] = Answer("no")  # while it is being found out
            self._memo[i] = self._find(i, asked)
        return self._memo[i]

    def _find(self, i: int, asked: str) -> Answer:
        graph, program = self.graph, self.program
        op, args = graph.op[i], graph.args[i]
        if op == "const":
            return RATE
        if i in program.random:
            return NEUTRAL
        if op == "in":
            name = graph.data[i][0]
            if name in RATES or name in self.states:
                return RATE
            if name == asked:
                return NEUTRAL
            if name == "step.v":
                return Answer("no", "the voltage v")
            if program.is_matrix(name):
                return Answer("no", f"the strength of a synapse, {program.short(name)}")
            return Answer("no", "a variable of the rule's own, no firing rate")
        constant = [graph.is_constant(a) for a in args]
        if op in ACTIVATIONS or (op in ("max", "min") and any(constant)):
            return RATE
        if op in COMPARE or (op == "select" and graph.op[args[0]] in COMPARE and set(graph.args[args[0]]) & set(args[1:])):
            return RATE  # a threshold, or a rectification written as a choice
        if i in program.product_sums:
            product = program.product_sums[i]
            return Answer("no", f"a linear image of another product, {program.show(product)}")
        answers = [self._ask(a, asked) for a in args]
        if op == "select":
            return self._together(answers[1:])
        if op == "add":
            mixed = any(constant)
            return self._together([a for a, c in zip(answers, constant, strict=True) if not c] if mixed else answers)
        if (op in ("mul", "div") and constant[-1]) or (op == "mul" and constant[0]):
            factor, other = (args[1], answers[0]) if constant[1] else (args[0], answers[1])
            return other if graph.value(factor) > 0 or other.kind == "no" else Answer("mixed", "a rate with its sign turned")
        worst = self._together(answers)
        if worst.kind == "no":
            return worst
        if worst.kind == "neutral":
            return Answer("no", "a variable that is no firing rate")
        return Answer("mixed", "made of firing rates, but not by leaky integration or an activation function")

    @staticmethod
    def _together(answers: list[Answer]) -> Answer:
        for kind in ("no", "mixed", "rate"):
            for answer in answers:
                if answer.kind == kind:
                    return answer
        return NEUTRAL
