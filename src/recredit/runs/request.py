"""What a command asks for: a TOML file, options, and settings PATH=VALUE, put together into runs."""

import hashlib
import inspect
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recredit.errors import MOST_SEEDS, beside, brief, check_count, check_optional_count, nearest, real_file, user_path
from recredit.kinds import RULE, TASK
from recredit.network import Network
from recredit.network.synapses import is_own
from recredit.own_files import is_file
from recredit.registry import find
from recredit.runs.assignment import Keys, parse, parse_record
from recredit.runs.settings import Run, files_of

PARTS = (
    "rule",
    "task",
    "network",
    "optimizer",
    "steps",
    "bin",
    "streams",
    "across_trials",
    "observers",
    "record",
    "seeds",
    "seeds_at_once",
    "out",
)
NAMED = {
    "rule": 'rule="rflo" or [rule] name="rflo"',
    "observer": 'observers=["rtrl"] or [observers.exact] name="rtrl"',
    "task": 'task="add" or [task] name="add"',
}
DEEPEST = 20  # tables within tables that a file may have


@dataclass(frozen=True)
class Request:
    """Runs that differ in their rule alone, and how to compute them."""

    runs: dict[str, Run]
    """By what the rule is called."""
    seeds: int
    """Number of seeds."""
    seeds_at_once: int | None
    """Number of seeds that each worker vectorises together; None: as many as fit the cache."""
    out: Path
    """The folder for the results; by default named after the task and the rules."""


def request(
    config: Path | None, options: Mapping[str, Any], settings: Sequence[str], base: Mapping[str, Any] | None = None
) -> Request:
    """What is asked for, as `asked` puts it together: one run for each rule, complete and checked. Raises as it does."""
    table = asked(config, options, settings, base)
    check_labels("rule", [*table["rule"], *table["observers"]])
    rules = table.pop("rule")
    seeds, at_once, out = seeds_and_out(table)
    runs = {label: Run.create(table | {"rule": rule}) for label, rule in rules.items()}
    if not runs:
        raise ValueError(f"the rule needs a name, one of: {', '.join(RULE.names)}.")
    return Request(runs, seeds, at_once, out or default_folder(runs))


def asked(
    config: Path | None,
    options: Mapping[str, Any],
    settings: Sequence[str],
    base: Mapping[str, Any] | None = None,
    parts: Sequence[str] = PARTS,
) -> dict[str, Any]:
    """The table of what is asked for, its rules and observers by label.

    `config`: a TOML file of such `parts`; its paths are seen from its folder. `base`: such a table, of what the file does not
    say. `options`: parts by name, None or () where not given; of "record", NAME:every=STEPS each.
    `settings`: PATH=VALUE each. Both override the file: a rule, observer or task that they name keeps the file's settings if
    the file names it too, and replaces what the file has otherwise.

    Raises ValueError, one sentence, for whatever does not fit, and for what options and settings give twice, differently.
    """
    table, folder = dict(base or {}) | (read_toml(config) if config else {}), config.parent if config else Path()
    chosen = [((part,), value) for part, value in options.items() if part != "record" and value not in (None, ())]
    given = given_once([*chosen, *map(parse_record, options.get("record", ())), *map(parse, settings)])
    for part in [*table, *(keys[0] for keys in given)]:
        if part not in parts:
            raise ValueError(f'a run has no part "{part}"; its parts: {", ".join(parts)}.{nearest(part, parts)}')
    for part in ("rule", "observers"):
        what = "rule" if part == "rule" else "observer"
        table[part] = labelled(what, seen_from(folder, table.get(part, [])))
        if (names := given.pop((part,), None)) is not None:
            table[part] = {label: table[part].get(label, {}) | named for label, named in labelled(what, names).items()}
    if (driver := given.pop(("driver",), seen_from(folder, table.get("driver")))) is not None:
        named = {driver: {}} if isinstance(driver, str) and driver in table["rule"] else labelled("rule", driver)
        table["driver"], *_ = named
        table["rule"] = named | table["rule"]
    if "network" in table:
        table["network"] = network_table(seen_from(folder, table["network"]), folder)
    table["task"] = task_table(seen_from(folder, table.get("task")), given.pop(("task",), None), folder)
    if isinstance(table.get("out"), str):
        table["out"] = str(_at(folder, table["out"]))
    addressed = given_once((each, value) for keys, value in given.items() for each in addresses(keys, table["rule"]))
    for keys, value in sorted(addressed.items(), key=lambda each: len(each[0])):  # names before their settings
        assign(table, keys, value)
    return table


