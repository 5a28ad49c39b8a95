"""Units of the user's own, by their file as a setting of the network: trained, part of a run's identity, or refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from commands import refused

import recredit
from recredit.registry import resolve_network
from recredit.runs.files import writable_folder
from recredit.runs.identity import Cell
from recredit.runs.plan import Job
from recredit.runs.request import request
from recredit.runs.settings import Run
from recredit.runs.store import read_cells
from recredit.runs.sweep import read_sweep
from recredit.runs.work import work

OWN = """
import beside
import jax
import jax.numpy as jnp
from recredit import AbstractUnits
class Mine(AbstractUnits):
    variables = ("s",)
    voltages = {"v": "all"}
    tau: float = 2.0
    def f(self, s, v):
        return (s[0] + beside.GAIN * (jnp.tanh(v[0]) - s[0]) / self.tau,)
    def first(self, n, key):
        return (jnp.tanh(jax.random.normal(key, (n,))),)
"""
TRAIN = ("train", "--rule", "rflo", "--task", "add", "--steps", "200", "--set", "network.n=4")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own(place, gain=1):
    """A file of units in a folder, with a module beside it."""
    Path(place).mkdir(parents=True, exist_ok=True)
    Path(place, "own.py").write_text(OWN)
    Path(place, "beside.py").write_text(f"GAIN = {gain}")


def asked(*settings, file=None, **parts):
    """The run that a command asks for, RFLO's on Add."""
    small = {} if file else {"rule": ("rflo",), "steps": 200, "task": "add"}
    return request(file, small | parts, ["network.n=4", *settings]).runs["rflo"]


def final(run):
    """The final weights of a run, as a worker trains it that is told of it as JSON."""
    sent = Run(**json.loads(json.dumps(run.model_dump())))
    work(Job(writable_folder(Path("out")), (Cell(sent, 0),), ("add: rflo",), 1.0))
    return read_cells(Path("out"), run, [0]).W.values


def test_own_units_that_leak_as_the_papers_do_learn_as_these_do():
    own("a")
    settings = {"seeds": 1, "steps": 200, "optimizer": 0.1}
    leaky = recredit.train("rflo", "add", network={"n": 4}, **settings)
    mine = recredit.train("rflo", "add", network={"n": 4, "units": "a/own.py"}, **settings)
    xr.testing.assert_allclose(mine, leaky, rtol=1e-6, atol=1e-9)
    slow = recredit.train("rflo", "add", network={"n": 4, "units": {"name": "a/own.py:Mine", "tau": 20}}, **settings)
    assert not np.allclose(slow.loss, leaky.loss)
    kept = recredit.train("rflo", "add", network={"n": 4, "units": resolve_network({"units": "a/own.py"}).units}, **settings)
    xr.testing.assert_identical(kept, mine)


def test_units_and_their_settings_are_named_as_a_rule_is(folder):
    own("a/units")
    own("b")
    run = asked("network.units=a/units/own.py:Mine", "network.units.tau=20")
    assert run.network["units"] == {"name": "Mine", "tau": 20.0}
    assert run.files == {"Mine": str(folder / "a/units/own.py")}
    Path("a/run.toml").write_text(
        'rule = "rflo"\ntask = "add"\nsteps = 200\n[network]\nunits = {name = "units/own.py", tau = 20}\n'
    )
    assert asked(file=Path("a/run.toml")) == run
    assert asked("network.units.tau=3", file=Path("a/run.toml")).network["units"]["tau"] == 3
    assert asked("network.units=b/own.py", file=Path("a/run.toml")).files == {"Mine": str(folder / "b/own.py")}
    assert asked("network.units=gru", file=None).network["units"] == {"name": "gru"}


