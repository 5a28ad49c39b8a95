"""What a command asks for, put together from a TOML file, options and settings; and rules of the user's own in it."""

import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from recredit.registry import resolve_rule
from recredit.runs.files import writable_folder
from recredit.runs.identity import Cell
from recredit.runs.plan import Job
from recredit.runs.request import request
from recredit.runs.settings import Run
from recredit.runs.store import read_cells
from recredit.runs.work import work
from recredit.training.step import Trainer

ADD = 'task = "add"\nsteps = 200\n'
OWN = """
import importlib
import jax.numpy as jnp
import beside
importlib.import_module("spoken")
from recredit import AbstractRule
class Mine(AbstractRule):
    depth: int = 1
    phi: object = jnp.tanh
    def init(self, net, key):
        return None
    def update(self, net, step, state, key):
        import inside
        return beside.GAIN * self.depth * jnp.outer(step.error @ net.W_out, step.r_hat), state
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(*settings, file="", **options):
    """The request of a command with these options and settings, and this TOML file."""
    if file:
        Path("run.toml").write_text(file)
    return request(Path("run.toml") if file else None, {"task": "add", "steps": 200} | options, settings)


def own(place, gain=1):
    """A rule's file in a folder, with three modules beside it: imported, inside a function, and by a name."""
    Path(place).mkdir(parents=True, exist_ok=True)
    Path(place, "own.py").write_text(OWN)
    Path(place, "beside.py").write_text(f"GAIN = {gain}")
    Path(place, "inside.py").touch()
    Path(place, "spoken.py").touch()
    return Path(place)


def test_several_rules_are_runs_that_differ_in_their_rule_alone():
    runs = asked("rule.f_bptt.window=20", "network.n=5", rule=("rflo", "f_bptt", "uoro"), observers=("rtrl",)).runs
    assert [*runs] == ["rflo", "f_bptt", "uoro"]
    assert runs["f_bptt"].rule["window"] == 20
    assert len({run.model_copy(update={"rule": {}}).text() for run in runs.values()}) == 1
    assert all([*run.observers] == ["rtrl"] and run.network["n"] == 5 for run in runs.values())


SAME = {
    "options": ((), "", {"rule": ("f_bptt", "rflo")}),
    "a setting": (('rule=["f_bptt", "rflo"]',), "", {}),
    "a file": ((), 'rule = ["f_bptt", "rflo"]', {}),
    "tables in a file": ((), '[[rule]]\nname = "f_bptt"\nwindow = 10\n[[rule]]\nname = "rflo"', {}),
    "labels": ((), '[rule]\nf_bptt = "f_bptt"\nrflo = "rflo"', {}),
    "a file overridden": ((), 'rule = "uoro"', {"rule": ("f_bptt", "rflo")}),
    "a file and an option that agree": ((), 'rule = ["f_bptt", "rflo"]', {"rule": ("f_bptt", "rflo")}),
    "an option and a setting that agree": (('rule=["f_bptt", "rflo"]',), "", {"rule": ("f_bptt", "rflo")}),
    "steps as a float": (("steps=2e2",), "", {"steps": None, "rule": ("f_bptt", "rflo")}),
    "steps as a float in a file": ((), "steps = 2e2", {"steps": None, "rule": ("f_bptt", "rflo")}),
    "seeds in a file": ((), "seeds = 20.0\nseeds_at_once = 1e1", {"rule": ("f_bptt", "rflo"), "seeds_at_once": 10}),
}


@pytest.mark.parametrize("way", SAME)
def test_the_same_is_asked_for_in_every_way(way):
    settings, file, options = SAME[way]
    found = asked(*settings, file=file, **options)
    assert {name: run.text() for name, run in found.runs.items()} == {
        name: Run.create({"rule": name, "task": "add", "steps": 200}).text() for name in ("f_bptt", "rflo")
    }
    assert (found.seeds, found.out) == (20, Path("results/add-f_bptt-rflo"))


