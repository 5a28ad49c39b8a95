"""The axes of a sweep, and the points that they span: which values each point has, by the paths of the settings."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recredit.errors import brief, nearest
from recredit.runs.request import Keys, check_labels, labelled

MOST_POINTS = 50_000
PARTS = ("rule", "task", "network", "optimizer", "observers", "steps", "bin", "streams", "across_trials")
Label = str | int | float | bool


@dataclass(frozen=True)
class Value:
    """One value of an axis."""

    label: Label
    """What it is called: itself if it is a number or a word."""
    given: Any = field(compare=False)
    """What the setting is set to."""
    kind: type = field(init=False, repr=False)
    """True and 1 are different values, 1.0 and 1 are the same."""
    by: int = field(default=0, compare=False)
    """Which [[only]] gave it, counted from 1; 0: none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", bool if isinstance(self.label, bool) else object)


Values = dict[str, Value]
"""Of a point or a part of one, by path."""
Rows = list[Values]
"""The values that one axis, or several axes whose values go together, take in turn."""


@dataclass(frozen=True)
class Only:
    """Axes and settings only of points that have certain values."""

    number: int
    when: dict[str, list[Label]]
    """The labels that each axis may have."""
    axes: list[Rows]
    fixed: Values
    """Settings: an axis of the whole that is set here has one value, and no other setting becomes an axis."""

    @property
    def paths(self) -> set[str]:
        """What it gives."""
        return {*paths_of(self.axes), *self.fixed}


def paths_of(axes: Iterable[Rows]) -> list[str]:
    """The paths of some axes."""
    return [path for rows in axes for path in rows[0]]


