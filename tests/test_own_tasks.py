"""Tasks of the user's own, by their files: wherever a task is named, as part of a run's identity, and refused in a sentence."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from commands import refused

import recredit
from recredit.cli.main import main
from recredit.registry import resolve_task
from recredit.runs.files import writable_folder
from recredit.runs.identity import Cell
from recredit.runs.plan import Job
from recredit.runs.request import request
from recredit.runs.settings import Run
from recredit.runs.store import read_cells
from recredit.runs.sweep import read_sweep
from recredit.runs.work import work

ROOT = Path(__file__).parent.parent
OWN = """
import beside
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from recredit import AbstractTask, Sample
from recredit.tasks.task import File
class Mine(AbstractTask):
    gain: float = 1.0
    file: File = None
    n_in: int = eqx.field(default=1, init=False)
    n_out: int = eqx.field(default=1, init=False)
    head: str = eqx.field(default="linear", init=False, static=True)
    def init(self, net, key):
        return None
    def chunk(self, state, start, length):
        x = jnp.cos(start + jnp.arange(length))[:, None]
        return state, Sample(x, beside.GAIN * self.gain * x)
"""
RULE = """
from recredit import AbstractRule
class Mine(AbstractRule):
    def init(self, net, key):
        return None
    def update(self, net, step, state, key):
        return 0 * net.W, state
"""
SMALL = ("--steps", "200", "--set", "network.n=4")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own(place, gain=1):
    """A task's file in a folder, with a module beside it."""
    Path(place).mkdir(parents=True, exist_ok=True)
    Path(place, "own.py").write_text(OWN)
    Path(place, "beside.py").write_text(f"GAIN = {gain}")


def asked(task, *settings, **parts):
    """The run that a command asks for, RFLO's."""
    small = {"rule": ("rflo",), "steps": 200, "task": task}
    return request(None, small | parts, ["network.n=4", *settings]).runs["rflo"]


def test_the_example_is_trained_and_learned_and_its_results_go_by_its_name(capfd):
    example = str(ROOT / "examples/own_task.py")
    with pytest.raises(SystemExit) as end:
        main(["train", "--rule", "rtrl", "--task", example, "--seeds", "2", *SMALL, "task.delay=1", "optimizer=0.1"])
    assert end.value.code == 0
    data = xr.load_dataset("results/Echo-rtrl/run.nc")
    assert json.loads(data.attrs["runs"])["rtrl"]["task"] == {"name": "Echo", "delay": 1}
    assert data.loss[..., -1].max() < 0.6 < np.log(2) < data.loss[..., 0].max()
    told = capfd.readouterr().out
    assert "Echo" in told


def test_a_task_is_named_by_its_file_in_python_too():
    own("a")
    settings = {"network": {"n": 4}, "seeds": 1, "steps": 200, "optimizer": 0.1}
    data = recredit.train("rflo", {"name": "a/own.py:Mine", "gain": 0.5}, **settings)
    xr.testing.assert_identical(data, recredit.train("rflo", resolve_task({"name": "a/own.py", "gain": 0.5}), **settings))
    assert data.loss[0, -1] < 0.1 * data.loss[0, 0]
    assert not np.array_equal(data.loss, recredit.train("rflo", "a/own.py", **settings).loss)


def test_a_file_and_paths_in_it_are_seen_from_the_folder_of_the_toml_file(folder):
    own("a/tasks")
    np.savez("a/data.npz")
    Path("a/run.toml").write_text('rule = "rflo"\nsteps = 200\n[task]\nname = "tasks/own.py"\nfile = "data.npz"\ngain = 3\n')
    for task in (None, "a/tasks/own.py", "./a/tasks/own.py:Mine"):
        run = request(Path("a/run.toml"), {"task": task}, []).runs["rflo"]
        assert run.files == {"Mine": str(folder / "a/tasks/own.py")}
        assert run.task == {"name": "Mine", "gain": 3.0, "file": str(Path("a/data.npz").absolute())}
    own("b")
    assert request(Path("a/run.toml"), {"task": "b/own.py"}, []).runs["rflo"].task == {
        "name": "Mine",
        "gain": 1.0,
        "file": None,
    }