@pytest.mark.parametrize("file", ["optimizer = 0.5", "[optimizer]\nlearning_rate = 0.5"])
@pytest.mark.parametrize("setting", ["", "optimizer=.5", "optimizer.learning_rate=.5"])
def test_a_number_in_the_place_of_the_optimizer_is_the_learning_rate_of_sgd(file, setting):
    found = asked(setting, rule=("rflo",)) if setting else asked(file=file, rule=("rflo",))
    assert found.runs["rflo"].optimizer["learning_rate"] == 0.5
    assert found.runs["rflo"].optimizer["name"] == "sgd"


@pytest.mark.parametrize("file", ['[rule]\nnam = "rflo"', '[rule]\nNmae = "f_bptt"\nwindow = 3', '[observers]\nName = "rtrl"'])
def test_a_misspelt_name_is_no_label(file):
    with pytest.raises(ValueError, match=r'label must not be so close to the key name\. Did you mean "name"\?$'):
        asked(file=file)


MORE = """
from recredit.rules.rflo import RFLO
class Mine(RFLO):
    def __init__(self, depth=1, *rest, **more):
        super().__init__()
"""


def test_an_own_rule_may_take_more_than_it_names():
    Path("own.py").write_text(MORE)
    assert asked(rule=("own.py",)).runs["Mine"].rule == {"name": "Mine", "depth": 1}


def test_a_file_says_all_that_options_say():
    file = 'seeds = 3\nseeds_at_once = 2\nout = "here"\nrule = "rflo"\nobservers = ["rtrl", "uoro"]\nbin = 1e1\nstreams = 2\n'
    options = {"seeds": 3, "seeds_at_once": 2, "out": "here", "rule": ("rflo",), "observers": ("rtrl", "uoro"), "bin": 10}
    assert asked(file=file) == asked(**options, streams=2)


def test_options_override_the_file_and_keep_its_settings_of_what_they_name_too():
    file = '[rule]\nname = "f_bptt"\nwindow = 7\n[task]\nname = "add"\nt1 = 1\n[observers]\nshort = "f_bptt"\n'
    kept = asked(file=file, rule=("f_bptt", "rflo"), task="add").runs["f_bptt"]
    assert (kept.rule["window"], kept.task["t1"], [*kept.observers]) == (7, 1, ["short"])
    replaced = asked(file=file, rule=("p_bptt",), task="mimic", observers=("rtrl",)).runs["p_bptt"]
    assert replaced == Run.create({"rule": "p_bptt", "task": "mimic", "observers": {"rtrl": "rtrl"}, "steps": 200})