def check_labels(what: str, labels: Iterable[str]) -> None:
    """Raise ValueError for the label of a rule or task that cannot go into names of files, and into tables with markup."""
    for label in labels:
        if not re.fullmatch(r"[\w.-]+", label):
            raise ValueError(f"{label!r} cannot be a {what}'s label: it may hold letters, digits, dots, - and _.")


def seeds_and_out(table: dict[str, Any]) -> tuple[int, int | None, Path | None]:
    """Take the number of seeds, of those at once, and the folder from a table. Raises ValueError for what is none of these."""
    seeds = check_count("the number of seeds", table.pop("seeds", 20), most=MOST_SEEDS)
    at_once = check_optional_count("the number of seeds at once", table.pop("seeds_at_once", None))
    out = table.pop("out", None)
    if out is not None and (not isinstance(out, str | Path) or not str(out)):
        raise ValueError(f"out must be the name of a folder, not {out!r}.")
    return seeds, at_once, user_path(out) if out else None


def default_folder(runs: Mapping[str, Run]) -> Path:
    """Where the results of a task and these rules go: results/TASK-RULE-RULE, or a digest in place of a long list."""
    task = next(iter(runs.values())).task["name"]
    name = "-".join([task, *runs])
    short = f"{task}-{len(runs)}-rules-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return Path("results") / (name if len(name.encode()) <= 60 else short)


def read_toml(file: str | Path) -> dict[str, Any]:
    """The table in a TOML file. Raises ValueError for a file that is missing or is not TOML."""
    try:
        table = tomllib.loads(real_file(user_path(file)).read_text(encoding="utf-8-sig"))
        inner: list[Any] = [table]
        for _ in range(DEEPEST):
            inner = [each for outer in inner for each in (outer.values() if isinstance(outer, dict) else outer)]
            inner = [each for each in inner if isinstance(each, dict | list)]
        if inner:
            raise RecursionError
        return table
    except RecursionError:
        raise ValueError(f"{file} cannot be read as TOML: its tables and lists are nested too deeply.") from None
    except (OSError, ValueError) as error:  # what is no file's name or no UTF-8 is a ValueError too
        raise ValueError(f"{file} cannot be read as TOML: {getattr(error, 'strerror', None) or error}.{beside(file)}") from None


def given_once(settings: Iterable[tuple[Keys, Any]]) -> dict[Keys, Any]:
    """Values by path. Raises ValueError for a path that is given twice, differently."""
    given: dict[Keys, Any] = {}
    for keys, value in settings:
        if keys in (("rule",), ("observers",)):
            value = _listed(value)
        if (before := given.setdefault(keys, value)) is not value and before != value:
            ways = " and as ".join(", ".join(map(str, _listed(each))) for each in (before, value))
            raise ValueError(f"{'.'.join(keys)} is given twice, as {ways}; give it once.")
    return given


def assign(table: dict[str, Any], keys: Keys, value: Any) -> None:
    """Set what a path leads to in a table of tables. A word in place of a table is its name; another one leaves no settings.

    Raises ValueError for a path through what has no settings, or a value in place of settings.
    """
    *through, last = keys
    for key in through:
        inner = table.get(key, {})
        if not isinstance(inner, str | Mapping):
            raise ValueError(f"{'.'.join(keys)} does not exist: {key} is {inner!r} and has no settings.")
        table[key] = table = {"name": inner} if isinstance(inner, str) else dict(inner)
    if isinstance(named := table.get(last), Mapping):
        if not isinstance(value, str):
            raise ValueError(f"{'.'.join(keys)} cannot be {value!r}: it has settings.")
        table[last] = {**named, "name": value} if named.get("name", value) == value else {"name": value}
    else:
        table[last] = value