def test_the_source_of_an_own_task_is_its_identity_and_its_place_and_its_files_place_are_not():
    own("a")
    own("b/c")
    np.savez("one.npz")
    np.savez("two.npz")
    text = asked("a/own.py", "task.file=one.npz").text()
    assert asked("b/c/own.py:Mine", "task.file=two.npz").text() == text
    assert asked("a/own.py", "task.file=one.npz", "task.gain=2").text() != text
    for file in ("own.py", "beside.py"):
        before = Path("b/c", file).read_text()
        Path("b/c", file).write_text(before + "\n# another")
        assert asked("b/c/own.py", "task.file=one.npz").text() != text, file
        Path("b/c", file).write_text(before)


def final(run):
    """The final weights of a run, as a worker trains it that is told of it as JSON."""
    sent = Run(**json.loads(json.dumps(run.model_dump())))
    work(Job(writable_folder(Path("out")), (Cell(sent, 0),), ("Mine: rflo",), 1.0))
    return read_cells(Path("out"), run, [0]).W.values


def test_an_own_task_is_trained_with_its_settings_by_a_worker_that_refuses_a_changed_file():
    own("a")
    run = asked("a/own.py", "task.gain=3")
    thrice = final(run)
    own("a", gain=3)
    np.testing.assert_array_equal(final(asked("a/own.py")), thrice)
    with pytest.raises(ValueError, match=r"own\.py.*has changed since the run began"):
        final(run)


DATA = """
    def digest(self):
        from pathlib import Path
        return Path("told").read_text()
"""


def test_data_that_an_own_task_has_a_digest_of_count_and_are_refused_when_they_change():
    own("a")
    Path("a/own.py").write_text(OWN + DATA)
    Path("told").write_text("one")
    run = asked("a/own.py")
    final(run)
    Path("told").write_text("two")
    assert asked("a/own.py").text() != run.text()
    with pytest.raises(ValueError, match=r"the data of the task Mine have changed since the run began; start the run again\.$"):
        final(run)


def test_tasks_of_one_name_in_a_sweep_each_have_their_own_source_and_neighbours():
    own("s/a")
    own("s/b", gain=2)
    Path("s/b/own.py").write_text(OWN + "    def length(self, streams=1):\n        return 150\n")
    Path("s/my.toml").write_text('rule = "rflo"\n[task]\none = "a/own.py"\ntwo = "b/own.py:Mine"\nthree = "add"\n')
    runs = {point.coordinates["task"]: point.run for point in read_sweep(Path("s/my.toml")).points}
    told = [(run.task["name"], run.steps) for run in runs.values()]
    assert told == [("Mine", 1_000_000), ("Mine", 150), ("add", 1_000_000)]
    samples = [runs[name].build_task().chunk(None, 0, 5)[1] for name in ("one", "two", "one")]
    assert [float((sample.target / sample.x).mean()) for sample in samples] == pytest.approx([1, 2, 1])


def test_an_own_task_and_an_own_rule_are_trained_together_unless_they_have_one_name():
    own("a")
    Path("rule.py").write_text(RULE.replace("Mine", "Other"))
    run = request(None, {"rule": ("rule.py",), "task": "a/own.py", "steps": 200}, ["network.n=4"]).runs["Other"]
    assert [*run.sources] == [*run.files] == ["Other", "Mine"]
    final(run)
    Path("rule.py").write_text(RULE)
    with pytest.raises(ValueError, match=r"^a/own.py: another rule is called Mine, so this class needs a different name\.$"):
        asked("a/own.py", rule=("rule.py",))
    Path("a/own.py").write_text(OWN.replace("Mine", "add"))
    with pytest.raises(ValueError, match=r"^a/own.py: another task is called add, so this class needs a different name\.$"):
        asked("a/own.py")


