"""The family of learning rules: what each one keeps, depends on and costs, how it is judged, and what it is for.

Everything is read off a rule's program (the audit) or measured by running it (`behaviour`). A rule declares only its delay, its
period and whether it needs noise.
"""

import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from recredit.audit import audit
from recredit.audit.verdicts import Audit
from recredit.registry import make
from recredit.rule import AbstractRule
from recredit.rules import RULES
from recredit.studies.audits import chosen
from recredit.studies.behaviour import EXACT, Bias, Dependence, bias, dependence, gradients
from recredit.studies.fits import unfit_by_units
from recredit.studies.reductions import Reduction


@dataclass(frozen=True)
class Member:
    """What is known of one rule, as it comes."""

    name: str
    what: str
    """What it is, in a line."""
    audit: Audit
    """On the paper's network: its state, its costs and the verdicts."""
    depends: Dependence
    """What its gradient depends on."""
    bias: Bias
    """How that lies to the exact one."""
    needs_noise: bool
    """Whether it learns from the network's noise."""
    units: dict[str, str | None]
    """Of each kind of units, why it is not for it; None: it is."""

    same: tuple[str, ...] = ()
    """Of a rule of the user's own, the rules that tell the same at each step of a run."""

    @property
    def randomness(self) -> str:
        """Where its randomness comes from: "none", "draws", "noise" of the network, or both."""
        return " and ".join(["noise"] * self.needs_noise + ["draws"] * self.depends.draws) or "none"


def family(specs: Sequence[str], pool: Executor, told: Callable[[str], None]) -> list[Member]:
    """What is known of rules, worked out in the processes of a pool; `told` is called with the name of each that is waited for.

    `specs`: names, or files of the user's own. Raises ValueError, one sentence, for what is no rule, or one that is not for the
    paper's network.
    """
    names = {spec: chosen(spec, {})[0] for spec in specs}
    waits = {spec: pool.submit(member, spec) for spec in specs}
    found = []
    for spec, name in names.items():
        told(name)
        found.append(waits[spec].result())
    return found


def member(spec: str) -> Member:
    """What is known of one rule. Raises ValueError as `family` does."""
    name, registry, table = chosen(spec, {})
    rule, what = make(registry, table), (inspect.getdoc(registry[name]) or "").split("\n")[0]
    audited, depends = audit(rule, name=name), dependence(rule)
    near = bias(rule, depends.draws or rule.needs_noise)
    others = {other: make_it() for other, make_it in RULES.items()} if name not in RULES else {}
    same = tuple(other for other, its in others.items() if its.needs_noise == rule.needs_noise and _are_same(rule, its))
    return Member(name, what, audited, depends, near, rule.needs_noise, unfit_by_units(rule), same)


def _are_same(rule: AbstractRule, other: AbstractRule) -> bool:
    told, expected = gradients(rule), gradients(other)
    return bool(np.linalg.norm(told - expected) <= EXACT * np.linalg.norm(expected))


def measured_arrows(members: Sequence[Member]) -> tuple[Reduction, ...]:
    """An arrow from each rule of the user's own to those that tell the same."""
    return tuple(Reduction({"name": each.name}, {"name": other}, "in a run") for each in members for other in each.same)
