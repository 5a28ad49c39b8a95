"""Files and folders that are in the way, full, empty or strange, and rule files that fail: each ends in one sentence."""

import ast
import contextlib
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import refused

import recredit
from recredit import TASKS
from recredit.cli.main import main
from recredit.runs.files import check_writable, write_whole
from recredit.runs.request import read_toml
from recredit.training.loop import train

TINY = ("train", "--rule", "rflo", "--task", "add", "--steps", "200", "--set", "network.n=4")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Every test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_computing(monkeypatch):
    """Nothing may be computed."""
    monkeypatch.setattr("recredit.cli.main.local_executor", lambda *_, **__: contextlib.nullcontext())


OCCUPIED = {
    "out/run.nc/": "out/run.nc is a folder, but a file must be written there.",
    "out/loss.png/": "out/loss.png is a folder, but a file must be written there.",
    "out/cells": "cannot write to the folder out/cells: it is a file.",
    "out": "cannot write to the folder out: it is a file.",
}


@pytest.mark.parametrize("path", OCCUPIED)
def test_what_is_in_the_way_of_results_is_told_of_before_anything_is_computed(capfd, no_computing, path):
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).mkdir() if path.endswith("/") else Path(path).touch()
    assert OCCUPIED[path] in refused(capfd, *TINY, "--out", "out")


@pytest.mark.parametrize("target", ["nowhere/x", "out"])
def test_a_link_that_leads_nowhere_is_no_folder_for_results(capfd, no_computing, target):
    Path("out").symlink_to(target)
    assert "cannot write to the folder out: it is a link that leads nowhere." in refused(capfd, *TINY, "--out", "out")


def test_slopes_go_into_a_folder_that_is_there(capfd):
    assert "cannot write to the folder none: No such file or directory." in refused(
        capfd, "audit", "fixed_w", "--slopes", "none/x.png"
    )
    Path("x.png").mkdir()
    assert "x.png is a folder" in refused(capfd, "audit", "fixed_w", "--slopes", "x.png")
    assert not Path("none").exists()


def test_an_empty_path_is_refused(capfd):
    assert "out must be the name of a folder, not ''" in refused(capfd, *TINY, "--out", "")
    for arguments in [(*TINY, "--config", ""), ("audit", "fixed_w", "--slopes", ""), ("fig1", "--out", "")]:
        assert "a path must not be empty" in refused(capfd, *arguments)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=os.strerror)
def test_a_write_that_fails_leaves_the_old_file_nothing_half_written_and_a_sentence(monkeypatch, number):
    Path("curves.nc").write_text("old")

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", fail)
    told = "no space left in . to write curves.nc." if number == errno.ENOSPC else f"curves.nc: {os.strerror(number)}."
    with pytest.raises(ValueError, match=re.escape(told)):
        write_whole(Path("curves.nc"), b"new")
    assert [path.read_text() for path in Path().iterdir()] == ["old"]


def test_a_disk_that_fills_up_while_results_are_written_ends_in_a_sentence_alone():
    script = (
        "import resource, signal, xarray, numpy, pathlib; from recredit.runs.files import write_dataset\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "try: write_dataset(pathlib.Path('run.nc'), xarray.Dataset({'W': ('x', numpy.ones(100_000))}))\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"cannot write run.nc: {os.strerror(errno.EFBIG)}.\n", "")
    assert not list(Path().iterdir())


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is closed to root")
def test_a_folder_that_is_read_only_is_told_of():
    Path("closed").mkdir(mode=0o500)
    with pytest.raises(ValueError, match="cannot write to the folder closed: Permission denied"):
        check_writable(Path("closed/run.nc"))


def test_more_seeds_than_anyone_has_time_for_are_refused_at_once(capfd, no_computing):
    assert "number of seeds must be at most" in refused(capfd, *TINY, "--seeds", "1e9")


