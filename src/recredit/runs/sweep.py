"""A sweep: many runs from one TOML file, the axes that they differ along, and which of them are reported."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recredit.errors import MOST_SEEDS, brief, check_choice, check_count, nearest
from recredit.kinds import RULE, TASK
from recredit.registry import find, settings_of
from recredit.runs import request
from recredit.runs.axes import Label, Rows, Values, axis, expand, paths_of, read_axes, read_only, refuse_lists, rule_of, told
from recredit.runs.cluster import PBS, Local, Slurm, resolve_executor
from recredit.runs.settings import Known, Run

MOST_CELLS = 1_000_000
PARTS = (*request.PARTS, "grid", "zip", "only", "select", "executor")


@dataclass(frozen=True)
class Point:
    """One point of a sweep."""

    coordinates: dict[str, Label]
    """Its label on each axis that it has, by the axis' path; a rule or task goes by its label."""
    run: Run


@dataclass(frozen=True)
class Select:
    """How one value of an axis is chosen, for each combination of all other axes."""

    axis: str
    along: frozenset[str]
    """The axis, and those whose values go together with its."""
    seeds: range
    """The seeds that decide; none of them is reported."""
    by: str
    """What is least for the value that is chosen: "final_loss", its mean over these seeds."""


@dataclass(frozen=True)
class Sweep:
    """Points, all of whose runs are complete and checked, and what is to be done with them.

    Conditional axes and chosen values leave holes in any grid; so results lie along one dimension, `point`, whose coordinates
    are the axes (`coordinates`). `set_index(point=[...]).unstack()` makes a grid of it where there is one.
    """

    name: str
    """What its file is called, without the ending."""
    points: tuple[Point, ...]
    """In the order of the file; two may be the same run, which is then computed once."""
    axes: dict[str, list[Label]]
    """Every axis with its labels."""
    seeds: range
    """The seeds that are reported."""
    select: Select | None
    """None: every point is reported."""
    seeds_at_once: int | None
    """Number of seeds that a worker vectorises together; None: as many as fit the cache."""
    out: Path
    """The folder for the results."""
    executor: Local | Slurm | PBS
    """Where to compute."""
    groups: tuple[tuple[int, ...], ...] = field(init=False)
    """The numbers of the points, in groups that differ along the selected axis alone: one of each is reported."""

    def __post_init__(self) -> None:
        groups: dict[Any, list[int]] = {}
        along = self.select.along if self.select else ()
        for number, point in enumerate(self.points):
            groups.setdefault(tuple(v for v in point.coordinates.items() if v[0] not in along), []).append(number)
        object.__setattr__(self, "groups", tuple(map(tuple, groups.values())))

    @property
    def candidates(self) -> list[int]:
        """The numbers of the points to choose among: the first phase computes them, for the selection seeds."""
        return [number for group in self.groups if len(group) > 1 for number in group]

    def runs(self, numbers: Iterable[int]) -> dict[str, Run]:
        """The runs of some points by their text, each once."""
        runs = [self.points[number].run for number in numbers]
        return {run.text(): run for run in runs}

    def coordinates(self, numbers: Sequence[int]) -> dict[str, tuple[str, np.ndarray]]:
        """The coordinates of a dataset that has these points along `point`: their numbers, and their labels on every axis.

        A point that lacks an axis has nan there if the axis is one of numbers, and "" if it is one of words.
        """
        found = {"point": ("point", np.array(numbers, int))}
        for path, labels in self.axes.items():
            of_numbers = not any(isinstance(label, str | bool) for label in labels)
            column = [self.points[number].coordinates.get(path, np.nan if of_numbers else "") for number in numbers]
            found[path] = ("point", np.array(column if of_numbers else [str(label) for label in column]))
        return found


def read_sweep(file: Path) -> Sweep:
    """The sweep that a TOML file describes: a file as `recredit train --config` takes it, and axes.

    A list of rules or of tasks is an axis. Of the axes in [grid] every combination is a point; the values of those in [zip] go
    together. An [[only]] gives axes and settings (`set`) to the points that its `when` names, in place of those of the whole.
    [select] chooses along an axis, by seeds of its own. Paths in the file are seen from its folder. Nothing is written.

    Raises ValueError, one sentence, for whatever does not fit.
    """
    table, folder = request.read_toml(file), file.parent
    for part in table:
        if part not in PARTS:
            raise ValueError(f'a sweep has no part "{part}"; its parts: {", ".join(PARTS)}.{nearest(part, PARTS)}')
    executor = resolve_executor(table.pop("executor", {}))
    table = {part: request.seen_from(folder, given) if part != "out" else given for part, given in table.items()}
    seeds, at_once, out = request.seeds_and_out(table)
    axes = _axes(table)
    if not isinstance(given := table.pop("only", []), list):
        raise ValueError(f"only must be written as [[only]], a table for each condition, not {brief(given)}.")
    onlys = [read_only(each, number) for number, each in enumerate(given, 1)]
    all_axes = [*axes, *(rows for only in onlys for rows in only.axes)]
    shown = list(dict.fromkeys(paths_of(all_axes)))
    select = _select(table.pop("select", None), all_axes, seeds)
    values = expand(axes, onlys)
    _check_cells(len(values) * (len(select.seeds) if select else seeds))
    _check_rule_paths(values)
    points = tuple(_points(_base(table), values, shown, folder))
    labels = {path: list(dict.fromkeys(p.coordinates[path] for p in points if path in p.coordinates)) for path in shown}
    out = folder / out if out else Path("results") / file.stem
    sweep = Sweep(file.stem, points, labels, range(seeds), select, at_once, out, executor)
    _check_cells(len(sweep.groups) * seeds)
    if select and not sweep.candidates:
        raise ValueError(f"select's axis {select.axis} never has more than one value, so there is nothing to choose.")
    return sweep


