"""Trained networks tested on fresh data: as runs say it, and as a dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recredit.runs.assignment import parse
from recredit.runs.identity import versions
from recredit.runs.request import assign, given_once, seen_from, task_table
from recredit.runs.settings import Run
from recredit.runs.trained import Trained
from recredit.tasks.task import task_length
from recredit.training.described import LOSS
from recredit.training.tested import Tester

if TYPE_CHECKING:
    import xarray as xr

STEPS = 10_000  # of a test on a task without end
TOLD = {"task", "steps", "across_trials", "sources", "files"}


def tests_of(trained: Mapping[str, Trained], task: str | None, settings: Sequence[str], steps: int | None) -> dict[str, Run]:
    """The test of each rule's networks, as a run that learns nothing: by default on the task that they were trained on.

    `task`, `settings`: a task by name, and PATH=VALUE of its settings. `steps`: network steps (None: `STEPS`, or all that the
    task's data have). Raises ValueError, one sentence, for whatever does not fit.
    """
    given = given_once(map(parse, settings))
    for keys in given:
        if keys[0] != "task" or len(keys) < 2:
            raise ValueError(f"a test takes only settings of the task, as in task.part=test, not {'.'.join(keys)}.")
    tests: dict[str, Run] = {}
    for label, found in trained.items():
        table = found.run.given()
        chosen = {"task": task_table(table["task"], seen_from(Path(), task), Path())}
        for keys, value in given.items():
            assign(chosen, keys, value)
        run = {"rule": "fixed_w", "network": table["network"], "across_trials": table["across_trials"], **chosen}
        if steps is None and task_length(Run.create(run).build_task(), 1) is None:
            steps = STEPS
        tests[label] = Run.create(run | ({} if steps is None else {"steps": steps}))
    return tests


def tested(trained: Mapping[str, Trained], tests: Mapping[str, Run]) -> xr.Dataset:
    """The loss and accuracy (rule, seed) of the tests; nan for a seed that diverged in training."""
    import xarray as xr

    seeds = sorted({seed for found in trained.values() for seed in (*found, *found.diverged)})
    parts: dict[str, dict[str, Any]] = {}
    for label, found in trained.items():
        _, network, _, _ = tests[label].build()
        task = tests[label].build_task()
        tester = Tester(task, network, tests[label].steps, tests[label].across_trials)
        scores = {seed: tester.test(found[seed], seed) for seed in found}
        parts[label] = {
            name: [scores[seed][name] if seed in scores else np.nan for seed in seeds]
            for name in (["loss", "accuracy"] if task.classes else ["loss"])
        }
    any_test = next(iter(tests.values()))
    what, _ = LOSS[any_test.build_task().head]
    meaning = {
        "loss": f"{what} of the trained network on fresh data, mean over the steps by their weights",
        "accuracy": "share of the scored steps whose largest output is the label's, by their weights",
    }
    names = dict.fromkeys(name for part in parts.values() for name in part)
    data = xr.Dataset(
        {
            name: (("rule", "seed"), [part[name] for part in parts.values()], {"long_name": meaning[name], "units": "1"})
            for name in names
        },
        coords={"rule": [*parts], "seed": seeds},
    )
    data.attrs = {
        "title": f"{', '.join(parts)} tested on {any_test.task['name']} for {any_test.steps:,} steps, their weights fixed",
        "trained": json.dumps({label: found.run.model_dump() for label, found in trained.items()}),
        "tested": json.dumps({label: test.model_dump(include=TOLD) for label, test in tests.items()}),
        "versions": json.dumps(versions()),
    }
    return data