def test_every_text_file_is_read_and_written_in_a_named_encoding():
    for path in Path(recredit.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", None) in ("read_text", "write_text"):
                assert "utf-8" in ast.unparse(node), path


# Rules of the user's own

RULE = """
from recredit import AbstractRule
class Mine(AbstractRule):
    "{}"
    def init(self, net, key):
        return None
    def update(self, net, step, state, key):
        grad = step.error.sum() * net.W
        return grad, state
"""
FILES = {
    "class Fatal(BaseException): pass\nraise Fatal('no')": "own.py cannot be imported at line 2: __main__.Fatal: no.",
    "raise KeyboardInterrupt": "own.py cannot be imported at line 1: KeyboardInterrupt.",
    "raise GeneratorExit": "own.py cannot be imported at line 1: GeneratorExit.",
    "def f(): f()\nf()": "own.py cannot be imported at line 1: RecursionError: maximum recursion depth exceeded.",
    "import jax.numpy as jnp\njnp.ones(3) @ jnp.ones(4)": "own.py cannot be imported at line 2: TypeError: dot_general",
    b"\x7fELF\x02\xff\xfe": "own.py cannot be imported",
    b"# coding: klingon\n": "own.py cannot be imported",
}


@pytest.mark.parametrize("content", FILES)
def test_a_file_that_fails_in_any_way_is_refused_in_a_sentence(capfd, content):
    Path("own.py").write_bytes(content if isinstance(content, bytes) else content.encode())
    told = refused(capfd, "audit", "own.py")
    assert FILES[content].replace("__main__", str(Path("own.py").resolve())) in told
    assert "\ufffd" not in told


@pytest.mark.parametrize("name", ["folder.py", ".py", "own.py:", "none.py:Mine"])
def test_what_is_no_file_with_a_rule_of_that_name_is_refused_in_a_sentence(capfd, name):
    Path("folder.py").mkdir()
    Path("own.py").write_text(RULE)
    told = refused(capfd, "audit", name)
    assert ("does not exist" in told) == (name != "own.py:")


def test_the_nearest_file_there_is_named(capfd):
    for name in ("mine.py", "settings.toml", "data.npz", "text.txt", "w.npy"):
        Path(name).touch()
    recorded, characters = (["train", "--rule", "rflo", "--task", task, "--set"] for task in ("recorded", "characters"))
    for meant, arguments in {
        "mine.py": ["audit", "mien.py:Mine"],
        "settings.toml": [*TINY, "--config", "setings.toml"],
        "data.npz": [*recorded, "task.file=date.npz"],
        "text.txt": [*characters, "task.file=tex.txt"],
        "w.npy": [*TINY, "--set", "network.W_rec=w2.npy"],
        "results": ["results", "result"],
    }.items():
        (Path("results") / "cells").mkdir(parents=True, exist_ok=True)
        assert refused(capfd, *arguments).endswith(f'Did you mean "{meant}"?\n')


def test_of_what_is_not_there_no_other_error_is_raised(capfd):
    Path("add-0.5").mkdir()
    assert 'Did you mean "add-0.5"?' in refused(capfd, "results", "add-0.4")
    assert "the file ~nobody-here/x.py does not exist." in refused(capfd, "audit", "~nobody-here/x.py")
    np.savez("own.npz", inputs=np.ones((3, 1)), targets=np.ones((3, 1)))
    with pytest.raises(ValueError, match=r'^own.npz has no array "a\\nb"; its arrays: inputs, targets\..*$'):
        TASKS["recorded"]("own.npz", inputs="a\nb")


def pipe(name):
    """A pipe that nobody writes to: whoever opens it waits for ever."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(name)
    return name


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_in_the_place_of_a_file_is_never_waited_on(capfd):
    told = "it is not a file but a pipe, a socket or a device."
    for arguments in (
        ["audit", pipe("own.py")],
        [*TINY, "--config", pipe("run.toml")],
        ["train", "--rule", "rflo", "--task", pipe("task.py")],
        ["train", "--rule", "rflo", "--task", "recorded", "--set", f"task.file={pipe('data.npz')}"],
        ["train", "--rule", "rflo", "--task", "characters", "--set", "task.file=data.npz"],
        [*TINY, "--config", "/dev/null"],
    ):
        assert told in refused(capfd, *arguments)
    for name in ("recorded", "characters"):
        with pytest.raises(ValueError, match=told):
            TASKS[name]("data.npz")


IMPOSSIBLE = {
    "x" * 300 + ".py": "File name too long.",
    "a\0b.py": "embedded null byte.",
    "a\nb.py": r"no line breaks or control characters, and 'a\nb.py' has '\n'.",
}


@pytest.mark.parametrize("name", IMPOSSIBLE, ids=["long", "zero", "line break"])
def test_a_path_that_no_file_can_have_is_refused_in_a_sentence(capfd, name):
    for arguments in (["audit", name], [*TINY, "--config", name], [*TINY, "--out", name], ["fig1", "--out", name]):
        told = refused(capfd, *arguments)
        assert IMPOSSIBLE[name] in told
        assert len(told) < 200
    for call in (
        lambda: train(name, "add"),
        lambda: train("rflo", name),
        lambda: train("rflo", {"name": "recorded", "file": name}),
    ):
        with pytest.raises(ValueError, match=r"^(no file can have the path|a path must hold)"):
            call()


SPELT = {"utf-8-sig": "\ufeff", "latin-1": "# coding: latin-1\n", "utf-8": ""}


@pytest.mark.parametrize("encoding", SPELT)
def test_a_rule_file_may_have_a_byte_order_mark_or_name_its_encoding(capfd, encoding):
    Path("own.py").write_bytes((SPELT[encoding].strip("\ufeff") + RULE.format("Größe")).encode(encoding))
    with pytest.raises(SystemExit) as end:
        main(["audit", "--explain", "own.py"])
    assert end.value.code == 0
    assert " grad " in capfd.readouterr().out  # the variable's name, from the source


def test_a_toml_file_may_have_a_byte_order_mark():
    text = 'rule = "rflo" # größer\ntask = "add"\nsteps = 5\n'
    Path("run.toml").write_bytes(text.encode("utf-8-sig"))
    assert read_toml("run.toml") == {"rule": "rflo", "task": "add", "steps": 5}
