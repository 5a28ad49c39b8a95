"""Runs as data: names and numbers, checked and turned into objects."""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import optax
import pydantic

from recredit.contract import random_key
from recredit.errors import check_count, plain
from recredit.network import Network
from recredit.optimizers import complete_optimizer, optimizers
from recredit.own_files import OwnRule, is_file, load
from recredit.registry import BLOCKS, NETWORKS, SAID, complete, find_rule, make, settings_of
from recredit.rule import AbstractRule
from recredit.rules import RULES
from recredit.tasks import TASKS, AbstractTask
from recredit.tasks.task import File
from recredit.training.loop import default_bin, default_steps
from recredit.training.optimizer import Optimizer
from recredit.training.step import Trainer, bytes_of, check_length, weights

T = TypeVar("T")


class Run(pydantic.BaseModel):
    """One run, but for its seeds: rule, task, network, optimiser, length, streams, observers; complete, and checked."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    rule: dict[str, Any]
    task: dict[str, Any]
    network: dict[str, Any]
    optimizer: dict[str, Any]
    steps: int
    bin: int
    streams: int
    observers: dict[str, dict[str, Any]]
    sources: dict[str, str]
    """The digest of the source of each rule that is the user's own, by the rule's name."""
    files: dict[str, str]
    """Where that source lies, by the rule's name: absolute paths."""
    _learner_bytes: int | None = None

    @classmethod
    def create(cls, table: Mapping[str, Any], known: "Known | None" = None) -> "Run":
        """Fill in and check a table of the fields above, but for the last two: every part is built once, so that what is wrong
        shows now. A rule, and so an observer, is a name or a table {name, settings...}; the name may be path/to/file.py:MyRule.

        `known`: what has been checked with other runs made at the same time is not checked again.

        Raises ValueError, one sentence, for whatever does not fit.
        """
        known = known or Known()
        parts: dict[str, Any] = dict(table)
        own: dict[str, OwnRule] = {}
        parts["rule"] = _complete_rule(parts.get("rule"), own)
        parts["observers"] = {label: _complete_rule(given, own) for label, given in parts.get("observers", {}).items()}
        parts["task"] = complete("task", TASKS, parts.get("task"))
        network = parts.get("network", {})
        if not isinstance(network, Mapping):
            raise ValueError(f"the network must be a table of settings, not {network!r}.")
        parts["network"] = complete("network", NETWORKS, {"name": "leaky", **network})
        parts["optimizer"] = complete_optimizer(parts.get("optimizer", {}))
        task = known.once(parts["task"], lambda: make(TASKS, parts["task"]))
        streams = parts["streams"] = check_count("the number of streams", parts.get("streams", 1))
        steps = parts["steps"] = check_count("steps", parts.get("steps", default_steps(task, streams)))
        parts["bin"] = check_count("the bin", parts.get("bin", default_bin(steps)))
        parts["sources"] = {name: rule.digest for name, rule in own.items()}
        parts["files"] = {name: str(rule.file) for name, rule in own.items()}
        run = cls(**parts)
        run._check(task, known)
        if (digest := task.digest()) is not None:
            run.task["digest"] = digest
        return run

    def _check(self, task: AbstractTask, known: "Known") -> None:
        """Raise ValueError unless the parts fit together: rules with network, task and streams, the optimiser with weights."""
        rule, network, optimizer, observers = self.build()
        rules = rule, *observers.values()
        check_length(rules, task, self.steps, self.streams)

        def traced() -> tuple[Any, int, int]:
            trainer = Trainer(rules, task, network, optax.sgd(0.0), self.streams)
            return jax.eval_shape(lambda: weights(trainer.create(random_key(0)))), trainer.rules[0].period, trainer.size

        def tried() -> int:
            begun = Optimizer(optimizer, arrays, period)
            return bytes_of(jax.eval_shape(begun.init, arrays, random_key(0)))

        parts = self.rule, self.observers, self.sources, self.network, self.task, self.streams
        arrays, period, size = known.once(without_data([*parts]), traced)
        self._learner_bytes = size + known.once([self.optimizer, str(arrays), period], tried)

    def learner_bytes(self) -> int:
        """Bytes of one seed's learner."""
        if self._learner_bytes is None:
            self._check(self.build_task(), Known())
        assert self._learner_bytes is not None
        return self._learner_bytes

    def build_task(self) -> AbstractTask:
        """The task of this run."""
        return make(TASKS, self.task)

    def build(self) -> tuple[AbstractRule, Network, optax.GradientTransformation, dict[str, AbstractRule]]:
        """Rule, network, optimiser and observers of this run. Raises ValueError if a rule's own file has changed."""
        own = {name: load(f"{file}:{name}", self.sources[name]).kind for name, file in self.files.items()}
        rules = {**RULES, **own}
        observers = {label: make(rules, table) for label, table in self.observers.items()}
        return make(rules, self.rule), make(NETWORKS, self.network), make(optimizers(), self.optimizer), observers

    def text(self) -> str:
        """The run as one line of JSON, its identity on disk: what files hold counts, by its digest, not where they lie."""
        table = self.model_dump(exclude={"files": True, "task": set(files_of(self.task["name"]))})
        return json.dumps(table, sort_keys=True)


class Known:
    """What several runs have in common, made and checked once."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def once(self, what: Any, make_it: Callable[[], T]) -> T:
        """What `make_it` gave for these settings the first time."""
        text = json.dumps(what, sort_keys=True)
        if text not in self._made:
            self._made[text] = make_it()
        return self._made[text]


def without_data(value: Any) -> Any:
    """Settings without the numbers that may be data: those that differ in them alone are traced to one program, as a rule."""
    if isinstance(value, dict):
        return {key: without_data(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_data(each) for each in value]
    return "" if isinstance(value, float) and value not in (0, 1) else value


def files_of(task: str) -> list[str]:
    """The settings of a task that are paths of files."""
    return [key for key, p in inspect.signature(TASKS[task]).parameters.items() if p.annotation == File]


def _complete_rule(given: Any, own: dict[str, OwnRule]) -> dict[str, Any]:
    """A rule's complete table. If it is the user's own, it goes by its class, and is entered in `own`."""
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        return complete("rule", RULES, given)  # which refuses it
    if not is_file(table["name"]):
        find_rule(table["name"])
        return complete("rule", RULES, table)
    found = load(table["name"])
    if found.name in RULES or own.setdefault(found.name, found).file != found.file:
        raise ValueError(f"{table['name']}: another rule is called {found.name}, so this class needs another name.")
    filled = complete("rule", {**RULES, found.name: found.kind}, {**table, "name": found.name})
    kinds = {key: p.annotation for key, p in settings_of(found.kind).items()}
    said = {
        key for key, value in filled.items() if type(value) in SAID or (isinstance(value, dict) and kinds.get(key) in BLOCKS)
    }
    # A default that JSON cannot say is in the source, whose digest counts; what was given goes as it was given.
    return {key: filled[key] if key in said else plain(table[key]) for key in filled if key in said or key in table}
