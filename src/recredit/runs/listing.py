"""What a folder of results holds, cell by cell, from the records alone: without JAX or HDF5, and no array is read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recredit.errors import beside, nearest
from recredit.runs.assignment import parse
from recredit.runs.identity import difference, program
from recredit.runs.record import records

DONE, DIVERGED, OTHER, DAMAGED = "done", "diverged", "other version", "damaged"


@dataclass(frozen=True)
class Listed:
    """One file among the cells of a folder."""

    path: Path
    """Where it lies."""
    state: str
    """done, diverged, other version (done, or diverged, by another program than this one) or damaged."""
    settings: dict[str, Any]
    """All settings of its run by path, as --set writes them, and seed, precision and state."""
    record: dict[str, Any]
    """What it says of itself; nothing if it is damaged."""
    why: str
    """In what its program differs from this one, or what is damaged."""


def listed(folder: Path, where: Sequence[str] = ()) -> list[Listed]:
    """The cells in a folder for which every PATH=VALUE of `where` holds; of several values of one path, one has to.

    Raises ValueError for a folder without cells, for what is no setting, and for a path that none of the cells has.
    """
    if not (folder / "cells").is_dir():
        if not folder.exists():
            raise ValueError(f"the folder {folder} does not exist.{beside(folder)}")
        why = "it has no folder cells" if folder.is_dir() else "it is a file; give the folder of a command's results"
        raise ValueError(f"{folder} holds no results: {why}.")
    wanted: dict[str, list[Any]] = {}
    for keys, value in (parse(each, like="rule=rflo") for each in where):
        wanted.setdefault(".".join(keys), []).append(value)
    found = [_listed(path, record) for path, record in records(folder)]
    known = {key for each in found for key in each.settings}
    full = {key: _full(folder, key, known) for key in wanted} if found else {}
    return [each for each in found if all(_is_one_of(each.settings.get(full[key]), wanted[key]) for key in wanted)]


def _full(folder: Path, key: str, known: set[str]) -> str:
    """The path that is meant by it or by its end, if one alone ends so. Raises ValueError if there is none."""
    ending = [each for each in known if each.endswith(f".{key}")]
    if key in known or len(ending) == 1:
        return key if key in known else ending[0]
    raise ValueError(f'no cell in {folder} has a setting "{key}".{nearest(key, known)}')


def _listed(path: Path, record: dict[str, Any] | str) -> Listed:
    if isinstance(record, str):
        return Listed(path, DAMAGED, {"state": DAMAGED}, {}, record)
    identity = record["identity"]
    current = identity["program"] == program()
    state = (DIVERGED if record["diverged"] else DONE) if current else OTHER
    settings = flat(identity["run"]) | {key: identity[key] for key in ("seed", "precision")} | {"state": state}
    return Listed(path, state, settings, record, "" if current else difference(identity["program"], program()))


def flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The settings in a table of tables, by path; the path of what has a name leads to the name."""
    told: dict[str, Any] = {}
    for key, value in table.items():
        at = path if key == "name" and path else f"{path}.{key}" if path else key
        told |= flat(value, at) if isinstance(value, dict) else {at: value}
    return told


def _is_one_of(given: Any, values: Iterable[Any]) -> bool:
    return any(given == value or str(given) == str(value) for value in values)


def by_run(cells: Iterable[Listed]) -> list[tuple[dict[str, Any], list[Listed]]]:
    """The cells that are not damaged, those of one run and one program together; with the settings of each run."""
    found: dict[str, tuple[dict[str, Any], list[Listed]]] = {}
    for cell in cells:
        if cell.state != DAMAGED:
            run = {key: value for key, value in cell.settings.items() if key not in ("seed", "state")}
            found.setdefault(f"{sorted(run.items())} {cell.record['identity']['program']}", (run, []))[1].append(cell)
    return list(found.values())


def differing(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings, by path, in which runs of one rule, or of one task, ... differ, but for rule and task themselves."""
    found = []
    for key in dict.fromkeys(key for run in runs for key in run):
        above = [key[:i] for i, character in enumerate(key) if character == "."]
        values: dict[tuple[Any, ...], set[str]] = {}
        having = [run for run in runs if key in run] if key.startswith("sources.") else runs  # the others have not that rule
        for run in having:  # a setting of one rule is compared among the runs of that rule
            values.setdefault(tuple(run.get(path) for path in above), set()).add(str(run.get(key, "")))
        if key not in ("rule", "task") and any(len(each) > 1 for each in values.values()):
            found.append(key)
    return found


def as_rows(cells: Sequence[Listed]) -> list[dict[str, Any]]:
    """One table row a cell: its file, what it came to, when and how, and every setting in a column of its own."""
    made = ("final_loss", "diverged", "begun", "ended", "seconds", "host", "device")
    return [
        {"file": cell.path.name}
        | cell.settings
        | {key: cell.record.get(key) for key in made}
        | {f"version.{key}": value for key, value in cell.record.get("versions", {}).items()}
        | {"why": cell.why}
        for cell in cells
    ]