def addresses(keys: Keys, rules: Mapping[str, dict[str, Any]]) -> list[Keys]:
    """What a path means with these rules: rule.LABEL.SETTING one rule's, rule.SETTING the setting of every rule.

    Raises ValueError if only some of the rules have the setting.
    """
    part, *inner = keys
    if part != "rule" or (len(inner) > 1 and inner[0] in rules):
        return [keys]
    having = [label for label, table in rules.items() if inner[0] in inspect.signature(find(RULE, table["name"])[1]).parameters]
    if having and len(having) < len(rules):
        ways = " or ".join(".".join(["rule", label, *inner]) for label in having)
        have = "has" if len(having) == 1 else "have"
        raise ValueError(f"only {', '.join(having)} of the rules {have} a setting {inner[0]}; set it as {ways}.")
    return [(part, label, *inner) for label in rules]


def labelled(what: Literal["rule", "observer", "task"], given: Any) -> dict[str, dict[str, Any]]:
    """Rules, observers or tasks by label: from a name, a table {name, settings...}, a list of these, which go by what they are
    called, or a table of these, whose keys are the labels.

    Raises ValueError for one that does not exist or has no name, and for two of the same label.
    """
    alone = not isinstance(given, Mapping) or isinstance(given.get("name"), str)
    found: dict[str, dict[str, Any]] = {}
    if not alone and (meant := next(filter(None, (nearest(key, ["name"], 0.7) for key in given)), "")):
        raise ValueError(f"{', '.join(given)}: a {what}'s label must not be so close to the key name.{meant}")
    for key, each in [(None, each) for each in _listed(given)] if alone else given.items():
        table = {"name": each} if isinstance(each, str) else each
        if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
            raise ValueError(f"each {what} needs a name, as in {NAMED[what]}; what was given: {brief(each)}.")
        name, _ = find(TASK if what == "task" else RULE, table["name"])
        label = key or name
        if label in found:
            raise ValueError(f"the {what} {label} is given twice.")
        found[label] = dict(table)
    return found


def task_table(written: Any, name: Any, folder: Path) -> Any:
    """The task that is named, with the settings of the file's if that is the same one; the file's, `seen_from` its folder, if
    none is."""
    task = {"name": written} if isinstance(written, str) else written
    if name is not None:
        same = isinstance(task, Mapping) and _found(task.get("name", name)) == _found(name)
        task = {**task, "name": name} if same else {"name": name}
    if not isinstance(task, Mapping) or not isinstance(task.get("name"), str):
        return task
    written = {key: task[key] for key in files_of(find(TASK, task["name"])[1]) if isinstance(task.get(key), str)}
    return {**task, **{key: str(_at(folder, path)) for key, path in written.items() if not is_file(path)}}


def _found(task: Any) -> Any:
    """What makes the task of a name."""
    return find(TASK, task)[1] if isinstance(task, str) else task


def network_table(given: Any, folder: Path) -> Any:
    """A network's table with the paths of the user's own arrays, seen from a folder."""
    if not isinstance(given, Mapping):
        return given
    files = {key: given[key] for key in files_of(Network) if isinstance(given.get(key), str) and is_own(given[key])}
    return {**given, **{key: str(_at(folder, path)) for key, path in files.items()}}


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _at(folder: Path, path: str) -> Path:
    return folder / user_path(path)


def seen_from(folder: Path, given: Any) -> Any:
    """The same, with the paths of the user's own classes seen from a folder."""
    if isinstance(given, str):
        return str(_at(folder, given)) if is_file(given) else given
    if isinstance(given, list):
        return [seen_from(folder, each) for each in given]
    return {key: seen_from(folder, each) for key, each in given.items()} if isinstance(given, Mapping) else given
