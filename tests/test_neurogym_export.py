"""The exporter of NeuroGym's tasks, run as a program beside a small stand-in for NeuroGym: recredit reads its file."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recredit.registry import resolve_task

EXPORT = Path(__file__).parent.parent / "examples/neurogym_export.py"
STAND_IN = """
import numpy as np
from types import SimpleNamespace
class Task:
    def __init__(self, dt, choice=True, fixate=False):
        self.fixate, self.start_ind, self.end_ind = fixate, {}, {}
        self.action_space = SimpleNamespace(n=3) if choice else SimpleNamespace(shape=(2,))
        self.observation_space = SimpleNamespace(name={"fixation": 0, "stimulus": [1]})
        self.choice, self.unwrapped = choice, self
    def seed(self, seed):
        self.rng = np.random.RandomState(seed)
    def new_trial(self):
        steps, right = self.rng.randint(2, 6), self.rng.randint(1, 3)
        if self.fixate:
            right = 0
        self.start_ind.update(fixation=0, decision=steps)
        self.end_ind.update(fixation=steps, decision=steps + 2)
        if right == 2:
            self.start_ind["extra"], self.end_ind["extra"] = steps + 2, steps + 3
        length = steps + 2 + (right == 2)
        self.ob = np.full((length, 2), right, np.float32)
        self.gt = np.zeros(length, int) if self.choice else np.zeros((length, 2), np.float32)
        self.gt[steps : steps + 2] = right
        return {"ground_truth": np.int64(right), "theta": np.ones(2)}
def make(name, dt, **settings):
    return Task(dt, **settings)
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path, monkeypatch):
    """A package that behaves as NeuroGym does, in a folder of the test's own."""
    for file, text in {
        "neurogym/__init__.py": STAND_IN,
        "neurogym/envs/__init__.py": "",
        "neurogym/envs/registration.py": "def all_envs(collections): return ['Mine-v0', 'Other-v0']",
        "neurogym-2.3.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: neurogym\nVersion: 2.3.1\n",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def export(*arguments):
    return subprocess.run([sys.executable, EXPORT, *arguments], capture_output=True, text=True)


def exported(*arguments):
    """The arrays of 30 trials of the task Mine."""
    done = export("Mine", "mine.npz", "--trials", "30", *arguments)
    assert done.returncode == 0, done.stderr
    return dict(np.load("mine.npz"))


def test_choices_count_at_the_decision_alone_and_every_trial_is_found_again():
    data = exported("--seed", "3")
    epochs = data["epochs"][data["epoch"]]
    assert {*data["epochs"]} == {"fixation", "decision", "extra"}
    np.testing.assert_array_equal(data["weight"], epochs == "decision")
    np.testing.assert_array_equal(np.flatnonzero(data["start"]), data["trial_start"])
    assert data["trial_length"].sum() == len(data["inputs"]) == len(data["targets"])
    right = [json.loads(each)["ground_truth"] for each in data["trial"]]
    assert {*right} == {1, 2}
    shown = np.repeat(right, data["trial_length"])
    np.testing.assert_array_equal(data["inputs"][:, 0], shown)
    np.testing.assert_array_equal(epochs[(shown == 1) & (data["weight"] == 0)], "fixation")  # no epoch of an earlier trial
    np.testing.assert_array_equal(data["targets"], np.where(data["weight"][:, None], np.eye(2)[shown - 1], 0.5))
    about = json.loads(str(data["about"]))
    assert (about["seed"], about["versions"]["neurogym"]) == (3, "2.3.1")
    assert not np.array_equal(data["trial_length"], exported("--seed", "4")["trial_length"])


def test_fixation_is_a_choice_where_it_is_scored_or_right_and_numbers_go_as_they_are():
    data = exported("--scored", "fixation", "decision")
    assert data["targets"].shape[1] == 3
    assert {*data["targets"][data["epochs"][data["epoch"]] == "fixation"].argmax(1)} == {0}
    assert exported("--settings", '{"fixate": true}')["targets"].shape[1] == 3
    numbers = exported("--settings", '{"choice": false}')["targets"]
    assert {*numbers.ravel()} == {0, 1, 2}


def test_recredit_reads_the_file():
    data = exported()
    task = resolve_task({"name": "recorded", "file": "mine.npz", "head": "softmax"})
    assert (task.n_in, task.n_out, task.length()) == (2, 2, len(data["inputs"]))


REFUSED = {
    "Mina": "NeuroGym has no task of that name; its tasks: Mine, Other. Did you mean Mine?",
    "Mine --scored answer": "a trial has no epoch answer; its epochs: fixation, decision",
    'Mine --settings {"x":1}': "unexpected keyword argument 'x'",
}


@pytest.mark.parametrize("given", REFUSED)
def test_what_cannot_be_exported_is_said_in_a_sentence_and_no_file_is_written(given):
    name, *more = given.split()
    done = export(name, "mine.npz", *more)
    assert done.returncode != 0
    assert REFUSED[given] in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("mine.npz").exists()