REFUSED = {
    "another rule in --set": (["rule=uoro"], {"rule": ("rflo",)}, "rule is given twice, as rflo and as uoro"),
    "the rule's name in --set": (["rule.name=uoro"], {"rule": ("rflo",)}, "rule is given twice"),
    "no number": (["network.gain=nan"], {}, "the gain of W_rec must lie in [0, inf), not nan"),
    "another task": (["task=mimic"], {}, "task is given twice, as add and as mimic"),
    "other steps": (["steps=1000"], {}, "steps is given twice, as 200 and as 1000"),
    "other observers": (["observers=rtrl"], {"observers": ("uoro",)}, "observers is given twice"),
    "another folder": (["out=there"], {"out": "here"}, "out is given twice, as here and as there"),
    "a setting twice": (["network.n=4", "network.n=5"], {}, "network.n is given twice, as 4 and as 5"),
    "one rule's and every rule's": (
        ["rule.window=3", "rule.f_bptt.window=4"],
        {"rule": ("f_bptt", "p_bptt")},
        "rule.f_bptt.window is given twice, as 3 and as 4",
    ),
    "a setting of some rules": (
        ["rule.window=3"],
        {"rule": ("rflo", "f_bptt", "p_bptt")},
        "only f_bptt, p_bptt of the rules have a setting window; set it as rule.f_bptt.window or rule.p_bptt.window.",
    ),
    "a setting of one rule": (
        ["rule.rate=3"],
        {"rule": ("rflo", "dni")},
        "only dni of the rules has a setting rate; set it as rule.dni.rate.",
    ),
    "a setting of no rule": (["rule.windw=3"], {"rule": ("f_bptt", "p_bptt")}, 'Did you mean "window"?'),
    "a rule twice": ([], {"rule": ("rflo", "rflo")}, "the rule rflo is given twice"),
    "an observer twice": ([], {"rule": ("rflo",), "observers": ("rtrl", "rtrl")}, "the observer rtrl is given twice"),
    "two lines": (["network.n=64\nnetwork.alpha=0.1"], {}, "is not a setting; write path=value"),
    "a comment": (["network.n=64 # units"], {}, "network's n cannot be '64 # units'"),
    "two values": (["network.n=64, 65"], {}, "network's n cannot be '64, 65'"),
    "two equals": (["network.n=4=5"], {}, "network's n cannot be '4=5'"),
    "no part": (["a=b=c"], {}, 'a run has no part "a"'),
    "no value": (["network.n="], {}, "is not a setting"),
    "a list": (["network.n=[4]"], {}, "network's n cannot be [4]"),
    "a table": (["network={n=4}"], {}, "gives several settings at once; write each by itself"),
    "a setting of a number": (["steps.n=4"], {}, "steps.n does not exist: steps is 200 and has no settings"),
    "a number for settings": (["task.t1=4", "task=5"], {"task": None}, "the task needs a name"),
    "half a step": (["steps=2.5"], {"steps": None}, "steps must be a whole number of at least 1, not 2.5"),
    "half a seed": (["seeds=2.5"], {}, "the number of seeds must be a whole number of at least 1, not 2.5"),
    "no seeds at once": (["seeds_at_once=0"], {}, "the number of seeds at once must be a whole number of at least 1, not 0"),
    "no folder": (["out=3"], {}, "out must be the name of a folder, not 3"),
    "an empty folder": ([], {"out": ""}, "out must be the name of a folder, not ''"),
    "no optimizer": (["optimizer=[0.1]"], {}, "the optimizer must be a number (the learning rate of SGD), a name or a table"),
    "a number in quotes": (['network.n="4"'], {}, "network's n cannot be the word '4': it must be a number"),
    "an unprintable label": (["observers.a[/b]=rtrl"], {}, "cannot be a rule's label"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_or_is_given_twice_is_refused(what):
    settings, options, sentence = REFUSED[what]
    with pytest.raises(ValueError) as refused:
        asked(*settings, **({"rule": ("rflo",)} | options))
    assert sentence in str(refused.value)


def test_paths_in_a_file_are_seen_from_its_folder(folder, monkeypatch):
    own("a/rules")
    np.savez("a/data.npz", inputs=np.ones((200, 2)), targets=np.ones((200, 2)))
    Path("a/run.toml").write_text(
        'rule = "rules/own.py"\nobservers = ["rules/own.py:Mine"]\nout = "there"\nsteps = 200\n'
        '[task]\nname = "recorded"\nfile = "data.npz"\n'
    )
    found = request(Path("a/run.toml"), {}, [])
    assert (found.out, found.runs["Mine"].files) == (Path("a/there"), {"Mine": str(folder / "a/rules/own.py")})
    monkeypatch.chdir("a")
    here = asked("task.file=data.npz", rule=("rules/own.py",), observers=("rules/own.py:Mine",), task="recorded")
    assert here.runs["Mine"].text() == found.runs["Mine"].text()


def test_the_source_of_an_own_rule_is_its_identity_and_its_place_is_not():
    def text(place, *settings):
        return asked(*settings, rule=(f"{place}/own.py",)).runs["Mine"].text()

    own("a")
    first = text("a")
    own("b/c")
    assert text("b/c") == first
    assert text("b/c", "rule.depth=2") != first
    for file in ("own.py", "beside.py", "inside.py", "spoken.py"):
        before = Path("b/c", file).read_text()
        Path("b/c", file).write_text(before + "\n# another")
        assert text("b/c") != first, file
        Path("b/c", file).write_text(before)
    assert text("b/c") == first


def test_a_module_beside_a_rule_is_taken_as_it_is_even_if_changed_within_a_second(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for gain in (1, 2):
        own("a", gain)
        os.utime("a/beside.py", (1e9, 1e9))  # by which Python would take its bytecode for current
        run = asked(rule=("a/own.py",)).runs["Mine"]
        assert gain == vars(sys.modules[run.files["Mine"]])["beside"].GAIN


def test_an_own_rule_is_trained_with_its_settings_by_a_worker_that_refuses_a_changed_file():
    def final(run):
        work(Job(writable_folder(Path("out")), (Cell(Run(**run.model_dump()), 0),), ("add: Mine",), 1.0))
        return read_cells(Path("out"), run, [0]).W.values

    own("a")
    run = asked("rule.depth=3", "network.n=4", rule=("a/own.py",)).runs["Mine"]
    thrice = final(run)
    own("a", gain=3)
    again = asked("network.n=4", rule=("a/own.py",)).runs["Mine"]
    np.testing.assert_array_equal(final(again), thrice)
    with pytest.raises(ValueError, match=r"own\.py.*has changed since the run began"):
        final(run)


CHOICES = """
import enum
import numpy as np
from recredit import AbstractRule
class Mode(str, enum.Enum):
    ON, OFF = "on", "off"
class Level(enum.IntEnum):
    LOW, HIGH = 1, 2
class Colour(enum.Enum):
    RED, BLUE = "red", "blue"
class Mine(AbstractRule):
    mode: Mode = Mode.ON
    level: Level = Level.LOW
    colour: Colour | None = Colour.RED
    size: float = np.float64(2)
    seldom: float = None
    def init(self, net, key):
        return None
    def update(self, net, step, state, key):
        return net.W, state
"""


def test_choices_of_an_own_class_reach_the_worker_as_what_they_are():
    def told(*settings):
        run = asked(*settings, rule=("own.py",)).runs["Mine"]
        rule = Run(**json.loads(json.dumps(run.model_dump()))).build()[0]
        return f"{rule.mode!r} {rule.level!r} {rule.colour!r} {type(rule.size).__name__}"

    Path("own.py").write_text(CHOICES)
    assert told() == "<Mode.ON: 'on'> <Level.LOW: 1> <Colour.RED: 'red'> float64"
    given = ("rule.mode=off", "rule.level=2", "rule.colour=blue", "rule.size=3")
    assert told(*given) == "<Mode.OFF: 'off'> <Level.HIGH: 2> <Colour.BLUE: 'blue'> float"


def test_rules_beside_modules_of_the_same_name_each_have_their_own():
    own("a", gain=1)
    own("b", gain=2)
    Path("b/own.py").write_text(OWN.replace("Mine", "Other"))
    runs = asked(rule=("a/own.py", "b/own.py")).runs
    gains = [vars(sys.modules[run.files[name]])["beside"].GAIN for name, run in runs.items()]
    assert gains == [1, 2]


LATE = """
import jax.numpy as jnp
import {package} as deep
from recredit import AbstractRule
class {name}(AbstractRule):
    def init(self, net, key):
        return None
    def update(self, net, step, state, key):
        {late}
        return jnp.full_like(net.W, {value}), state
"""
LATER = {
    "a statement": ("from helper import SCALE", "SCALE"),
    "a statement in a neighbour": ("", "deep.scale()"),
    "a call": ("", '__import__("helper").SCALE'),
    "a module that was imported by the user": ("from taken import SCALE", "SCALE"),
}


@pytest.mark.parametrize("way", LATER)
def test_what_a_rule_imports_inside_a_function_is_its_own_whatever_was_loaded_after_it(way, monkeypatch):
    monkeypatch.setitem(sys.modules, "taken", types.SimpleNamespace(SCALE=0, __file__="taken.py"))
    late, value = LATER[way]
    rules = {}
    for name, scale in {"A": 1, "B": 1000}.items():
        Path(name, "package").mkdir(parents=True)
        Path(name, "own.py").write_text(LATE.format(name=name, package="package", late=late, value=value))
        Path(name, "package/__init__.py").write_text("def scale():\n    from .inner import SCALE\n    return SCALE")
        for neighbour in ("helper", "taken", "package/inner"):
            Path(name, f"{neighbour}.py").write_text(f"SCALE = {scale}")
        rules[name] = resolve_rule(f"{name}/own.py")
    net = types.SimpleNamespace(W=np.zeros((2, 2)))
    for name, scale in {"A": 1, "B": 1000, "A again": 1}.items():
        assert rules[name[0]].update(net, None, None, None)[0][0, 0] == scale
    assert sys.modules["taken"].SCALE == 0


def spoken(place, module, scale):
    """The text of a run of a rule that calls a module beside it by name, inside a function alone."""
    late = {"late": f'module = importlib.import_module("{module}")', "value": "module.SCALE", "package": "importlib"}
    Path(place).mkdir(exist_ok=True)
    Path(place, "own.py").write_text("import importlib" + LATE.format(name="Late", **late))
    Path(place, f"{module}.py").write_text(f"SCALE = {scale}")
    return asked(rule=(f"{place}/own.py",)).runs["Late"].text()


def test_a_module_that_a_function_calls_by_name_counts_as_source_and_must_be_the_only_one_of_that_name():
    assert spoken("a", "called", 1) == spoken("b", "called", 1)
    with pytest.raises(ValueError, match=r"each have a module called beside them.*; write import called there"):
        spoken("c", "called", 2)
    assert spoken("d", "alone", 1) != spoken("d", "alone", 2)


OWN_REFUSED = {
    "class of a registered rule": (
        "Mine",
        "rflo",
        ("own.py",),
        "another rule is called rflo, so this class needs a different name",
    ),
    "two classes of one name": ("", "", ("own.py", "b/own.py"), "the rule Mine is given twice"),
    "an observer of that name": ("", "", ("own.py",), "another rule is called Mine"),
    "no such class": ("", "", ("own.py:Mime",), 'own.py has no "Mime"; its learning rules: Mine. Did you mean "Mine"?'),
    "no file": ("", "", ("no.py",), "the file no.py does not exist"),
    "a name like a path": ("", "", ("own",), "allowed: fixed_w"),
}


@pytest.mark.parametrize("what", OWN_REFUSED)
def test_own_rules_that_do_not_fit_are_refused(what):
    old, new, rules, sentence = OWN_REFUSED[what]
    own("b")
    Path(own("."), "own.py").write_text(OWN.replace(old, new) if old else OWN)
    with pytest.raises(ValueError) as refused:
        asked(rule=rules, observers=("b/own.py",) if "observer" in what else ())
    assert sentence in str(refused.value)


def test_many_rules_have_a_folder_with_a_short_name():
    names = ("rflo", "uoro", "dni", "dni_b", "rtrl", "rtrl_block", "kernl", "kf_rtrl", "r_kf", "e_bptt", "f_bptt", "p_bptt")
    long, other = asked(rule=names).out, asked(rule=names[::-1]).out
    assert long.name.startswith("add-12-rules-")
    assert long != other
    assert len(long.name) < 30


@pytest.mark.parametrize("optimizer", [{"name": "sgd"}, {"name": "adam"}])
def test_a_run_knows_the_bytes_of_its_learner(optimizer):
    table = {"rule": "rflo", "task": {"name": "mimic"}, "network": {"n": 5}, "steps": 200, "streams": 2}
    run = Run.create(table | {"optimizer": optimizer, "observers": {"dni": "dni"}})
    rule, network, optimizer, observers = run.build()
    trainer = Trainer((rule, *observers.values()), run.build_task(), network, optimizer, run.streams)
    assert run.learner_bytes() == Run(**run.model_dump()).learner_bytes() == trainer.size > 0
