"""The command line as its user meets it: one sentence for what is wrong, results where they are said to be, Ctrl-C."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from commands import refused

from recredit.cli.main import main
from recredit.runs.identity import precision, versions
from recredit.studies import fig1

README = (Path(__file__).parent.parent / "README.md").read_text()
RUN = {"--rule": "rflo", "--task": "add", "--steps": "200"}
SMALL = ["--set", "network.n=4"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Every test runs in a folder of its own, where results would land."""
    monkeypatch.chdir(tmp_path)


def training(*more, **options):
    """`recredit train` with these options in place of the usual ones."""
    options = RUN | {f"--{name}": value for name, value in options.items()}
    small = [] if any("network.n=" in word for word in more) else SMALL
    return ["train", *[word for option in options.items() for word in option], *small, *more]


def started(*arguments, first="pass", last="None"):
    """`recredit` as a process of its own, with Python statements before it and at its end."""
    script = f"import atexit, os, sys; {first}; atexit.register(lambda: {last}); from recredit.cli.main import main; main()"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", script, *arguments], text=True, **pipes)


def succeeds(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert ended.value.code == 0


BAD = {
    "unknown command": (["trian"], 'Did you mean "train"?'),
    "unknown option": (["train", "--rul", "rflo"], "Did you mean --rule?"),
    "words without a name": (["train", "rflo", "add"], '"rflo add" is not expected here'),
    "no rule": (["train", "--task", "add"], "the rule needs a name, one of: fixed_w"),
    "unknown rule": (training(rule="rflow"), 'Did you mean "rflo"?'),
    "unknown task": (training(task="ad"), 'Did you mean "add"?'),
    "unknown optimiser": (training("--set", "optimizer=adm"), 'Did you mean "adam"?'),
    "unknown setting": (training("--set", "task.t3=4"), 'task add has no setting "t3"'),
    "no setting": (training("--set", "n"), "write path=value"),
    "alpha": (training("--set", "network.alpha=1.5"), "alpha must lie in (0, 1], not 1.5"),
    "size": (training("--set", "network.n=0"), "n must be a whole number of at least 1, not 0"),
    "true as a number": (training("--set", "network.n=true"), "cannot be True"),
    "window": (training("--set", "rule.window=0", rule="f_bptt"), "window must be a whole number of at least 1, not 0"),
    "lags": (training(steps="10"), "lag reaches back 10 network steps"),
    "learning rate": (training("--set", "optimizer.learning_rate=-1"), "learning rate must lie in [0, inf), not -1"),
    "observers": (training("--set", "observers=3"), "each observer needs a name"),
    "seeds": (training(seeds="0"), "number of seeds must be a whole number of at least 1, not 0"),
    "too many seeds": (training(seeds="1e9"), "the number of seeds must be at most 100,000, not 1000000000"),
    "too many seeds of the figure": (["fig1", "--seeds", "1e9"], "the number of seeds must be at most 100,000, not 1000000000"),
    "half a seed": (training(seeds="2.5"), '"2.5" is not a whole number'),
    "steps": (training(steps="0"), "steps must be a whole number of at least 1, not 0"),
    "bin": (training(bin="0"), "bin must be a whole number of at least 1, not 0"),
    "streams": (training("--streams", "0"), "streams must be a whole number of at least 1, not 0"),
    "half a stream": (training("--streams", "1.5"), '"1.5" is not a whole number'),
    "no file": (training(config="missing.toml"), "missing.toml cannot be read as TOML"),
    "fig1 lags": (["fig1", "--steps", "10"], "lag reaches back 10 network steps"),
    "unknown audited rule": (["audit", "rflow"], 'path/to/file.py:MyRule. Did you mean "rflo"?'),
    "unknown format": (["audit", "rflo", "--format", "pdf"], '"pdf"'),
    "setting of another rule": (["audit", "uoro", "rflo", "--with", "jacobian=learned"], 'rule rflo has no setting "jacobian"'),
    "setting without a value": (["audit", "--with", "jacobian=learned", "uoro"], "write path=value, as in jacobian=learned"),
    "unknown block": (["audit", "uoro", "--with", "jacobian=lerned"], 'Did you mean "learned"?'),
    "a name as a setting": (["audit", "uoro", "--with", "name=rflo"], "rules are named before --with"),
    "value of a setting": (
        ["audit", "--explain", "f_bptt", "--with", "window=0"],
        "window must be a whole number of at least 1",
    ),
    "explain beside rules": (["audit", "rflo", "--explain", "uoro"], "--explain uoro goes only with"),
    "no rule file": (["audit", "missing.py:Mine"], "the file missing.py does not exist"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_in_one_sentence_and_writes_nothing(capfd, what):
    arguments, sentence = BAD[what]
    assert sentence in refused(capfd, *arguments)


FILES = {
    "rule = \n": "bad.toml cannot be read as TOML",
    "\x00": "bad.toml cannot be read as TOML",
    'rule = "rflo"\ntask = "add"\nstps = 5\n': 'Did you mean "steps"?',
    'rule = "rflo"\ntask = "add"\nsteps = "many"\n': "not 'many'",
    'rule = "rflo"\ntask = "add"\nstreams = true\n': "streams must be a whole number of at least 1, not True",
    'rule = "rflo"\ntask = ["add"]\n': "the task needs a name",
    'task = "add"\n[rule]\nname = "rflo"\nfeedback = 1\n': "the feedback needs a name",
}


@pytest.mark.parametrize("text", FILES)
def test_a_bad_file_is_refused_in_one_sentence(capfd, text):
    Path("bad.toml").write_text(text)
    assert FILES[text] in refused(capfd, "train", "--config", "bad.toml")


RULE = """
from recredit import AbstractRule
class Mine(AbstractRule):
    def init(self, net, key):
        return None
    def update(self, net, step, state, key):
        return step.error.sum() * net.W, state
"""
RULE_FILES = {
    "print(\n": "own.py cannot be imported at line 1: SyntaxError: '(' was never closed.",
    "\0": "own.py cannot be imported: SyntaxError: source code string cannot contain null bytes.",
    "\nimport numpyy": "own.py cannot be imported at line 2: ModuleNotFoundError: No module named 'numpyy'.",
    "import sys\ndef end():\n    sys.exit('no')\nend()": "own.py cannot be imported at line 3: SystemExit: no.",
    "": 'own.py has no "Mine"; its learning rules: none.',
    RULE.replace("Mine", "Mime"): 'own.py has no "Mine"; its learning rules: Mime. Did you mean "Mime"?',
    "class Mine: pass": "Mine in own.py is not a learning rule",
    "Mine = 3": "Mine in own.py is not a learning rule",
    RULE.replace(
        "def update", "def updated"
    ): "Mine in own.py is not a learning rule, which is a subclass of recredit.AbstractRule with init and update",
    RULE.replace("Rule):", "Rule):\n    depth: int"): "rule Mine needs the setting depth.",
    RULE + "    def __check_init__(self):\n        1 / 0": "Mine cannot be made: ZeroDivisionError: division by zero.",
}


@pytest.mark.parametrize("text", RULE_FILES)
def test_a_bad_rule_file_is_refused_in_one_sentence(capfd, text):
    Path("own.py").write_text(text)
    assert RULE_FILES[text] in refused(capfd, "audit", "own.py:Mine")


def test_a_rule_file_by_itself_must_hold_one_rule(capfd):
    Path("own.py").write_text("from recredit.rules.rflo import RFLO\n" + RULE + RULE.replace("Mine", "Other"))
    told = "own.py must hold exactly one learning rule, or you must name it, as own.py:NAME; its learning rules: Mine, Other."
    assert told in refused(capfd, "audit", "own.py")
    assert "its learning rules: Mine, Other." in refused(capfd, "audit", "--explain", "own.py:Their")


OWN = """
from __future__ import annotations
import dataclasses
from collections.abc import Callable
import jax.numpy as jnp
import beside
from recredit import AbstractJacobian, AbstractRule, ExactJacobian
print("not a verdict")
class Twisted(ExactJacobian):
    pass
class Mine(AbstractRule):
    sizes: tuple[int, ...] = (1, 2)
    phi: Callable = jnp.tanh
    depth: int = 1
    jacobian: AbstractJacobian = Twisted()
    def init(self, net, key):
        return None
    def update(self, net, step, state, key):
        c_bar = self.jacobian.backward(net, step.v, self.jacobian.init(net, key), step.r)
        return self.depth * jnp.outer(c_bar, step.r_hat), state
"""


@pytest.mark.parametrize("settings", [[], ["--with", "depth=3"], ["--with", "jacobian=through_weights", "depth=2"]], ids=str)
def test_a_rule_of_ones_own_is_audited_with_all_that_it_holds(capfd, settings):
    Path("own.py").write_text(OWN)
    Path("beside.py").touch()
    succeeds("audit", "own.py", "--format", "json", *settings)
    told = json.loads(capfd.readouterr().out)
    assert [audit["rule"] for audit in told["audits"]] == ["Mine" + f" ({', '.join(settings[1:])})" * bool(settings)]
    assert told["audits"][0]["cells"]["ii-stored"]["verdict"] == ("pass" if "jacobian=through_weights" in settings else "fail")


@pytest.mark.slow
def test_audits_are_printed_whole_to_a_pipe_and_end_with_its_reader():
    process = started("audit", "rflo", "kernl", first="os.environ['COLUMNS'] = '20'")
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "\x1b" not in out
    assert re.search(r"^ rflo +[✓✗?*– ]+$", out, re.MULTILINE)
    assert "* kernl, ii-stored: the paper says fail, the audit says pass." in out
    process = started("audit", "rflo", "--format", "html")
    process.stdout.close()
    assert process.stderr.read() == ""


ONES, SPOILED = np.ones((200, 2)), np.where(np.arange(400).reshape(200, 2) == 7, np.nan, 1.0)
DATA = {
    "hold nan at step 3, column 1": (SPOILED, ONES),
    "200 recorded inputs but 199 targets": (ONES, ONES[1:]),
    "has 50 steps, fewer than the 200 asked for": (ONES[:50], ONES[:50]),
}


@pytest.mark.parametrize("sentence", DATA)
def test_bad_data_are_refused_in_one_sentence(capfd, sentence):
    inputs, targets = DATA[sentence]
    np.savez("data.npz", inputs=inputs, targets=targets)
    assert sentence in refused(capfd, *training("--set", "task.file=data.npz", task="recorded"))


def test_a_recording_is_played_once_beside_what_simple_guesses_lose_and_other_shapes_are_another_run(capfd):
    walk = np.random.default_rng(0).normal(size=(240, 2)).cumsum(0) + 50
    np.savez("data.npz", x=np.sign(walk), y=walk[:, 0])
    recorded = ["train", "--rule", "rflo", "--task", "recorded", "--seeds", "1", "--out", "out", *SMALL, "task.file=data.npz"]
    succeeds(*recorded, "task.inputs=x", "task.targets=y")
    out, data = capfd.readouterr().out, xr.load_dataset("out/run.nc")
    assert (int(data.step[-1]), data.sizes["step"]) == (240, 120)
    repeat = 0.5 * (np.diff(walk[:, 0]) ** 2).mean()
    assert f"{repeat:.4g}  repeat the last label" in out
    assert f"{0.5 * walk[:, 0].var():.4g}  mean label" in out
    assert "The recording has targets of root mean square" in out.replace("\n", " ")
    np.savez("data.npz", x=np.sign(walk), y=walk)
    succeeds(*recorded, "task.inputs=x", "task.targets=y")
    again = xr.load_dataset("out/run.nc")  # and its levels are means over both outputs
    assert (data.sizes["output"], again.sizes["output"]) == (1, 2)
    assert f"{0.5 * (np.diff(walk, axis=0) ** 2).mean():.4g}  repeat the last label" in capfd.readouterr().out


def test_a_folder_that_cannot_be_written_is_refused_in_one_sentence(capfd):
    Path("file").touch()
    assert "cannot write to the folder file/out" in refused(capfd, *training(out="file/out"))
    assert "cannot write to the folder file/out" in refused(capfd, "fig1", "--steps", "400", "--out", "file/out")


def test_a_refusal_as_a_process_has_no_traceback():
    process = started(*training("--set", "network.alpha=2"))
    told = process.communicate(), process.returncode
    assert told == (("", "recredit: alpha must lie in (0, 1], not 2.0.\n"), 2)


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["--version"], ["train", "--help"], ["audit", "--help"], ["trian"]], ids=str
)
def test_help_does_without_jax(arguments):
    process = started(*arguments, last="print('jax' in sys.modules)")
    assert process.communicate()[0].splitlines()[-1] == "False"
    assert process.returncode == (2 if arguments == ["trian"] else 0)


def assert_says_what_it_is(data):
    """Every variable and coordinate has its meaning and, but for words, its unit; attributes are text, as every tool reads."""
    for name, variable in data.variables.items():
        assert variable.attrs["long_name"], name
        assert variable.attrs.get("units") or variable.dtype.kind in "UTO", name
        assert all(isinstance(value, str) for value in variable.attrs.values())
    assert {"title", "runs", "versions", "device", "precision"} <= data.attrs.keys()
    assert all(isinstance(value, str) for value in data.attrs.values())
    n, n_in = data.sizes["unit"], data.sizes["source"] - data.sizes["unit"] - 1
    names = [f"unit {i}" for i in range(n)] + [f"input {i}" for i in range(n_in)] + ["bias"]
    assert data.source.values.tolist() == names
    assert data.kind.values.tolist() == ["recurrent"] * n + ["input"] * n_in + ["bias"]
    assert (data.unit.values.tolist(), data.output.values.tolist()) == (list(range(n)), list(range(data.sizes["output"])))
    assert data.attrs["precision"] == str(data.W.dtype)
    assert (data.seconds > 0).all()


def test_the_readme_s_line_makes_a_table_of_the_losses(monkeypatch):
    line = next(line.strip() for line in README.splitlines() if "to_dataframe" in line)
    loss = xr.DataArray([[[1.0, 2.0], [3.0, 4.0]]], dims=("rule", "seed", "step"), name="loss")
    loss = loss.assign_coords(rule=["rflo"], seed=[0, 1], step=[100, 200])
    Path("results/add-rflo").mkdir(parents=True)
    loss.to_netcdf("results/add-rflo/run.nc", engine="h5netcdf")
    frame = eval(line, {"xr": xr})
    assert frame.index.names == ["rule", "seed", "step"]
    assert frame.loss[("rflo", 1, 100)] == 3


def cells(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}


@pytest.mark.slow
def test_what_is_trained_is_tested_and_trained_on(capfd):
    succeeds(*training(seeds="2"))
    succeeds("test", "results/add-rflo", "--steps", "100")
    assert "Loss on fresh data over 100 steps" in capfd.readouterr().out
    succeeds("train", "--from", "results/add-rflo", "--steps", "100")
    assert capfd.readouterr().out.startswith("Continues results/add-rflo after 200 steps: learners keep their whole state")
    assert xr.load_dataset("results/add-rflo-to-300-steps/run.nc").step[-1] == 300
    succeeds("train", "--from", "results/add-rflo", "--rule", "rtrl", "--steps", "100")
    assert capfd.readouterr().out.startswith("Starts from the weights of results/add-rflo, ")
    assert [*xr.load_dataset("results/add-rtrl-from-add-rflo/run.nc").rule.values] == ["rtrl"]
    refused(capfd, "train", "--from", "results/add-rflo", "--config", "run.toml")


def test_train_writes_its_run_and_a_second_call_computes_only_what_is_missing(capfd, tmp_path):
    folder = tmp_path / "results" / "add-rflo"
    succeeds(*training(seeds="2"))
    assert sorted(path.name for path in folder.iterdir()) == ["cells", "lock", "loss.png", "progress.json", "run.nc", "states"]
    first, before = xr.load_dataset(folder / "run.nc"), cells(folder)
    assert (first.rule.values.tolist(), first.seed.values.tolist()) == (["rflo"], [0, 1])
    assert json.loads(first.attrs["runs"])["rflo"]["network"]["n"] == 4
    succeeds(*training(seeds="2"))
    assert cells(folder) == before
    succeeds(*training(seeds="3"))
    after, more = cells(folder), xr.load_dataset(folder / "run.nc")
    assert {name: after[name] for name in before} == before
    assert [xr.load_dataset(folder / "cells" / name).seed.values.tolist() for name in after.keys() - before.keys()] == [[2]]
    assert more.seed.values.tolist() == [0, 1, 2]
    xr.testing.assert_equal(more.sel(seed=[0, 1]), first)
    assert_says_what_it_is(more)
    assert "observer" not in more.variables
    assert capfd.readouterr().err == ""


def test_several_rules_one_of_them_ones_own_are_paired_in_one_table_figure_and_file(capfd):
    Path("own.py").write_text(RULE.replace("step.error.sum() * net.W", "0 * net.W"))
    succeeds(*training("--rule", "own.py:Mine", "--observe", "own.py:Mine", rule="fixed_w", seeds="2"))
    told, data = capfd.readouterr().out, xr.load_dataset("results/add-fixed_w-Mine/run.nc")
    assert (data.rule.values.tolist(), data.observer.values.tolist()) == (["fixed_w", "Mine"], ["Mine"])
    assert data.loss.dims == ("rule", "seed", "step")
    assert data.cosine.dims == ("rule", "seed", "observer", "step")
    assert [run["rule"]["name"] for run in json.loads(data.attrs["runs"]).values()] == ["fixed_w", "Mine"]
    assert all(re.search(rf"add.*{name}.*\d\.\d+.*\d\.\d+", told) for name in ("fixed_w", "Mine"))
    for name in ("loss", "W", "W_out"):  # a gradient of 0 in the same seeds is fixed-W
        np.testing.assert_array_equal(data[name].sel(rule="Mine"), data[name].sel(rule="fixed_w"))
    assert Path("results/add-fixed_w-Mine/loss.png").stat().st_size > 10_000
    succeeds("watch", "results/add-fixed_w-Mine")
    title, standing, end = capfd.readouterr().out.splitlines()
    assert title == "fixed_w, Mine on add: 2 seeds, 200 steps, in results/add-fixed_w-Mine"
    assert standing.startswith("4 of 4 cells")
    assert end.startswith("It ended at ")


def test_a_small_fig1_does_not_overwrite_the_scale_s_own(monkeypatch):
    def stop(_, folder, *__, **___):
        raise ValueError(f"{folder}.")

    monkeypatch.setattr("recredit.cli.fig1.compute_runs", stop)
    monkeypatch.setattr("recredit.studies.fig1.runs", lambda *_: {})
    folders = {
        (): "fig1-written",
        ("--scale", "quick"): "fig1-written-quick",
        ("--seeds", "20", "--steps", "1e6"): "fig1-written",
        ("--seeds", "4", "--steps", "500", "--variant", "published"): "fig1-published-4seeds-500steps",
        ("--scale", "quick", "--steps", "500"): "fig1-written-4seeds-500steps",
        ("--seeds", "2"): "fig1-written-2seeds-1000000steps",
    }
    for options in folders:
        with pytest.raises(SystemExit):
            main(["fig1", *options])
        assert Path("results", folders[options]).is_dir()
        shutil.rmtree("results")


@pytest.mark.slow
def test_fig1_writes_figure_curves_and_claims(tmp_path):
    succeeds("fig1", "--seeds", "2", "--steps", "400", "--out", "out")
    written = {"fig1.png", "fig1.svg", "curves.nc", "claims.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"cells", "lock", "progress.json", *written}
    curves, claims = xr.load_dataset("out/curves.nc"), json.loads(Path("out/claims.json").read_text())
    assert curves.loss.dims == ("task", "rule", "seed", "step")
    assert curves.task.values.tolist() == ["Add", "Mimic"]
    assert curves.rule.values.tolist() == ["fixed-W", "BPTT", "RTRL", "RFLO", "DNI", "DNI(b)"]
    assert (curves.sizes["seed"], curves.sizes["step"], int(curves.step[-1])) == (2, 100, 400)
    assert np.isfinite(curves.loss).all()
    assert json.loads(curves.attrs["runs"]) == {cell: run.model_dump() for cell, run in fig1.runs("written", 400).items()}
    made_with = json.loads(curves.attrs["made_with"])
    assert all(json.loads(each["versions"]) == versions() for each in made_with.values())
    assert {each["precision"] for each in made_with.values()} == {precision()}
    assert len(claims["claims"]) == 8
    assert Path("out/fig1.png").stat().st_size > 10_000
    assert "</svg>" in Path("out/fig1.svg").read_text()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="one core only, so that the cells come one by one")
def test_an_interrupted_run_keeps_what_is_finished_and_says_how_to_go_on():
    one_core = "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])"
    process = started("fig1", "--seeds", "1", "--steps", "400", "--out", "out", first=one_core)
    while ": done" not in (line := process.stdout.readline()):  # so a first cell is written
        assert line, process.communicate()
    process.send_signal(signal.SIGINT)
    err = process.communicate()[1]
    assert process.returncode == 130
    assert err == "\nInterrupted. Finished parts are kept; run the same command to go on from there.\n"
    assert 1 <= len([*Path("out/cells").glob("[!.]*.nc")]) < 12
    assert not Path("out/fig1.png").exists()