PLAIN = OWN.replace("import beside\n", "").replace("beside.GAIN * ", "")
FILES = {
    "print(\n": "own.py cannot be imported at line 1: SyntaxError: '(' was never closed.",
    "": 'own.py has no "Mine"; its tasks: none.',
    PLAIN.replace("Mine", "Mime"): 'own.py has no "Mine"; its tasks: Mime. Did you mean "Mime"?',
    RULE: "Mine in own.py is not a task, which is a subclass of recredit.AbstractTask with n_in, n_out, head, init and chunk.",
    PLAIN.replace(
        "def chunk", "def chunks"
    ): "Mine in own.py is not a task, which is a subclass of recredit.AbstractTask with n_in",
    PLAIN.replace(
        "    n_in:", "    n_inputs:"
    ): "Mine in own.py is not a task, which is a subclass of recredit.AbstractTask with n_in",
    PLAIN.replace("= 1.0", ""): "task Mine needs the setting gain.",
    PLAIN + "    def __check_init__(self):\n        1 / 0": "Mine cannot be made: ZeroDivisionError: division by zero.",
    PLAIN.replace(
        '"linear"', '"liner"'
    ): 'the task Mine\'s head "liner" is unknown; allowed: softmax, linear. Did you mean "linear"?',
    PLAIN.replace("self.gain *", "x[0, 3, 3] *"): "the task Mine's chunk fails at line 17 of own.py: IndexError: ",
    PLAIN + "    def check(self, steps, streams):\n        1 / 0": "the task Mine's check fails at line 19 of own.py",
    PLAIN + "    def floors(self):\n        1 / 0": "the task Mine's floors fails at line 19 of own.py: ZeroDivisionError",
    PLAIN + "    def floors(self):\n        return 3": "the task Mine's floors must be levels of the loss by their meaning",
    PLAIN + "    def floors(self):\n        return {'all': 'x'}": "the task Mine's floor all must lie in [-inf, inf), not 'x'.",
    PLAIN + "    def advice(self):\n        return 3": "the task Mine's advice must be words or None, not 3.",
    PLAIN + "    def digest(self):\n        return b''": "the task Mine's digest must be words or None, not b''.",
}


@pytest.mark.parametrize("text", FILES)
def test_a_bad_task_file_is_refused_in_one_sentence(capfd, text):
    Path("own.py").write_text(text)
    assert FILES[text] in refused(capfd, "train", "--rule", "rflo", "--task", "own.py:Mine", *SMALL)


NAMES = {
    "own.py": "own.py must hold exactly one task, or you must name it, as own.py:NAME; its tasks: Mine, Other.",
    "own.py:Their": "its tasks: Mine, Other.",
    "none.py": "the file none.py does not exist.",
    "adds": 'path/to/file.py:MyTask. Did you mean "add"?',
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_task_has_is_refused_wherever_it_is_written(capfd, name):
    Path("own.py").write_text(PLAIN + RULE.replace("Mine", "Rule") + PLAIN.replace("Mine", "Other"))
    Path("run.toml").write_text(f'rule = "rflo"\nsteps = 200\ntask = "{name}"')
    for arguments in (
        ("train", "--rule", "rflo", "--task", name),
        ("train", "--config", "run.toml"),
        ("sweep", "run.toml", "--dry-run"),
    ):
        assert NAMES[name] in refused(capfd, *arguments)
    with pytest.raises(ValueError, match=re.escape(NAMES[name])):
        resolve_task(name)
    assert 'task Other has no setting "gains"; its settings: gain, file. Did you mean "gain"?' in refused(
        capfd, "train", "--rule", "rflo", "--task", "own.py:Other", *SMALL, "task.gains=3"
    )