def _axes(table: dict[str, Any]) -> list[Rows]:
    """Take the axes of the whole file from its table, the one with the rules first."""
    axes = read_axes(table.pop("grid", {}), table.pop("zip", {}))
    for part, names in {"rule": RULE.names, "task": TASK.names}.items():
        given, varied = table.pop(part, []), part in paths_of(axes)
        if varied and given:
            raise ValueError(f"the {part} is given twice, at the top of the file and in [grid] or [zip]; give it once.")
        if not varied and not given:
            raise ValueError(f"the {part} needs a name, one of: {', '.join(names)}.")
        if not varied:
            axes.insert(part == "task", [{part: value} for value in axis(part, given)])
    return sorted(axes, key=lambda rows: "rule" not in rows[0])


def _base(table: dict[str, Any]) -> dict[str, Any]:
    """What all points have in common: the table, without what has been taken from it."""
    base = table | {"observers": request.labelled("observer", table.get("observers", []))}
    request.check_labels("observer", base["observers"])
    refuse_lists(base)
    return base


def _select(given: Any, axes: list[Rows], seeds: int) -> Select | None:
    """The part [select]. `axes`: all of them, conditional ones too; `seeds`: the number of those that are reported."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ValueError(f"select must be a table of axis, seeds and by, not {brief(given)}.")
    for key in given:
        if key not in ("axis", "seeds", "by"):
            raise ValueError(f'select has no part "{key}"; its parts: axis, seeds, by.{nearest(key, ["axis", "seeds", "by"])}')
    if "axis" not in given:
        raise ValueError('select needs the axis along which it chooses, as in axis = "optimizer.learning_rate".')
    check_choice("select's axis", path := given["axis"], dict.fromkeys(paths_of(axes)))
    check_choice("select's by", by := given.get("by", "final_loss"), ["final_loss"])
    count = check_count("select's number of seeds", given.get("seeds", 5), most=MOST_SEEDS)
    along = {other for rows in axes if path in rows[0] for other in rows[0]}
    if tasks := [other for other in sorted(along) if other.split(".")[0] == "task"]:
        raise ValueError(
            f"select cannot choose along {path}: {tasks[0]} varies along it, and losses on different tasks cannot be compared."
        )
    return Select(path, frozenset(along), range(seeds, seeds + count), by)


def _check_cells(cells: int) -> None:
    if cells > MOST_CELLS:
        raise ValueError(f"a sweep may have at most {MOST_CELLS:,} cells, points times seeds, and this one has {cells:,}.")


def _check_rule_paths(values: list[Values]) -> None:
    """Raise ValueError for a setting of all rules that only some have, and for one of a rule that there is not."""
    rules: dict[str, dict[str, Any]] = {}
    for point in values:
        for path in point:
            rules.setdefault(path, {})[str(point["rule"].label)] = point["rule"].given
    labels = rules["rule"]
    for path, having in rules.items():
        keys = tuple(path.split("."))
        if keys[0] != "rule" or len(keys) == 1 or rule_of(path, labels):
            continue
        request.addresses(keys, having)
        settings = {key for table in having.values() for key in settings_of(find(RULE, table["name"])[1])}
        if len(keys) > 2 and keys[1] not in settings:
            raise ValueError(
                f"{path} does not exist: {keys[1]} is neither a rule's label nor a rule's setting; the rules: "
                f"{', '.join(labels)}.{nearest(keys[1], [*labels, *settings])}"
            )


def _points(base: dict[str, Any], values: list[Values], shown: list[str], folder: Path) -> Iterator[Point]:
    known = Known()
    for number, each in enumerate(values):
        coordinates = {path: each[path].label for path in shown if path in each}
        try:
            yield Point(coordinates, Run.create(_table(base, each, folder), known))
        except ValueError as error:
            if not number:  # what is wrong in all of them is wrong in the first
                raise
            raise ValueError(f"for {told(coordinates)}: {error}") from None


def _table(base: dict[str, Any], values: Values, folder: Path) -> dict[str, Any]:
    """The table of one run. Raises ValueError for a setting that is given twice."""
    label = str(values["rule"].label)
    table = base | {"rule": {label: values["rule"].given}, "task": values["task"].given}
    varied: dict[str, Any] = {}
    settings = [path for path in values if path not in ("rule", "task")]
    for path in sorted(settings, key=lambda path: path.count(".")):  # what is named, then its settings
        for keys in request.addresses(tuple(path.split(".")), table["rule"]):
            if _has(varied, keys) or (not values[path].by and _has(table, keys)):
                raise ValueError(f"{path} is given twice, as an axis and in a table; give it once.")
            request.assign(varied, keys, values[path].given)
            request.assign(table, keys, values[path].given)
    return table | {"rule": table["rule"][label], "task": request.task_table(table["task"], None, folder)}


def _has(table: Any, keys: request.Keys) -> bool:
    """Whether a table of tables says what a path leads to: a value, or the name of a table."""
    for key in keys:
        if not isinstance(table, Mapping) or key not in table:
            return False
        table = table[key]
    return not isinstance(table, Mapping) or "name" in table