def test_the_source_of_own_units_is_their_identity_and_its_place_is_not():
    own("a")
    own("b/c")
    text = asked("network.units=a/own.py").text()
    assert asked("network.units=b/c/own.py:Mine").text() == text
    assert asked("network.units=a/own.py", "network.units.tau=3").text() != text
    for file in ("own.py", "beside.py"):
        before = Path("b/c", file).read_text()
        Path("b/c", file).write_text(before + "\n# another")
        assert asked("network.units=b/c/own.py").text() != text, file
        Path("b/c", file).write_text(before)


def test_own_units_are_trained_with_their_settings_by_a_worker_that_refuses_a_changed_file():
    own("a")
    run = asked("network.units=a/own.py", "network.units.tau=4")
    slow = final(run)
    own("a", gain=0.5)
    np.testing.assert_allclose(final(asked("network.units=a/own.py")), slow, rtol=1e-6)
    with pytest.raises(ValueError, match=r"own\.py.*has changed since the run began"):
        final(run)


def test_units_vary_in_a_sweep_and_each_has_its_own_source_and_neighbours():
    own("s/a")
    own("s/b", gain=0.5)
    Path("s/my.toml").write_text(
        'rule = "rflo"\ntask = "add"\nsteps = 200\n'
        'grid.network.units = ["gru", "a/own.py", {name = "b/own.py:Mine", tau = 3}]\n'
    )
    points = read_sweep(Path("s/my.toml")).points
    assert [point.coordinates["network.units"] for point in points] == ["gru", "s/a/own.py", "s/b/own.py:Mine tau=3"]
    units = [point.run.build()[1].units for point in points]
    assert [float(each.f((1.0,), (0.0,))[0]) for each in (units[1], units[2], units[1])] == pytest.approx([1 / 2, 5 / 6, 1 / 2])


PLAIN = OWN.replace("import beside\n", "").replace("beside.GAIN * ", "")
FILES = {
    "print(\n": "own.py cannot be imported at line 1: SyntaxError: '(' was never closed.",
    "": 'own.py has no "Mine"; its kinds of units: none.',
    PLAIN.replace("Mine", "Mime"): 'own.py has no "Mine"; its kinds of units: Mime. Did you mean "Mime"?',
    "class Mine: pass": "Mine in own.py is not a kind of units",
    PLAIN.replace(
        "def f(", "def h("
    ): "is not a kind of units, which is a subclass of recredit.AbstractUnits with variables, voltages and f.",
    PLAIN.replace("= 2.0", ""): "unit Mine needs the setting tau.",
    PLAIN.replace('voltages = {"v": "all"}', ""): "the units Mine must name their voltages, at least one.",
    PLAIN.replace("jnp.tanh(v[0])", "v[0].sum()"): "mix: f of one unit depends on another",
    PLAIN + "    def __check_init__(self):\n        1 / 0": "Mine cannot be made: ZeroDivisionError: division by zero.",
}


@pytest.mark.parametrize("text", FILES)
def test_a_bad_file_of_units_is_refused_in_one_sentence(capfd, text):
    Path("own.py").write_text(text)
    assert FILES[text] in refused(capfd, *TRAIN, "network.units=own.py:Mine")


NAMES = {
    "own.py": "own.py must hold exactly one kind of units, or you must name it, as own.py:NAME; its kinds of units: "
    "Mine, Other.",
    "none.py": "the file none.py does not exist.",
    "gruu": 'path/to/file.py:MyUnits. Did you mean "gru"?',
    "3": "the unit needs a name, one of: leaky, ",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_units_have_is_refused(capfd, name):
    Path("own.py").write_text(PLAIN + PLAIN.replace("Mine", "Other"))
    assert NAMES[name] in refused(capfd, *TRAIN, f"network.units={name}")


def test_a_setting_that_own_units_do_not_have_is_refused(capfd):
    Path("own.py").write_text(PLAIN)
    told = refused(capfd, *TRAIN, "network.units=own.py", "network.units.tua=3")
    assert 'unit Mine has no setting "tua"; its settings: tau. Did you mean "tau"?' in told
