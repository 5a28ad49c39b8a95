"""Trials of a NeuroGym task as one .npz file, which recredit's task `recorded` reads: docs/neurogym.md.

Run it in a separate environment, with `pip install neurogym==2.3.1`; it needs nothing from recredit:

    python neurogym_export.py PerceptualDecisionMaking decisions.npz --trials 2000 --dt 20
"""

import argparse
import difflib
import json
import sys
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np

if not find_spec("torch"):  # NeuroGym imports it only for its probes of PyTorch networks, and does not install it
    sys.modules["torch"] = MagicMock()
import neurogym
from neurogym.envs.registration import all_envs


def make(name: str, dt: int, settings: dict[str, Any]) -> Any:
    """A task, without the wrappers that end a trial when an action is taken."""
    known = {each.removesuffix("-v0"): each for each in all_envs(collections=True)}
    name = name.removesuffix("-v0")
    if name not in known:
        close = "".join(f" Did you mean {each}?" for each in difflib.get_close_matches(name, known, 1))
        raise ValueError(f"NeuroGym has no task of that name; its tasks: {', '.join(known)}.{close}")
    with warnings.catch_warnings(action="ignore"):  # about what only the drawing of a task would need
        return neurogym.make(known[name], dt=dt, **settings).unwrapped


def trials(task: Any, count: int, seed: int, scored: list[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of some trials, one after the other, and the names of the epochs.

    For each step: inputs; targets, numbers as they are, or the one-hot vector of a choice, uniform where nothing is scored
    ("fixate", the choice 0, is left out if it is never right where it is scored); weight, 1 in the epochs that are scored;
    start, whether a trial begins; epoch, the number of its name, -1 between epochs. For each trial: trial_start, its first
    step; trial_length; and trial, what the task says about it, as JSON.
    """
    task.seed(seed)
    epochs: list[str] = []
    inputs, answers, weights, numbers, told = [], [], [], [], []
    for _ in range(count):
        task.start_ind.clear()  # which would still hold epochs that only an earlier trial had
        task.end_ind.clear()
        told.append(json.dumps(task.new_trial(), default=lambda value: value.tolist()))
        if not all(hasattr(task, what) for what in ("ob", "gt")):
            raise ValueError("it does not lay out a trial's inputs and answers in advance.")
        length, names = len(task.ob), list(task.start_ind)
        epochs += [name for name in names if name not in epochs]
        if missing := [name for name in scored if name not in names]:
            raise ValueError(f"a trial has no epoch {missing[0]}; its epochs: {', '.join(names)}.")
        epoch, weight = np.full(length, -1), np.zeros(length, np.float32)
        for name in names:
            where = slice(task.start_ind[name], task.end_ind[name])
            epoch[where] = epochs.index(name)
            weight[where] = np.maximum(weight[where], name in scored)
        inputs.append(task.ob)
        answers.append(task.gt)
        weights.append(weight)
        numbers.append(epoch)
    lengths = np.array([len(each) for each in inputs])
    starts = np.cumsum(lengths) - lengths
    answer, weight = np.concatenate(answers), np.concatenate(weights)
    start = np.zeros(len(weight), bool)
    start[starts] = True
    arrays = {"inputs": np.concatenate(inputs), "targets": _targets(task, answer, weight), "weight": weight, "start": start}
    arrays |= {"epoch": np.concatenate(numbers), "trial_start": starts, "trial_length": lengths, "trial": np.array(told)}
    if not all(np.isfinite(arrays[what]).all() for what in ("inputs", "targets")):
        raise ValueError("the task gave numbers that are not finite.")
    return arrays, epochs


def _targets(task: Any, answer: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Labels for a linear head where the task asks for numbers, for a softmax head where it asks for a choice."""
    if not hasattr(task.action_space, "n"):
        return answer.reshape(len(answer), -1)
    targets, is_scored = np.eye(task.action_space.n, dtype=np.float32)[answer], weight > 0
    if not (answer[is_scored] == 0).any():
        targets = targets[:, 1:]
    return np.where(is_scored[:, None], targets, np.float32(1 / targets.shape[1]))


def main() -> None:
    """Write the file that the command line asks for."""
    parser = argparse.ArgumentParser(description="Export trials of a NeuroGym task for recredit's task `recorded`.")
    parser.add_argument("task", help="its name, such as PerceptualDecisionMaking")
    parser.add_argument("file", type=Path, help="the .npz file to write")
    parser.add_argument("--trials", type=int, default=1000, help="number of trials (default 1000)")
    parser.add_argument("--dt", type=int, default=20, help="milliseconds in each network step (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the trials (default 0)")
    parser.add_argument("--scored", nargs="+", default=["decision"], help="the epochs that count (default decision)")
    parser.add_argument("--settings", type=json.loads, default={}, help='its settings as JSON: \'{"timing": {"delay": 0}}\'')
    given = parser.parse_args()
    if given.file.suffix != ".npz":
        parser.error(f"the file must end in .npz, not {given.file}")
    try:
        task = make(given.task, given.dt, given.settings)
        arrays, epochs = trials(task, given.trials, given.seed, given.scored)
        about = {key: value for key, value in vars(given).items() if key != "file"}
        about |= {"channels": getattr(task.observation_space, "name", {})}
        about |= {"versions": {name: version(name) for name in ("neurogym", "numpy")}}
        np.savez_compressed(given.file, epochs=np.array(epochs), about=np.array(json.dumps(about)), **arrays)
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"{given.task} cannot be exported: {error}")
    steps, n_in = arrays["inputs"].shape
    shown = f"{given.trials} trials, {steps} steps, {n_in} inputs, {arrays['targets'].shape[1]} outputs"
    print(f"Wrote {given.file}: {shown}, {int((arrays['weight'] > 0).sum())} steps scored.")


if __name__ == "__main__":
    main()