def read_axes(grid: Any, zipped: Any, where: str = "", by: int = 0) -> list[Rows]:
    """The axes that the tables `grid` and `zip` of a sweep file, or of an [[only]] in it, give.

    Raises ValueError for what is no axis, and for one that is given twice.
    """
    grid = {path: axis(path, given, f"{where}[grid] ", by) for path, given in flat(grid, f"{where}[grid]").items()}
    zipped = {path: axis(path, given, f"{where}[zip] ", by) for path, given in flat(zipped, f"{where}[zip]").items()}
    if twice := grid.keys() & zipped.keys():
        raise ValueError(f"{where}{min(twice)} is given twice, in [grid] and in [zip]; give it once.")
    lengths = {path: len(values) for path, values in zipped.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{path} has {length}" for path, length in lengths.items())
        raise ValueError(f"{where}[zip]: values there go together, so every axis needs the same number of values; {shown}.")
    if len(zipped) == 1:
        raise ValueError(f"{where}[zip] needs two or more axes, whose values go together, not {next(iter(zipped))} alone.")
    together = [dict(zip(zipped, values, strict=True)) for values in zip(*zipped.values(), strict=True)]
    return [[{path: value} for value in values] for path, values in grid.items()] + ([together] if together else [])


def flat(table: Any, where: str) -> dict[str, Any]:
    """A part of a sweep file as values by path, whether it is written as "a.b" = 1, a.b = 1 or [part.a] b = 1.

    Raises ValueError for a part that is no table, and for a path that is given twice or leads to nothing that may vary.
    """
    found: dict[str, Any] = {}
    if not isinstance(table, Mapping):
        raise ValueError(f"{where} must be a table of settings such as network.n, not {brief(table)}.")
    for keys, value in leaves(table):
        path = ".".join(keys)
        if not all(keys) or not path.isprintable():
            raise ValueError(f"{where} {brief(path)} is not the path of a setting, as network.n is.")
        if keys[0] not in PARTS or keys == ("observers",):
            raise ValueError(
                f"{where} {brief(path)[1:-1]} cannot vary; these can: rule, task, steps, bin, streams, across_trials, and "
                f"settings of rule, task, network, optimizer and observers, as in network.n.{nearest(keys[0], PARTS)}"
            )
        if path in found:
            raise ValueError(f"{where} {path} is given twice; give it once.")
        found[path] = value
    return found


def leaves(table: Mapping[str, Any], above: Keys = ()) -> Iterable[tuple[Keys, Any]]:
    """What is no table in a table of tables, by its path; "a.b" counts as a path of two, and a name as what it names."""
    for key, value in table.items():
        keys = (*above, *(part.strip() for part in key.split(".")))
        if isinstance(value, Mapping) and value:
            yield from leaves(value, keys)
        else:
            yield keys[:-1] if len(keys) > 1 and keys[-1] == "name" else keys, value


def refuse_lists(table: Mapping[str, Any], above: Keys = ()) -> None:
    """Raise ValueError for a setting that is a list: it varies, and so belongs into [grid]."""
    for keys, value in leaves(table, above):
        if isinstance(value, list):
            raise ValueError(f"{'.'.join(keys)} cannot be a list, {brief(value)}: what varies belongs under [grid].")


def axis(path: str, given: Any, where: str = "", by: int = 0) -> list[Value]:
    """The values of an axis. Raises ValueError unless it is a list of one or more different numbers, words and named tables."""
    where += path
    if path in ("rule", "task"):
        if by:
            raise ValueError(f"{where} cannot depend on a condition; a list at the top of the file gives every {path}.")
        tables = labelled(path, given)
        check_labels(path, tables)
        for label, table in tables.items():
            refuse_lists(table, (path, label) if path == "rule" else (path,))
        values = [Value(label, table) for label, table in tables.items()]
    else:
        if not isinstance(given, list):
            raise ValueError(f"{where} must be a list of values, as in [{brief(given)}], not {brief(given)}.")
        values = [_value(where, each, by) for each in given]
    if not values:
        raise ValueError(f"{where} is an empty list; an axis needs at least one value.")
    for value, count in Counter(values).items():
        if count > 1:
            raise ValueError(f"{where} has the value {brief(value.label)} twice; give it once.")
    return values


def _value(where: str, given: Any, by: int) -> Value:
    if isinstance(given, Mapping) and isinstance(given.get("name"), str):
        settings = [f"{key}={value}" for key, value in given.items() if key != "name"]
        return Value(" ".join([given["name"], *settings]), dict(given), by)
    if not isinstance(given, str | int | float):
        raise ValueError(
            f"{where} cannot be {brief(given)}: each value must be a number, a word, true/false or a table with a name."
        )
    if isinstance(given, float) and not math.isfinite(given):
        raise ValueError(f"{where} cannot be {given}: a number must be finite.")
    return Value(given, given, by)


def read_only(given: Any, number: int) -> Only:
    """One [[only]]. Raises ValueError for one without a condition, or with nothing for it."""
    where, parts = f"[[only]] number {number}: ", ("when", "grid", "zip", "set")
    if not isinstance(given, Mapping):
        raise ValueError(f"{where}it must be a table of {', '.join(parts)}, not {brief(given)}.")
    for part in given:
        if part not in parts:
            raise ValueError(f'{where}it has no part "{part}"; its parts: {", ".join(parts)}.{nearest(part, parts)}')
    when = {
        path: labels if isinstance(labels, list) else [labels]
        for path, labels in flat(given.get("when", {}), f"{where}when").items()
    }
    axes = read_axes(given.get("grid", {}), given.get("zip", {}), where, number)
    fixed = {
        path: axis(path, [value], f"{where}set ", number)[0]
        for path, value in flat(given.get("set", {}), f"{where}set").items()
    }
    if twice := [path for path in paths_of(axes) if path in fixed]:
        raise ValueError(f"{where}{twice[0]} is given twice, as an axis and in set; give it once.")
    if not when or not all(when.values()):
        raise ValueError(f'{where}it needs when, the values that it is for, as in when = {{rule = "dni"}}.')
    if not axes and not fixed:
        raise ValueError(f"{where}it sets nothing; it needs a table grid, zip or set.")
    return Only(number, when, axes, fixed)


def expand(axes: Sequence[Rows], onlys: Sequence[Only]) -> list[Values]:
    """All points: every combination of the axes, and where an [[only]] fits, its own in place of what it gives.

    An axis rule.LABEL.SETTING is for the points of that rule alone; so `axes` has the rules first.

    Raises ValueError for an [[only]] that fits no point, and for too many points.
    """
    labels = {str(values["rule"].label) for rows in axes for values in rows if "rule" in values}
    points: list[Values] = [{}]
    for rows in axes:
        points = _few(grown for point in points for grown in _grow(point, rows, labels))
    for only in onlys:
        points = _few(_where(only, points, labels))
    return points


def _few(points: Iterable[Values]) -> list[Values]:
    """The points, each once. Raises ValueError for too many."""
    found: dict[Any, Values] = {}
    for point in points:
        found[frozenset(point.items())] = point
        if len(found) > MOST_POINTS:
            raise ValueError(
                f"a sweep may have at most {MOST_POINTS:,} points, and this one has more; shorten its axes, or split it."
            )
    return list(found.values())


def _where(only: Only, points: list[Values], labels: set[str]) -> Iterable[Values]:
    """The points, those that an [[only]] fits with what it gives."""
    _check_when(only, points)
    for point in points:
        if not _fits(only, point):
            yield point
            continue
        if twice := [path for path in sorted(only.paths) if path in point and point[path].by]:
            numbers = f"{point[twice[0]].by} and {only.number}"
            raise ValueError(
                f"{twice[0]} is given twice, by [[only]] numbers {numbers}, for {told(point)}; make their conditions exclude "
                "each other."
            )
        some = [{path: value for path, value in point.items() if path not in only.paths}]
        for rows in [*only.axes, [only.fixed]]:
            some = _few(grown for each in some for grown in _grow(each, rows, labels))
        yield from some


def _grow(point: Values, rows: Rows, labels: set[str]) -> Iterable[Values]:
    """A point with each of some rows in turn, without what is for another rule."""
    for row in rows:
        grown = point | row
        yield {path: value for path, value in grown.items() if rule_of(path, labels) in (None, grown["rule"].label)}


def rule_of(path: str, labels: Collection[str]) -> str | None:
    """The label of the rule that a path rule.LABEL.SETTING is for; None: it is for all."""
    part, label, *inner = [*path.split("."), ""]
    return label if part == "rule" and any(inner) and label in labels else None


def _fits(only: Only, point: Values) -> bool:
    return all(path in point and any(point[path] == Value(each, each) for each in only.when[path]) for path in only.when)


def _check_when(only: Only, points: list[Values]) -> None:
    """Raise ValueError unless an [[only]] fits some point, and each of its labels is one that its axis has."""
    where = f"[[only]] number {only.number}: "
    for path, labels in only.when.items():
        known = list(dict.fromkeys(point[path] for point in points if path in point))
        if not known:
            paths = list(dict.fromkeys(path for point in points for path in point))
            raise ValueError(f"{where}when.{path} is not an axis; the axes: {', '.join(paths)}.{nearest(path, paths)}")
        for label in labels:
            if not isinstance(label, str | int | float) or Value(label, label) not in known:
                shown = [str(value.label) for value in known]
                raise ValueError(
                    f"{where}when.{path} cannot be {brief(label)}: its values are {brief(', '.join(shown))[1:-1]}."
                    f"{nearest(label, shown)}"
                )
    if not any(_fits(only, point) for point in points):
        raise ValueError(f"{where}no point meets its condition, when.")


def told(point: Mapping[str, Value | Label]) -> str:
    """A point in words: its labels by axis."""
    labels = {path: value.label if isinstance(value, Value) else value for path, value in point.items()}
    return ", ".join(f"{path}={' '.join(str(label)[:80].split())}" for path, label in labels.items())
