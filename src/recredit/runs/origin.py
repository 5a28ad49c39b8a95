"""Runs that start from another one: it is continued, or its weights are where something else starts."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recredit.errors import user_path
from recredit.runs.identity import difference, program
from recredit.runs.listing import flat
from recredit.runs.request import PARTS, Request, request
from recredit.runs.settings import Run, Start
from recredit.runs.states import read_state
from recredit.runs.trained import Trained, load
from recredit.training.tested import check_sizes

APART = {"steps", "bin", "record", "start", "files"}  # what a run may have otherwise, and yet be the same, continued
Pairs = Mapping[str, tuple[Run, Trained]]
"""What is asked for, and the networks that it begins with, by the rules' labels."""


def request_from(run: str, options: Mapping[str, Any], settings: Sequence[str]) -> tuple[Request, list[int], str]:
    """What is asked for as `request` does, with the settings of another run where nothing else is said; its seeds; and how it
    begins, in a sentence.

    `run`: the other's folder, followed by :RULE to choose one of its rules; else each rule starts from its own networks, or
    from the only ones. If all settings are the same it is continued, for `steps` more. Any other starts from the weights alone.

    Raises ValueError, one sentence, as `request` and `load` do, and for what cannot be continued, or cannot begin so.
    """
    path, label = (run, "") if user_path(run).exists() or ":" not in os.path.splitdrive(run)[1] else run.rsplit(":", 1)
    folder, found = Path(path), load(path)
    sources = {label: found[label]} if label else dict(found)
    first = next(iter(sources.values()))
    base = first.run.given() | {"rule": {label: each.run.given()["rule"] for label, each in sources.items()}}
    seeds = sorted({*first, *first.diverged})
    asked = request(
        None,
        options,
        settings,
        {key: base[key] for key in base if key in PARTS and key not in APART - {"steps", "record"}} | {"seeds": len(seeds)},
    )
    pairs = {label: (new, _source(sources, label, folder)) for label, new in asked.runs.items()}
    changed = {label: _changed(new, source.run) for label, (new, source) in pairs.items()}
    if any(changed.values()) and not all(changed.values()):
        same, other = (next(label for label in pairs if bool(changed[label]) is wanted) for wanted in (False, True))
        raise ValueError(
            f"{same} would be continued, but {other} would start anew from trained weights: do one after the other."
        )
    is_continued = not any(changed.values())
    usable = seeds if is_continued else [seed for seed in seeds if all(seed in source for _, source in pairs.values())]
    if asked.seeds > len(seeds):
        raise ValueError(f"{folder} has {len(seeds)} seeds, fewer than the {asked.seeds} asked for.")
    chosen = [seed for seed in seeds[: asked.seeds] if seed in usable]
    if not chosen:
        raise ValueError(f"{folder} has no trained networks to start from: its seeds have diverged.")
    if is_continued:
        runs, done = _continued(pairs, chosen, folder, options), first.run.steps
        told = f"Continues {run} after {done:,} steps: learners keep their whole state"
    else:
        runs, differing = (
            _transferred(pairs, folder),
            ", ".join(dict.fromkeys(key for keys in changed.values() for key in keys)),
        )
        told = f"Starts from the weights of {run}, with new learning states and optimizers, for a different {differing}"
    left_out = (
        f"; without the seeds that diverged: {', '.join(map(str, lost))}"
        if (lost := {*seeds[: asked.seeds]} - {*chosen})
        else ""
    )
    name, steps = folder.resolve().name, next(iter(runs.values())).steps
    default = Path("results") / (f"{name}-to-{steps}-steps" if is_continued else f"{asked.out.name}-from-{name}")
    out = asked.out if options.get("out") else default
    if out.resolve() == folder.resolve():
        raise ValueError(f"a run that starts from {folder} needs a folder of its own: --out.")
    return Request(runs, len(chosen), asked.seeds_at_once, out), chosen, f"{told}{left_out}."


def _source(sources: Mapping[str, Trained], label: str, folder: Path) -> Trained:
    """The networks that the rule of a label begins with."""
    if len(sources) > 1 and label not in sources:
        one = f"{folder}:{next(iter(sources))}"
        raise ValueError(f"{folder} holds networks of {', '.join(sources)}, but not of {label}: choose one, as in {one}.")
    return sources[label] if label in sources else next(iter(sources.values()))


def _changed(new: Run, source: Run) -> list[str]:
    """The settings in which a run differs from its source, by path; of what has another name, the path alone."""
    one, other = (flat(run.model_dump(exclude=APART)) for run in (new, source))
    found = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return [key for key in found if not any(key.startswith(f"{above}.") for above in found)]


def _start(how: Any, source: Trained) -> Start:
    steps = source.run.steps if how == "continued" else None
    drawn = how == "continued" and (source.run.start is None or source.run.start.drawn)
    lies = {"folder": str(source.folder.resolve()), "label": source.label}
    return Start(how=how, steps=steps, drawn=drawn, digest=source.digest(), **lies)


def _continued(pairs: Pairs, seeds: Sequence[int], folder: Path, options: Mapping[str, Any]) -> dict[str, Run]:
    runs: dict[str, Run] = {}
    for label, (new, source) in pairs.items():
        done, length = source.run.steps, source.run.bin
        if options.get("bin") not in (None, length):
            raise ValueError(f"a continued run keeps its bin of {length:,} steps.")
        if done % length:
            raise ValueError(f"{folder} cannot be continued: its {done:,} steps end in the middle of a bin of {length:,}.")
        if source.program != program():
            why = difference(source.program, program())
            raise ValueError(f"{folder} cannot be continued: it was computed by another version ({why}).")
        for seed in seeds:
            read_state(source.folder, source.cell(seed))
        table = source.run.given() | {"record": new.record, "steps": done + new.steps, "start": _start("continued", source)}
        runs[label] = Run.create(table)
    return runs


def _transferred(pairs: Pairs, folder: Path) -> dict[str, Run]:
    runs: dict[str, Run] = {}
    for label, (new, source) in pairs.items():
        if new.network != source.run.network:
            differing = [f"network.{key}" for key in new.network if new.network[key] != source.run.network.get(key)]
            raise ValueError(f"a run from the weights of {folder} keeps its network, but {', '.join(differing)} differs.")
        units = new.network["units"]["name"] if new.network["units"] else ""
        if new.sources.get(units) != source.run.sources.get(units):
            raise ValueError(
                f"a run from the weights of {folder} keeps its network, but the source of its units {units} has changed."
            )
        some = next(iter(source.weights.values()))
        check_sizes(new.build_task(), some["W"].shape[1] - new.network["n"] - 1, len(some["b_out"]))
        runs[label] = Run.create(new.given() | {"start": _start("weights", source)})
    return runs
