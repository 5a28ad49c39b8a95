"""Runs as data: names and numbers, checked and turned into objects."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import jax
import optax
import pydantic

from recredit.contract import random_key
from recredit.errors import File, NameOrFile, brief, check_count, user_path
from recredit.kinds import RULE, TASK, UNITS, Kind
from recredit.network import Network
from recredit.network.synapses import is_own
from recredit.optimizers import complete_optimizer, make_optimizer
from recredit.own_files import load
from recredit.registry import NETWORKS, Own, complete, complete_own, make, settings_of, with_own
from recredit.rule import AbstractRule
from recredit.tasks.task import AbstractTask, check_told
from recredit.training.comparison import check_apart, check_pairs
from recredit.training.learner import bytes_of, weights
from recredit.training.loop import default_bin, default_steps
from recredit.training.optimizer import Optimizer
from recredit.training.recording import Every, check_record, intervals
from recredit.training.step import Trainer, check_length

T = TypeVar("T")
START_LIES = {"folder", "label"}  # where a start lies


class Start(pydantic.BaseModel):
    """What a run starts from instead of untrained networks."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    how: Literal["continued", "weights"]
    """Whether learners go on with their whole state, or with their weights alone."""
    steps: int | None
    """After how many steps they go on; None: they start anew."""
    drawn: bool
    """Whether the first networks of all, where the other run itself began, were drawn as every seed's are."""
    digest: str
    """Of the weights of all seeds of the other run."""
    folder: str
    """Where that lies: an absolute path."""
    label: str
    """What its rule is called there."""


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
    """The digest of the source of each class that is the user's own, by the class's name."""
    files: dict[str, str]
    """Where that source lies, by the class's name: absolute paths."""
    across_trials: bool = False
    """Whether units and learning states carry over from one trial to the next."""
    record: dict[str, int | str] = {}
    """What is recorded along the way, each after every so many steps, or every "bin"."""
    pairs: Literal["driver", "all"] = "driver"
    """Whether each observer's gradient is compared with the driver's alone, or every pair."""
    draws: int = 0
    """How many copies of each stochastic rule also watch, where every pair is compared."""
    start: Start | None = None
    """What its networks start from; None: untrained."""
    _learner_bytes: int | None = None
    _paths: set[str] | None = None

    @classmethod
    def create(cls, table: Mapping[str, Any], known: "Known | None" = None) -> "Run":
        """Fill in and check a table of the fields above, but for `sources` and `files`: every part is built once, so that what
        is wrong shows now. A rule, and so an observer, or a task is a name or a table {name, settings...}; the name may be that
        of a class of the user's own, path/to/file.py:MyRule.

        `known`: what has been checked with other runs made at the same time is not checked again.

        Raises ValueError, one sentence, for whatever does not fit.
        """
        known = known or Known()
        parts: dict[str, Any] = dict(table)
        own: Own = {}
        parts["rule"] = complete_own(RULE, parts.get("rule"), own)
        parts["observers"] = {label: complete_own(RULE, given, own) for label, given in parts.get("observers", {}).items()}
        parts["task"] = complete_own(TASK, parts.get("task"), own)
        network = parts.get("network", {})
        if not isinstance(network, Mapping):
            raise ValueError(f"the network must be a table of settings, not {network!r}.")
        parts["network"] = complete("network", NETWORKS, {"name": "network", **network}, own)
        parts["sources"] = {name: found.digest for name, found in own.items()}
        parts["files"] = {name: str(found.file) for name, found in own.items()}
        parts["optimizer"] = complete_optimizer(parts.get("optimizer", {}))
        task = known.once([parts["task"], parts["sources"]], lambda: make(with_own(TASK, own), parts["task"]))
        streams = parts["streams"] = check_count("the number of streams", parts.get("streams", 1))
        steps = parts["steps"] = check_count("steps", parts.get("steps", default_steps(task, streams)))
        if not isinstance(across := parts.get("across_trials", False), bool):
            raise ValueError(f"across_trials must be true or false, not {brief(across)}.")
        parts["bin"] = check_count("the bin", parts.get("bin", default_bin(steps)))
        parts["record"] = check_record(parts.get("record", {}))
        parts["draws"] = check_pairs(parts.get("pairs", "driver"), parts.get("draws", 0))
        if parts.get("pairs") == "all":
            check_apart([parts["rule"]["name"], *parts["observers"]])
        run = cls(**parts)
        run._check(task, known)
        if (digest := task.digest()) is not None:
            run.task["digest"] = digest
        run.network["digest"] = run.build_network().fingerprint()
        arrays = [key for key in files_of(Network) if is_own(run.network[key])]
        for table, keys in ((run.task, files_of(with_own(TASK, own)[run.task["name"]])), (run.network, arrays)):
            for key in keys:
                if isinstance(table.get(key), str):
                    table[key] = str(user_path(table[key]).absolute())  # for a process that runs elsewhere
        return run

    def _check(self, task: AbstractTask, known: "Known") -> None:
        """Raise ValueError unless the parts fit together: rules with network, task and streams, the optimiser with weights."""
        if self.task["name"] in self.sources:
            check_told(task)
        rule, network, optimizer, observers = self.build()
        rules = rule, *observers.values()
        check_length(rules, task, self.steps, self.streams)

        def traced() -> tuple[Any, int, int]:
            trainer = self._trainer(rules, task, network, optax.sgd(0.0), None)
            return jax.eval_shape(lambda: weights(trainer.create(random_key(0)))), trainer.rules[0].period, trainer.size

        def tried() -> int:
            begun = Optimizer(optimizer, arrays, period)
            return bytes_of(jax.eval_shape(begun.init, arrays, random_key(0)))

        parts = self.model_dump(exclude={"optimizer", "steps", "bin", "files", "start"})
        arrays, period, size = known.once(without_data(parts), traced)
        self._learner_bytes = size + known.once([self.optimizer, str(arrays), period], tried)

    def trainer(self) -> tuple[Trainer, list[str]]:
        """What trains this run, and what its rules are called."""
        rule, network, optimizer, observers = self.build()
        rules = (rule, *observers.values())
        return self._trainer(rules, self.build_task(), network, optimizer, self.steps), [self.rule["name"], *observers]

    def _trainer(self, rules: Any, task: Any, network: Any, optimizer: Any, steps: int | None) -> Trainer:
        alike = self.across_trials, self.every, self.pairs, self.draws
        return Trainer(rules, task, network, optimizer, self.streams, steps, *alike)

    @property
    def every(self) -> Every:
        """After how many steps each quantity is recorded."""
        return intervals(self.record, self.bin)

    def learner_bytes(self) -> int:
        """Bytes of one seed's learner."""
        if self._learner_bytes is None:
            self._check(self.build_task(), Known())
        assert self._learner_bytes is not None
        return self._learner_bytes

    def build_task(self) -> AbstractTask:
        """The task of this run. Raises ValueError if its own file, or its data, have changed."""
        registry = with_own(TASK, self._own(TASK, [self.task]))
        if "digest" in settings_of(registry[self.task["name"]]):
            return make(registry, self.task)
        task = make(registry, {key: value for key, value in self.task.items() if key != "digest"})
        if task.digest() != self.task.get("digest"):
            raise ValueError(f"the data of the task {self.task['name']} have changed since the run began; start the run again.")
        return task

    def _own(self, kind: Kind, tables: Iterable[Mapping[str, Any]]) -> Own:
        """The classes of a kind that are the user's own in these tables. Raises ValueError if a file has changed."""
        names = {table["name"] for table in tables} - kind.registry.keys()
        return {name: load(f"{self.files[name]}:{name}", kind, self.sources[name]) for name in names}

    def build(self) -> tuple[AbstractRule, Network, optax.GradientTransformation, dict[str, AbstractRule]]:
        """Rule, network, optimiser and observers of this run. Raises ValueError if a file of the user's own has changed."""
        rules = with_own(RULE, self._own(RULE, [self.rule, *self.observers.values()]))
        observers = {label: make(rules, table) for label, table in self.observers.items()}
        network = self.build_network()
        return make(rules, self.rule), network, make_optimizer(self.optimizer, network.n), observers

    def build_network(self) -> Network:
        """The network of this run. Raises ValueError if a file of the user's own has changed."""
        units = self._own(UNITS, [each for each in self.network.values() if isinstance(each, Mapping)])
        return make(NETWORKS, self.network, units)

    def given(self) -> dict[str, Any]:
        """The table that `create` makes such a run of: classes of the user's own by their files, which may have changed, as
        may data; without its start."""

        def named(table: Mapping[str, Any]) -> dict[str, Any]:
            name = table["name"]
            return {**table, "name": f"{self.files[name]}:{name}" if name in self.files else name}

        def undigested(table: Mapping[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in table.items() if key != "digest"}

        observers = {label: named(table) for label, table in self.observers.items()}
        network = {key: named(each) if isinstance(each, Mapping) else each for key, each in self.network.items()}
        told = {"rule": named(self.rule), "observers": observers}
        told |= {"task": undigested(named(self.task)), "network": undigested(network)}
        return self.model_dump(exclude={"sources", "files", "start"}) | told

    def text(self) -> str:
        """The run as one line of JSON, its identity on disk: what files hold counts, by its digest, not where they lie; and so
        with what it starts from."""
        if self._paths is None:
            self._paths = set(files_of(with_own(TASK, self._own(TASK, [self.task]))[self.task["name"]]))
        arrays = {key for key in files_of(Network) if is_own(self.network[key])}
        lies = {"files": True, "task": self._paths, "network": arrays, "start": START_LIES if self.start else True}
        table = self.model_dump(exclude=lies)
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


def files_of(make_it: Callable[..., Any]) -> list[str]:
    """The settings of what makes a task, or a network, that are paths of files, or may be."""
    return [key for key, p in settings_of(make_it).items() if p.annotation in (File, NameOrFile)]
